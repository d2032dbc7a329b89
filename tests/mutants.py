"""
The ways in which such a ledger is usually written, and which lose answers or count them twice.

Each is the product with one safeguard taken out. A layer of tests that can see the difference must
catch it, or the layer proves nothing.
"""

import asyncio
import sys
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.base import Create, Document, Put, Replace, Version, Write
from shared.errors import Conflict, PreconditionLost, Unavailable
from shared.learning.answers import AnswerSubmitted, encode, from_text, microseconds
from shared.learning.attempts import Attempt, effective
from shared.learning.registers import Folded, Registers, Row
from shared.learning.segments import ordered
from shared.learning.sharding import Shard
from shared.ledger.accepting import PendingAnswers, Recorded
from shared.ledger.base import head_path, pending_path
from shared.ledger.erasing import Erasing
from shared.ledger.merging import Merger
from shared.ledger.shards import HasSplit, Shards, ShardState
from shared.ledger.sweeping import Sweep, Swept
from shared.ledger.tombstones import Tombstones

_TRIES = 10


@dataclass(frozen=True)
class Variant:
    """The parts of a worker, in the place of which a mutant puts its own."""

    name: str
    documents: Callable[[Any], Any] = lambda documents: documents
    pending_answers: type[PendingAnswers] = PendingAnswers
    merger: type[Merger] = Merger
    sweep: type[Sweep] = Sweep
    shards: type[Shards] = Shards
    erasing: type[Erasing] = Erasing
    tombstones: type[Tombstones] = Tombstones


