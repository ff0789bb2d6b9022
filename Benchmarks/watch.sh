#!/usr/bin/env bash
# Watch: catch-up of one watcher, CPU per Track with and without a watcher of everything, and calls beside many watchers
# of one person each. `--loops 1`; people are 100,000; events have a name and three attributes.
# Usage: Benchmarks/watch.sh [catch-up] [follow] [many]   (all of them, if none is named)
# CHANGES (10000000), ROUNDS (5), REQUESTS (400000), WATCHERS (1000, at most 5000), RATE (50000), SECONDS_EACH (15),
# BIN (.build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
changes=${CHANGES:-10000000}
rounds=${ROUNDS:-5}
requests=${REQUESTS:-400000}
watchers=${WATCHERS:-1000}
rate=${RATE:-50000}
each=${SECONDS_EACH:-15}
bin=${BIN:-.build/release}
parts=${*:-catch-up follow many}
work=$(mktemp -d)
source Benchmarks/servers.sh

bench() { "$bin/profile-bench" "$@"; }
# field NAME: a number of the JSON on standard input.
field() { grep -oE "\"$1\":-?[0-9.]+" | head -1 | cut -d: -f2; }
# metric NAME SERVER: from its metrics page.
metric() {
    local admin
    admin=$(grep -oE '"admin":"[^"]+"' "$work/$2.log" | cut -d'"' -f4)
    curl -s "http://$admin/metrics" | awk -v name="$1" '$1 == name {print $2}'
}
wait_for() { # NAME VALUE SERVER
    until [ "$(metric "$1" "$3" | cut -d. -f1)" = "$2" ]; do sleep 0.1; done
}

# Watchers are started without `bench`, whose process would be a shell.
end_watchers() { # PID SERVER
    kill "$1"
    wait "$1" 2> /dev/null || true
    wait_for profiles_watch_watchers 0 "$2"
}

catch_up() {
    start feed "$bin/profiled" --feed-bytes 64GiB
    bench --port "${ports[feed]}" --requests "$changes" --json > /dev/null
    local head before report
    head=$(metric profiles_feed_head_lsn feed | cut -d. -f1)
    for _ in 1 2 3; do
        before=$(cpu feed)
        report=$(bench watch --port "${ports[feed]}" --from 1 --until "$head" --json)
        awk -v n="$(field changes <<< "$report")" -v s="$(field seconds <<< "$report")" \
            -v client="$(field cpu_seconds <<< "$report")" -v a="$before" -v b="$(cpu feed)" 'BEGIN {
                server = (b - a) / 1000000
                printf "catch-up: %d changes in %.2f s, %.0f a second; ", n, s, n / s
                printf "CPU of the server %.2f s (%.0f a second of it), ", server, n / server
                printf "of the client %.2f s\n", client
            }'
    done
    stop feed
    rm -rf "$work/feed"
}

follow_round() { # alone|watched
    local before watcher=
    if [ "$1" = watched ]; then
        "$bin/profile-bench" watch --port "${ports[tracks]}" --seconds 100000 > "$work/watcher" &
        watcher=$!
        wait_for profiles_watch_watchers 1 tracks
    fi
    before=$(cpu tracks)
    bench --port "${ports[tracks]}" --requests "$requests" --json > /dev/null
    # What a watcher has not been sent yet is a part of its cost.
    [ -z "$watcher" ] || wait_for profiles_watch_lag_lsns 0 tracks
    awk -v a="$before" -v b="$(cpu tracks)" -v n="$requests" 'BEGIN {printf "%.3f\n", (b - a) / n}' \
        >> "$work/$1.costs"
    [ -z "$watcher" ] || end_watchers "$watcher" tracks
}

follow() {
    start tracks "$bin/profiled"
    bench --port "${ports[tracks]}" --requests "$requests" --json > /dev/null
    for _ in $(seq "$rounds"); do follow_round alone; follow_round watched; done
    echo "follow: $(median < "$work/alone.costs") µs a Track alone," \
        "$(median < "$work/watched.costs") with a watcher," \
        "$(paste "$work/watched.costs" "$work/alone.costs" | awk '{printf "%.3f\n", $1 / $2}' | median) times;" \
        "the goal is 1.4"
    stop tracks
}

# One load at a fixed rate: percentiles, CPU per Track.
many_round() { # LABEL
    local before report
    before=$(cpu crowd)
    report=$(bench --port "${ports[crowd]}" --rate "$rate" --seconds "$each" --json)
    echo "many: $1: $(field per_second <<< "$report") Tracks a second," \
        "p50 $(field p50 <<< "$report"), p99 $(field p99 <<< "$report"), max $(field max <<< "$report") ms," \
        "$(awk -v a="$before" -v b="$(cpu crowd)" -v n="$(field requests <<< "$report")" \
            'BEGIN {printf "%.2f", (b - a) / n}') µs of CPU a Track, $(awk -v m="$(memory crowd)" \
            'BEGIN {printf "%.0f", m / 1048576}') MiB"
}

many() {
    # One address has half of the places.
    start crowd "$bin/profiled" --watchers-max "$((2 * watchers))"
    bench --port "${ports[crowd]}" --requests 200000 --json > /dev/null
    for _ in 1 2; do
        many_round "nobody watches"
        "$bin/profile-bench" watch --port "${ports[crowd]}" --watchers "$watchers" --follow 100000 \
            --seconds 100000 > "$work/watcher" &
        local watcher=$!
        wait_for profiles_watch_watchers "$watchers" crowd
        many_round "$watchers watchers"
        echo "many: the slowest is $(metric profiles_watch_lag_seconds crowd) s behind"
        end_watchers "$watcher" crowd
    done
    stop crowd
}

for part in $parts; do
    case $part in
    catch-up) catch_up ;;
    follow) follow ;;
    many) many ;;
    *) echo "unknown part $part" >&2; exit 2 ;;
    esac
done
