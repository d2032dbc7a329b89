"""
The sliding window, pure: what was taken, when, and when it is free again. Times are microseconds.

What is taken within a 64th of the window is kept together, under the time of its last point. So a
window has at most 65 slices however large its limit is, it never holds too few points, and a point
comes back at most a 64th of the window late.
"""

from shared.limits.base import MICROSECONDS, Limit, Standing

SLICES = 64


class Window:
    """The points of one limit's key that were taken lately, oldest first."""

    __slots__ = ("_slices", "_used")

    def __init__(self) -> None:
        """Start empty."""
        self._slices: list[list[int]] = []  # first time, last time, points
        self._used = 0

    def standing(self, limit: Limit, now: int) -> Standing:
        """How *limit* stands at *now*, before its cost is taken."""
        span = limit.seconds * MICROSECONDS
        self._forget(now - span)
        reset = self._slices[-1][1] + span - now if self._slices else 0
        excess = self._used + limit.cost - limit.points
        wait = 0
        for _, last, points in self._slices:
            if excess <= 0:
                break
            excess -= points
            wait = last + span - now
        return Standing(limit, self._used, wait, reset)

    def take(self, limit: Limit, now: int) -> Standing:
        """Take the cost of *limit*, whether it fits or not; how it stands afterwards."""
        span = limit.seconds * MICROSECONDS
        if self._slices:
            newest = self._slices[-1]
            now = max(now, newest[1])  # a clock that went back frees nothing early
            if now - newest[0] < span // SLICES:
                newest[1] = now
                newest[2] += limit.cost
            else:
                self._slices.append([now, now, limit.cost])
        else:
            self._slices.append([now, now, limit.cost])
        self._used += limit.cost
        return Standing(limit, self._used, 0, span, now)

    def give_back(self, points: int, taken: int) -> None:
        """Take *points* out again, which were *taken* then; if they count no more there is nothing to do."""
        for number, (first, last, there) in enumerate(self._slices):
            if first <= taken <= last:
                part = min(points, there)
                self._slices[number][2] -= part
                self._used -= part
                if part == there:
                    del self._slices[number]
                return

    def is_over(self, limit_seconds: int, now: int) -> bool:
        """Whether nothing of it counts any more."""
        return not self._slices or self._slices[-1][1] + limit_seconds * MICROSECONDS <= now

    def _forget(self, until: int) -> None:
        gone = 0
        for _, last, points in self._slices:
            if last > until:
                break
            gone += 1
            self._used -= points
        del self._slices[:gone]
