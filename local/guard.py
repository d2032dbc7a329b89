"""
Ends a run's processes when the run itself cannot: a process of its own, run as a script.

It leads the process group in which every process of the run lives, and holds the reading end of a pipe
whose only writer is the run. However the run ends, `kill -9` included, the pipe closes; the guard then
removes the files named on its command line and kills the group, grandchildren and itself included.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def main(remove: list[str]) -> None:
    """Wait for the pipe on standard input to close, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    for name in remove:
        _remove(Path(name))
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
