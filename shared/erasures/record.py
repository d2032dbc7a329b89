"""One learner's erasure, as its document has it, and how it goes on: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.documents.base import Document
from shared.erasures import receipts
from shared.erasures.base import ERASURES, State
from shared.erasures.receipts import Erased

QUIET = timedelta(minutes=65)
"""
From the end of one pass to the beginning of the next.

The longest that anything goes on which began before: an ID token lives an hour, and the rules, by which a
browser writes answers itself, ask nobody whether it was revoked; a reservation of money is open for 15
minutes; every call, cache and worker takes less.
"""

ACTING = timedelta(minutes=10)
"""Longer than any function may take: who has not said by then what a place did was cut off in it."""

_LEAST_PASSES = 2


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    How far one learner's erasure has come.

    ``place`` and ``after`` say where the pass goes on (empty: at the first place), ``found`` how much it has
    met, ``counts`` how much all passes of this round have removed, by collection. Until ``acting_until``
    somebody may be at work on a place that acts by itself; thereafter, what was removed there is not counted.
    """

    erasure_id: str
    learner_id: str | None
    requested_at: datetime
    state: State = State.ERASING
    round: int = 1
    passes: int = 1
    place: str = ""
    after: str | None = None
    found: int = 0
    acting_until: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    resume_at: datetime | None = None
    closed_at: datetime | None = None
    receipt: str = ""

    @classmethod
    def of(cls, document: Document) -> "Erasure":
        """As it is stored."""
        fields = document.fields
        return cls(
            document.id,
            fields["learnerId"],
            fields["requestedAt"],
            State(fields["state"]),
            fields["round"],
            fields["passes"],
            fields["place"],
            fields["after"],
            fields["found"],
            fields["actingUntil"],
            fields["counts"],
            fields["resumeAt"],
            fields["closedAt"],
            fields["receipt"],
        )

    def stored(self) -> dict[str, Any]:
        """To be stored."""
        return {
            "learnerId": self.learner_id,
            "requestedAt": self.requested_at,
            "state": self.state.value,
            "round": self.round,
            "passes": self.passes,
            "place": self.place,
            "after": self.after,
            "found": self.found,
            "actingUntil": self.acting_until,
            "counts": dict(self.counts),
            "resumeAt": self.resume_at,
            "closedAt": self.closed_at,
            "receipt": self.receipt,
        }

    @property
    def path(self) -> str:
        """Its document."""
        return f"{ERASURES}/{self.erasure_id}"

    def again(self, learner_id: str, now: datetime) -> "Erasure":
        """Another round, of a learner who was erased before and has come back."""
        return Erasure(self.erasure_id, learner_id, now, round=self.round + 1)

    def about_to_act(self, now: datetime) -> "Erasure":
        """Before a place acts by itself; if that was cut off before, this pass may have met something."""
        begun = self if self.acting_until is None else self.cut_off()
        return replace(begun, acting_until=now + ACTING)

    def cut_off(self) -> "Erasure":
        """After a place failed that acts by itself: it may have removed what it did not tell."""
        return replace(self, acting_until=None, found=self.found + 1)

    def met(
        self, counts: Mapping[str, int], *, place: str, after: str | None, settled: bool = True
    ) -> "Erasure":
        """Further by a step that met *counts*, or is not settled; the next is at *place*, behind *after*."""
        total = dict(self.counts)
        for collection, count in counts.items():
            total[collection] = total.get(collection, 0) + count
        return replace(
            self,
            counts=total,
            found=self.found + sum(counts.values()) + int(not settled),
            place=place,
            after=after,
            acting_until=None,
        )

    def passed(self, now: datetime, *, key: bytes) -> "Erasure":
        """At the end of a pass: closing if it met nothing and was not the first, else waiting for another."""
        if self.passes < _LEAST_PASSES or self.found:
            return replace(self, state=State.WAITING, resume_at=now + QUIET)
        erased = Erased(
            erasure_id=self.erasure_id,
            round=self.round,
            requested_at=self.requested_at,
            closed_at=now,
            passes=self.passes,
            counts=dict(self.counts),
        )
        return replace(self, state=State.CLOSING, closed_at=now, receipt=receipts.issue(erased, key=key))

    def next_pass(self) -> "Erasure":
        """At the beginning of another pass."""
        return replace(
            self, state=State.ERASING, passes=self.passes + 1, place="", after=None, found=0, resume_at=None
        )

    def closed(self) -> "Erasure":
        """Over, and without the uid."""
        return replace(self, state=State.CLOSED, learner_id=None, place="", after=None)
