#!/usr/bin/env bash
# 10,000 projects of 100 profiles beside one project of 1,000,000: bytes per profile, CPU per Track, and the time of a
# start from a snapshot and from the log. Both servers hold the same people, and the loads visit them in the same order.
# PROJECTS (9999: with `default`, 10,000, the most), PROFILES (1000000), REQUESTS (400000 Tracks a round), ROUNDS (5),
# STARTS (3), WORK_DIR (/tmp)
set -euo pipefail
cd "$(dirname "$0")/.."
projects=${PROJECTS:-9999}
profiles=${PROFILES:-1000000}
requests=${REQUESTS:-400000}
rounds=${ROUNDS:-5}
starts=${STARTS:-3}
work=$(mktemp -d -p "${WORK_DIR:-/tmp}")
source Benchmarks/servers.sh
declare -A count=([one]=1 [many]=$projects)

load() { # NAME MIX REQUESTS: fails unless every call returns OK
    .build/release/profile-bench --port "${ports[$1]}" --projects "${count[$1]}" --ids "$profiles" --mix "$2" \
        --requests "$3" --json > "$work/json"
}
again() { # NAME: a new start; its time in seconds, as the server gives it
    stop "$1"
    start "$1" .build/release/profiled
    grep -oE '"recovery_seconds":[0-9.]+' "$work/$1.log" | cut -d: -f2
}
ratio() { # TEXT MAXIMUM: of the medians in the files many.TEXT and one.TEXT
    local one many
    one=$(median < "$work/one.$1")
    many=$(median < "$work/many.$1")
    awk -v t="$1" -v o="$one" -v m="$many" -v x="$2" 'BEGIN {
        printf "%s: many %s, one %s: %.2f times, the goal is at most %s\n", t, m, o, m / o, x}'
}

for name in one many; do
    start "$name" .build/release/profiled
    empty=$(memory "$name")
    load "$name" project "${count[$name]}"
    load "$name" profile "$profiles"
    awk -v a="$empty" -v b="$(memory "$name")" -v n="$profiles" 'BEGIN {printf "%.1f\n", (b - a) / n}' \
        > "$work/$name.bytes_per_profile"
    again "$name" > "$work/$name.start_from_log_seconds"
done
ratio bytes_per_profile 1.3
ratio start_from_log_seconds 2
for _ in $(seq "$rounds"); do
    for name in one many; do
        cost "$name" "$requests" load "$name" track "$requests" >> "$work/$name.track_microseconds"
    done
done
ratio track_microseconds 1.25
for name in one many; do
    .build/release/profilectl --address "127.0.0.1:${ports[$name]}" snapshot > /dev/null
    for _ in $(seq "$starts"); do again "$name" >> "$work/$name.start_from_snapshot_seconds"; done
done
ratio start_from_snapshot_seconds 2
