"""The ceilings of a request and what they leave: pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache

from shared.budgets.base import Figures, Payer, Rung, Scope

THRESHOLDS = (50, 80, 100)
"""Per cent of a ceiling at which somebody is told."""

_TIGHT_PER_CENT = 20


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How much may be spent, in nano-dollars, unless a scope has a document of its own."""

    learner_day: int
    class_day: int
    course_day: int
    tenant_day: int
    tenant_month: int


@dataclass(frozen=True, slots=True)
class Override:
    """A scope's own ceilings, from ``budgets/{scope}.{id}``; None: as for all."""

    day: int | None = None
    month: int | None = None


def scopes(payer: Payer) -> Iterator[tuple[Scope, str]]:
    """Whose ceilings hold for *payer*, the innermost first."""
    yield Scope.LEARNER, payer.uid
    if payer.class_id:
        yield Scope.CLASS, payer.class_id
    if payer.course_id:
        yield Scope.COURSE, payer.course_id
    yield Scope.TENANT, payer.tenant


@dataclass(frozen=True, slots=True)
class Day:
    """A day of some time zone, from midnight to midnight: what its accounts are called, and when they end."""

    begins_at: datetime
    ends_at: datetime
    name: str
    month: str
    month_ends_at: datetime

    def __contains__(self, now: datetime) -> bool:
        """Whether *now* is within it."""
        return self.begins_at <= now < self.ends_at


class Calendar:
    """The days of one time zone; it remembers the one that was asked for last."""

    def __init__(self, zone: tzinfo) -> None:
        """Tell the days of *zone*."""
        self._zone = zone
        self._last: Day | None = None

    def day(self, now: datetime) -> Day:
        """The day of *now*."""
        if self._last is None or now not in self._last:
            self._last = _day(now, self._zone)
        return self._last


def _day(now: datetime, zone: tzinfo) -> Day:
    local = now.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return Day(
        midnight.astimezone(UTC),
        (midnight + timedelta(days=1)).astimezone(UTC),
        f"{local:%Y-%m-%d}",
        f"{local:%Y-%m}",
        next_month.astimezone(UTC),
    )


@lru_cache(maxsize=16)
def calendar(zone: tzinfo) -> Calendar:
    """The calendar of *zone*, one for everybody."""
    return Calendar(zone)


def rungs(
    scope: Scope, scope_id: str, now: datetime, zone: tzinfo, ceilings: Ceilings, override: Override
) -> Iterator[Rung]:
    """The ceilings of one scope at *now*: of the day and, for a tenant, of the month of *zone*."""
    day = calendar(zone).day(now)
    daily = {
        Scope.LEARNER: ceilings.learner_day,
        Scope.CLASS: ceilings.class_day,
        Scope.COURSE: ceilings.course_day,
        Scope.TENANT: ceilings.tenant_day,
    }[scope]
    yield Rung(scope, scope_id, day.name, daily if override.day is None else override.day, day.ends_at)
    if scope is Scope.TENANT:
        month = ceilings.tenant_month if override.month is None else override.month
        yield Rung(scope, scope_id, day.month, month, day.month_ends_at)


@dataclass(slots=True)
class Book:
    """What one scope spent and reserved in one period, as far as one process knows."""

    spent: int = 0
    reserved: int = 0
    by_task: dict[str, tuple[int, int]] = field(default_factory=dict)

    def room(self, ceiling: int) -> int:
        """What may still be reserved; negative if the ceiling was lowered below what is spent."""
        return ceiling - self.spent - self.reserved

    def reserve(self, nanos: int) -> None:
        """Put *nanos* aside."""
        self.reserved += nanos

    def settle(self, task: str, reserved: int, actual: int) -> None:
        """Count *actual* instead of what was *reserved* for it."""
        self.reserved -= reserved
        self.spent += actual
        nanos, calls = self.by_task.get(task, (0, 0))
        self.by_task[task] = (nanos + actual, calls + 1)

    def count(self, task: str, nanos: int, calls: int) -> None:
        """Count *nanos* and *calls* more, or less, than was counted before."""
        self.spent += nanos
        before = self.by_task.get(task, (0, 0))
        self.by_task[task] = (before[0] + nanos, before[1] + calls)

    def release(self, reserved: int) -> None:
        """Free what was *reserved*."""
        self.reserved -= reserved

    def figures(self, rung: Rung) -> Figures:
        """For people."""
        return Figures(
            rung.scope,
            rung.id,
            rung.period,
            rung.ceiling_nanos,
            self.spent,
            self.reserved,
            0,
            dict(self.by_task),
        )


def crossed(before: int, after: int, ceiling: int) -> list[int]:
    """The thresholds, in per cent, that spending crossed when it went from *before* to *after*."""
    return [each for each in THRESHOLDS if 100 * before < each * ceiling <= 100 * after]


class Degree(StrEnum):
    """How well a request can be served with the money that is left."""

    FULL = "full"
    SMALL = "small"
    CACHED_ONLY = "cached-only"
    DETERMINISTIC = "deterministic"


def degree(remaining: int, *, ceiling: int, full: int, small: int, cache: bool = True) -> Degree:
    """
    How to serve a request whose worst case costs *full*, or *small* with the small model.

    The small model is also used once less than a fifth of the *ceiling* remains; *cache*: whether the
    task has replies that could be in a cache.
    """
    if full <= remaining and remaining * 100 >= ceiling * _TIGHT_PER_CENT:
        return Degree.FULL
    if small <= remaining:
        return Degree.SMALL
    return Degree.CACHED_ONLY if cache else Degree.DETERMINISTIC


def retry_after(rung: Rung, now: datetime) -> int:
    """Whole seconds until the period of *rung* is over; at least 1."""
    return max(-(-(rung.ends_at - now) // timedelta(seconds=1)), 1)


def by_scope(overrides: Mapping[str, Override], scope: Scope, scope_id: str) -> Override:
    """The override of a scope, or one that says nothing."""
    return overrides.get(f"{scope}.{scope_id}", _NONE)


_NONE = Override()
