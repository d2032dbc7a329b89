"""What a course spends: for its teachers only, and safe in a spreadsheet."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.spend import _plain, as_csv
from shared.budgets.base import Payer, Scope
from shared.budgets.prices import Usage
from shared.documents.base import Create
from shared.documents.expiring import remove_expired
from shared.documents.memory import MemoryDocuments
from tests.deployed import in_memory

HOSTILE = [
    '=HYPERLINK("http://x")',
    "+1+cmd|'/C calc'!A0",
    "-2+3",
    "\t=1",
    "\uff1d1+1",
    "@SUM(A1)",
    "'=1",
    '"=1"',
]


@pytest.fixture
async def app():
    async with in_memory() as app:
        yield app
        await app.services.close()


async def pay(app, uid, course, nanos, task="chat"):
    budgets = app.services.budgets
    reservation = await budgets.reserve(Payer(uid, course), task=task, model="canned", worst_nanos=nanos * 2)
    await budgets.settle(reservation, actual_nanos=nanos, usage=Usage(100, 20, 10))


class TestFigures:
    async def test_a_teacher_sees_what_was_spent_on_what(self, app):
        course = await app.course()
        await pay(app, "ann", course, 1000)
        await pay(app, "bob", course, 500, "evaluate_answer")
        spend = await app.ok("get_spend", {"courseId": course}, uid="teacher")
        assert (spend["spentNanos"], spend["ceilingNanos"]) == (1500, 10_000_000_000)
        assert spend["byTask"] == [
            {"task": "chat", "nanos": 1000, "calls": 1},
            {"task": "evaluate_answer", "nanos": 500, "calls": 1},
        ]
        total = spend["spentNanos"] + spend["reservedNanos"] + spend["remainingNanos"]
        assert total == spend["ceilingNanos"]

    async def test_nobody_else_does(self, app):
        course = await app.course()
        day = {"day": "2026-11-20"}
        for name, request in (("get_spend", {}), ("export_spend", day), ("get_cost_advice", day)):
            assert (await app.call(name, {"courseId": course, **request}, uid="ann")).status_code == 403
            assert (await app.call(name, {"courseId": "other", **request}, uid="teacher")).status_code == 404

    async def test_a_course_may_have_a_ceiling_of_its_own(self, app):
        course = await app.course()
        await app.services.documents.commit([Create(f"budgets/course.{course}", {"dayNanos": 2000})])
        await pay(app, "ann", course, 1000)
        spend = await app.ok("get_spend", {"courseId": course}, uid="teacher")
        assert (spend["ceilingNanos"], spend["percent"]) == (2000, 50)


class TestTable:
    async def test_every_call_is_in_the_ledger_once(self, app):
        course = await app.course()
        for number in range(30):
            await pay(app, f"learner-{number}", course, number)
        await pay(app, "ann", "another", 999)
        day = datetime.now(UTC).date().isoformat()
        table = await app.ok("export_spend", {"courseId": course, "day": day}, uid="teacher")
        rows = list(csv.DictReader(io.StringIO(table["csv"])))
        assert [int(each["nanos"]) for each in rows] == list(range(30))
        assert (table["rows"], table["nanos"], table["truncated"]) == (30, sum(range(30)), False)
        assert {each["learnerId"] for each in rows} == {f"learner-{n}" for n in range(30)}
        again = await app.ok("export_spend", {"courseId": course, "day": day}, uid="teacher")
        assert again == table
        stored = await app.services.documents.scan("spendEntries")
        assert len(stored) == 2

    async def test_a_day_that_is_none_is_refused(self, app):
        course = await app.course()
        for day in ("2026-02-30", "yesterday", "2026-11-20T00"):
            for name in ("export_spend", "get_cost_advice"):
                reply = await app.call(name, {"courseId": course, "day": day}, uid="teacher")
                assert reply.status_code == 400

    def test_no_cell_is_a_formula(self):
        entries = [
            {
                "at": datetime(2026, 11, 20, tzinfo=UTC), "uid": text, "task": text, "model": text,
                "promptTokens": 1, "cachedTokens": 0, "cacheWriteTokens": 3, "completionTokens": -5, "nanos": 7,
                "reservedNanos": 9, "id": text,
            }
            for text in HOSTILE
        ]  # fmt: skip
        rows = list(csv.reader(io.StringIO(as_csv(entries))))[1:]
        for row, text in zip(rows, HOSTILE, strict=True):
            assert row[1] == row[2] == row[3] == row[10] == f"'{text}"
            assert row[6:9] == ["3", "-5", "7"]

    @given(st.text(max_size=20))
    def test_a_cell_never_begins_like_a_formula(self, text):
        cell = _plain(text)
        assert cell in {text, f"'{text}"}
        assert not cell.lstrip(' "').startswith(("=", "+", "-", "@", "\t", "\r", "|", "\uff1d"))


class TestAdvice:
    async def test_it_is_of_the_courses_own_calls_that_day(self, app):
        course = await app.course()
        for number in range(5):
            await pay(app, f"learner-{number}", course, 1_000_000)
        await pay(app, "busy", course, 10_000_000)
        await pay(app, "ann", "another", 99_000_000)
        day = datetime.now(UTC).date().isoformat()
        advice = await app.ok("get_cost_advice", {"courseId": course, "day": day}, uid="teacher")
        assert (advice["calls"], advice["nanos"], advice["truncated"]) == (6, 15_000_000, False)
        assert [(tip["rule"], tip["actor"], tip["subject"], tip["savedNanos"]) for tip in advice["tips"]] == [
            ("limit-abuse", "teacher", "busy", 9_000_000),
            ("archive", "operator", "LECTERN_ARCHIVE_URL", 0),
        ]
        other = await app.ok("get_cost_advice", {"courseId": course, "day": "2026-01-01"}, uid="teacher")
        assert (other["calls"], other["nanos"]) == (0, 0)


async def test_what_has_expired_is_removed_and_nothing_else():
    store = MemoryDocuments()
    now = datetime(2026, 11, 20, tzinfo=UTC)
    ends = [now + timedelta(hours=number - 350) for number in range(700)]
    for start in range(0, 700, 350):
        await store.commit(
            [Create(f"spending/{n:04}", {"expiresAt": ends[n]}) for n in range(start, start + 350)]
        )
    assert await remove_expired(store, "spending", now) == 350
    assert len(await store.scan("spending", limit=1000)) == 350
    assert await remove_expired(store, "spending", now) == 0


async def test_figures_of_a_scope_without_spending_are_zero(app):
    [day] = await app.services.budgets.spent(Scope.COURSE, "none")
    assert (day.spent_nanos, day.reserved_nanos, day.remaining_nanos) == (0, 0, 10_000_000_000)
