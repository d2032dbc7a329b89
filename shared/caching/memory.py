"""The cache within one process: the thousand things used last, as far as they have room."""

from collections import OrderedDict
from collections.abc import Callable

from shared import metrics
from shared.caching.base import Kept

MOST_BYTES = 64 * 1024 * 1024
"""An eighth of the smallest instance's memory."""

_LARGEST = MOST_BYTES // 64


class MemoryCache:
    """
    Values by name; the one that was not used for longest goes first.

    A value of more than a mebibyte is not kept: it would take the place of too many.
    """

    def __init__(self, *, entries: int, clock: Callable[[], float]) -> None:
        """Keep *entries* values, and ``MOST_BYTES`` of them; *clock* tells seconds since the epoch."""
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._size = 0
        self._entries = entries
        self._clock = clock

    def get(self, name: str) -> Kept | None:
        """What is kept as *name*, unless its time is over."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.until <= self._clock():
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return kept

    def put(self, name: str, kept: Kept) -> None:
        """Keep a value, if it is not too large."""
        if name in self._kept:
            self._drop(name)
        if len(kept.value) > _LARGEST:
            return
        self._kept[name] = kept
        self._size += len(kept.value)
        while len(self._kept) > self._entries or self._size > MOST_BYTES:
            self._drop(next(iter(self._kept)))
            metrics.cache_evicted.inc()
        metrics.cache_bytes.set(self._size)

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Drop what belongs to owners who are gone; everybody's has none."""
        gone = {owner for owner in {kept.owner for kept in self._kept.values()} if owner and is_gone(owner)}
        for name in [name for name, kept in self._kept.items() if kept.owner in gone]:
            self._drop(name)
        metrics.cache_bytes.set(self._size)

    def _drop(self, name: str) -> None:
        self._size -= len(self._kept.pop(name).value)
