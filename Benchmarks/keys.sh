#!/usr/bin/env bash
# CPU time per durable Track with a key and without one, and of another build, interleaved in one run: the load
# generator over 100,000 people in one project, 8 connections x 100 streams, --loops 1.
# Usage: Benchmarks/keys.sh [OTHER_PROFILED]   (another build, without a key, in the same rounds)
# ROUNDS (9), REQUESTS (400000)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-9}
requests=${REQUESTS:-400000}
work=$(mktemp -d)
source Benchmarks/servers.sh
names=(open keyed ${1:+other})

umask 077
.build/release/profilectl key new > "$work/operators"
start open .build/release/profiled
start keyed .build/release/profiled --operator-key-file "$work/operators"
[ -z "${1:-}" ] || start other "$1"
# A key of the project, as a service has it, not the operator's.
.build/release/profilectl --address "127.0.0.1:${ports[keyed]}" --key-file "$work/operators" \
    key create --scopes write > "$work/key"

round() { # NAME: one load, one line
    local before key=()
    [ "$1" != keyed ] || key=(--key-file "$work/key")
    before=$(cpu "$1")
    .build/release/profile-bench --port "${ports[$1]}" --requests "$requests" "${key[@]}" > /dev/null
    awk -v a="$before" -v b="$(cpu "$1")" -v n="$requests" 'BEGIN {printf "%.3f\n", (b - a) / n}' >> "$work/$1.costs"
}
for name in "${names[@]}"; do round "$name"; done
rm "$work"/*.costs
for _ in $(seq "$rounds"); do for name in "${names[@]}"; do round "$name"; done; done
for name in "${names[@]}"; do echo "$name: $(median < "$work/$name.costs") µs a Track"; done
share() { # NAME BASE: the median of the differences round by round, in per cent
    paste "$work/$1.costs" "$work/$2.costs" | awk '{printf "%.3f\n", ($1 / $2 - 1) * 100}' | median
}
echo "with a key: $(share keyed open) % more than without; the goal is at most 3 %"
[ -z "${1:-}" ] || echo "this build: $(share open other) % more than the other; the goal is at most 1 %"
