"""
Evaluations that wait, and the batches in which they are asked for: facts and rules, without I/O.

- ``queuedEvaluations/{evaluationId}``: one recorded answer whose evaluation is wanted; no word of it.
- ``evaluationBatches/{batchId}``: which of them a provider was asked in one file, and how far that is;
  no learner is named in it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.budgets.base import Charge, Payer
from shared.catalog.catalog import Asked
from shared.learning.answers import AnswerSubmitted
from shared.ledger.recorded import Place

TASK = "run_evaluation_queue"
"""What money is spent on, for people."""

MOST_IN_BATCH = 200
MOST_OPEN = 50
"""So many batches are under way at most, each of which every run looks at."""
MOST_IN_QUEUE = 2_000
"""Of one assignment; as counted before, so that some more may slip in at once."""
MOST_OF_LEARNER = 20
MOST_ATTEMPTS = 3
MOST_TRIES = 12
"""So often the sending of a batch is tried, a quarter of an hour apart."""

KEPT = timedelta(days=30)
CLAIM = timedelta(minutes=15)
"""Longer than a worker can live: whoever holds a claim that is over is gone."""
STUCK = timedelta(days=3)
"""A provider promises an end within a day; after this, nobody waits for it any more."""
_FIRST_PAUSE = timedelta(hours=1)
_SLOWER = 4
_LONGEST_REFUSAL = timedelta(hours=1)


class ItemState(StrEnum):
    """Where a queued evaluation is."""

    QUEUED = "queued"
    BATCHED = "batched"
    GIVEN_UP = "givenUp"


class BatchState(StrEnum):
    """How far a batch is: its record first, then its file, then the provider's word for it, then the end."""

    SUBMITTING = "submitting"
    BEGINNING = "beginning"
    """The file is there, and from now on the provider may have been asked to work on it."""
    SUBMITTED = "submitted"
    SETTLED = "settled"


class Reason(StrEnum):
    """Why an item came back, or was given up."""

    BUDGET = "budget"
    FAILED = "failed"
    """The provider did not answer it, or gave the batch up."""
    UNUSABLE = "unusable"
    """What the model replied is no evaluation."""
    NOT_ON_RECORD = "notOnRecord"
    CHANGED = "changed"
    """It was queued under another prompt or rubric; queue the answer again."""


@dataclass(frozen=True, slots=True)
class Item:
    """
    One queued evaluation.

    *due_at* is when it may be asked for next. What it is charged (*nanos* at *charged_at*, paid in
    *class_id*, too) is of its last batch.
    """

    evaluation_id: str
    assignment_id: str
    course_id: str
    question_id: str
    event_id: str
    learner_id: str
    submitted_at_micros: int
    queued_at: datetime
    due_at: datetime
    expires_at: datetime
    state: ItemState = ItemState.QUEUED
    attempts: int = 0
    reason: str = ""
    batch_id: str = ""
    class_id: str = ""
    nanos: int = 0
    charged_at: datetime | None = None
    version: tuple[int, int] = (0, 0)
    """Of its document, as it was read; no part of it."""

    @property
    def place(self) -> Place:
        """Where its answer is found."""
        return Place(self.learner_id, self.event_id, self.submitted_at_micros)

    def fields(self) -> dict[str, Any]:
        """As it is stored."""
        return {stored: getattr(self, name) for name, stored in _STORED.items()} | {"state": self.state.value}

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, name: str, version: tuple[int, int]) -> "Item":
        """As it was stored."""
        given = {mine: fields[stored] for mine, stored in _STORED.items() if mine != "state"}
        return cls(**given, evaluation_id=name, state=ItemState(fields["state"]), version=version)

    def charge(self, batch_id: str, model: str) -> Charge | None:
        """What it was charged as a part of a batch, if it still is one."""
        if self.batch_id != batch_id or self.charged_at is None:
            return None
        payer = Payer(self.learner_id, self.course_id, class_id=self.class_id)
        return Charge(
            charge_id(batch_id, self.evaluation_id), payer, TASK, model, self.nanos, self.charged_at
        )

    def counted(self) -> "Item":
        """After another attempt."""
        return replace(self, attempts=self.attempts + 1)

    def back(self, reason: Reason, now: datetime, *, pause: timedelta = timedelta()) -> "Item":
        """Back in the queue, after a *pause* that grows with each attempt; given up after the last."""
        if self.attempts:
            pause = max(pause, _FIRST_PAUSE * _SLOWER ** (self.attempts - 1))
        return replace(
            self,
            state=ItemState.GIVEN_UP if self.attempts >= MOST_ATTEMPTS else ItemState.QUEUED,
            reason=reason.value,
            due_at=now + pause,
            batch_id="",
        )

    def given_up(self, reason: Reason) -> "Item":
        """Where another attempt would be in vain."""
        return replace(self, state=ItemState.GIVEN_UP, reason=reason.value, batch_id="")

    def refused(self, retry_after_seconds: int, now: datetime) -> "Item":
        """As it waits for money: until there may be some; an hour at most, as people raise ceilings."""
        pause = min(timedelta(seconds=retry_after_seconds), _LONGEST_REFUSAL)
        return replace(self, reason=Reason.BUDGET.value, due_at=now + pause)

    def afresh(self, now: datetime) -> "Item":
        """Once more from the beginning, after it was given up."""
        return replace(
            self,
            state=ItemState.QUEUED,
            attempts=0,
            reason="",
            queued_at=now,
            due_at=now,
            expires_at=now + KEPT,
        )


