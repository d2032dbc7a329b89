"""
Finds recorded answers again, word for word, with few reads.

Registers know every attempt (when, under which name, what it earned) but not its text; the text is
in the event, which waits in a document of its own until it is merged, and is in a segment after. Segments are
in the order of their merges, and an answer is merged after it was submitted, so its segment is found
by bisection.

Reads: the head of the shard (and the segments behind its page); for an answer that waits, two
documents; for a merged one, log2 of the number of segment documents, and usually one more.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.documents.base import Document, Documents
from shared.errors import NotFound
from shared.learning.answers import AnswerSubmitted, decode, moment
from shared.learning.assignments import Grading
from shared.learning.attempts import Attempt, effective
from shared.learning.segments import unpack
from shared.learning.sharding import WHOLE, Shard, position
from shared.ledger.base import FROM_BROWSERS, PENDING, segments_path
from shared.ledger.browser_answers import from_browser
from shared.ledger.history import History
from shared.ledger.results import Results
from shared.ledger.shards import ShardState, split_body

_SKEW = timedelta(seconds=10)
"""How far the clocks of those who accept and those who merge may differ."""

_PAGE = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where a learner stands at one question.

    *attempts* in canonical order, the one that waits to be merged included; *event* is the answer asked
    for, or the one that counts; None where nothing was answered.
    """

    attempts: tuple[Attempt, ...]
    event: AnswerSubmitted | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a merged answer is found: whose, under which name (or its beginning), submitted when."""

    student_id: str
    event_id: str
    submitted_at_micros: int


class RecordedAnswers:
    """Answers as learners gave them: of one, or those that count of all."""

    def __init__(self, documents: Documents, results: Results, history: History) -> None:
        """Read pending answers from *documents*, merged ones from the shards and their segments."""
        self._documents = documents
        self._results = results
        self._history = history

    async def standing(
        self, grading: Grading, student_id: str, question_id: str, *, event_id: str | None = None
    ) -> Standing:
        """
        Where *student_id* stands at a question, with the answer *event_id* or the one that counts.

        Raises:
            NotFound: the learner has no answer of that id to that question.
        """
        index = grading.question_index(question_id)
        waiting = await self._waiting(event_id) if event_id is not None else None
        state = await self._results.holding(grading, position(student_id))
        row = state.registers.rows.get(student_id)
        merged = tuple(row.attempts.get(index, ())) if row is not None else ()
        if waiting is not None:
            if waiting.student_id != student_id or waiting.question_id != question_id:
                raise NotFound(_NO_ANSWER)
            if waiting.assignment_id != grading.assignment_id:
                raise NotFound(_NO_ANSWER)
            return Standing(_with(merged, waiting, grading, index), waiting)
        wanted = _named(merged, event_id) if event_id is not None else _counting(merged, grading)
        if wanted is None:
            if event_id is not None:
                raise NotFound(_NO_ANSWER)
            return Standing((), None)
        event = await self._merged(grading, state.shard, state.seq, wanted, student_id)
        if event is None or event.question_id != question_id:
            raise NotFound(_NO_ANSWER)
        return Standing(merged, event)

    async def counting(self, grading: Grading, question_id: str) -> list[Place]:
        """The merged answers to a question that count, one of each learner, oldest first."""
        index = grading.question_index(question_id)
        found = []
        async for state in self._results.shards(grading):
            for student_id, row in state.registers.rows.items():
                attempt = row.effective.get(index)
                if attempt is not None:
                    found.append(Place(student_id, attempt.event_id, attempt.submitted_at_micros))
        return sorted(found, key=lambda each: (each.submitted_at_micros, each.event_id))

    async def events(self, grading: Grading, places: Sequence[Place]) -> list[AnswerSubmitted]:
        """
        The answers at *places*, in the order asked; each shard is read once, the segments at once.

        Raises:
            NotFound: one of them is not there.
        """
        found = await self._found(grading, places)
        events = [event for place in places if (event := found[place][1]) is not None]
        if len(events) < len(places):
            raise NotFound(_NOT_THERE)
        return events

    async def standings(self, grading: Grading, question_id: str, places: Sequence[Place]) -> list[Standing]:
        """
        Where those at *places* stand at a question, in the order asked, each with the answer there.

        The event is None where that answer is not on record, or not merged yet. Reads as ``events``.
        """
        index = grading.question_index(question_id)
        found = await self._found(grading, places)
        standings = []
        for place in places:
            state, event = found[place]
            row = state.registers.rows.get(place.student_id)
            merged = tuple(row.attempts.get(index, ())) if row is not None else ()
            good = event is not None and event.question_id == question_id
            standings.append(Standing(merged, event if good else None))
        return standings

    async def _found(
        self, grading: Grading, places: Sequence[Place]
    ) -> dict[Place, tuple[ShardState, AnswerSubmitted | None]]:
        in_line = sorted(set(places), key=lambda each: position(each.student_id))
        states: list[ShardState] = []
        for place in in_line:
            at = position(place.student_id)
            known = states[-1] if states and states[-1].shard.holds(at) else None
            states.append(known or await self._results.holding(grading, at))
        finding = (
            self._merged(
                grading,
                state.shard,
                state.seq,
                Attempt(place.submitted_at_micros, place.event_id, None, 0),
                place.student_id,
            )
            for place, state in zip(in_line, states, strict=True)
        )
        events = await asyncio.gather(*finding)
        return dict(zip(in_line, zip(states, events, strict=True), strict=True))

    async def _waiting(self, event_id: str) -> AnswerSubmitted | None:
        pending, browser = await self._documents.get([f"{PENDING}/{event_id}", f"{FROM_BROWSERS}/{event_id}"])
        if pending is not None:
            return decode(pending.fields["event"])
        return from_browser(event_id, browser.fields) if browser is not None else None

    async def _merged(
        self, grading: Grading, shard: Shard, last: int, attempt: Attempt, student_id: str
    ) -> AnswerSubmitted | None:
        line = [(shard, last)]
        if shard != WHOLE:
            line = await self._history.line_of(grading.assignment_id, shard, last)
        at = moment(attempt.submitted_at_micros)
        # Newest first: what is asked about was mostly answered a moment ago.
        for place in range(len(line) - 1, -1, -1):
            own, until = line[place]
            first = line[place - 1][1] + 1 if place else 1
            collection = segments_path(grading.assignment_id, own)
            # The first merge after it, by one clock; by two, one of those around it; else any.
            begin = await self._bisect(collection, first, until, at)
            found = await self._event(self._from(collection, begin, begin), attempt, student_id)
            if found is None:
                begin = await self._bisect(collection, first, until, at - _SKEW)
                found = await self._event(self._from(collection, begin, until), attempt, student_id)
            if found is None and begin > first:
                found = await self._event(self._from(collection, first, begin - 1), attempt, student_id)
            if found is not None:
                return found
        return None

    async def _event(
        self, documents: AsyncIterator[Document], attempt: Attempt, student_id: str
    ) -> AnswerSubmitted | None:
        async for document in documents:
            for segment in split_body(document.fields, await self._history.body(document)):
                for event in unpack(segment.packed):
                    if event.student_id == student_id and event.event_id.startswith(attempt.event_id):
                        return event
        return None

    async def _bisect(self, collection: str, first: int, last: int, at: datetime) -> int:
        """The first segment number, from *first* to *last*, of a document merged at *at* or later."""
        low, high, begin = first, last, last
        while low <= high:
            middle = (low + high) // 2
            found = await self._documents.scan(collection, after=_before(middle), limit=1)
            if not found or found[0].fields["first"] > high:
                high = middle - 1  # no document begins in the upper half
            elif found[0].fields["parts"][-1]["mergedAt"] >= at:
                begin, high = found[0].fields["first"], middle - 1
            else:
                low = found[0].fields["last"] + 1
        return begin

    async def _from(self, collection: str, begin: int, last: int) -> AsyncIterator[Document]:
        after = _before(begin)
        size = 1
        while True:
            page = await self._documents.scan(collection, after=after, limit=size)
            for document in page:
                if document.fields["first"] > last:
                    return
                yield document
            if len(page) < size or page[-1].fields["last"] >= last:
                return
            after, size = page[-1].id, _PAGE


_NO_ANSWER = "there is no such answer of yours"
_NOT_THERE = "an answer is not on record any more"


def _before(seq: int) -> str:
    """The id before that of the segment *seq*."""
    return f"{seq - 1:010d}"


def _named(attempts: tuple[Attempt, ...], event_id: str) -> Attempt | None:
    return next((each for each in attempts if event_id.startswith(each.event_id)), None)


def _counting(attempts: tuple[Attempt, ...], grading: Grading) -> Attempt | None:
    return effective(attempts, grading.policy.attempts, grading.policy.max_attempts) if attempts else None


def _with(
    merged: tuple[Attempt, ...], waiting: AnswerSubmitted, grading: Grading, index: int
) -> tuple[Attempt, ...]:
    if _named(merged, waiting.event_id) is not None:
        return merged
    credit, code = grading.grade(index, waiting.answer)
    attempt = Attempt(waiting.submitted_at, waiting.event_id, credit, code)
    return tuple(sorted((*merged, attempt), key=lambda each: each[:2]))
