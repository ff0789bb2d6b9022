#!/usr/bin/env bash
# The service beside what else could be used, interleaved in one run: the server on one core, the load on another.
# Prints a table and writes it, with pictures, into docs/benchmarks (TARGET).
#
# floor   the C floor, a constant response               h2load, or profile-bench for many people
# nghttpd a static file of as many bytes                 h2load
# grpc    Track on gRPC C++, not durable (peers/)        h2load, or profile-bench for many people
# redis   SET of as many bytes, appendfsync always       redis-benchmark -c CONNECTIONS -P STREAMS
# track   profiled, Track, durable                       h2load, or profile-bench for many people
# get     profiled, GetProfile                           h2load, or profile-bench for many people
# stream  profiled, TrackStream, durable events          profile-bench stream: one stream a connection, STREAMS messages
# batch   the same with 15 events a message              under way on each
#
# BENCH_ROUNDS (3), BENCH_SECONDS (2) of each load, BENCH_SHAPES (CONNECTIONSxSTREAMS), BENCH_STREAM_SHAPES,
# BENCH_IDS (1000000; 1: one person only), BENCH_SERVERS, BENCH_SERVER_CORE (0), BENCH_LOAD_CORE (1), BENCH_NOTE
# (printed with the results).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-docs/benchmarks}
rounds=${BENCH_ROUNDS:-3}
seconds=${BENCH_SECONDS:-2}
read -ra shapes <<< "${BENCH_SHAPES:-1x1 1x10 8x10 8x100 32x100}"
read -ra stream_shapes <<< "${BENCH_STREAM_SHAPES:-1x10 8x100}"
people=${BENCH_IDS:-1000000}
read -ra servers <<< "${BENCH_SERVERS:-floor nghttpd grpc redis track get stream batch}"
for name in "${servers[@]}"; do
    [[ " floor nghttpd grpc redis track get stream batch " == *" $name "* ]] || {
        echo "BENCH_SERVERS: there is no server $name" >&2
        exit 2
    }
done
server_core=${BENCH_SERVER_CORE:-0}
load_core=${BENCH_LOAD_CORE:-1}
bench=.build/release/profile-bench
work=$(mktemp -d)
# shellcheck source=Benchmarks/servers.sh
source Benchmarks/servers.sh

has() { [[ " ${servers[*]} " == *" $1 "* ]]; }
free_port() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# On its core with all its threads, also those that it starts later.
pin() { taskset -a -c -p "$server_core" "${pids[$1]}" > /dev/null; }
load() { taskset -c "$load_core" "$@"; }
await() { # NAME COMMAND...: until the command succeeds, for 10 s at most
    local name=$1
    shift
    for _ in $(seq 200); do
        if "$@" > /dev/null 2>&1; then return; fi
        kill -0 "${pids[$name]}" || break
        sleep 0.05
    done
    echo "$name does not come up" >&2
    return 1
}
listens() { (: < "/dev/tcp/127.0.0.1/${ports[$1]}"); }

start_nghttpd() {
    mkdir "$work/files"
    cp Benchmarks/response.bin "$work/files/response"
    ports[nghttpd]=$(free_port)
    nghttpd --no-tls -a 127.0.0.1 -d "$work/files" "${ports[nghttpd]}" > /dev/null &
    pids[nghttpd]=$!
    await nghttpd listens nghttpd
}
start_grpc() {
    Benchmarks/peers/build.sh .build/peers/grpc-server
    ports[grpc]=$(free_port)
    .build/peers/grpc-server "${ports[grpc]}" &
    pids[grpc]=$!
    await grpc listens grpc
}
start_redis() {
    link_redis
    mkdir "$work/redis"
    ports[redis]=$(free_port)
    "$work/redis-server" --port "${ports[redis]}" --bind 127.0.0.1 --dir "$work/redis" --daemonize no --save '' \
        --appendonly yes --appendfsync no --auto-aof-rewrite-percentage 0 --loglevel warning > "$work/redis.log" &
    pids[redis]=$!
    await redis redis-cli -p "${ports[redis]}" ping
    # The keys of redis-benchmark, with values of the size of the Track.
    awk -v n="$people" -v value="$(printf '%089d' 0)" 'BEGIN {
        for (i = 0; i < n; i++) printf "SET key:%012d %s\r\n", i, value}' |
        redis-cli -p "${ports[redis]}" --pipe > /dev/null
    redis-cli -p "${ports[redis]}" config set appendfsync always > /dev/null
}
start_profiled() {
    start profiled .build/release/profiled
    # The person of the recorded requests is one of these.
    "$bench" import --port "${ports[profiled]}" --people "$((people > 100 ? people : 100))" --events 1 > /dev/null
}

