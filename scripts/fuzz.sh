#!/usr/bin/env bash
# Fuzzes everything that reads bytes of others with libFuzzer, FUZZ_SECONDS each; a crash ends it with its input.
# Usage: scripts/fuzz.sh [TARGET]...   (default: all of Tests/FuzzTests/Corpus)
set -euo pipefail
cd "$(dirname "$0")/.."
export SWIFT_BACKTRACE=enable=no PROFILES_FUZZ=1
seconds=${FUZZ_SECONDS:-10}
folder=.build-fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(ls Tests/FuzzTests/Corpus))

mkdir -p "$folder"
# -O keeps the checks of arithmetic and bounds, and a debug build lets the targets see internal names.
swift build --scratch-path "$folder" --product profiles-fuzz -Xswiftc -sanitize=fuzzer,address -Xswiftc -O \
    > "$folder/build.log" 2>&1 || { tail -20 "$folder/build.log"; exit 1; }

for target in "${targets[@]}"; do
    # New inputs stay outside of the repository; what is worth keeping is copied into Corpus by hand.
    mkdir -p "$folder/corpus/$target" "$folder/crashes"
    status=0
    FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0 "$folder/debug/profiles-fuzz" \
        -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$folder/crashes/$target-" "$folder/corpus/$target" "Tests/FuzzTests/Corpus/$target" \
        > "$folder/$target.log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$target.log")
    if [ "$status" -ne 0 ]; then
        tail -40 "$folder/$target.log"
        echo "$target: crashed; the input is in $folder/crashes" >&2
        exit 1
    fi
    printf '%-14s %s inputs in %s s, no crash\n' "$target" "$runs" "$seconds"
done
