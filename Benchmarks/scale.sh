#!/usr/bin/env bash
# What a profile and an event take, and what a call costs, as the base grows: bytes in memory (indexes and all) and CPU
# per Track and GetProfile of people in random order. Beside it, the memory of Redis with the same data.
#
# A profile has a custom ID and ten attributes of numbers. Its logical bytes are those of the custom ID, and of each
# attribute its name, 8 for the value, and 17 for when, by which record and by what kind of source it was set. Patches
# set all ten of everybody again: `same` to numbers as long as those before, `mixed` to numbers of one to nine digits,
# each person to others, `lockstep` to numbers that are longer or shorter in the same round for everybody. An event has
# a name and three attributes.
#
# Redis has each profile as a hash, and each event as an element of a list, as long as its message. `values` has the
# values alone, `whole` with the time, lsn and source of each, as decimal text. `make peer-deps` installs it.
#
# Memory is that of the store (profiles_store_bytes; used_memory of Redis) and, in brackets, what the process has grown
# by, in which a small base shows buffers that do not depend on it.
#
# SIZES (10000 1000000 10000000), ROUNDS (5) of REQUESTS (100000), PATCHES (10) of a base of PATCHED (200000) profiles
# for each of PATCH_KINDS (same mixed lockstep), EVENTS (3) of each person of bases of up to 1,000,000, 1 of larger
# ones, SERVERS (patches profiled redis), WORK_DIR (/tmp; 10,000,000 profiles write 8 GB)
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra sizes <<< "${SIZES:-10000 1000000 10000000}"
read -ra servers <<< "${SERVERS:-patches profiled redis}"
read -ra patch_kinds <<< "${PATCH_KINDS:-same mixed lockstep}"
rounds=${ROUNDS:-5}
requests=${REQUESTS:-100000}
patches=${PATCHES:-10}
patched=${PATCHED:-200000}
work=$(mktemp -d -p "${WORK_DIR:-/tmp}")
# shellcheck source=Benchmarks/servers.sh
source Benchmarks/servers.sh

load() { # SERVER MIX REQUESTS FLAGS...: fails unless every call returns OK
    .build/release/profile-bench --port "${ports[$1]}" --ids "${ids[$1]:-$1}" --mix "$2" --requests "$3" \
        --json "${@:4}" > "$work/json"
}
stored() { # SERVER: bytes of the store
    if [ "$1" = redis ]; then
        redis info memory | tr -d '\r' | awk -F: '$1 == "used_memory" {print $2}'
    else
        curl -sf "http://$(grep -oE '"admin":"[^"]+"' "$work/$1.log" | cut -d'"' -f4)/metrics" |
            awk '$1 == "profiles_store_bytes" {print $2}'
    fi
}
# Bytes since `mark`, by each of COUNT.
mark() { before="$(stored "$1") $(memory "$1")"; } # SERVER
each() {                                           # SERVER COUNT
    awk -v before="$before" -v s="$(stored "$1")" -v m="$(memory "$1")" -v n="$2" \
        'BEGIN {split(before, b, " "); printf "%.0f (process %.0f)", (s - b[1]) / n, (m - b[2]) / n}'
}
events() { # SIZE: of each person
    if [ "$1" -le 1000000 ]; then echo "${EVENTS:-3}"; else echo 1; fi
}
logical_bytes=$((12 + 10 * (11 + 8 + 17)))

declare -A ids # of servers that are not named after their size
patch_flags() { # KIND ROUND
    case $1 in
        same) echo --values "$((1000 + 10 * $2))" ;;
        mixed) echo --value-seed "$(($2 + 1))" ;;
        lockstep) echo --values "$((10 ** ($2 % 9)))" ;;
    esac
}
measure_patches() {
    local kind round flags
    for kind in "${patch_kinds[@]}"; do
        ids[$kind]=$patched
        start "$kind" .build/release/profiled
        mark "$kind"
        for round in 0 $(seq "$patches"); do
            read -ra flags <<< "$(patch_flags "$kind" "$round")"
            load "$kind" profile "$patched" "${flags[@]}"
            if [ "$round" = 0 ] || [ "$round" = "$patches" ]; then
                echo "profiled, $patched profiles, $kind patches: $round: $(each "$kind" "$patched") bytes each," \
                    "$logical_bytes logical"
            fi
        done
        stop "$kind"
    done
}

measure_profiled() {
    local size before round kind
    for size in "${sizes[@]}"; do
        start "$size" .build/release/profiled
        mark "$size"
        load "$size" profile "$size"
        echo "profiled, $size profiles: $(each "$size" "$size") bytes each, $logical_bytes logical"
        mark "$size"
        load "$size" track "$(($(events "$size") * size))"
        echo "profiled, $size profiles: $(each "$size" "$(($(events "$size") * size))") bytes an event"
    done
    for round in $(seq "$rounds"); do
        for size in "${sizes[@]}"; do
            for kind in track get; do
                cost "$size" "$requests" load "$size" "$kind" "$requests" --order random >> "$work/$size.$kind"
            done
        done
    done
    for kind in track get; do
        for size in "${sizes[@]}"; do
            awk -v c="$(median < "$work/$size.$kind")" -v s="$(median < "$work/${sizes[0]}.$kind")" -v n="$size" \
                -v k="$kind" \
                'BEGIN {printf "profiled, %d profiles, %s: %s µs, %.2f times the smallest\n", n, k, c, c / s}'
        done
    done
    for size in "${sizes[@]}"; do stop "$size"; done
}

redis() { redis-cli -s "$work/redis.socket" "$@"; }
fill_redis() { # KIND SIZE EVENTS: commands, one a line
    python3 - "$@" <<'EOF'
import sys
kind, size, events = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
digits = max(6, len(str(size - 1)))
rest = ":1764500000000:10000000:API" if kind == "whole" else ""
fields = " ".join(f"attribute_{n} {1000 + n}{rest}" for n in range(10))
for n in range(size):
    if kind == "events":
        for _ in range(events):
            sys.stdout.write(f"RPUSH events-{n:0{digits}} {'p' * 54}\r\n")
    else:
        sys.stdout.write(f"HSET user-{n:0{digits}} {fields}\r\n")
EOF
}
measure_redis() {
    local size kind before count
    link_redis
    for size in "${sizes[@]}"; do
        for kind in values whole events; do
            "$work/redis-server" --port 0 --unixsocket "$work/redis.socket" --dir "$work" --daemonize no --save '' \
                --appendonly no --loglevel warning > "$work/redis.log" &
            pids[redis]=$!
            until redis ping > /dev/null 2>&1; do sleep 0.05; done
            mark redis
            fill_redis "$kind" "$size" "$(events "$size")" | redis --pipe > /dev/null
            count=$size
            [ "$kind" != events ] || count=$(($(events "$size") * size))
            echo "redis, $size profiles, $kind: $(each redis "$count") bytes each"
            stop redis
            rm -f "$work/redis.socket"
        done
    done
}

for server in "${servers[@]}"; do "measure_$server"; done
