"""The cache within one process: the thousand things used last."""

from collections.abc import Callable
from typing import Any

from cachetools import LRUCache

from shared import metrics
from shared.caching.base import Kept


class MemoryCache:
    """Values by name; the one that was not used for longest goes first."""

    def __init__(self, *, entries: int, clock: Callable[[], float]) -> None:
        """Keep *entries* values; *clock* tells seconds since the epoch."""
        self._kept: LRUCache[str, Kept] = _Counting(entries)
        self._clock = clock

    def get(self, name: str) -> Kept | None:
        """What is kept as *name*, unless its time is over."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.until <= self._clock():
            self._kept.pop(name, None)
            return None
        return kept

    def put(self, name: str, kept: Kept) -> None:
        """Keep a value."""
        self._kept[name] = kept


class _Counting(LRUCache[str, Kept]):
    def popitem(self) -> tuple[str, Any]:
        metrics.cache_evicted.inc()
        return super().popitem()
