"""Notices when the `make` that started this process is told to stop."""

import asyncio
import os
import signal
from pathlib import Path

_EACH_SECONDS = 0.3


async def interrupted() -> None:
    """
    Return when the parent no longer catches SIGINT although it did at first.

    A Ctrl-C reaches `make` and this process alike. A SIGINT sent to `make` alone does not: it takes its
    handler off and waits for its children without telling them.
    """
    parent = os.getppid()
    if not _catches_interrupt(parent):
        await asyncio.Event().wait()
    while _catches_interrupt(parent):
        await asyncio.sleep(_EACH_SECONDS)


def _catches_interrupt(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) & 1 << (signal.SIGINT - 1))
    return False
