"""
The folder of a run: logs, archive, and the `env` file that says where everything listens.

A run alone uses `.local/`. A run beside it uses `.local/{port}/`. `.local/keys` belongs to the checkout.
"""

import fcntl
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from local.bootstrap import make_keys


class RunFolder:
    """One run's folder, its own until it closes."""

    def __init__(self, base: Path, port: int) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self._base = base
        self._lock: TextIO | None = _lock(base / "lock")
        self.path = base if self._lock is not None else base / str(port)
        self.logs = self.path / "logs"
        self.archive = self.path / "archive"
        self.env = self.path / "env"
        self.ready = self.path / "deliveries.ready"
        for leftover in (self.env, self.ready):
            leftover.unlink(missing_ok=True)
        for folder in (self.logs, self.archive):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    @property
    def alone(self) -> bool:
        """Whether this run has the default place."""
        return self._lock is not None

    def temporary(self) -> list[Path]:
        """What must not outlive the run."""
        return [self.env, self.ready] if self.alone else [self.path]

    def keys(self) -> dict[str, str]:
        """The checkout's secrets, made on first use."""
        path = self._base / "keys"
        make_keys(path)
        return dict(line.split("=", 1) for line in path.read_text().splitlines() if line)

    def publish(self, variables: Mapping[str, str]) -> None:
        """Write ``env``, whole or not at all."""
        fresh = self.env.with_name("env.new")
        fresh.write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        )
        fresh.replace(self.env)

    def close(self) -> None:
        """Take back what only holds while the run is alive."""
        for path in self.temporary():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()


def _lock(path: Path) -> TextIO | None:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
