"""Finds the answers that no message brought to a merge, and brings them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import metrics
from shared.documents.base import Document, Documents
from shared.errors import InvalidRequest, Unavailable
from shared.learning.answers import AnswerSubmitted, decode, moment
from shared.ledger.base import FROM_BROWSERS, PENDING, pending_path
from shared.ledger.browser_answers import from_browser
from shared.ledger.merging import Merger

log = logging.getLogger("lectern")

_PAGE = 300


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: answers merged by it, and documents set aside because they are none."""

    answers: int
    unreadable: int


class Sweep:
    """Drains the pending collections of everything that was there when it began."""

    def __init__(
        self,
        documents: Documents,
        merger: Merger,
        *,
        now: Callable[[], datetime],
        set_aside: Callable[[Document, str], Awaitable[None]],
        young: timedelta = timedelta(seconds=2),
    ) -> None:
        """
        Leave answers younger than *young* to the messages that are on their way with them.

        *set_aside* stores a document that is no answer where somebody will look.
        """
        self._documents = documents
        self._merger = merger
        self._now = now
        self._set_aside = set_aside
        self._young = young

    async def run(self) -> Swept:
        """
        Return when everything that was pending at the start is merged, by this sweep or by a message.

        What cannot be merged or set aside does not hold up the rest; it is logged.

        Raises:
            Unavailable: something may be left; sweep again.
        """
        began = self._now()
        answers = unreadable = 0
        failures: list[BaseException] = []
        while True:
            waiting = 0
            for collection in (PENDING, FROM_BROWSERS):
                merged, bad, young = await self._pass(collection, began, failures)
                answers, unreadable, waiting = answers + merged, unreadable + bad, waiting + young
            if failures:
                message = f"pending batches that could not be merged or set aside: {len(failures)}"
                raise Unavailable(message) from failures[0]
            if not waiting:
                metrics.pending_answers.set(0)
                return Swept(answers, unreadable)
            await asyncio.sleep(self._young.total_seconds() / 4)

    async def _pass(
        self, collection: str, began: datetime, failures: list[BaseException]
    ) -> tuple[int, int, int]:
        merged = bad = waiting = 0
        last: str | None = None
        while True:
            page = await self._documents.scan(collection, after=last, limit=_PAGE)
            ripe: list[AnswerSubmitted] = []
            unreadable: list[tuple[Document, str]] = []
            for document in page:
                try:
                    event = read_pending(document)
                except InvalidRequest as error:
                    unreadable.append((document, error.message))
                    continue
                submitted = moment(event.submitted_at)
                if submitted > began:
                    continue  # for the messages, or the next sweep
                if submitted > self._now() - self._young:
                    waiting += 1
                else:
                    ripe.append(event)
            merged += await self._bring(ripe, failures)
            bad += await self._put_away(unreadable, failures)
            if len(page) < _PAGE:
                return merged, bad, waiting
            last = page[-1].id

    async def _bring(self, events: Sequence[AnswerSubmitted], failures: list[BaseException]) -> int:
        by_assignment: dict[str, list[AnswerSubmitted]] = {}
        for event in events:
            by_assignment.setdefault(event.assignment_id, []).append(event)
        outcomes = await asyncio.gather(
            *(self._merger.merge(some, by="sweep", forget=False) for some in by_assignment.values()),
            return_exceptions=True,
        )
        merged: list[AnswerSubmitted] = []
        for (assignment_id, some), outcome in zip(by_assignment.items(), outcomes, strict=True):
            if outcome is None:
                merged += some
                continue
            failures.append(outcome)
            log.error(
                "answers_not_swept",
                extra={"assignment_id": assignment_id, "answers": len(some)},
                exc_info=outcome,
            )
        if merged:
            await self._documents.delete_each([pending_path(event) for event in merged])
        return len(merged)

    async def _put_away(
        self, unreadable: Sequence[tuple[Document, str]], failures: list[BaseException]
    ) -> int:
        """Set documents aside that are no answers; how many were."""

        async def one(document: Document, reason: str) -> None:
            await self._set_aside(document, reason)
            await self._documents.delete_each([document.path])

        done = 0
        for document, reason in unreadable:
            [outcome] = await asyncio.gather(one(document, reason), return_exceptions=True)
            if outcome is None:
                done += 1
                continue
            failures.append(outcome)
            log.error("document_not_set_aside", extra={"event_id": document.id}, exc_info=outcome)
        return done


def read_pending(document: Document) -> AnswerSubmitted:
    """
    The answer in a pending *document*, whoever wrote it.

    Raises:
        InvalidRequest: there is none, or it is not the one that its name says.
    """
    if document.path.startswith(FROM_BROWSERS):
        event = from_browser(document.id, document.fields)
    else:
        event = decode(document.fields.get("event", ""))
    if event.event_id != document.id:
        message = "the document's id is not its event's"
        raise InvalidRequest(message)
    return event
