"""Puts answers on record: one document each, created once."""

from dataclasses import dataclass
from functools import cache

from shared import metrics
from shared.counting import Count
from shared.documents.base import Documents
from shared.errors import Conflict, Unavailable
from shared.learning.answers import AnswerSubmitted, decode, encode, payload_digest, utf8_bytes
from shared.ledger.base import PENDING, pending_path
from shared.ledger.group_commit import GroupCommit

_TRIES = 4


@cache
def _accepted(source: str, outcome: str) -> Count:
    return metrics.answers_accepted.labels(source, outcome)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer that is on record: the event as stored, its JSON, and whether it was there before."""

    event: AnswerSubmitted
    text: str
    duplicate: bool


class PendingAnswers:
    """The answers that wait to be merged, as those who accept answers see them."""

    def __init__(self, documents: Documents) -> None:
        """Keep them in *documents*."""
        self._documents = documents
        self._group_commit = GroupCommit(documents)

    async def record(self, event: AnswerSubmitted) -> Recorded:
        """
        Put *event* on record; returning means that it is durable.

        A resend is recognised by its id and returns what was stored the first time.

        Raises:
            Conflict: that submission id is on record with another answer.
            Unavailable: it is not known whether it is on record; resend it.
        """
        path = pending_path(event)
        text = encode(event)
        for _ in range(_TRIES):
            creation = await self._group_commit.create(path, {"event": text}, size=utf8_bytes(text))
            if not creation.existed:
                _accepted(event.source, "new").inc()
                return Recorded(event, text, duplicate=False)
            [stored] = await self._documents.get([path])
            if stored is None:
                continue  # merged and removed since; recorded again, the registers will know it
            if creation.repeated and stored.fields["event"] == text:
                _accepted(event.source, "new").inc()
                return Recorded(event, text, duplicate=False)  # ours: the reply to the first try was lost
            known = decode(stored.fields["event"])
            if payload_digest(known) != payload_digest(event):
                _accepted(event.source, "conflict").inc()
                message = "this submissionId is on record with another answer"
                raise Conflict(message)
            _accepted(event.source, "duplicate").inc()
            return Recorded(known, stored.fields["event"], duplicate=True)
        message = "the answer could not be put on record"
        raise Unavailable(message)

    async def count(self) -> int:
        """How many answers wait, over all assignments."""
        return await self._documents.count(PENDING)
