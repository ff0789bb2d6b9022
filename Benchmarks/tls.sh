#!/usr/bin/env bash
# CPU time per Track over TLS, beside a static file of nghttpd over TLS, and a Track without TLS by the same binary,
# interleaved in one run: 8 connections x 100 streams of h2load.
# ROUNDS (5), REQUESTS (200000), PROFILED (.build/tls/release/profiled)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
requests=${REQUESTS:-200000}
work=$(mktemp -d)
source Benchmarks/servers.sh

(
    cd "$work"
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem \
        -subj /CN=localhost -days 2 2> /dev/null
)
# As many bytes as the response to a Track.
mkdir "$work/files"
cp Benchmarks/response.bin "$work/files/response"

binary=${PROFILED:-.build/tls/release/profiled}
start tls "$binary" --tls-certificate "$work/certificate.pem" --tls-key "$work/key.pem"
start plain "$binary"
ports[nghttpd]=${NGHTTPD_PORT:-50973}
nghttpd --workers 1 --address 127.0.0.1 --htdocs "$work/files" "${ports[nghttpd]}" "$work/key.pem" \
    "$work/certificate.pem" > "$work/nghttpd.log" 2>&1 &
pids[nghttpd]=$!
until (echo > "/dev/tcp/127.0.0.1/${ports[nghttpd]}") 2> /dev/null; do
    kill -0 "${pids[nghttpd]}" || { cat "$work/nghttpd.log" >&2; exit 1; }
    sleep 0.05
done

shape=(-n "$requests" -c 8 -m 100)
track=(-d Benchmarks/track.bin -H 'te: trailers' -H 'content-type: application/grpc')
load() { # SERVER: as many requests as asked for, all of which must succeed
    case $1 in
        tls) h2load "${shape[@]}" "${track[@]}" "https://127.0.0.1:${ports[tls]}/profiles.v1.Profiles/Track" ;;
        plain) h2load "${shape[@]}" "${track[@]}" "http://127.0.0.1:${ports[plain]}/profiles.v1.Profiles/Track" ;;
        nghttpd) h2load "${shape[@]}" "https://127.0.0.1:${ports[nghttpd]}/response" ;;
    esac > "$work/load"
    grep -q "$requests succeeded" "$work/load" || { cat "$work/load" >&2; return 1; }
}
for name in tls plain nghttpd; do load "$name"; done
echo "CPU in µs a request"
for _ in $(seq "$rounds"); do
    for name in tls plain nghttpd; do
        cost "$name" "$requests" load "$name" >> "$work/$name.costs"
    done
done
for name in tls plain nghttpd; do echo "$name $(median < "$work/$name.costs")"; done
middle() { median < "$work/$1.costs" | cut -d' ' -f1; }
awk -v t="$(middle tls)" -v n="$(middle nghttpd)" \
    'BEGIN {printf "a Track is %.2f times the static file; goal 1.3\n", t / n}'

echo "resident bytes of a connection without a call"
before=$(memory tls)
h2load -n 1000 -c 200 -m 1 "${track[@]}" --rate 200 --rate-period 1s --connection-active-timeout 4s \
    "https://127.0.0.1:${ports[tls]}/profiles.v1.Profiles/Track" > "$work/idle" &
holder=$!
sleep 3
awk -v a="$before" -v b="$(memory tls)" 'BEGIN {printf "%d KiB\n", (b - a) / 200 / 1024}'
wait "$holder" || true
