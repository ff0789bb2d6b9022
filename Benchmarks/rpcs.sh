#!/usr/bin/env bash
# CPU time per call of the four main RPCs, interleaved in one run: h2load, 8 connections x 100 streams, one person,
# --loops 1.
# Usage: Benchmarks/rpcs.sh [OTHER_PROFILED]   (another build to run in the same rounds)
# ROUNDS (5), REQUESTS (200000). Memory: PROFILES_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter
# StoreMeasurements
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-200000}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
tick=$(getconf CLK_TCK)

cpu() { awk -v t="$tick" '{print ($14 + $15) * 1000000 / t}' "/proc/$1/stat"; }
start() { # NAME BINARY: starts a profiled, sets pid and port
    PROFILES_SNAPSHOT_LOG_BYTES=1024GiB "$2" --data-dir "$work/$1" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
        --loops 1 2> "$work/$1.log" &
    pid=$!
    pids+=("$pid")
    for _ in $(seq 300); do grep -q '"serving"' "$work/$1.log" && break; sleep 0.1; done
    port=$(grep -oE '"listen":"[^"]+"' "$work/$1.log" | cut -d'"' -f4 | cut -d: -f2)
}
load() { # PORT FILE METHOD
    h2load -n "$requests" -c 8 -m 100 -d "Benchmarks/$2.bin" -H 'te: trailers' -H 'content-type: application/grpc' \
        "http://127.0.0.1:$1/profiles.v1.Profiles/$3" | grep -q "$requests succeeded"
}
round() { # NAME PID PORT FILE METHOD: one load, one line
    local before cost
    before=$(cpu "$2")
    load "$3" "$4" "$5"
    cost=$(awk -v a="$before" -v b="$(cpu "$2")" -v n="$requests" 'BEGIN {printf "%.3f", (b - a) / n}')
    echo "$5 $1 $cost" >> "$work/rounds"
}

start profiled .build/release/profiled
main_pid=$pid main_port=$port
if [ -n "${1:-}" ]; then start other "$1"; other_pid=$pid other_port=$port; fi
for _ in $(seq "$rounds"); do
    for pair in track:Track identify:Identify update:UpdateSubscription get:GetProfile; do
        round profiled "$main_pid" "$main_port" "${pair%:*}" "${pair#*:}"
        [ -z "${1:-}" ] || round other "$other_pid" "$other_port" "${pair%:*}" "${pair#*:}"
    done
done
for method in Track Identify UpdateSubscription GetProfile; do
    for name in profiled ${1:+other}; do
        awk -v m="$method" -v s="$name" '$1 == m && $2 == s {print $3}' "$work/rounds" | sort -n |
            awk -v m="$method" -v s="$name" '{v[NR] = $1} END {
                printf "%s %s %.2f µs (%.2f to %.2f)\n", m, s, v[int((NR + 1) / 2)], v[1], v[NR]}'
    done
done
