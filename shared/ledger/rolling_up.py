"""
Writes the documents that browsers listen to: the sum of an assignment's shards, not too often.

Counts of options lie in one of their own, for teachers: beside the number of right answers they tell the key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from shared.documents.base import Document, Documents, Fields, Put, Replace, Version, Write
from shared.errors import PreconditionLost, Unavailable
from shared.learning import item_analysis
from shared.learning.assignments import Grading
from shared.learning.item_analysis import Sums
from shared.ledger.base import options_path
from shared.ledger.shards import Shards

_TRIES = 6
_STUDENTS_PER_INTERVAL = 2000
"""A class of 2,000 is told half as often as a small one: what listeners read grows with the class."""


@dataclass(frozen=True, slots=True)
class Totals:
    """
    The sums of a whole assignment, the answers in them, and in how many intervals learners are kept.

    *erased* answers are not in them any more.
    """

    events: int
    sums: Sums
    shard_bits: int
    erased: int = 0

    @property
    def age(self) -> tuple[int, int]:
        """Grows with every answer that is merged, and with every one that is erased."""
        return (self.events + self.erased, self.erased)


@dataclass(slots=True)
class _Progress:
    next: asyncio.Task[None] | None = None
    began_at: float = float("-inf")
    students: int = 0
    version: Version | None = None
    written: tuple[int, int] = (-1, 0)
    waiting: int = -1
    anew: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take_over(self, document: Document) -> Version:
        """Go on from what is shown in an assignment's *document*; its version."""
        as_of = document.fields.get("asOf") or {"events": -1, "pending": -1}
        erased = as_of.get("erased", 0)
        self.version, self.waiting = document.version, as_of["pending"]
        self.written = (as_of["events"] + erased, erased)
        return document.version


class RollUp:
    """Brings assignment documents, and their counts of options, up to date."""

    def __init__(
        self,
        documents: Documents,
        shards: Shards,
        *,
        grading_of: Callable[[str], Awaitable[Grading]],
        known_totals: Callable[[str], Totals | None],
        waiting: Callable[[str], int],
        now: Callable[[], datetime],
        interval_seconds: float,
    ) -> None:
        """
        Write to *documents*; at least *interval_seconds* lie between two writes of one assignment.

        *known_totals* may give an assignment's totals without a read, *waiting* says how many of its
        answers are known to wait.
        """
        self._documents = documents
        self._shards = shards
        self._grading_of = grading_of
        self._known_totals = known_totals
        self._waiting = waiting
        self._now = now
        self._interval_seconds = interval_seconds
        self._progress: dict[str, _Progress] = {}

    async def roll_up(self, assignment_id: str, *, anew: bool = False) -> None:
        """
        Return when the assignment document shows everything that was merged before this call.

        With *anew*, the shards are asked, whatever is remembered of them, and it is written even if it seems
        to show that already.
        """
        progress = self._progress.setdefault(assignment_id, _Progress())
        progress.anew |= anew
        if progress.next is None:
            progress.next = asyncio.create_task(self._in_turn(assignment_id, progress))
        await asyncio.shield(progress.next)

    def interval_seconds(self, assignment_id: str) -> float:
        """How much time lies between two writes of an assignment, at least: as far as is known here."""
        progress = self._progress.get(assignment_id)
        students = progress.students if progress is not None else 0
        return self._interval_seconds * (1 + students / _STUDENTS_PER_INTERVAL)

    async def _in_turn(self, assignment_id: str, progress: _Progress) -> None:
        loop = asyncio.get_running_loop()
        interval = self.interval_seconds(assignment_id)
        await asyncio.sleep(max(0.0, progress.began_at + interval - loop.time()))
        progress.began_at = loop.time()
        progress.next = None  # whoever asks from here on needs the one after this
        async with progress.writing:  # a slow write must not meet the next one
            await self._write(assignment_id, progress)

    async def _write(self, assignment_id: str, progress: _Progress) -> None:
        path = f"assignments/{assignment_id}"
        grading = await self._grading_of(assignment_id)
        for _ in range(_TRIES):
            remembered = expected = progress.version
            if expected is None:
                [document] = await self._documents.get([path], only=["asOf"])
                if document is None:
                    return
                expected = progress.take_over(document)
            totals = None if progress.anew else self._known_totals(assignment_id)
            if totals is None or totals.age < progress.written:
                totals = await self.totals(grading)  # what is remembered is older than what is shown
            if totals.age < progress.written:
                return  # somebody who read later was here before us
            progress.students = totals.sums.students
            waiting = self._waiting(assignment_id)
            if (totals.age, waiting) == (progress.written, progress.waiting) and not progress.anew:
                if remembered is not None:
                    progress.version = None  # it may show something else by now: what another saw waiting
                    continue
                return
            as_of = _as_of(totals, waiting, self._now())
            progress.version = None  # unknown until the store confirms
            try:
                writes = _writes(grading, totals, as_of, expected)
                [progress.version, *_] = await self._documents.commit(writes)
            except PreconditionLost:
                continue
            except Unavailable:
                # It may still be on its way. Whatever is written next moves the version, and fences it off.
                progress.anew = True
                raise
            progress.written, progress.waiting, progress.anew = totals.age, waiting, False
            return
        message = "the assignment document keeps changing"
        raise PreconditionLost(message)

    async def totals(self, grading: Grading) -> Totals:
        """Add up the heads of all shards: one read each."""
        heads = await self._shards.heads(grading.assignment_id)
        if not heads:
            return Totals(0, Sums.zero(grading.questions), 0)
        return Totals(
            events=sum(head.events for head in heads),
            sums=item_analysis.add(head.sums for head in heads),
            shard_bits=max(head.shard.bits for head in heads),
            erased=sum(head.erased for head in heads),
        )


def _as_of(totals: Totals, waiting: int, now: datetime) -> Fields:
    """How fresh figures are; ``erased`` only where there is something to tell."""
    erased = {"erased": totals.erased} if totals.erased else {}
    return {"events": totals.events, "pending": waiting, "at": now, **erased}


def _writes(grading: Grading, totals: Totals, as_of: Fields, expected: Version) -> list[Write]:
    """The assignment document, if it is as *expected*, and with it what only teachers see."""
    statistics = item_analysis.statistics(totals.sums, grading.questions)
    fields = {
        "stats": item_analysis.as_document(statistics),
        "asOf": as_of,
        "shardBits": totals.shard_bits,
    }
    writes: list[Write] = [Replace(f"assignments/{grading.assignment_id}", fields, expected)]
    if counts := item_analysis.option_counts(statistics):
        # Both or neither: the version that the first one names guards the second, too.
        writes.append(Put(options_path(grading.assignment_id), {"asOf": as_of, "questions": counts}))
    return writes
