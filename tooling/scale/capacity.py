"""The arithmetic of capacity and break-even, so that nobody does it by heart."""

import math
from dataclasses import dataclass

from tooling.scale.prices import Prices

DAYS_A_MONTH = 30

PUBLISHED_MONTHLY_COSTS = {100: (5, 10, 50), 1_000: (50, 100, 300), 10_000: (500, 1_000, 2_500, 100, 100)}
"""What a platform of this kind has been said to cost, in dollars by learners a day and by part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """What learners do in a day, in documents."""

    reads: float
    writes: float
    answers: float
    """How many of the writes are answers; each is deleted once it is merged."""

    def of(self, share: float) -> "Day":
        """A day of so many times as many learners."""
        return Day(reads=self.reads * share, writes=self.writes * share, answers=self.answers * share)


DAY_OF_10_000 = Day(
    reads=500_000 + 100_000 + 50_000 + 20_000 + 30_000,  # questions, progress, dashboards, boards, history
    writes=250_000 + 10_000 + 50_000 + 500_000,  # answers, tests, progress, interactions
    answers=250_000,
)


def firestore_month(day: Day, prices: Prices, *, writes_an_answer: float = 1.08) -> float:
    """
    Dollars a month for a month of such days.

    An answer is billed *writes_an_answer* writes (its own, and its part of a merge of fifty) and a delete.
    """
    writes = day.writes + day.answers * (writes_an_answer - 1)
    daily = day.reads * prices.read + writes * prices.write + day.answers * prices.delete
    return daily * DAYS_A_MONTH


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker that makes things *at_once*, each in *minutes*."""

    at_once: int
    minutes: float

    @property
    def per_minute(self) -> float:
        """How many it makes."""
        return self.at_once / self.minutes


def requests_per_minute(users: int, *, at_once: float, every_minutes: float) -> float:
    """What *users* ask for, of whom the share *at_once* is there, each asking once in *every_minutes*."""
    return users * at_once / every_minutes


def workers_needed(per_minute: float, worker: Worker, *, hit_rate: float = 0.0) -> int:
    """How many make what the cache does not answer."""
    # What is left is a whole number of requests in all that is asked here: no float may add a worker.
    missed = round(per_minute * (1 - hit_rate), 9)
    return math.ceil(round(missed / worker.per_minute, 9))


def served_per_minute(workers: int, worker: Worker, *, hit_rate: float = 0.0) -> float:
    """How many requests a minute are answered, the cache's included."""
    return workers * worker.per_minute / (1 - hit_rate)


def break_even(monthly_cost: float, *, price: float) -> int:
    """With how many paying users nothing is lost."""
    return math.ceil(monthly_cost / price)


def instances_needed(per_second: float, *, seconds_each: float, concurrency: int, cpu_seconds: float) -> int:
    """How many instances serve *per_second* requests: what they hold at once, or what they can compute."""
    held = per_second * seconds_each / concurrency
    computed = per_second * cpu_seconds / 0.6  # a processor more than six tenths busy makes requests wait
    return max(1, math.ceil(max(held, computed)))
