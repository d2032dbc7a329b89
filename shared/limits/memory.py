"""Rate limits within one process: exact for it, and of no store."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from shared.limits.base import MICROSECONDS, Limit, Verdict, verdict, verdict_of
from shared.limits.windows import Window

_MOST_KEYS = 100_000


class MemoryLimiter:
    """
    Windows in a dict.

    Beyond 100,000 keys the one that was asked for longest ago is forgotten, which only an attack from
    as many addresses within one window can bring about; memory stays bounded.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Read the time from *clock*, in seconds; a monotonic one will do."""
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str, int], Window] = OrderedDict()

    def take_now(self, limits: Sequence[Limit]) -> Verdict:
        """See ``Limiter.take``; without waiting for anything."""
        now = round(self._clock() * MICROSECONDS)
        if len(limits) == 1:
            limit = limits[0]
            window = self._window(limit)
            standing = window.standing(limit, now)
            return verdict_of(standing if standing.wait else window.take(limit, now))
        windows = [self._window(limit) for limit in limits]
        before = [window.standing(limit, now) for window, limit in zip(windows, limits, strict=True)]
        if any(each.wait for each in before):
            return verdict(before)
        return verdict([window.take(limit, now) for window, limit in zip(windows, limits, strict=True)])

    async def take(self, limits: Sequence[Limit]) -> Verdict:
        """See the port."""
        return self.take_now(limits)

    async def give_back(self, limits: Sequence[Limit], taken: Sequence[int]) -> None:
        """See the port."""
        for limit, each in zip(limits, taken, strict=True):
            self._window(limit).give_back(limit.cost, each)

    def _window(self, limit: Limit) -> Window:
        key = limit.id
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window()
            while len(self._windows) > _MOST_KEYS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return window
