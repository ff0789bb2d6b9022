#!/usr/bin/env bash
# Unit tests and a run of 20,000 requests under the thread and the address sanitizer: no report is allowed.
# Usage: scripts/sanitize.sh [thread|address]...   (default: both)
# KILL_ROUNDS: so many kills under load as well (F1), with a sanitized server (F19).
set -euo pipefail
cd "$(dirname "$0")/.."
export SWIFT_BACKTRACE=enable=no
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(thread address)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2> /dev/null || true; rm -rf "$work"' EXIT

for kind in "${kinds[@]}"; do
    echo "== $kind sanitizer: unit tests"
    swift build --build-tests --sanitize="$kind" --scratch-path ".build-$kind" > "$work/build.log" 2>&1 ||
        { tail -20 "$work/build.log"; exit 1; }
    status=0
    # The test runner itself leaves some 400 bytes behind at its end; the server below is searched for leaks.
    ASAN_OPTIONS=detect_leaks=0 swift test --skip-build --sanitize="$kind" --scratch-path ".build-$kind" \
        > "$work/tests.log" 2>&1 || status=$?
    grep -E 'Test run with' "$work/tests.log" | tail -1 || true
    if [ "$status" -ne 0 ] || grep -qE 'Sanitizer|SUMMARY' "$work/tests.log"; then
        grep -nE -A30 'Sanitizer|✘' "$work/tests.log" | head -80 || tail -20 "$work/tests.log"
        echo "the unit tests under the $kind sanitizer ended with status $status" >&2
        exit 1
    fi

    echo "== $kind sanitizer: 20,000 requests"
    rm -rf "$work/data"
    ".build-$kind/debug/profiled" --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --loops 2 \
        --segment-bytes 1MiB --snapshot-log-bytes 1MiB --snapshot-seconds 1 2> "$work/server.log" &
    server=$!
    for _ in $(seq 200); do grep -q '"serving"' "$work/server.log" && break; sleep 0.2; done
    address=$(grep -oE '"listen":"[^"]+"' "$work/server.log" | cut -d'"' -f4)
    admin=$(grep -oE '"admin":"[^"]+"' "$work/server.log" | cut -d'"' -f4)
    # Metrics are read and snapshots made beside the writes, as they would be.
    (for _ in $(seq 50); do curl -s "http://$admin/metrics" > /dev/null; sleep 0.1; done) &
    scraper=$!
    h2load -n 20000 -c 8 -m 50 -d Benchmarks/track.bin -H 'te: trailers' -H 'content-type: application/grpc' \
        "http://$address/profiles.v1.Profiles/Track" | grep -E 'succeeded'
    wait "$scraper"
    kill "$server"
    status=0
    wait "$server" || status=$?
    server=
    if [ "$status" -ne 0 ] || grep -qE 'Sanitizer|SUMMARY' "$work/server.log"; then
        tail -60 "$work/server.log"
        echo "the $kind sanitizer has a report" >&2
        exit 1
    fi
    if [ "${KILL_ROUNDS:-0}" -gt 0 ]; then
        echo "== $kind sanitizer: $KILL_ROUNDS kills under load"
        # A server that is killed has written its reports before: each goes to a file at once.
        options="log_path=$work/report:detect_leaks=0"
        [ "$kind" = address ] || options="log_path=$work/report"
        TSAN_OPTIONS=$options ASAN_OPTIONS=$options PROFILED=$PWD/.build-$kind/debug/profiled \
            PROFILES_KILL_ROUNDS=$KILL_ROUNDS .venv/bin/python -m pytest Tests/clients/test_kill.py -q -s
        if compgen -G "$work/report*" > /dev/null; then
            head -60 "$work"/report*
            echo "the $kind sanitizer has a report" >&2
            exit 1
        fi
    fi
    echo "no report; $(grep -c '"message":"snapshot"' "$work/server.log") snapshots beside the requests"
done
