#!/usr/bin/env bash
# CPU time per durable Track with a key and without one, and of another build, interleaved in one run: the load
# generator over 100,000 people in one project, 8 connections x 100 streams, --loops 1. The floor, which ignores the
# key, gets both loads too: what the header costs it is the price of receiving and unpacking the header's bytes, which a
# server on libnghttp2 pays before it has looked at one of them.
# Usage: Benchmarks/keys.sh [OTHER_PROFILED]   (another build, without a key, in the same rounds)
# ROUNDS (9), REQUESTS (400000)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-9}
requests=${REQUESTS:-400000}
work=$(mktemp -d)
source Benchmarks/servers.sh
names=(open keyed ${1:+other} floor floor_keyed)

umask 077
.build/release/profilectl key new > "$work/operators"
start open .build/release/profiled
start keyed .build/release/profiled --operator-key-file "$work/operators"
[ -z "${1:-}" ] || start other "$1"
start_floor
# A key of the project, as a service has it, not the operator's.
.build/release/profilectl --address "127.0.0.1:${ports[keyed]}" --key-file "$work/operators" \
    key create --scopes write > "$work/key"

round() { # NAME: one load, one line
    local key=() server=${1%_keyed}
    [[ $1 != *keyed ]] || key=(--key-file "$work/key")
    cost "$server" "$requests" .build/release/profile-bench --port "${ports[$server]}" --requests "$requests" \
        "${key[@]}" >> "$work/$1.costs"
}
for name in "${names[@]}"; do round "$name"; done
rm "$work"/*.costs
for _ in $(seq "$rounds"); do for name in "${names[@]}"; do round "$name"; done; done
for name in "${names[@]}"; do echo "$name: $(median < "$work/$name.costs") µs a Track"; done
share() { # NAME BASE: the median of the differences round by round, in per cent
    paste "$work/$1.costs" "$work/$2.costs" | awk '{printf "%.3f\n", ($1 / $2 - 1) * 100}' | median
}
# The median over the rounds of what a key costs the service beyond what it costs the floor.
own() {
    paste "$work"/{keyed,open,floor_keyed,floor}.costs |
        awk '{printf "%.3f\n", ($1 - $2 - ($3 - $4)) / $2 * 100}' | median
}
echo "with a key: $(share keyed open) % more than without"
echo "beyond what the header costs the floor: $(own) %; the goal is at most 3 %"
[ -z "${1:-}" ] || echo "this build: $(share open other) % more than the other; the goal is at most 1 %"
