"""
Rate limits as a port: so many points in any so many seconds, for one key.

The window slides: at no moment have more than ``points`` been taken within the last ``seconds``, in
whichever processes. It is never more; up to 5 % of a limit may be out of reach for a while, because
stores keep windows in slices (see ``windows``) and processes hold points that they have not used.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Limit:
    """
    ``points`` in any ``seconds`` for *key*, of which one call takes ``cost``.

    ``name`` goes into headers and metrics (``ai``, ``ai-ip``); ``key`` (``uid:…``, ``ip:…``) goes nowhere.
    """

    name: str
    key: str
    points: int
    seconds: int
    cost: int = 1

    def __post_init__(self) -> None:
        """Refuse what could never be taken."""
        if not 1 <= self.cost <= self.points or self.seconds < 1:
            message = f"{self.cost} of {self.points} points in {self.seconds} s cannot be taken"
            raise ValueError(message)

    @cached_property
    def id(self) -> tuple[str, str, int]:
        """What makes it another limit: points and cost do not."""
        return self.name, self.key, self.seconds

    @cached_property
    def digest(self) -> str:
        """What stores call this limit: 32 hexadecimal digits that tell nobody's address or id."""
        text = f"{self.name}\0{self.key}\0{self.seconds}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Verdict(NamedTuple):
    """
    What became of a call, as told by its tightest limit.

    ``reset_seconds``: until the whole limit is free again, if nothing else is taken.
    ``retry_after_seconds``: until the same call may succeed; 0 if it was allowed. ``taken`` says of each of
    the call's limits which points it took, for ``Limiter.give_back`` and nobody else.
    """

    allowed: bool
    name: str
    limit: int
    remaining: int
    reset_seconds: int
    retry_after_seconds: int
    taken: tuple[int, ...] = ()

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (in seconds from now), as they are sent."""
        return (
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset_seconds),
        )


class Limiter(Protocol):
    """What the edge and the gateway ask of a limiter. Both may raise Unavailable: then nothing is allowed."""

    async def take(self, limits: Sequence[Limit]) -> Verdict:
        """Take the cost of every limit, or of none; *limits* are distinct, at least one."""
        ...

    async def give_back(self, limits: Sequence[Limit], taken: Sequence[int]) -> None:
        """
        Return the cost of every limit: the points that ``Verdict.taken`` of the same *limits* names.

        They were not needed. Others, taken earlier or later, count as long as they did.
        """
        ...


class Standing(NamedTuple):
    """
    How one limit stands: points in use, microseconds until the cost fits, and until all is free.

    *taken* tells the points that were just taken from others.
    """

    limit: Limit
    used: int
    wait: int
    reset: int
    taken: int = 0


def verdict(standings: Sequence[Standing]) -> Verdict:
    """Tell the tightest: of those that refuse the one with the longest wait, else the one with least left."""
    told = standings[0]
    for each in standings[1:]:
        if each.wait > told.wait or (
            each.wait == told.wait == 0 and each.used * told.limit.points > told.used * each.limit.points
        ):
            told = each
    return _told(told, tuple([each.taken for each in standings]))


def verdict_of(told: Standing) -> Verdict:
    """What one limit says by itself: a call is refused while its cost does not fit."""
    return _told(told, (told.taken,))


def _told(told: Standing, taken: tuple[int, ...]) -> Verdict:
    limit, used, wait, reset, _ = told
    left = limit.points - used
    # Whole seconds, rounded up: who comes back then is not too early.
    return Verdict(
        wait <= 0,
        limit.name,
        limit.points,
        max(left, 0),
        -(-reset // MICROSECONDS),
        -(-wait // MICROSECONDS),
        taken,
    )


def tighter(one: Verdict, other: Verdict) -> Verdict:
    """The tighter of two: the one that refuses, else the one with less of its limit left."""
    if one.allowed is not other.allowed:
        return other if one.allowed else one
    return one if one.remaining * other.limit < other.remaining * one.limit else other
