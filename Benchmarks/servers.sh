#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154
# Sourced by benchmarks that start servers: `start`, `start_floor`, `stop`, `cpu`, `cost`, `memory`, `watch_pauses`
# and `median`. Needs `work`, a folder of the script's own, and ends every server at its exit.
tick=$(getconf CLK_TCK)
declare -A pids ports
trap 'kill "${pids[@]}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT

# start NAME BINARY FLAGS...: starts a profiled on the directory of that name. Snapshots are made on demand only.
start() {
    local name=$1 binary=$2
    shift 2
    PROFILES_SNAPSHOT_LOG_BYTES=1024GiB "$binary" --data-dir "$work/$name" --listen 127.0.0.1:0 \
        --admin-listen 127.0.0.1:0 --loops 1 "$@" 2> "$work/$name.log" &
    pids[$name]=$!
    until grep -q '"serving"' "$work/$name.log"; do
        kill -0 "${pids[$name]}" || { cat "$work/$name.log" >&2; return 1; }
        sleep 0.05
    done
    ports[$name]=$(grep -oE '"listen":"[^"]+"' "$work/$name.log" | cut -d'"' -f4 | cut -d: -f2)
}
# Builds the floor and starts it as the server `floor`.
start_floor() {
    gcc -O2 -o "$work/floor-server" Benchmarks/floor/floor.c -lnghttp2
    ports[floor]=${FLOOR_PORT:-50971}
    "$work/floor-server" "${ports[floor]}" Benchmarks/response.bin &
    pids[floor]=$!
}
# The same with a sync of each tick's requests, as the server `durable-floor`.
start_durable_floor() {
    ports[durable-floor]=$((${FLOOR_PORT:-50971} + 1))
    head -c 16M /dev/zero > "$work/floor-log"
    sync "$work/floor-log"
    "$work/floor-server" "${ports[durable-floor]}" Benchmarks/response.bin "$work/floor-log" &
    pids[durable-floor]=$!
}
stop() { # NAME
    kill "${pids[$1]}"
    wait "${pids[$1]}" 2> /dev/null || true
    unset "pids[$1]"
}
# CPU time of a server so far, user and system, in µs.
cpu() { awk -v t="$tick" '{print ($14 + $15) * 1000000 / t}' "/proc/${pids[$1]}/stat"; }
# CPU time of a server for each of the requests that a command makes, in µs.
cost() { # NAME REQUESTS COMMAND...
    local before
    before=$(cpu "$1")
    "${@:3}" > /dev/null
    awk -v a="$before" -v b="$(cpu "$1")" -v n="$2" 'BEGIN {printf "%.3f\n", (b - a) / n}'
}
# Resident memory of a server, in bytes.
memory() { awk '$1 == "VmRSS:" {print $2 * 1024}' "/proc/${pids[$1]}/status"; }
# Gives the server of Redis its name in `work`: Debian's redis-tools has it as redis-check-rdb; the package redis-server
# would start a daemon.
link_redis() {
    local binary
    binary=$(command -v redis-server || command -v redis-check-rdb)
    ln -s "$binary" "$work/redis-server"
}
# Watches for pauses of the machine, for so many seconds.
watch_pauses() { # SECONDS
    python3 Benchmarks/pauses.py "$1" > "$work/pauses" &
    pids[pauses]=$!
    # Its own start is over before what is measured beside it begins.
    sleep 0.3
}
# Waits for that, and sets `pauses_p99`: what one in a hundred calls waits for pauses of the machine alone, in ms.
read_pauses() {
    wait "${pids[pauses]}"
    unset "pids[pauses]"
    pauses_p99=$(cut -d' ' -f3 "$work/pauses")
}
# The median, the least and the greatest of the numbers on standard input.
median() { sort -n | awk '{v[NR] = $1} END {printf "%.3f (%.3f to %.3f)", v[int((NR + 1) / 2)], v[1], v[NR]}'; }
