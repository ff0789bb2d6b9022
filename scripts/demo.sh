#!/usr/bin/env bash
# A shop's people, imported, shown, and still there after kill -9. Needs no terminal, uses free ports, ends what it
# starts. PROFILED and PROFILECTL name other builds (default: the release build).
set -euo pipefail
cd "$(dirname "$0")/.."
profiled=${PROFILED:-.build/release/profiled}
profilectl=${PROFILECTL:-.build/release/profilectl}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2> /dev/null || true; rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
start() {
    : > "$work/log"
    "$profiled" --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 2> "$work/log" &
    server=$!
    for _ in $(seq 600); do
        grep -q '"message":"serving"' "$work/log" && break
        kill -0 "$server" 2> /dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    PROFILES_ADDRESS=$(grep '"message":"serving"' "$work/log" | grep -oE '"listen":"[^"]+"' | cut -d'"' -f4)
    export PROFILES_ADDRESS
}
# Every person the file names: the profile and all events, one line of JSON each. What differs after a restart would
# show. `lsn` beside a profile tells how far the log is, and a read does not move it; it stays in.
everyone() {
    while read -r who; do
        "$profilectl" --json get "$who"
        "$profilectl" --json events "$who" --limit 0
    done < "$work/people"
}

say "start the service on an empty directory"
start
"$profilectl" health

if [ ! -f Examples/shop.jsonl ]; then
    python3 Examples/generate_shop.py "$work/shop.jsonl"
    mv "$work/shop.jsonl" Examples/shop.jsonl
fi
operations=$(wc -l < Examples/shop.jsonl)
say "import Examples/shop.jsonl: $operations operations of 500 people over apps, website and back end"
"$profilectl" import Examples/shop.jsonl --resume "$work/position"

say "import it again: the position file knows that it is done"
"$profilectl" import Examples/shop.jsonl --resume "$work/position"

# The last person to buy, the last to switch devices, the last to unsubscribe.
buyer=$(grep '"name":"purchase"' Examples/shop.jsonl | tail -1 | grep -oE '"custom_id":"[^"]+"' | cut -d'"' -f4)
switcher=$(grep -E '"identify":\{"installation_id":"[^"]+","custom_id":"[^"]+","ago"' Examples/shop.jsonl | tail -1 |
    grep -oE '"custom_id":"[^"]+"' | cut -d'"' -f4)
leaver=$(grep '"UNSUBSCRIBED"' Examples/shop.jsonl | tail -1 | grep -oE '"custom_id":"[^"]+"' | cut -d'"' -f4)
for who in "$buyer" "$switcher" "$leaver"; do
    say "profilectl get $who"
    "$profilectl" get "$who"
done
say "may $leaver be sent offers by e-mail?"
"$profilectl" sendable "$leaver" email/offers

say "read everyone, then kill -9 the service"
grep -oE '"custom_id":"[^"]+"' Examples/shop.jsonl | cut -d'"' -f4 | sort -u > "$work/people"
everyone > "$work/before"
kill -9 "$server"
wait "$server" 2> /dev/null || true

say "start it again and read everyone again"
start
everyone > "$work/after"
for moment in before after; do
    profiles=$(grep -c '^{"profile":' "$work/$moment" || true)
    events=$(grep -c '^{"event_id":' "$work/$moment" || true)
    echo "$moment: $profiles profiles, $events events, digest $(sha256sum < "$work/$moment" | cut -c1-16)"
done
if ! cmp -s "$work/before" "$work/after"; then
    echo "SOMETHING IS MISSING" >&2
    diff "$work/before" "$work/after" | head -5 >&2
    exit 1
fi
[ -s "$work/before" ] || { echo "nothing was read" >&2; exit 1; }
echo "nothing is missing"

kill "$server"
wait "$server"
server=