class _Counting(Merger):
    """A worker that counts what it is given; which of it is new, its subclasses decide in their own ways."""

    async def _fold_and_commit(
        self, assignment_id: str, shard: Shard, events: list[AnswerSubmitted]
    ) -> Folded | None:
        for _ in range(_TRIES):
            state = await self._shards.load(await self._grading_of(assignment_id), shard)
            if isinstance(state, HasSplit):
                self._splits[assignment_id, shard] = state.by_bits
                return None
            new = await self._new(events)
            for event in new:
                _count(state.registers, event)
            try:
                if new:
                    await self._shards.append(state, ordered(new), now=self._now())
            except (Conflict, PreconditionLost):
                continue
            except Unavailable:
                if not self._tries_again():
                    raise
                continue
            await self._mark(new)
            return Folded(ordered(new), 0, [])
        message = "other workers kept being first"
        raise Unavailable(message)

    def _tries_again(self) -> bool:
        return False

    async def _new(self, events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
        return list(events)

    async def _mark(self, new: Sequence[AnswerSubmitted]) -> None:
        pass


class _WithoutMarker(_Counting):
    """Increments: whatever comes is added, as ``Increment(1)`` is."""


class _WithCallerRetry(_Counting):
    """A transaction that its caller repeats when the reply was lost; what is new was decided before it."""

    async def _fold_and_commit(
        self, assignment_id: str, shard: Shard, events: list[AnswerSubmitted]
    ) -> Folded | None:
        self._decided = await _still_pending(self._documents, events)
        return await super()._fold_and_commit(assignment_id, shard, events)

    def _tries_again(self) -> bool:
        return True

    async def _new(self, events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
        wanted = {event.event_id for event in events}
        return [event for event in self._decided if event.event_id in wanted]


class _MarkingLater(_Counting):
    """Markers that say what was counted, written by a second commit."""

    async def _new(self, events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
        distinct = _distinct(events)
        found = await self._documents.get([f"counted/{event.event_id}" for event in distinct])
        return [event for event, marker in zip(distinct, found, strict=True) if marker is None]

    async def _mark(self, new: Sequence[AnswerSubmitted]) -> None:
        if new:
            await self._documents.create_each([Create(f"counted/{event.event_id}", {}) for event in new])


class _WithoutRegister(_Counting):
    """Whatever has a pending document is new: there is no other memory."""

    async def _new(self, events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
        return await _still_pending(self._documents, events)


class _ForgettingFirst(Merger):
    """Removes the pending documents, then writes the segment."""

    async def _fold_and_commit(
        self, assignment_id: str, shard: Shard, events: list[AnswerSubmitted]
    ) -> Folded | None:
        await self._forget(events)
        return await super()._fold_and_commit(assignment_id, shard, events)


class _InArrivalOrder(_Counting):
    """The attempt that came last is the last attempt."""

    async def _fold_and_commit(
        self, assignment_id: str, shard: Shard, events: list[AnswerSubmitted]
    ) -> Folded | None:
        for _ in range(_TRIES):
            state = await self._shards.load(await self._grading_of(assignment_id), shard)
            if isinstance(state, HasSplit):
                self._splits[assignment_id, shard] = state.by_bits
                return None
            new = [event for event in _distinct(events) if not _knows(state.registers, event)]
            for event in new:
                _count(state.registers, event, in_order=False)
            try:
                if new:
                    await self._shards.append(state, new, now=self._now())
            except (Conflict, PreconditionLost, Unavailable):
                continue
            return Folded(new, 0, [])
        message = "other workers kept being first"
        raise Unavailable(message)


class _EagerAcceptance(PendingAnswers):
    """Says that an answer is on record while it is being written."""

    async def record(self, event: AnswerSubmitted) -> Recorded:
        writing = asyncio.ensure_future(super().record(event))
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return Recorded(event, encode(event), duplicate=False)


class _Blind:
    """Documents without preconditions in the ledger: the last writer wins."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        return await self._inner.commit([await self._without_precondition(write) for write in writes])

    async def _without_precondition(self, write: Write) -> Write:
        if not write.path.startswith("ledgers/"):
            return write
        if isinstance(write, Create):
            return Put(write.path, write.fields)
        if isinstance(write, Replace):
            [there] = await self._inner.get([write.path])
            return Put(write.path, {**(there.fields if there else {}), **write.fields})
        return write


class _CursorSweep(Sweep):
    """Looks only at answers submitted since it last looked."""

    async def run(self) -> Swept:
        [cursor] = await self._documents.get(["sweeps/cursor"])
        began = microseconds(self._now())
        everything = self._documents
        self._documents = _Since(everything, cursor.fields["at"] if cursor else 0)
        try:
            swept = await super().run()
        finally:
            self._documents = everything
        await everything.commit([Put("sweeps/cursor", {"at": began})])
        return swept


class _Since:
    """Pending documents that were submitted after a moment."""

    def __init__(self, inner: Any, moment: int) -> None:
        self._inner = inner
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        page = await self._inner.scan(collection, after=after, limit=limit)
        return [document for document in page if _submitted(document) > self._moment]


class _RegistersOnly(Erasing):
    """Erases from what is read every day, and leaves the history as it is."""

    async def _from_segments(self, assignment_id: str, state: ShardState) -> bool:
        return True


class _WithoutTrace(Shards):
    """Takes learners out of a shard's page, and tells no replay."""

    async def erase(self, state: ShardState, learners: Mapping[str, bytes], *, now: datetime) -> int:
        assert state.version is not None
        registers, gone = state.registers, sorted(learners)
        attempts = registers.erase(gone)
        registers.recount()
        fields = {
            "events": registers.events,
            "sums": registers.sums.encode(),
            "page": registers.encode(),
            "pageSeq": state.seq,
            "erased": state.erased + attempts,
            "erasing": gone,
        }
        path = head_path(registers.grading.assignment_id, state.shard)
        [state.version] = await self._documents.commit([Replace(path, fields, state.version)])
        state.page_seq, state.erased, state.erasing = state.seq, state.erased + attempts, tuple(gone)
        return attempts


class _WithoutTombstones(Tombstones):
    """Forgets whom it erased."""

    async def known(self) -> frozenset[bytes]:
        return frozenset()


def _submitted(document: Document) -> int:
    submitted = document.fields.get("submittedAt")
    if isinstance(submitted, datetime):
        return microseconds(submitted)
    if submitted is not None:
        return sys.maxsize  # a browser's nonsense; a cursor is wrong even where it looks at all of that
    return from_text(document.fields["event"].partition('"submittedAt":"')[2].partition('"')[0])


def _distinct(events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
    return list({event.event_id: event for event in events}.values())


async def _still_pending(documents: Any, events: Sequence[AnswerSubmitted]) -> list[AnswerSubmitted]:
    distinct = _distinct(events)
    found = await documents.get([pending_path(event) for event in distinct])
    return [event for event, document in zip(distinct, found, strict=True) if document is not None]


def _knows(registers: Registers, event: AnswerSubmitted) -> bool:
    row = registers.rows.get(event.student_id)
    kept = row.attempts.get(registers.grading.question_index(event.question_id), []) if row else []
    return any(attempt[1] == event.event_id[:24] for attempt in kept)


def _count(registers: Registers, event: AnswerSubmitted, *, in_order: bool = True) -> None:
    """What the registers do with an answer, without asking whether they know it."""
    grading = registers.grading
    question = grading.question_index(event.question_id)
    credit, code = grading.grade(question, event.answer)
    attempt = Attempt(event.submitted_at, event.event_id[:24], credit, code)
    row = registers.rows.get(event.student_id)
    if row is None:
        row = registers.rows[event.student_id] = Row()
        registers.sums.students += 1
    kept = row.attempts.setdefault(question, [])
    if in_order:
        insort(kept, attempt, key=lambda each: each[:2])
    else:
        kept.append(attempt)
    counts = effective(kept, grading.policy.attempts, grading.policy.max_attempts)
    registers.events += 1
    registers._count(row, question, counts if counts is not None else kept[0])


SOUND = Variant("sound")

MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Variant("increment-without-marker", merger=_WithoutMarker),
        Variant("marker-in-a-second-commit", merger=_MarkingLater),
        Variant("transaction-with-caller-retry", merger=_WithCallerRetry),
        Variant("no-register", merger=_WithoutRegister),
        Variant("no-precondition", documents=_Blind),
        Variant("acknowledged-before-commit", pending_answers=_EagerAcceptance),
        Variant("deleted-before-the-segment", merger=_ForgettingFirst),
        Variant("arrival-order", merger=_InArrivalOrder),
        Variant("cursor-without-overlap", sweep=_CursorSweep),
        Variant("erased-from-the-registers-only", erasing=_RegistersOnly),
        Variant("erased-without-a-segment-that-says-so", shards=_WithoutTrace),
        Variant("erased-without-a-tombstone", tombstones=_WithoutTombstones),
    )
}
