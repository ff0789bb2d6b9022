#!/usr/bin/env bash
# Every test: what is generated is fresh, unit tests, then real clients against the release binary.
# Ends with the names of the tests that failed and one line that adds the counts of all parts up; fails when a part
# fails or its count is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Without it failures would blame the service.
needed_gib=4
for folder in . "${TMPDIR:-/tmp}"; do
    free_gib=$(( $(df --output=avail -k "$folder" | tail -1) >> 20 ))
    if [ "$free_gib" -lt "$needed_gib" ]; then
        echo "tests need $needed_gib GiB of free space in $folder; there are $free_gib" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

Protos/check-generated.sh

echo "== unit tests"
swift build --build-tests
unit_status=0
swift test --skip-build > "$logs/unit.log" 2>&1 || unit_status=$?
# Of thousands of lines, the ones that say that something is wrong, the figures of F3 to F5 and of the replay, and the
# sum.
grep -E '^✘|(^| )error:|warning:|Test run with|Fatal error|^F[0-9]+: |^replay: ' "$logs/unit.log" || true
# "Test run with 123 tests in 20 suites passed": the number of tests that ran.
unit=$(grep -oE 'Test run with [0-9]+ tests?' "$logs/unit.log" | tail -1 | grep -oE '[0-9]+' || true)
grep -E '^✘ Test .* failed' "$logs/unit.log" | grep -v '^✘ Test run with' > "$logs/unit-failed.log" || true
unit_failed=$(wc -l < "$logs/unit-failed.log")

echo "== simulation"
swift build -c release
simulation_status=0
.build/release/profile-simulator run --seeds 200 --scenario local || simulation_status=$?
.build/release/profile-simulator run --seeds 48 --scenario replicated || simulation_status=$?

echo "== real clients"
clients_status=0
PROFILED=$PWD/.build/release/profiled .venv/bin/python -m pytest Tests/clients --ignore-glob='*_tls.py' -q -rfEsx 2>&1 |
    tee "$logs/clients.log" || clients_status=$?

echo "== clients with and without TLS"
make --no-print-directory build-tls
tls_status=0
PROFILED=$PWD/.build/release/profiled .venv/bin/python -m pytest Tests/clients/test_without_tls.py -q -rfEsx 2>&1 |
    tee "$logs/without-tls.log" || tls_status=$?
PROFILED=$PWD/.build/tls/release/profiled .venv/bin/python -m pytest Tests/clients/test_tls.py \
    Tests/clients/test_mutual_tls.py -q -rfEsx 2>&1 | tee "$logs/tls.log" || tls_status=$?

count() { scripts/count_tests.sh "$1" "$logs/clients.log" "$logs/without-tls.log" "$logs/tls.log"; }
passed=$(count passed)
failed=$(( $(count failed) + $(count 'errors?') ))
skipped=$(( $(count skipped) + $(count xfailed) ))

if [ -z "$unit" ] || [ "$passed" -eq 0 ]; then
    echo "a part of the tests left no count" >&2
    echo "0 passed, 1 failed"
    exit 1
fi
total_failed=$(( unit_failed + failed ))
[ "$unit_status" -eq 0 ] || [ "$total_failed" -gt 0 ] || total_failed=1
[ "$simulation_status" -eq 0 ] || total_failed=$(( total_failed + 1 ))
[ "$clients_status" -eq 0 ] || [ "$total_failed" -gt 0 ] || total_failed=1
[ "$tls_status" -eq 0 ] || [ "$total_failed" -gt 0 ] || total_failed=1
# Again, and last: whoever reads a log from its end learns which they were.
names=40
head -n "$names" "$logs/unit-failed.log"
grep -hE '^(FAILED|ERROR) ' "$logs"/*.log | cut -c1-300 | head -n "$names" || true
echo "$(( unit - unit_failed + passed )) passed, $total_failed failed, $skipped skipped"
[ "$total_failed" -eq 0 ]
