"""
One set of emulators for a whole test run, shared by all of its workers.

The first test that needs them starts a keeper (``python -m local.emulators``); the run's first process
ends it, and if that process is killed the keeper notices and ends by itself. A run without such tests
starts nothing.
"""

import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local.emulators import Emulators

ROOT = Path(__file__).resolve().parent.parent
FOLDER_VARIABLE = "LECTERN_TEST_RUN"
OWNER_VARIABLE = "LECTERN_TEST_OWNER"


def open_run() -> None:
    """Name the folder in which this run's workers will meet; called once, before there are workers."""
    name = f"lectern-tests-{os.getpid()}-{secrets.token_hex(4)}"
    os.environ[FOLDER_VARIABLE] = str(Path(tempfile.gettempdir()) / name)
    os.environ[OWNER_VARIABLE] = str(os.getpid())


def close_run() -> None:
    """End the emulators, if they were started, and remove the folder."""
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    keeper = folder / "keeper.pid"
    if keeper.exists():
        _end(int(keeper.read_text()))
    shutil.rmtree(folder, ignore_errors=True)


def running() -> Emulators:
    """The run's emulators, started by whoever asks first."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    state = folder / "emulators.json"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not state.exists():
            _start_keeper(folder, state)
    content = json.loads(state.read_text())
    if "error" in content:
        raise RuntimeError(content["error"])
    return Emulators(**content)


def _start_keeper(folder: Path, state: Path) -> None:
    owner = os.environ[OWNER_VARIABLE]
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "local.emulators", str(state), "--owner", owner],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "keeper.pid").write_text(str(keeper.pid))
    while not state.exists():
        if keeper.poll() is not None:
            raise RuntimeError((folder / "keeper.log").read_text())
        time.sleep(0.05)


def _end(keeper: int) -> None:
    try:
        watched = os.pidfd_open(keeper)
        os.kill(keeper, signal.SIGTERM)
    except ProcessLookupError:
        return
    select.select([watched], [], [], 30)
    os.close(watched)
