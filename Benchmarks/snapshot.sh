#!/usr/bin/env bash
# Latency of Track with and without concurrent snapshots, interleaved in one run, and the time of a start from a
# snapshot. An open load: RATE calls per second are due whatever the server does, and latency counts from when a call
# was due, so that a stall shows in every call that it delays. PROFILES (1000000, of ten attributes), RATE (20000),
# SECONDS_EACH (8), ROUNDS (5).
set -euo pipefail
cd "$(dirname "$0")/.."
profiles=${PROFILES:-1000000}
rate=${RATE:-20000}
seconds=${SECONDS_EACH:-8}
rounds=${ROUNDS:-5}
work=$(mktemp -d -p "${WORK_DIR:-/tmp}")
trap 'kill "${pid:-}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
start() {
    .build/release/profiled --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --loops 1 \
        --snapshot-log-bytes 1024GiB 2> "$work/log" &
    pid=$!
    for _ in $(seq 600); do grep -q '"serving"' "$work/log" && break; sleep 0.1; done
    port=$(grep -oE '"listen":"[^"]+"' "$work/log" | cut -d'"' -f4 | cut -d: -f2)
}
load() { # MIX ARGUMENTS: the latencies as JSON
    .build/release/profile-bench --port "$port" --ids "$profiles" --json --mix "$@"
}
memory() { awk -v k="$1:" '$1 == k {printf "%.0f MiB", $2 / 1024}' "/proc/$pid/status"; }
field() { grep -oE "\"$1\":[ ]*[0-9.]+" | head -1 | grep -oE '[0-9.]+$'; }
start
load profile --requests "$profiles" > /dev/null
load track --rate "$rate" --seconds 2 > /dev/null
before=$(memory VmRSS)
for _ in $(seq "$rounds"); do
    load track --rate "$rate" --seconds "$seconds" > "$work/json"
    echo "without $(field p99.9 < "$work/json") $(field max < "$work/json")" >> "$work/rounds"
    # Snapshots one after another for the duration of the load.
    while .build/release/profilectl --address "127.0.0.1:$port" snapshot >> "$work/snapshots" 2>&1; do :; done &
    snapshots=$!
    load track --rate "$rate" --seconds "$seconds" > "$work/json"
    kill "$snapshots" 2> /dev/null || true
    wait "$snapshots" 2> /dev/null || true
    echo "with $(field p99.9 < "$work/json") $(field max < "$work/json")" >> "$work/rounds"
done
for kind in without with; do
    awk -v k="$kind" '$1 == k {print $2, $3}' "$work/rounds" | sort -n |
        awk -v k="$kind" '{p[NR] = $1; if ($2 > m) m = $2} END {
            printf "%s a snapshot: p99.9 %.2f ms (%.2f to %.2f), ", k, p[int((NR + 1) / 2)], p[1], p[NR]
            printf "longest %.2f ms\n", m}'
done
awk '{v[$1] = v[$1] " " $2} END {
    n = split(v["without"], a); split(v["with"], b)
    for (i = 1; i <= n; i++) r[i] = b[i] / a[i]
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (r[j] < r[i]) {t = r[i]; r[i] = r[j]; r[j] = t}
    printf "ratio of p99.9, round by round: median %.2f (%.2f to %.2f)\n", r[int((n + 1) / 2)], r[1], r[n]
}' "$work/rounds"
echo "memory of the process: $before before the rounds, at most $(memory VmHWM) in them, $(memory VmRSS) after them"
grep -oE '"message":"snapshot".*' "$work/log" | tail -1
kill "$pid"
wait "$pid" 2> /dev/null || true
for _ in 1 2 3; do
    start
    grep -oE '"recovery_seconds":[0-9.]+' "$work/log"
    kill "$pid"
    wait "$pid" 2> /dev/null || true
done
