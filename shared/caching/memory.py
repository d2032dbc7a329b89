"""The cache within one process: the thousand things used last."""

from collections import OrderedDict
from collections.abc import Callable

from shared import metrics
from shared.caching.base import Kept


class MemoryCache:
    """Values by name; the one that was not used for longest goes first."""

    def __init__(self, *, entries: int, clock: Callable[[], float]) -> None:
        """Keep *entries* values; *clock* tells seconds since the epoch."""
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._entries = entries
        self._clock = clock

    def get(self, name: str) -> Kept | None:
        """What is kept as *name*, unless its time is over."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.until <= self._clock():
            del self._kept[name]
            return None
        self._kept.move_to_end(name)
        return kept

    def put(self, name: str, kept: Kept) -> None:
        """Keep a value."""
        self._kept[name] = kept
        self._kept.move_to_end(name)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)
            metrics.cache_evicted.inc()
