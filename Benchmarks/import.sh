#!/usr/bin/env bash
# Imports of people and events over one stream: durable operations per second, CPU of the server per operation, and the
# latency of 5,000 Tracks a second beside one, with what pauses of the machine have of it. `--loops 1`.
# PEOPLE (1000000), EVENTS (10000000), RATE (5000), CHUNK (10000), ROUNDS (5), BIN (.build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
people=${PEOPLE:-1000000}
events=${EVENTS:-10000000}
rate=${RATE:-5000}
chunk=${CHUNK:-10000}
rounds=${ROUNDS:-5}
bin=${BIN:-.build/release}
work=$(mktemp -d)
source Benchmarks/servers.sh

# field NAME OBJECT: a number of an object of the JSON on standard input.
field() { grep -oE "\"$2\":\{[^}]*\}" | grep -oE "\"$1\":-?[0-9.]+" | head -1 | cut -d: -f2; }
# load NAME PEOPLE EVENTS: one import; prints its JSON.
load() {
    "$bin/profile-bench" import --port "${ports[imports]}" --name "$1" --people "$2" --events "$3" --chunk "$chunk" \
        --json
}
percentiles() { grep -oE '"(p50|p99|max)":[0-9.]+' | head -3 | tr '\n' ' '; }

start imports "$bin/profiled"
before=$(cpu imports)
report=$(load first "$people" 1)
middle=$(cpu imports)
echo "people: $(field per_second people <<< "$report") a second," \
    "$(awk -v a="$before" -v b="$middle" -v n="$people" 'BEGIN {printf "%.2f", (b - a) / n}') µs of CPU each"

# Nobody is new any more: the cost of events alone.
before=$(cpu imports)
report=$(load again "$people" 1)
known=$(awk -v a="$before" -v b="$(cpu imports)" 'BEGIN {print b - a}')
before=$(cpu imports)
report=$(load second "$people" "$events")
echo "events: $(field per_second events <<< "$report") a second," \
    "$(awk -v a="$before" -v b="$(cpu imports)" -v k="$known" -v n="$events" \
        'BEGIN {printf "%.3f", (b - a - k) / n}') µs of CPU each; the goals are 400,000 and 0.9"
echo "memory: $(memory imports | awk '{printf "%.0f", $1 / 1048576}') MiB"

tracks() {
    watch_pauses 5
    "$bin/profile-bench" --port "${ports[imports]}" --rate "$rate" --seconds 5 --json | percentiles
    read_pauses
    echo "(p99 of the machine's pauses: $pauses_p99)"
}
for round in $(seq "$rounds"); do
    # What the import before has left to be written.
    sync
    echo "Tracks alone, ms: $(tracks)"
    load "beside$round" "$people" "$events" > "$work/beside" &
    pids[load]=$!
    sleep 1
    echo "beside an import, ms: $(tracks)"
    wait "${pids[load]}" || true
    unset "pids[load]"
    echo "events of the import meanwhile: $(field per_second events < "$work/beside") a second"
done
stop imports
