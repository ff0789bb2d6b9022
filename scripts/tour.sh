#!/usr/bin/env bash
# Prints docs/tour.md from what the commands really print, against a service on an empty directory. PROFILED,
# PROFILECTL: as in demo.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
profiled=${PROFILED:-.build/release/profiled}
profilectl=${PROFILECTL:-.build/release/profilectl}
work=$(mktemp -d)
# What the temporary directory is called in the text.
shown=/srv/profiles
server=
trap '[ -z "$server" ] || kill -9 "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
"$profiled" --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 2> "$work/log" &
server=$!
for _ in $(seq 600); do grep -q '"message":"serving"' "$work/log" && break; sleep 0.1; done
PROFILES_ADDRESS=$(grep '"message":"serving"' "$work/log" | grep -oE '"listen":"[^"]+"' | cut -d'"' -f4)
export PROFILES_ADDRESS

section() { printf '\n## %s\n\n' "$1"; }
show() { # the words of one profilectl call
    local words=() word status=0
    for word in "$@"; do
        case $word in *[!a-zA-Z0-9_=.:/@+,-]*) words+=("'$word'") ;; *) words+=("$word") ;; esac
    done
    printf '```console\n$ profilectl %s\n' "${words[*]//$work/$shown}"
    "$profilectl" "$@" > "$work/output" 2>&1 || status=$?
    sed "s|$work|$shown|g" "$work/output"
    [ "$status" -eq 0 ] || printf '(exit code %s)\n' "$status"
    printf '```\n\n'
}

printf '# A tour\n\n'
printf 'What `profilectl` prints, as `scripts/tour.sh` recorded it. `profilectl help` lists the commands.\n'
section 'A device, a person, a merge'
show track device:browser-1 page_view page=https://shop.example/shoes --ago 2h --platform web
show identify anna --device phone-1 email_address=anna@example.org plan=gold 'sizes=[40,41]' --ago 90m \
    --platform app_ios
echo 'The browser is known, the phone too. When she logs in at the browser, what the browser did becomes hers:'
echo
show identify anna --device browser-1 --platform web
section 'An event, twice'
show track anna purchase amount=59.9 currency=EUR 'items:=[{"sku":"trail-shoe","size":41}]' --event-id order-1001
show track anna purchase amount=59.9 currency=EUR 'items:=[{"sku":"trail-shoe","size":41}]' --event-id order-1001
section 'What she agreed to'
show subscribe anna email email/offers --source user
show unsubscribe anna email/offers --source one_click
show subscribe anna email/offers
show sendable anna email/offers
show consent anna --verify
section 'All of it'
show get anna
section 'Mistakes'
show track anna "bad name" amount=1
show track anna refund --ago 3d
show get nobody
show trakc anna
section 'A backup, and the way back'
show backup "$work/monday"
kill "$server"
wait "$server"
server=
echo 'Without the server:'
echo
show verify "$work/monday"
show restore "$work/monday" "$work/again"
show restore "$work/monday" "$work/data"
