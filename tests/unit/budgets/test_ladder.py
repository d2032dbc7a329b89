"""The ladder of ceilings, exactly."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import (
    Book,
    Calendar,
    Ceilings,
    Degree,
    Override,
    by_scope,
    calendar,
    crossed,
    degree,
    retry_after,
    rungs,
    scopes,
)

CEILINGS = Ceilings(learner_day=1, class_day=2, course_day=3, tenant_day=4, tenant_month=5)


def ladder(scope, now, **override):
    found = rungs(scope, "x", now, UTC, CEILINGS, Override(**override))
    return [(each.period, each.ceiling_nanos, each.ends_at) for each in found]


def test_only_what_a_payer_has_is_a_scope():
    assert list(scopes(Payer("a"))) == [(Scope.LEARNER, "a"), (Scope.TENANT, "default")]
    assert list(scopes(Payer("a", "c", "t", "k"))) == [
        (Scope.LEARNER, "a"),
        (Scope.CLASS, "k"),
        (Scope.COURSE, "c"),
        (Scope.TENANT, "t"),
    ]


@pytest.mark.parametrize(("scope", "ceiling"), [(Scope.LEARNER, 1), (Scope.CLASS, 2), (Scope.COURSE, 3)])
def test_a_day_ends_at_midnight(scope, ceiling):
    now = datetime(2026, 11, 20, 23, 59, 59, 999999, tzinfo=UTC)
    assert ladder(scope, now) == [("2026-11-20", ceiling, datetime(2026, 11, 21, tzinfo=UTC))]
    assert ladder(scope, now, day=0, month=7) == [("2026-11-20", 0, datetime(2026, 11, 21, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
        (datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_month_ends_with_its_last_day(now, ends):
    [(_, day, _), (period, month, over)] = ladder(Scope.TENANT, now)
    assert (day, period, month, over) == (4, f"{now:%Y-%m}", 5, ends)
    [(_, day, _), (_, month, _)] = ladder(Scope.TENANT, now, day=8, month=9)
    assert (day, month) == (8, 9)


def test_a_calendar_remembers_the_day_from_its_first_moment_to_its_last():
    days = Calendar(ZoneInfo("Asia/Jerusalem"))
    first = days.day(datetime(2026, 11, 20, 15, tzinfo=UTC))
    assert first.begins_at == datetime(2026, 11, 19, 22, tzinfo=UTC)
    assert first.ends_at == datetime(2026, 11, 20, 22, tzinfo=UTC)
    for within in (first.begins_at, first.ends_at - timedelta(microseconds=1)):
        assert within in first
        assert days.day(within) is first
    for beyond, name in (
        (first.ends_at, "2026-11-21"),
        (first.begins_at - timedelta(seconds=1), "2026-11-19"),
    ):
        assert beyond not in first
        assert days.day(beyond).name == name
    assert days.day(first.begins_at) == first


def test_a_zone_has_one_calendar():
    calendar.cache_clear()
    assert isinstance(calendar(UTC), Calendar)
    assert calendar(UTC) is calendar(UTC)


def test_thresholds_are_crossed_to_the_nano_dollar():
    assert crossed(0, 4_999, 10_000) == []
    assert crossed(4_999, 5_000, 10_000) == [50]
    assert crossed(5_000, 7_999, 10_000) == []


def test_the_last_money_buys_a_full_reply():
    assert degree(100, ceiling=100, full=100, small=10) is Degree.FULL
    assert degree(99, ceiling=100, full=100, small=10) is Degree.SMALL


def test_a_refusal_never_says_come_back_at_once():
    [rung] = rungs(Scope.LEARNER, "x", datetime(2026, 11, 20, tzinfo=UTC), UTC, CEILINGS, Override())
    assert retry_after(rung, rung.ends_at) == 1
    assert retry_after(rung, datetime(2026, 11, 20, 23, 59, 58, 1, tzinfo=UTC)) == 2


def test_a_book_within_one_process_has_nothing_unaccounted():
    [rung] = rungs(Scope.COURSE, "x", datetime(2026, 11, 20, tzinfo=UTC), UTC, CEILINGS, Override())
    book = Book()
    book.reserve(7)
    book.settle("chat", 3, 2)
    figures = book.figures(rung)
    assert (figures.spent_nanos, figures.reserved_nanos, figures.unaccounted_nanos) == (2, 4, 0)
    assert by_scope({}, Scope.COURSE, "x") == Override()