_STORED = {
    "assignment_id": "assignmentId",
    "course_id": "courseId",
    "question_id": "questionId",
    "event_id": "eventId",
    "learner_id": "learnerId",
    "submitted_at_micros": "submittedAtMicros",
    "queued_at": "queuedAt",
    "due_at": "dueAt",
    "expires_at": "expiresAt",
    "state": "state",
    "attempts": "attempts",
    "reason": "reason",
    "batch_id": "batchId",
    "class_id": "classId",
    "nanos": "nanos",
    "charged_at": "chargedAt",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """
    One batch: which items, of which *model*, and how far it is.

    *file_id* and *provider_id* are the provider's names. Until *claimed_until* it is the worker's that
    *claimed_by* names.
    """

    batch_id: str
    model: str
    items: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    state: BatchState = BatchState.SUBMITTING
    file_id: str = ""
    provider_id: str = ""
    claimed_by: str = ""
    claimed_until: datetime | None = None
    tries: int = 1
    submitted_at: datetime | None = None
    settled_by: str = ""
    evaluated: int = 0
    version: tuple[int, int] = field(default=(0, 0), compare=False)
    """Of its document, as it was read; no part of it."""

    def fields(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "state": self.state.value,
            "open": self.state is not BatchState.SETTLED,
            "model": self.model,
            "items": list(self.items),
            "createdAt": self.created_at,
            "expiresAt": self.expires_at,
            "fileId": self.file_id,
            "providerId": self.provider_id,
            "claimedBy": self.claimed_by,
            "claimedUntil": self.claimed_until,
            "tries": self.tries,
            "submittedAt": self.submitted_at,
            "settledBy": self.settled_by,
            "evaluated": self.evaluated,
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, name: str, version: tuple[int, int]) -> "Batch":
        """As it was stored."""
        return cls(
            batch_id=name,
            state=BatchState(fields["state"]),
            model=fields["model"],
            items=tuple(fields["items"]),
            created_at=fields["createdAt"],
            expires_at=fields["expiresAt"],
            file_id=fields["fileId"],
            provider_id=fields["providerId"],
            claimed_by=fields["claimedBy"],
            claimed_until=fields["claimedUntil"],
            tries=fields["tries"],
            submitted_at=fields["submittedAt"],
            settled_by=fields["settledBy"],
            evaluated=fields["evaluated"],
            version=version,
        )


def charge_id(batch_id: str, evaluation_id: str) -> str:
    """Name the entry of an item in a batch: the same, whoever writes it and how often."""
    return hashlib.sha256(f"lectern.charge.v1\n{batch_id}\n{evaluation_id}".encode()).hexdigest()[:32]


def item_of(event: AnswerSubmitted, asked: Asked, evaluation_id: str, *, at: datetime) -> Item:
    """A recorded answer as it is queued."""
    return Item(
        evaluation_id=evaluation_id,
        assignment_id=asked.assignment.assignment_id,
        course_id=asked.assignment.course_id,
        question_id=asked.question.question_id,
        event_id=event.event_id,
        learner_id=event.student_id,
        submitted_at_micros=event.submitted_at,
        queued_at=at,
        due_at=at,
        expires_at=at + KEPT,
    )
