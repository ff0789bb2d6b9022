#!/usr/bin/env bash
# Puts promtool into .venv/bin, taken out of Debian's package "prometheus" without installing it: its daemon would
# start, and only this program of it is needed. Does nothing when it is there, or promtool is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=.venv/bin/promtool
[ -x "$target" ] && exit 0
command -v promtool > /dev/null && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A fresh container has no lists of packages; a user who may not update them has to have some.
apt-cache show prometheus > /dev/null 2>&1 || [ "$(id -u)" -ne 0 ] || apt-get update -qq
echo "taking promtool out of Debian's package prometheus"
(cd "$folder" && apt-get -o APT::Sandbox::User=root download -qq prometheus)
dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -x -C "$folder" ./usr/bin/promtool
install -m 755 "$folder/usr/bin/promtool" "$target"
