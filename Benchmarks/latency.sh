#!/usr/bin/env bash
# Latency of a Track beside what it cannot be below: the floor's, and that of an fdatasync of 4 KiB in a file whose
# blocks are written already. Interleaved; the generator and the sync probe are the same for both servers.
#
# 1. One call at a time: the p50 of each, and of a floor that syncs before it responds, on its only thread.
# 2. An open load of half of what one loop takes (RATE, else measured): the p99 of each, and of Tracks while snapshots
#    are made one after another. Beside each, what pauses of the machine do to one in a hundred calls (pauses.py): a
#    host that stops a virtual machine adds them to whatever server runs there.
#
# ROUNDS (5), SECONDS_EACH (4), RATE, PROFILES (1000000 people of ten attributes), WORK_DIR (a folder on the disk that
# counts)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-4}
people=${PROFILES:-1000000}
work=$(mktemp -d -p "${WORK_DIR:-/tmp}")
source Benchmarks/servers.sh

load() { # SERVER FLAGS...: as JSON
    .build/release/profile-bench --port "${ports[$1]}" --ids "$people" --json "${@:2}"
}
field() { grep -oE "\"$1\":[ ]*[0-9.]+" | head -1 | grep -oE '[0-9.]+$'; }
probe() { # p50 and p99 of an fdatasync, in ms
    python3 - "$work/probe" "$seconds" <<'EOF'
import os, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
size = 16 << 20
file = os.open(path, os.O_CREAT | os.O_WRONLY)
os.pwrite(file, bytes(size), 0)
os.fsync(file)
block, times, offset = os.urandom(4096), [], 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    begin = time.monotonic()
    os.pwrite(file, block, offset)
    os.fdatasync(file)
    times.append(time.monotonic() - begin)
    offset = (offset + 4096) % size
times.sort()
print(*(1000 * times[len(times) * part // 100] for part in (50, 99)))
EOF
}
# The p99 of an open load, and that of the machine's pauses meanwhile.
open_load() { # SERVER NAME
    watch_pauses "$seconds"
    load "$1" --rate "$rate" --seconds "$seconds" | field p99 | note "$2-p99"
    read_pauses
    note "$2-pauses-p99" <<< "$pauses_p99"
}
note() { awk -v name="$1" '{print name, $1}' >> "$work/rounds"; } # NAME: a number of a round

start_floor
start_durable_floor
start profiled .build/release/profiled
load profiled --mix profile --requests "$people" > /dev/null
rate=${RATE:-$(load profiled --seconds "$seconds" | field per_second | awk '{print int($1 / 2)}')}
echo "half of the most: $rate calls a second"
for _ in $(seq "$rounds"); do
    probe > "$work/syncs"
    cut -d' ' -f1 "$work/syncs" | note sync-p50
    cut -d' ' -f2 "$work/syncs" | note sync-p99
    for name in floor durable-floor profiled; do
        load "$name" --connections 1 --streams 1 --seconds "$seconds" | field p50 | note "$name-p50"
    done
    for name in floor profiled; do open_load "$name" "$name"; done
    while .build/release/profilectl --address "127.0.0.1:${ports[profiled]}" snapshot > /dev/null 2>&1; do :; done &
    snapshots=$!
    open_load profiled snapshots
    kill "$snapshots" 2> /dev/null || true
    wait "$snapshots" 2> /dev/null || true
done
middle() { awk -v n="$1" '$1 == n {print $2}' "$work/rounds" | median; }
for name in sync-p50 floor-p50 durable-floor-p50 profiled-p50 sync-p99 floor-p99 floor-pauses-p99 profiled-p99 \
    profiled-pauses-p99 snapshots-p99 snapshots-pauses-p99; do
    echo "$name $(middle "$name") ms"
done
ratio() { # WHAT NAME PERCENTILE GOAL
    awk -v what="$1" -v a="$(middle "$2" | cut -d' ' -f1)" -v f="$(middle "floor-$3" | cut -d' ' -f1)" \
        -v s="$(middle "sync-$3" | cut -d' ' -f1)" -v goal="$4" \
        'BEGIN {printf "%s: %.2f times the floor and a sync; goal %s\n", what, a / (f + s), goal}'
}
ratio "p50, one call at a time" profiled-p50 p50 1.3
awk -v a="$(middle profiled-p50 | cut -d' ' -f1)" -v b="$(middle durable-floor-p50 | cut -d' ' -f1)" \
    'BEGIN {printf "p50, one call at a time: %.2f times a floor that syncs\n", a / b}'
ratio "p99 at half load" profiled-p99 p99 2
ratio "p99 at half load beside snapshots" snapshots-p99 p99 2
