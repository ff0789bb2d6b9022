#!/usr/bin/env bash
# Counts and lists over PROFILES profiles of ten attributes and one event: seconds of counts by an attribute and by an
# index, and of a page; then reads and Tracks at a fixed rate, alone and beside one count after the other. `--loops 1`.
# PROFILES (1000000), COUNTS (9), RATE (5000), SECONDS_EACH (10), BIN (.build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
profiles=${PROFILES:-1000000}
counts=${COUNTS:-9}
rate=${RATE:-5000}
each=${SECONDS_EACH:-10}
bin=${BIN:-.build/release}
work=$(mktemp -d)
source Benchmarks/servers.sh

bench() { "$bin/profile-bench" --port "${ports[base]}" --ids "$profiles" --json "$@"; }
ctl() { "$bin/profilectl" --address "127.0.0.1:${ports[base]}" --timeout 60s "$@"; }
field() { grep -oE "\"$1\":-?[0-9.]+" | head -1 | cut -d: -f2; }

timed() { # LABEL, then the words of profilectl: the times of several calls, the start of the tool included
    local label=$1 before found=
    shift
    for _ in $(seq "$counts"); do
        before=$(date +%s%N)
        found=$(ctl "$@" | tail -1)
        awk -v a="$before" -v b="$(date +%s%N)" 'BEGIN {printf "%.4f\n", (b - a) / 1e9}'
    done > "$work/times"
    echo "$label: $(median < "$work/times") s (${found:0:40})"
}
beside() { # LABEL MIX
    local report before
    before=$(cpu base)
    report=$(bench --mix "$2" --rate "$rate" --seconds "$each")
    echo "$1: $(field per_second <<< "$report") $2 calls a second, p50 $(field p50 <<< "$report")," \
        "p99 $(field p99 <<< "$report"), max $(field max <<< "$report") ms," \
        "$(awk -v a="$before" -v b="$(cpu base)" -v s="$each" 'BEGIN {printf "%.2f", (b - a) / 1e6 / s}') cores"
}

start base "$bin/profiled"
bench --mix profile --requests "$profiles" > /dev/null
bench --mix track --requests "$profiles" > /dev/null
timed "the tool alone" health
timed "count, nobody matches" count 'attribute_5 = 1'
timed "count, everybody matches" count 'attribute_5 = 1005'
timed "count, three comparisons" count 'attribute_9 > 5 AND events.purchase.count >= 1 AND state = IDENTIFIED'
timed "count, without a filter" count
timed "count by an index" count 'custom_id = "user-000007" AND attribute_5 = 1005'
timed "page of 1,000" --json list --limit 1000 --fields custom_id
for mix in get track; do
    beside "alone" "$mix"
    while :; do ctl count 'attribute_5 = 1' > /dev/null; done &
    counter=$!
    beside "beside counts" "$mix"
    kill "$counter"
    wait "$counter" 2> /dev/null || true
done
stop base
