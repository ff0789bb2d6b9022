#!/usr/bin/env bash
# Commands that a start replays from the log alone, per second of CPU of the whole process.
# COMMANDS (2000000 Tracks of one event over 100,000 people), ROUNDS (5).
set -euo pipefail
cd "$(dirname "$0")/.."
commands=${COMMANDS:-2000000}
work=$(mktemp -d -p "${WORK_DIR:-/tmp}")
trap 'kill "${pid:-}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
tick=$(getconf CLK_TCK)
start() {
    .build/release/profiled --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --loops 1 \
        --snapshot-log-bytes 1024GiB 2> "$work/log" &
    pid=$!
    for _ in $(seq 3000); do grep -q '"serving"' "$work/log" && break; sleep 0.02; done
}
stop() {
    kill "$pid"
    wait "$pid" 2> /dev/null || true
}
start
port=$(grep -oE '"listen":"[^"]+"' "$work/log" | cut -d'"' -f4 | cut -d: -f2)
.build/release/profile-bench --port "$port" --ids 100000 --requests "$commands" --json > /dev/null
bytes=$(du -sm "$work/data" | cut -f1)
stop
for _ in $(seq "${ROUNDS:-5}"); do
    start
    cpu=$(awk -v t="$tick" '{print ($14 + $15) / t}' "/proc/$pid/stat")
    lsn=$(grep -oE '"lsn":[0-9]+' "$work/log" | tail -1 | cut -d: -f2)
    seconds=$(grep -oE '"recovery_seconds":[0-9.]+' "$work/log" | cut -d: -f2)
    awk -v c="$cpu" -v n="$lsn" -v s="$seconds" 'BEGIN {printf "%.0f %.2f %s\n", n / c, c, s}' >> "$work/rounds"
    stop
done
sort -n "$work/rounds" | awk -v m="$bytes" -v n="$lsn" '{v[NR] = $1; c[NR] = $2; s[NR] = $3} END {k = int((NR + 1) / 2)
    printf "%d commands of %d MiB: %d a second of CPU (%d to %d); ", n, m, v[k], v[1], v[NR]
    printf "the median start took %.2f s of CPU, %.2f s\n", c[k], s[k]}'
