#!/usr/bin/env bash
# Proves that Generated/ is what Protos/ gives; exit 1 and the difference when it is stale.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$here/generate.sh" "$fresh/Generated"
if ! diff -r "$fresh/Generated" "$here/../Generated" > "$fresh/diff"; then
    head -20 "$fresh/diff"
    echo "Generated/ is stale: run 'make proto'" >&2
    exit 1
fi
echo "Generated/ is fresh"
