"""Which of a learner's attempts at a question counts."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar


class Attempt(NamedTuple):
    """One graded answer, reduced to what decides between several; sorts into canonical order."""

    submitted_at_micros: int
    event_id: str
    credit: int | None
    response_code: int


class AttemptsPolicy(StrEnum):
    """Which attempt counts where there are several."""

    LAST = "last"
    BEST = "best"
    FIRST = "first"


AttemptT = TypeVar("AttemptT", bound=tuple[int, str, int | None, int])


def effective(
    attempts: Sequence[AttemptT], policy: AttemptsPolicy, max_attempts: int | None = None
) -> AttemptT | None:
    """
    Pick the attempt that counts; None if there is none.

    *attempts* are in canonical order: by time, then by event id. Only the first *max_attempts*
    compete. For the best, an attempt that waits for a person (credit None) ranks below every
    graded one, also below a negative credit, and the earliest wins a tie.
    """
    count = len(attempts)
    if max_attempts is not None and max_attempts < count:
        count = max_attempts
    if count <= 0:
        return None
    if policy == AttemptsPolicy.LAST:
        return attempts[count - 1]
    best = attempts[0]
    if policy == AttemptsPolicy.BEST:
        for position in range(1, count):
            credit = attempts[position][2]
            if credit is not None and (best[2] is None or credit > best[2]):
                best = attempts[position]
    return best
