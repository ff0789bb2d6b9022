#!/usr/bin/env bash
# Builds the simulator with its deliberate faults and runs each of them until a checker finds it, at most CANARY_SEEDS
# seeds. Prints one line per fault; fails if one is not found.
# Usage: scripts/canaries.sh [NAME]...   (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
export SWIFT_BACKTRACE=enable=no PROFILES_CANARIES=1
seeds=${CANARY_SEEDS:-2000}
folder=.build-canaries

mkdir -p "$folder"
swift build -c release --scratch-path "$folder" --product profile-simulator > "$folder/build.log" 2>&1 ||
    { tail -20 "$folder/build.log"; exit 1; }
simulator=$folder/release/profile-simulator
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <("$simulator" --list-canaries)

# One process per fault, since the switch is one per process.
status=0
printf '%s\n' "${names[@]}" |
    xargs -P "$(nproc)" -I NAME "$simulator" canary --name NAME --seeds "$seeds" |
    tee "$folder/canaries.txt" || status=$?
caught=$(grep -c ': caught at seed ' "$folder/canaries.txt" || true)
echo "canaries: $caught of ${#names[@]} caught within $seeds seeds"
[ "$status" -eq 0 ] && [ "$caught" -eq "${#names[@]}" ]
