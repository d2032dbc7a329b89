"""Counts what Firestore will bill: reads, writes and deletes, and the round trips they took."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Bill:
    """Billed operations and RPCs."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    rpcs: int = 0

    @property
    def operations(self) -> int:
        """Everything that is billed."""
        return self.reads + self.writes + self.deletes


TOTAL = Bill()
"""Since this process started."""

_current: ContextVar[Bill | None] = ContextVar("bill", default=None)


def charge(*, reads: int = 0, writes: int = 0, deletes: int = 0) -> None:
    """Note one RPC and what it is billed, for the process and for the request at hand."""
    request = _current.get()
    for bill in (TOTAL,) if request is None else (TOTAL, request):
        bill.reads += reads
        bill.writes += writes
        bill.deletes += deletes
        bill.rpcs += 1


@contextmanager
def bill() -> Iterator[Bill]:
    """Collect what is charged within this block and the tasks that it starts."""
    mine = Bill()
    token = _current.set(mine)
    try:
        yield mine
    finally:
        _current.reset(token)
