"""Leaves an upstream alone that does not work, and tries again now and then."""

import random
from collections import deque
from collections.abc import Callable

from shared import metrics
from shared.errors import LeftAlone

_WINDOW_SECONDS = 10.0
_FEWEST = 5
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 30.0


class Breaker:
    """
    Opens when, of the calls of the last ten seconds, five or more failed and these were at least half.

    While it is open every call is refused at once. After a pause (2 s, then twice as long, 30 s at most,
    each shortened by up to a quarter at random) one call goes through: if it succeeds all may.
    """

    def __init__(self, clock: Callable[[], float], *, chance: Callable[[], float] = random.random) -> None:
        """Read the time in seconds from *clock*."""
        self._clock = clock
        self._chance = chance
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=200)
        self._failures = 0
        self._pause = _FIRST_PAUSE_SECONDS
        self._until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._until is not None

    def enter(self) -> None:
        """
        Ask to make a call; exactly one of ``succeeded``, ``failed`` and ``left`` follows.

        Raises:
            LeftAlone: not now.
        """
        if self._until is None:
            return
        wait = self._until - self._clock()
        if wait > 0 or self._probing:
            message = "the model does not answer at the moment"
            raise LeftAlone(message, retry_after_seconds=max(1, int(wait + 0.999)))
        self._probing = True

    def succeeded(self) -> None:
        """The upstream answered."""
        if self._until is not None:
            self._until, self._probing = None, False
            self._pause = _FIRST_PAUSE_SECONDS
            self._outcomes.clear()
            self._failures = 0
            metrics.gateway_breaker_open.set(0)
        self._note(failed=False)

    def left(self) -> None:
        """The call was given up by its caller, which says nothing about the upstream."""
        self._probing = False

    def failed(self) -> None:
        """The upstream did not answer, or not properly."""
        self._note(failed=True)
        if self._probing:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        elif self._until is not None or self._failures < _FEWEST or 2 * self._failures < len(self._outcomes):
            return
        self._probing = False
        self._until = self._clock() + self._pause * (1 - self._chance() / 4)
        metrics.gateway_breaker_open.set(1)

    def _note(self, *, failed: bool) -> None:
        now = self._clock()
        if len(self._outcomes) == self._outcomes.maxlen:
            self._failures -= self._outcomes.popleft()[1]
        while self._outcomes and self._outcomes[0][0] < now - _WINDOW_SECONDS:
            self._failures -= self._outcomes.popleft()[1]
        self._outcomes.append((now, failed))
        self._failures += failed
