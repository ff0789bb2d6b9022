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
serve() { # more flags
    "$profiled" --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 "$@" 2> "$work/log" &
    server=$!
    for _ in $(seq 600); do grep -q '"message":"serving"' "$work/log" && break; sleep 0.1; done
    PROFILES_ADDRESS=$(grep '"message":"serving"' "$work/log" | grep -oE '"listen":"[^"]+"' | cut -d'"' -f4)
    export PROFILES_ADDRESS
}
stop() {
    kill "$server"
    wait "$server"
    server=
}
serve

section() { printf '\n## %s\n\n' "$1"; }
quoted() { # words, as a shell reads them
    local words=() word
    for word in "$@"; do
        case $word in *[!a-zA-Z0-9_=.:/@+,-]*) words+=("'$word'") ;; *) words+=("$word") ;; esac
    done
    printf '%s' "${words[*]//$work/$shown}"
}
show() { # the words of one profilectl call
    local status=0
    printf '```console\n$ profilectl %s\n' "$(quoted "$@")"
    "$profilectl" "$@" > "$work/output" 2>&1 || status=$?
    sed "s|$work|$shown|g" "$work/output"
    [ "$status" -eq 0 ] || printf '(exit code %s)\n' "$status"
    printf '```\n\n'
}
follow() { # the words of a call that prints until it is interrupted: after three seconds
    printf '```console\n$ profilectl %s\n' "$(quoted "$@")"
    timeout --signal=INT 3 "$profilectl" "$@" 2>&1 || true
    printf '```\n\n'
}
keep() { # FILE, and the words of a call that prints a key
    local file=$1
    shift
    (umask 077; "$profilectl" "$@" > "$file")
    printf '```console\n$ (umask 077; profilectl %s > %s)\n```\n\n' "$(quoted "$@")" "${file/$work/$shown}"
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
section 'Everybody who'
show count 'events.purchase.count >= 1 AND last_seen_at > "-30d"'
show list 'subscriptions.EMAIL = SUBSCRIBED OR state = ANONYMOUS'
section 'What changes, as it changes'
echo 'Every change of the project so far, and then each new one, until Ctrl-C:'
echo
follow watch --from 1
echo 'Only what was bought, as JSON:'
echo
follow watch --from 1 --event purchase --json
section 'A cart that was left'
echo 'Fires a second after a cart was filled, unless something was bought by then, for people who may be sent e-mail. A'
echo 'guard on a topic, such as `email/offers`, wants the consent to the channel as well as to the topic:'
echo
show trigger create --event cart_filled --delay 1 --unless purchase --guard email
trigger=$(tail -1 "$work/output")
show track anna cart_filled amount=80
sleep 2
show trigger list
follow trigger follow "$trigger" --ack
section 'One person with two accounts'
show identify anna.b --device tablet-1 plan=silver --platform web
echo 'What is merged is kept for 30 days. The id that is printed, here or by a login that merged, undoes it:'
echo
show merge anna.b anna --allow-identified
merge=$(grep -oE '[0-9A-Z]{26}$' "$work/output")
show track device:tablet-1 page_view page=https://shop.example/hats
show list
show unmerge "$merge"
echo 'What came through her other account since the merge is that one'"'"'s:'
echo
show get anna.b
section 'A copy of the base'
echo 'A line for each person, or the operations that make equal people in another project ([exports.md](exports.md)):'
echo
show export --out "$work/base.jsonl"
show export --operations --out "$work/base.ops"
show project create staging
show import "$work/base.ops" --project staging
show list 'events.purchase.count >= 1' --project staging
show count --project staging
section 'Projects and keys'
echo 'A project keeps its people apart from those of every other one:'
echo
show project create shop-eu event_retention_days=30 double_opt_in=email
show track anna visit --project shop-eu
show project list
show project delete shop-eu
show project delete shop-eu --undo
echo 'This server is open: everyone on its machine is its operator. Started with `--operator-key-file`, it wants a key'
echo 'for every call:'
echo
keep "$work/operator.key" key new
stop
serve --operator-key-file "$work/operator.key"
show get anna
export PROFILES_KEY_FILE=$work/operator.key
echo 'From here on `PROFILES_KEY_FILE` names the file of the operator, who makes a key for the shop:'
echo
keep "$work/shop.key" key create --project shop-eu --scopes read,write --expires 90d --rate 100 --name web
show track anna visit --project shop-eu --key-file "$work/shop.key"
show get anna --key-file "$work/shop.key"
show key list --project shop-eu
show key revoke "$(cut -c 4-19 "$work/shop.key")" --project shop-eu
section 'Mistakes'
show track anna "bad name" amount=1
show track anna refund --ago 3d
show get nobody
show trakc anna
section 'A backup, and the way back'
show backup "$work/monday"
stop
echo 'Without the server:'
echo
show verify "$work/monday"
show restore "$work/monday" "$work/again"
show restore "$work/monday" "$work/data"
