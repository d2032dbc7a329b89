"""
Counts what Firestore will bill: reads, writes and deletes, and the round trips they took.

A charge goes to the process, to the function at work and to the request at hand. Work that a request
starts and leaves to a task is still the request's, also once it has been answered: its function is
charged, though its log line has been written. A round trip that several requests share is charged
to the process and the function once, and divided among the requests (``current``, ``divided``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

from shared import metrics
from shared.counting import Count

KINDS = ("reads", "writes", "deletes", "rpcs")


@dataclass(slots=True)
class Bill:
    """Billed operations and RPCs, and the function that they are billed to."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    rpcs: int = 0
    function: str = field(default="", compare=False)

    @property
    def operations(self) -> int:
        """Everything that is billed."""
        return self.reads + self.writes + self.deletes


TOTAL = Bill()
"""Since this process started."""

_current: ContextVar[tuple[Bill, ...]] = ContextVar("bill", default=())


def charge(*, reads: int = 0, writes: int = 0, deletes: int = 0) -> None:
    """Note one RPC and what it is billed, for the process and for whoever is at work."""
    bills = _current.get()
    for kind, count in zip(KINDS, (reads, writes, deletes, 1), strict=True):
        if not count:
            continue
        setattr(TOTAL, kind, getattr(TOTAL, kind) + count)
        by_function: dict[str, int] = {}
        for payer, share in zip(bills, _shares(count, len(bills)), strict=True):
            setattr(payer, kind, getattr(payer, kind) + share)
            by_function[payer.function] = by_function.get(payer.function, 0) + share
        for function, total in by_function.items():
            if total:
                _billed(function, kind).inc(total)


def current() -> tuple[Bill, ...]:
    """Whom a charge here and now is divided among: the request at hand, if any."""
    return _current.get()


class bill:  # noqa: N801  reads as the sentence it is: with bill("submit_answer") as spent
    """Collect for *function* what is charged within this block and the tasks that it starts."""

    __slots__ = ("_mine", "_token")

    def __init__(self, function: str = "") -> None:
        """Begin with nothing."""
        self._mine = Bill(function=function)

    def __enter__(self) -> Bill:
        """Charge what follows to this bill."""
        self._token = _current.set((self._mine,))
        return self._mine

    def __exit__(self, *_error: object) -> None:
        """Charge whoever was charged before."""
        _current.reset(self._token)


@contextmanager
def divided(among: Sequence[Bill]) -> Iterator[None]:
    """
    Divide what is charged within this block, in whole operations; the first get what is left over.

    Fifty creations in one commit, of fifty requests, are a write each, and one RPC of the first's:
    however it is divided, the bills add up to the charge.
    """
    before = _current.get()
    _current.set(tuple(among))
    try:
        yield
    finally:
        _current.set(before)  # not by its token: a coroutine that was abandoned is closed in any context


@cache
def _billed(function: str, kind: str) -> Count:
    return metrics.billed_operations.labels(function, kind)


def _shares(count: int, payers: int) -> list[int]:
    if payers == 1:
        return [count]
    if payers == 0:
        return []
    each, left = divmod(count, payers)
    return [each + (number < left) for number in range(payers)]
