#!/usr/bin/env bash
# CPU per UpdateSubscription of one person whose ledger is at its limit of 4,096 entries, and of people with a few
# entries each, one after the other. Goal: at most 1.3 times.
# Usage: Benchmarks/ledger.sh [OTHER_PROFILED]   (another build to run in the same rounds)
# ROUNDS (5), REQUESTS (100000), PEOPLE with short ledgers (20000)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-100000}
people=${PEOPLE:-20000}
work=$(mktemp -d)
source Benchmarks/servers.sh

subscribe() { # NAME REQUESTS PEOPLE
    .build/release/profile-bench --port "${ports[$1]}" --mix subscribe --requests "$2" --ids "$3" > /dev/null
}
round() { # NAME KIND PEOPLE: one load, one line
    printf '%s ' "$1" "$2" >> "$work/rounds"
    cost "$1" "$requests" subscribe "$1" "$requests" "$3" >> "$work/rounds"
}

names=(profiled ${1:+other})
for name in "${names[@]}"; do
    binary=.build/release/profiled
    [ "$name" = profiled ] || binary=$1
    # One server for each kind: short ledgers stay short if the server is new in each round.
    start "$name" "$binary"
    subscribe "$name" 5000 1
    for _ in $(seq "$rounds"); do round "$name" full 1; done
    stop "$name"
    for _ in $(seq "$rounds"); do
        rm -rf "${work:?}/$name" "$work/$name.log"
        start "$name" "$binary"
        round "$name" short "$people"
        stop "$name"
    done
done
for name in "${names[@]}"; do
    for kind in full short; do
        awk -v k="$name $kind" '$1 " " $2 == k {print $3}' "$work/rounds" | median > "$work/$kind"
        echo "$name, $kind ledger: $(cat "$work/$kind") µs a call"
    done
    awk -v n="$name" 'NR == FNR {full = $1; next} {printf "%s: %.2f times\n", n, full / $1}' "$work/full" "$work/short"
done
