"""
Where tutoring keeps something of learners, and how it is removed.

What is theirs goes. Two things stay without their names: the points of a decided evaluation, which count in
the figures of agreement, under an id that only the receipt key derives; and what they decided as teachers.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from shared.documents.base import Delete, Document, Documents, Find, Put, Write
from shared.documents.erasing import (
    NOBODY,
    Named,
    Owned,
    Place,
    Scanned,
    Step,
    counted,
    following,
    replaced,
)
from shared.tutoring.records import PILOT_EVALUATIONS, PILOTS

_PAGE = 80
"""Evaluations a step: each takes up to five writes of the 500 in a commit."""


def places(documents: Documents, *, key: bytes) -> list[Place]:
    """Every place, in the order in which they are gone through; *key* is the receipt key."""
    return [
        _Judged(documents, "evaluations", key),
        _Judged(documents, "decisions", key, tells=False),  # one that was made while the evaluation went
        Owned(documents, "users", "context", tells=False),
        Owned(documents, "users", "assistance", tells=False),
        Scanned(documents, PILOTS, only=["sample"], who=_sampled, page=50),
        Scanned(documents, PILOT_EVALUATIONS, only=["evaluation"], who=_evaluated, page=50),
        _Deciders(documents),
    ]


def _sampled(fields: Mapping[str, Any]) -> list[str]:
    return [each["studentId"] for each in fields["sample"]]


def _evaluated(fields: Mapping[str, Any]) -> list[str]:
    return [fields["evaluation"]["studentId"]]


class _Judged(Owned):
    """A learner's evaluations, or what was decided about them, each with its part of the review queue."""

    def __init__(self, documents: Documents, collection: str, key: bytes, *, tells: bool = True) -> None:
        super().__init__(documents, "users", collection, tells=tells)
        self._key = key

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port."""
        theirs = f"users/{learner_id}"
        page = await self._documents.scan(f"{theirs}/{self._collection}", after=after, limit=_PAGE)
        paths: list[str] = []
        for each in page:
            queue = f"reviews/{each.fields['assignmentId']}"
            paths += [
                f"{theirs}/evaluations/{each.id}",
                f"{theirs}/decisions/{each.id}",
                f"{queue}/waiting/{each.id}",
                f"{queue}/decided/{each.id}",
            ]
        writes: list[Write] = []
        counts: dict[str, int] = {}
        for found in await self._documents.get(paths):
            if found is None:
                continue
            collection = found.path.split("/")[-2]
            writes.append(Delete(found.path))
            counts[collection] = counts.get(collection, 0) + 1
            if collection == "decided":
                writes.append(self._unnamed(found))
        return Step(writes, counts, following(page, _PAGE))

    def _unnamed(self, decided: Document) -> Write:
        """The same points, of nobody: the same document whoever writes it."""
        name = hmac.digest(self._key, b"lectern.decided.v1\n" + decided.id.encode(), "sha256").hex()
        fields = {name: value for name, value in decided.fields.items() if name != "studentId"}
        return Put(f"{decided.path.rpartition('/')[0]}/{name}", fields)


class _Deciders:
    """
    Decisions of all learners, which name the teacher who made them.

    A cursor is an assignment and, behind a slash, how far its decided evaluations were gone through.
    """

    name = "decidedBy"
    acts = False

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port."""
        decisions, beyond = await self._decisions(after)
        writes = [
            replaced(each, {"decidedBy": NOBODY})
            for each in decisions
            if each.fields["decidedBy"] == learner_id
        ]
        return Step(writes, counted(self.name, len(writes)), beyond)

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        decisions, beyond = await self._decisions(after)
        return Named(frozenset(each.fields["decidedBy"] for each in decisions) - {NOBODY}, beyond)

    async def _decisions(self, after: str | None) -> tuple[Sequence[Document], str | None]:
        """A page of decisions about one assignment, and the cursor behind it."""
        assignment_id, _, last = (after or "/").partition("/")
        if not last:
            begin = Document(f"assignments/{assignment_id}", {}, (0, 0)) if assignment_id else None
            found = await self._documents.find(Find("assignments", only=["courseId"], after=begin, limit=1))
            if not found:
                return [], None
            assignment_id = found[0].id
        page = await self._documents.scan(f"reviews/{assignment_id}/decided", after=last or None, limit=_PAGE)
        paths = [
            f"users/{each.fields['studentId']}/decisions/{each.id}"
            for each in page
            if each.fields.get("studentId")  # of the erased only their points are left
        ]
        decisions = await self._documents.get(paths, only=["decidedBy"]) if paths else []
        beyond = f"{assignment_id}/{following(page, _PAGE) or ''}"
        return [each for each in decisions if each is not None], beyond
