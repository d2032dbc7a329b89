#!/bin/sh
# Installs the gateways that `python -m tests.bench gateway` compares with, into a throw-away place:
# LiteLLM's proxy and Portkey's gateway, which answers streams with 500 in this version. Needs network. Then:
#
#   LECTERN_BENCH_PEERS=/tmp/peers python -m tests.bench gateway
#
#   tests/bench/peers/gateways.sh /tmp/peers
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
place=$1
mkdir -p "$place"
"$root/.venv/bin/uv" venv --quiet --allow-existing --python 3.11 "$place/venv"
"$root/.venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" 'litellm[proxy]==1.106.2'
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$place" @portkey-ai/gateway@1.15.2
