"""What a course spends on tutoring: figures for its teachers, and every entry as a table."""

import csv
import io
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import Field, StringConstraints

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
    try:
        date.fromisoformat(command.day)
    except ValueError:
        message = "there is no such day"
        raise InvalidRequest(message) from None
    await call.services.spend_ledger.flush()
    entries: list[Mapping[str, Any]] = []
    truncated = False
    async for entry in call.services.spend_ledger.read(command.course_id, command.day):
        if len(entries) == MOST_ROWS:
            truncated = True
            break
        entries.append(entry)
    entries.sort(key=lambda each: (each["at"], each["id"]))
    return SpendTable(
        file_name=f"spend-{command.day}.csv",
        csv=as_csv(entries),
        rows=len(entries),
        nanos=sum(each["nanos"] for each in entries),
        truncated=truncated,
    )


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
