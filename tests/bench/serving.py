"""Serves one function in a process of its own, as functions-framework does in production."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.processes import tethered

ROOT = Path(__file__).resolve().parents[2]
RECEIPT_KEY = "a key for receipts, for the bench only, 32+"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(emulators: Mapping[str, str], project: str) -> dict[str, str]:
    """What a function's process needs to find the emulators."""
    return {
        **os.environ,
        **emulators,
        "GOOGLE_CLOUD_PROJECT": project,
        "LECTERN_RECEIPT_KEY": RECEIPT_KEY,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def command(target: str, source: Path, port: int) -> list[str]:
    """How functions-framework serves *target* of *source* on *port*."""
    framework = [sys.executable, "-m", "functions_framework", "--asgi", "--target", target]
    return [*framework, "--source", str(source), "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def served(
    target: str, source: Path, env: Mapping[str, str], *, wait: bool = True, pids: list[int] | None = None
) -> Iterator[int]:
    """Serve *target* of *source*, and yield the port; the process, noted in *pids*, ends with the block."""
    port = free_port()
    process = subprocess.Popen(
        tethered(*command(target, source, port)),
        cwd=source.parent,
        env=dict(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if pids is not None:
        pids.append(process.pid)
    try:
        if wait:
            wait_for(port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, seconds: float = 30) -> None:
    """Return when somebody listens on *port*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    message = f"nobody listens on {port}"
    raise TimeoutError(message)
