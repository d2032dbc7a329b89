"""A real Redis on a free port of this machine, which ends with the process that started it."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.processes import tethered


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a server that keeps nothing; gives its URL."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: sudo apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with subprocess.Popen(
            tethered(program, *options, "--dir", folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                _wait(port, process)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.kill()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(500):
        assert process.poll() is None, "redis-server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    message = "redis-server was not ready within 5 s"
    raise AssertionError(message)