# Each load prints requests and requests a second.
h2() { # NAME CONNECTIONS STREAMS PATH [FILE]
    local request=()
    [ -z "${5:-}" ] || request=(-d "Benchmarks/$5.bin" -H 'te: trailers' -H 'content-type: application/grpc')
    load h2load -D "$(awk -v s="$seconds" 'BEGIN {print int(s * 1000)}')ms" -c "$2" -m "$3" "${request[@]}" \
        "http://127.0.0.1:${ports[$1]}/$4" > "$work/h2load"
    awk '/^finished in/ {rate = $4} /^requests:/ {done = $8; failed = $10 + $12}
        END {if (failed > 0 || done == 0) exit 1; print done, rate}' "$work/h2load" || {
        cat "$work/h2load" >&2
        return 1
    }
}
ours() { # NAME FLAGS...
    load "$bench" "${@:2}" --port "${ports[$1]}" --seconds "$seconds" --json > "$work/bench"
    python3 -c 'import json, sys
report = json.load(sys.stdin)
print(report["requests"] if "requests" in report else report["events"], report["per_second"])' < "$work/bench"
}
calls() { # NAME IDS CONNECTIONS STREAMS METHOD FILE
    if [ "$2" -eq 1 ]; then
        h2 "$1" "$3" "$4" "profiles.v1.Profiles/$5" "$6"
    else
        ours "$1" --connections "$3" --streams "$4" --ids "$2" --method "$5"
    fi
}
declare -A redis_counts
sets() { # IDS CONNECTIONS PIPELINE: a number of requests that takes about as long as the other loads
    local keys=() rate
    [ "$1" -eq 1 ] || keys=(-r "$1")
    local command=(load redis-benchmark -p "${ports[redis]}" -t set -d 89 -c "$2" -P "$3" --csv "${keys[@]}")
    if [ -z "${redis_counts[$2x$3]:-}" ]; then
        rate=$("${command[@]}" -n $((2000 * $3)) 2> /dev/null | tail -1 | cut -d'"' -f4)
        redis_counts[$2x$3]=$(awk -v r="$rate" -v s="$seconds" 'BEGIN {print int(r * s) + 1000}')
        before=$(cpu redis)
    fi
    rate=$("${command[@]}" -n "${redis_counts[$2x$3]}" 2> /dev/null | tail -1 | cut -d'"' -f4)
    echo "${redis_counts[$2x$3]} $rate"
}
process() { case $1 in track | get | stream | batch) echo profiled ;; *) echo "$1" ;; esac }
measure() { # NAME IDS CONNECTIONS STREAMS: one line of results
    local name=$1 ids=$2 connections=$3 streams=$4 server before result
    server=$(process "$name")
    before=$(cpu "$server")
    case $name in
        floor | grpc | track) calls "$server" "$ids" "$connections" "$streams" Track track ;;
        get) calls "$server" "$ids" "$connections" "$streams" GetProfile get ;;
        nghttpd) h2 nghttpd "$connections" "$streams" response ;;
        redis) sets "$ids" "$connections" "$streams" ;;
        stream | batch)
            ours profiled stream --connections "$connections" --streams 1 --in-flight "$streams" --ids "$ids" \
                --batch "$([ "$name" = batch ] && echo 15 || echo 1)"
            ;;
    esac > "$work/result"
    result=$(cat "$work/result")
    awk -v head="$name $ids ${connections}x$streams" -v a="$before" -v b="$(cpu "$server")" -v r="$result" 'BEGIN {
        split(r, part, " "); printf "%s %s %.3f\n", head, part[2], (b - a) / part[1]}' | tee -a "$work/rounds"
}
is_measured() { # NAME IDS SHAPE
    case $1 in
        # A file has no person.
        nghttpd) [ "$2" -eq 1 ] ;;
        stream | batch) [[ " ${stream_shapes[*]} " == *" $3 "* ]] ;;
        *) true ;;
    esac
}

FLOOR_PORT=$(free_port)
for name in floor nghttpd grpc redis profiled; do
    case $name in
        profiled) has track || has get || has stream || has batch || continue ;;
        *) has "$name" || continue ;;
    esac
    "start_$name"
    pin "$name"
done
python3 Benchmarks/peers/report.py machine --folder "$work" --rounds "$rounds" --seconds "$seconds" \
    --people "$people" --note "${BENCH_NOTE:-}" > "$work/machine"
numbers=(1)
[ "$people" -eq 1 ] || numbers+=("$people")
echo "server, people, connections x streams, requests a second, CPU of the server in µs a request"
for _ in $(seq "$rounds"); do
    for ids in "${numbers[@]}"; do
        for shape in "${shapes[@]}"; do
            for name in "${servers[@]}"; do
                is_measured "$name" "$ids" "$shape" || continue
                measure "$name" "$ids" "${shape%x*}" "${shape#*x}"
            done
        done
    done
done
python3 Benchmarks/peers/report.py write "$work/rounds" "$work/machine" "$target"
