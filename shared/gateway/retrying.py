"""When a failed call is made again: rarely, later each time, and never past its deadline."""

import random
from collections.abc import Callable

_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 4.0
_PER_CALL = 0.1
_MOST_SAVED = 10.0


class RetryBudget:
    """One retry for every ten calls, and ten saved up at most: retries must not become the load."""

    def __init__(self) -> None:
        """Begin with a full budget."""
        self._saved = _MOST_SAVED

    def earn(self) -> None:
        """A first attempt is made."""
        self._saved = min(self._saved + _PER_CALL, _MOST_SAVED)

    def spend(self) -> bool:
        """Whether another attempt may be made; it is counted."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def pause(attempt: int, *, wanted: float | None = None, chance: Callable[[], float] = random.random) -> float:
    """
    Seconds to wait after failed *attempt* (1, 2, …): between half and all of 0.2 · 2^(attempt-1), 4 at most.

    *wanted* is what the upstream's ``Retry-After`` asked for: it is never shorter than that.
    """
    longest: float = min(_FIRST_SECONDS * 2 ** (attempt - 1), _LONGEST_SECONDS)
    jittered = longest * (0.5 + chance() / 2)
    return jittered if wanted is None else max(wanted, jittered)
