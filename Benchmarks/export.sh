#!/usr/bin/env bash
# ExportProject: profiles a second and CPU of the server, and Tracks at a fixed rate with and without exports beside
# them. `--loops 1`; profiles have a custom ID and three attributes.
# Usage: Benchmarks/export.sh
# PEOPLE (1000000), ROUNDS (3), RATE (5000), SECONDS_EACH (10), BIN (.build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
people=${PEOPLE:-1000000}
rounds=${ROUNDS:-3}
rate=${RATE:-5000}
each=${SECONDS_EACH:-10}
bin=${BIN:-.build/release}
work=$(mktemp -d)
source Benchmarks/servers.sh

bench() { "$bin/profile-bench" "$@"; }
# field NAME: a number of the JSON on standard input.
field() { grep -oE "\"$1\":-?[0-9.]+" | head -1 | cut -d: -f2; }

alone() {
    local before report
    before=$(cpu base)
    report=$(bench export --port "${ports[base]}" --json)
    awk -v n="$(field parts <<< "$report")" -v s="$(field seconds <<< "$report")" -v b="$(field bytes <<< "$report")" \
        -v client="$(field cpu_seconds <<< "$report")" -v from="$before" -v to="$(cpu base)" 'BEGIN {
            server = (to - from) / 1000000
            printf "export: %d profiles in %.2f s, %.0f a second, %.0f bytes each; ", n, s, n / s, b / n
            printf "CPU of the server %.2f s (%.2f µs a profile), ", server, server * 1e6 / n
            printf "of the client %.2f s\n", client
        }'
}

tracks() { # LABEL
    local report
    report=$(bench --port "${ports[base]}" --rate "$rate" --seconds "$each" --ids "$people" --json)
    echo "tracks: $1: $(field per_second <<< "$report") a second, p50 $(field p50 <<< "$report")," \
        "p99 $(field p99 <<< "$report"), max $(field max <<< "$report") ms"
}

beside() {
    # One export after the other, until it is killed.
    (while "$bin/profile-bench" export --port "${ports[base]}" > /dev/null; do :; done) &
    local exports=$!
    tracks "beside exports"
    kill "$exports"
    wait "$exports" 2> /dev/null || true
}

start base "$bin/profiled"
bench --port "${ports[base]}" --mix small=1 --ids "$people" --requests "$people" --json > /dev/null
echo "memory: $(awk -v m="$(memory base)" 'BEGIN {printf "%.0f", m / 1048576}') MiB before"
for _ in $(seq "$rounds"); do alone; done
for _ in $(seq "$rounds"); do
    tracks "alone"
    beside
done
echo "memory: $(awk -v m="$(memory base)" 'BEGIN {printf "%.0f", m / 1048576}') MiB after"
