#!/usr/bin/env bash
# CPU time per call of the four RPCs, interleaved in one run: h2load, 8 connections x 100 streams, one person, --loops
# 1. ROUNDS (5), REQUESTS (200000). Memory: PROFILES_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter
# StoreMeasurements
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-200000}
work=$(mktemp -d)
trap 'kill "${pid:-}" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$work"' EXIT
tick=$(getconf CLK_TCK)
.build/release/profiled --data-dir "$work/data" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --loops 1 \
    2> "$work/log" &
pid=$!
for _ in $(seq 300); do grep -q '"serving"' "$work/log" && break; sleep 0.1; done
port=$(grep -oE '"listen":"[^"]+"' "$work/log" | cut -d'"' -f4 | cut -d: -f2)
cpu() { awk -v t="$tick" '{print ($14 + $15) * 1000000 / t}' "/proc/$pid/stat"; }
load() { # FILE METHOD: prints succeeded calls
    h2load -n "$requests" -c 8 -m 100 -d "Benchmarks/$1.bin" -H 'te: trailers' -H 'content-type: application/grpc' \
        "http://127.0.0.1:$port/profiles.v1.Profiles/$2" | grep -oE '[0-9]+ succeeded'
}
for _ in $(seq "$rounds"); do
    for pair in track:Track identify:Identify update:UpdateSubscription get:GetProfile; do
        before=$(cpu)
        load "${pair%:*}" "${pair#*:}" > /dev/null
        echo "${pair#*:} $(awk -v a="$before" -v b="$(cpu)" -v n="$requests" \
            'BEGIN {printf "%.3f", (b - a) / n}')" >> "$work/rounds"
    done
done
for method in Track Identify UpdateSubscription GetProfile; do
    awk -v m="$method" '$1 == m {print $2}' "$work/rounds" | sort -n |
        awk -v m="$method" '{v[NR] = $1} END {printf "%s %.2f µs (%.2f to %.2f)\n",
            m, v[int((NR + 1) / 2)], v[1], v[NR]}'
done
