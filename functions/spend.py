"""What a course spends on tutoring: its figures, every entry as a table, and how to spend less."""

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from shared.budgets.advice import Actor, Deployed, Rule, advise
from shared.budgets.base import Scope
from shared.catalog.base import CourseRole
from shared.edge import endpoint
from shared.edge.registry import Capacity
from shared.errors import InvalidRequest
from shared.learning.facts import DocumentId, Fact

MOST_ROWS = 20_000
_COLUMNS = (
    "at",
    "learnerId",
    "task",
    "model",
    "promptTokens",
    "cachedTokens",
    "cacheWriteTokens",
    "completionTokens",
    "nanos",
    "reservedNanos",
    "entryId",
)
_LOOKED_AT = {each.name for each in fields(Deployed)}
_FORMULAS = "=+-@\t\r|\uff1d\uff0b\uff0d\uff20"

Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class GetSpend(Fact):
    """Of which course."""

    course_id: DocumentId


class TaskSpend(Fact):
    """What one kind of task cost, in nano-dollars, and how many calls it was."""

    task: str
    nanos: int
    calls: int


class Spend(Fact):
    """
    What the course has spent today, in nano-dollars (1 USD = 1,000,000,000).

    ``reservedNanos`` is put aside for calls under way and to come; ``unaccountedNanos``, a part of what is
    spent, was held by instances that ended without telling what became of it. ``percent`` is of the ceiling.
    """

    course_id: DocumentId
    period: str
    ceiling_nanos: int
    spent_nanos: int
    reserved_nanos: int
    unaccounted_nanos: int
    remaining_nanos: int
    percent: Annotated[int, Field(ge=0)]
    by_task: tuple[TaskSpend, ...]


class ExportSpend(Fact):
    """Of which course, and of which day of the school's time zone."""

    course_id: DocumentId
    day: Day


class GetCostAdvice(ExportSpend):
    """Of which course, and from which day's calls, in the school's time zone."""


class CostTip(Fact):
    """
    One thing that would have made the day cheaper.

    ``rule`` is its stable name, ``actor`` who can do it: a ``teacher``, or the ``operator`` who deploys.
    ``subject`` is a learner, a task or a setting. ``savedNanos`` is about what it would have saved; 0: nobody
    can tell.
    """

    rule: Rule
    actor: Actor
    subject: str
    saved_nanos: Annotated[int, Field(ge=0)]
    text: str


class CostAdvice(Fact):
    """
    What a day's calls suggest, the most worthwhile first.

    ``truncated``: there are more calls than were looked at.
    """

    course_id: DocumentId
    day: Day
    calls: int
    nanos: int
    tips: tuple[CostTip, ...]
    truncated: bool


class SpendTable(Fact):
    """
    The day's ledger as CSV after RFC 4180, oldest first.

    No cell is read as a formula by a spreadsheet. ``truncated``: there are more entries than the table has.
    """

    file_name: str
    csv: str
    rows: int
    nanos: int
    truncated: bool


@endpoint.client_call(sensitive=True)
async def get_spend(command: GetSpend, call: endpoint.Call) -> Spend:
    """Say what a course that the caller teaches has spent today, and on what."""
    await call.services.catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    [day] = await call.services.budgets.spent(Scope.COURSE, command.course_id)
    return Spend(
        course_id=command.course_id,
        period=day.period,
        ceiling_nanos=day.ceiling_nanos,
        spent_nanos=day.spent_nanos,
        reserved_nanos=day.reserved_nanos,
        unaccounted_nanos=day.unaccounted_nanos,
        remaining_nanos=day.remaining_nanos,
        percent=100 * day.spent_nanos // day.ceiling_nanos if day.ceiling_nanos else 100,
        by_task=tuple(
            TaskSpend(task=task, nanos=nanos, calls=calls)
            for task, (nanos, calls) in sorted(day.by_task.items())
        ),
    )


@endpoint.client_call(sensitive=True, deadline_seconds=60, capacity=Capacity(concurrency=4))
async def export_spend(command: ExportSpend, call: endpoint.Call) -> SpendTable:
    """List what a course that the caller teaches was charged on one day, call by call."""
    await call.services.catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    entries, truncated = await _entries(command, call)
    entries.sort(key=lambda each: (each["at"], each["id"]))
    return SpendTable(
        file_name=f"spend-{command.day}.csv",
        csv=as_csv(entries),
        rows=len(entries),
        nanos=sum(each["nanos"] for each in entries),
        truncated=truncated,
    )


@endpoint.client_call(sensitive=True, deadline_seconds=60, capacity=Capacity(concurrency=4))
async def get_cost_advice(command: GetCostAdvice, call: endpoint.Call) -> CostAdvice:
    """Say what would have made a day cheaper in a course that the caller teaches, from its own calls."""
    await call.services.catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    entries, truncated = await _entries(command, call)
    services = call.services
    deployed = Deployed(**services.settings.model_dump(include=_LOOKED_AT))
    return CostAdvice(
        course_id=command.course_id,
        day=command.day,
        calls=len(entries),
        nanos=sum(each["nanos"] for each in entries),
        tips=tuple(CostTip(**tip._asdict()) for tip in advise(entries, services.prices, deployed)),
        truncated=truncated,
    )


async def _entries(command: ExportSpend, call: endpoint.Call) -> tuple[list[Mapping[str, Any]], bool]:
    """A day's ledger, and whether there is more of it than is told."""
    try:
        date.fromisoformat(command.day)
    except ValueError:
        message = "there is no such day"
        raise InvalidRequest(message) from None
    await call.services.spend_ledger.flush()
    entries: list[Mapping[str, Any]] = []
    async for entry in call.services.spend_ledger.read(command.course_id, command.day):
        if len(entries) == MOST_ROWS:
            return entries, True
        entries.append(entry)
    return entries, False


def as_csv(entries: list[Mapping[str, Any]]) -> str:
    """Ledger entries, as they are stored, as CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for each in entries:
        writer.writerow(
            [
                each["at"].isoformat(),
                *(_plain(each[name]) for name in ("uid", "task", "model")),
                # Entries from before the provider told what it put into its cache have no such number.
                *(each.get(name, 0) for name in _COLUMNS[4:10]),
                _plain(each["id"]),
            ]
        )
    return out.getvalue()


def _plain(text: str) -> str:
    """*text*, with a ``'`` before it if a spreadsheet might take it, also without quotes, for a formula."""
    bare = text.lstrip(" \"'\u00a0\u3000\ufeff")
    return f"'{text}" if bare[:1] and bare[0] in _FORMULAS else text
