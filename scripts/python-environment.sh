#!/usr/bin/env bash
# Makes .venv with the pinned packages of Tests/clients/requirements.txt; does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=Tests/clients/requirements.txt
stamp=.venv/requirements.txt
cmp -s "$requirements" "$stamp" && exit 0
# Debian's own interpreter: others on the path may lack the venv module.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
rm -rf .venv
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$stamp"
