#!/usr/bin/env bash
# CPU per Track and GetProfile by the number of connections: 8x100, 32x100 and 200x16 streams, interleaved, beside the
# floor, which receives the same requests and returns a constant; and the ratios to 8x100.
# Usage: Benchmarks/connections.sh [OTHER_PROFILED]   (another build to run in the same rounds)
# ROUNDS (5), REQUESTS (200000), SHAPES ("8x100 32x100 200x16")
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-200000}
read -ra shapes <<< "${SHAPES:-8x100 32x100 200x16}"
work=$(mktemp -d)
source Benchmarks/servers.sh

load() { # PORT SHAPE FILE METHOD
    h2load -n "$requests" -c "${2%x*}" -m "${2#*x}" -d "Benchmarks/$3.bin" -H 'te: trailers' \
        -H 'content-type: application/grpc' "http://127.0.0.1:$1/profiles.v1.Profiles/$4" |
        grep -q "$requests succeeded"
}
round() { # NAME SHAPE FILE METHOD: one load, one line
    printf '%s ' "$1" "$4" "$2" >> "$work/rounds"
    cost "$1" "$requests" load "${ports[$1]}" "$2" "$3" "$4" >> "$work/rounds"
}

names=(floor profiled ${1:+other})
start_floor
start profiled .build/release/profiled --connections-per-address 1024
[ -z "${1:-}" ] || start other "$1" --connections-per-address 1024
load "${ports[profiled]}" 8x100 track Track
[ -z "${1:-}" ] || load "${ports[other]}" 8x100 track Track
for _ in $(seq "$rounds"); do
    for shape in "${shapes[@]}"; do
        for name in "${names[@]}"; do
            round "$name" "$shape" track Track
            [ "$name" = floor ] || round "$name" "$shape" get GetProfile
        done
    done
done
for method in Track GetProfile; do
    for name in "${names[@]}"; do
        [ "$method $name" != 'GetProfile floor' ] || continue
        base=
        for shape in "${shapes[@]}"; do
            figure=$(awk -v k="$name $method $shape" '$1 " " $2 " " $3 == k {print $4}' "$work/rounds" | median)
            base=${base:-${figure%% *}}
            awk -v f="$figure" -v b="$base" -v k="$method $name $shape" \
                'BEGIN {split(f, v, " "); printf "%s %s µs, %.2f times\n", k, f, v[1] / b}'
        done
    done
done
