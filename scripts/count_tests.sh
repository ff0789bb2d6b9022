#!/usr/bin/env bash
# Adds up how many tests the last lines of several runs of pytest have of a kind: passed, failed, skipped, xfailed or
# errors?. Prints 0 if none has it.
# Usage: scripts/count_tests.sh KIND LOG...
set -euo pipefail
awk -v kind="^$1,?\$" '
    /^[0-9]+ (passed|failed|skipped|xfailed|errors?).* in [0-9.]+s/ {
        for (i = 2; i <= NF; i++) if ($i ~ kind) sum += $(i - 1)
    }
    END {print sum + 0}' "${@:2}"
