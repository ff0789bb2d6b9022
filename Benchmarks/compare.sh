#!/usr/bin/env bash
# CPU time per durable Track compared with the floor, interleaved in one run; allocator calls per request and thread.
# Usage: Benchmarks/compare.sh [OTHER_PROFILED]   (another build to run in the same rounds)
# ROUNDS (5), REQUESTS (400000)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-400000}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
tick=$(getconf CLK_TCK)

gcc -O2 -o "$work/floor" Benchmarks/floor/floor.c -lnghttp2
gcc -O2 -shared -fPIC -o "$work/malloc_count.so" Benchmarks/malloc-count/malloc_count.c

cpu() { awk -v t="$tick" '{print ($14 + $15) * 1000000 / t}' "/proc/$1/stat"; }
port_of() {
    for _ in $(seq 300); do grep -q '"serving"' "$1" && break; sleep 0.1; done
    grep -oE '"listen":"[^"]+"' "$1" | cut -d'"' -f4 | cut -d: -f2
}
h2() {
    h2load -n "$2" -c 8 -m 100 -d Benchmarks/track.bin -H 'te: trailers' -H 'content-type: application/grpc' \
        "http://127.0.0.1:$1/profiles.v1.Profiles/Track" | grep -oE '[0-9.]+ req/s'
}
ours() { .build/release/profile-bench --port "$1" --requests "$2" | grep -oE '[0-9]+ a second'; }
# round NAME PID PORT LOAD: one load, one line
round() {
    local before after speed cost
    before=$(cpu "$2")
    speed=$("$4" "$3" "$requests")
    after=$(cpu "$2")
    cost=$(awk -v a="$before" -v b="$after" -v n="$requests" 'BEGIN {printf "%.3f", (b - a) / n}')
    echo "$4 $1 $cost $speed" | tee -a "$work/rounds"
}
start() { # NAME BINARY: starts a profiled, sets pid and port
    # Snapshots are kept out of the rounds; Benchmarks/snapshot.sh measures them.
    PROFILES_SNAPSHOT_LOG_BYTES=1024GiB "$2" --data-dir "$work/$1" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
        --loops 1 2> "$work/$1.log" &
    pid=$!
    pids+=("$pid")
    port=$(port_of "$work/$1.log")
}

floor_port=${FLOOR_PORT:-50971}
"$work/floor" "$floor_port" Benchmarks/response.bin & floor_pid=$!
pids+=("$floor_pid")
start profiled .build/release/profiled
main_pid=$pid main_port=$port
if [ -n "${1:-}" ]; then start other "$1"; other_pid=$pid other_port=$port; fi
sleep 1

echo "load, server, CPU in µs a request, requests a second"
for _ in $(seq "$rounds"); do
    for load in h2 ours; do
        round floor "$floor_pid" "$floor_port" "$load"
        round profiled "$main_pid" "$main_port" "$load"
        [ -z "${1:-}" ] || round other "$other_pid" "$other_port" "$load"
    done
done
echo "medians, and the ratio to the floor"
costs() { awk -v l="$1" -v s="$2" '$1 == l && $2 == s {print $3}' "$work/rounds" | sort -n; }
for load in h2 ours; do
    base=$(costs "$load" floor | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}')
    for name in floor profiled ${1:+other}; do
        costs "$load" "$name" | awk -v b="$base" -v l="$load" -v s="$name" '{v[NR] = $1} END {
            m = v[int((NR + 1) / 2)]
            printf "%s %s %.2f µs, %.2f times the floor\n", l, s, m, m / b}'
    done
done

echo "allocator calls a request, by thread, between 100,000 and 300,000 requests"
LD_PRELOAD="$work/malloc_count.so" MALLOC_COUNT_FILE="$work/counts" start counted .build/release/profiled
ours "$port" 100000 > /dev/null
kill -USR2 "$pid"; sleep 0.5; sort "$work/counts" > "$work/before"
ours "$port" 200000 > /dev/null
kill -USR2 "$pid"; sleep 0.5; sort "$work/counts" > "$work/after"
join "$work/before" "$work/after" | awk '{printf "%s %.4f\n", $1, ($3 - $2) / 200000}' | grep -E '^(loop|log)'
