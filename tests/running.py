"""Starts the local runner for tests, and counts what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from local.ports import is_free
from local.processes import tethered

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 180
_END_SECONDS = 20


# Ctrl-C ends it, even if whoever started the tests ignores it, as a shell's background jobs do.
_AS_FROM_A_TERMINAL = ("env", "--default-signal=INT")


class LocalRun:
    """One run of the local runner with a folder of its own."""

    def __init__(self, folder: Path, *, command: Sequence[str] = (), **environ: str) -> None:
        self.folder = folder
        self._output = folder.parent / f"{folder.name}-{time.monotonic_ns()}.out"
        fixed = {"LECTERN_LOCAL": str(folder), "LECTERN_PORT": "0", "PYTHONPATH": str(ROOT)}
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                tethered(*_AS_FROM_A_TERMINAL, *(command or [sys.executable, "-m", "local"])),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **fixed, **environ},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed."""
        return self._output.read_text()

    def ready(self, env: Path | None = None) -> dict[str, str]:
        """Wait for ``env`` and return what it exports."""
        path = env or self.folder / "env"
        deadline = time.monotonic() + _START_SECONDS
        while not path.exists():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return exports(path)

    def kill_everything(self) -> None:
        """End it as roughly as a closing terminal might."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C would, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(_END_SECONDS)
        finally:
            self.kill_everything()


def exports(path: Path) -> dict[str, str]:
    """The variables that a shell gets from ``source path``."""
    script = f"set -a; env -i >/dev/null; source {path}; env"
    printed = subprocess.run(
        ["env", "-i", "bash", "-c", script],
        capture_output=True,
        check=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    variables = dict(line.split("=", 1) for line in printed.stdout.splitlines() if "=" in line)
    names = re.findall(r"^export (\w+)=", path.read_text(), re.MULTILINE)
    return {name: variables[name] for name in names}


def ports(env: dict[str, str]) -> list[int]:
    """Every port that a run listens on."""
    return [int(value.rpartition(":")[2]) for value in env.values() if re.search(r":\d+$", value)]


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that were started with *folder* as ``LECTERN_LOCAL``."""
    mark = f"LECTERN_LOCAL={folder}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def assert_nothing_remains(folder: Path, listened: Sequence[int], *, within_seconds: float = 5.0) -> None:
    """Neither a process nor a port nor an ``env`` file is left of a run."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if not processes_of(folder) and all(map(is_free, listened)) and not list(folder.glob("**/env")):
            return
        time.sleep(0.05)
    assert processes_of(folder) == []
    assert [port for port in listened if not is_free(port)] == []
    assert list(folder.glob("**/env")) == []
