#!/bin/sh
# Measures what else one might use, in a throw-away place: ralph-malph (an xAPI learning record store with
# its file backend) by HTTP, and a transaction per answer and sharded counters on the Firestore emulator.
#
#   tests/bench/peers/run.sh [seconds]
#
# Needs network for `uv pip install`; leaves nothing behind but bench/naive.json, bench/ralph.json and the plot.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
seconds=${1:-5}
place=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT TERM

cd "$root"
.venv/bin/uv venv --quiet --python 3.11 "$place/venv"
.venv/bin/uv pip install --quiet --python "$place/venv/bin/python" 'ralph-malph[cli,lrs]==5.1.0' requests

port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$place/statements"
export RALPH_RUNSERVER_BACKEND=fs RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH="$place/statements"
export RALPH_APP_DIR="$place" RALPH_AUTH_FILE="$place/auth.json"
"$place/venv/bin/ralph" auth -u bench -p bench -s all -M mailto:bench@example.org -N bench -w
# As shipped, the file backend refuses every statement but the first file's; appending is what it can do.
cat >"$place/serve.py" <<'SERVE'
import sys

import uvicorn
from ralph.backends.data.base import BaseOperationType
from ralph.backends.data.fs import FSDataBackend

FSDataBackend.default_operation_type = BaseOperationType.APPEND
from ralph.api import app

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
SERVE
"$place/venv/bin/python" "$place/serve.py" "$port" >"$place/server.log" 2>&1 &
server=$!
.venv/bin/python -m tests.bench.peers.ralph "$port" "$seconds" || { cat "$place/server.log" >&2; exit 1; }
.venv/bin/python -m tests.bench.naive --seconds "$seconds"
