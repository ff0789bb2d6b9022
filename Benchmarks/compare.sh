#!/usr/bin/env bash
# CPU time per durable Track compared with the floor, interleaved in one run; allocator calls per request and thread.
# Usage: Benchmarks/compare.sh [OTHER_PROFILED]   (another build to run in the same rounds)
# ROUNDS (5), REQUESTS (400000)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-400000}
work=$(mktemp -d)
source Benchmarks/servers.sh

gcc -O2 -shared -fPIC -o "$work/malloc_count.so" Benchmarks/malloc-count/malloc_count.c

h2() {
    h2load -n "$2" -c 8 -m 100 -d Benchmarks/track.bin -H 'te: trailers' -H 'content-type: application/grpc' \
        "http://127.0.0.1:$1/profiles.v1.Profiles/Track" | grep -oE '[0-9.]+ req/s'
}
ours() { .build/release/profile-bench --port "$1" --requests "$2" | grep -oE '[0-9]+ a second'; }
round() { # NAME LOAD: one load, one line
    local before speed cost
    before=$(cpu "$1")
    speed=$("$2" "${ports[$1]}" "$requests")
    cost=$(awk -v a="$before" -v b="$(cpu "$1")" -v n="$requests" 'BEGIN {printf "%.3f", (b - a) / n}')
    echo "$2 $1 $cost $speed" | tee -a "$work/rounds"
}

names=(floor profiled ${1:+other})
start_floor
# Snapshots are kept out of the rounds; Benchmarks/snapshot.sh measures them.
start profiled .build/release/profiled
[ -z "${1:-}" ] || start other "$1"

echo "load, server, CPU in µs a request, requests a second"
for _ in $(seq "$rounds"); do
    for load in h2 ours; do
        for name in "${names[@]}"; do round "$name" "$load"; done
    done
done
echo "medians, and the ratio to the floor"
costs() { awk -v l="$1" -v s="$2" '$1 == l && $2 == s {print $3}' "$work/rounds" | sort -n; }
for load in h2 ours; do
    base=$(costs "$load" floor | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}')
    for name in "${names[@]}"; do
        costs "$load" "$name" | awk -v b="$base" -v l="$load" -v s="$name" '{v[NR] = $1} END {
            m = v[int((NR + 1) / 2)]
            printf "%s %s %.2f µs, %.2f times the floor\n", l, s, m, m / b}'
    done
done

echo "allocator calls a request, by thread, between 100,000 and 300,000 requests"
LD_PRELOAD="$work/malloc_count.so" MALLOC_COUNT_FILE="$work/counts" start counted .build/release/profiled
ours "${ports[counted]}" 100000 > /dev/null
kill -USR2 "${pids[counted]}"; sleep 0.5; sort "$work/counts" > "$work/before"
ours "${ports[counted]}" 200000 > /dev/null
kill -USR2 "${pids[counted]}"; sleep 0.5; sort "$work/counts" > "$work/after"
join "$work/before" "$work/after" | awk '{printf "%s %.4f\n", $1, ($3 - $2) / 200000}' | grep -E '^(loop|log)'
