"""
What tutoring keeps.

- ``users/{uid}/evaluations/{evaluationId}``: a suggestion, immutable; its learner reads it.
- ``users/{uid}/decisions/{evaluationId}``: what a teacher decided about it, immutable; its learner reads it.
- ``users/{uid}/context/current``: the learner context, at most 4 KB.
- ``users/{uid}/assistance/{attempt}-{rung}``: help that was given, tied to an attempt.
- ``reviews/{assignmentId}/waiting/{evaluationId}``: the review queue. ``studentId``, ``questionId``.
- ``reviews/{assignmentId}/decided/{evaluationId}``: both sides' points, for the figures of agreement;
  without ``studentId``, and under an id that means nothing, those of a learner who was erased.
- ``courses/{courseId}/skeletons/{version}``: generated outlines, named by their content.
- ``pilots/{pilotId}``: rubrics to be tried and on which answers, named by their content; ``expiresAt``.
- ``pilotEvaluations/{id}``: what trying them found, for teachers only, in no queue; ``expiresAt``.

Every document is created once, except the context, which is replaced in the version that was read;
an evaluation, its place in the queue and the new context are one commit.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, StringConstraints, TypeAdapter

from shared.caching.single_flight import Flights
from shared.documents.base import Create, Delete, Document, Documents, Replace, Write, Written
from shared.errors import Conflict, NotFound, PreconditionLost, Unavailable
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.tutoring.agreement import Decided
from shared.tutoring.chatting import LAST_RUNG, Assistance
from shared.tutoring.context import LearnerContext, with_evaluation
from shared.tutoring.evaluating import Evaluation
from shared.tutoring.generating import Skeleton, skeleton_version
from shared.tutoring.piloting import Pilot, PilotEvaluation

PILOTS = "pilots"
PILOT_EVALUATIONS = "pilotEvaluations"
PILOTS_KEPT = timedelta(days=90)

_TRIES = 5
_MOST_DECIDED = 5000
_PAGE = 300

_POINTS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


class Decision(Fact):
    """
    What a teacher decided about one evaluation: accepted as it is, or other points.

    ``criteria`` are the decided points by criterion id; ``points`` is their sum.
    """

    evaluation_id: Digest
    event_id: Digest
    assignment_id: DocumentId
    question_id: DocumentId
    student_id: LearnerId
    decision: Literal["accepted", "overridden"]
    criteria: dict[DocumentId, Annotated[int, Field(ge=0)]]
    points: Annotated[int, Field(ge=0)]
    max_points: Annotated[int, Field(ge=1)]
    comment: Annotated[str, StringConstraints(max_length=2000)] = ""
    decided_by: LearnerId
    decided_at: str


class TutoringRecords:
    """Evaluations, decisions, contexts, assistance, skeletons and pilots, in the document store."""

    def __init__(self, documents: Documents) -> None:
        """Keep them in *documents*."""
        self._documents = documents
        self._storing: Flights[None] = Flights()

    async def known(self, uid: str, evaluation_id: str) -> tuple[Evaluation | None, LearnerContext]:
        """The evaluation of that id, if any, and the learner's context: two reads, one round trip."""
        evaluation, context = await self._documents.get([_evaluation(uid, evaluation_id), _context(uid)])
        return (_as_evaluation(evaluation) if evaluation is not None else None, _as_context(context))

    async def known_of(self, names: Mapping[str, str]) -> dict[str, tuple[Evaluation | None, LearnerContext]]:
        """As ``known``, for several *names* (learners by evaluation id): one round trip."""
        paths = [_evaluation(uid, each) for each, uid in names.items()]
        contexts = list(dict.fromkeys(_context(uid) for uid in names.values()))
        read = await self._documents.get([*paths, *contexts])
        found = dict(zip([*paths, *contexts], read, strict=True))
        known = {}
        for (name, uid), path in zip(names.items(), paths, strict=True):
            evaluation = found[path]
            stored = _as_evaluation(evaluation) if evaluation is not None else None
            known[name] = (stored, _as_context(found[_context(uid)]))
        return known

    async def add_evaluation(self, evaluation: Evaluation, *, per_mille: int) -> Evaluation:
        """
        Store *evaluation*, put it into its assignment's review queue and note it in the learner's context.

        Returns what is on record: of several that are made of one answer at once, the first stays.

        Raises:
            Unavailable: others kept changing the context; try again.
        """
        uid, evaluation_id = evaluation.student_id, evaluation.evaluation_id
        queued = {"studentId": uid, "questionId": evaluation.question_id, "eventId": evaluation.event_id}
        for _ in range(_TRIES):
            stored, context = await self._documents.get([_evaluation(uid, evaluation_id), _context(uid)])
            if stored is not None:
                return _as_evaluation(stored)
            after = with_evaluation(
                _as_context(context),
                evaluation_id=evaluation_id,
                per_mille=per_mille,
                patterns=evaluation.error_patterns,
            ).model_dump(mode="json", by_alias=True)
            noted: Write = (
                Create(_context(uid), after)
                if context is None
                else Replace(_context(uid), after, context.version)
            )
            try:
                await self._documents.commit(
                    [
                        Create(
                            _evaluation(uid, evaluation_id), evaluation.model_dump(mode="json", by_alias=True)
                        ),
                        Create(_waiting(evaluation.assignment_id, evaluation_id), queued),
                        noted,
                    ]
                )
            except (Conflict, PreconditionLost):
                continue
            return evaluation
        message = "this learner's context keeps changing"
        raise Unavailable(message)

    async def evaluation(self, assignment_id: str, evaluation_id: str) -> Evaluation:
        """
        An evaluation of *assignment_id*, for its teachers.

        Raises:
            NotFound: it is not one of this assignment's.
        """
        waiting, decided = await self._documents.get(
            [_waiting(assignment_id, evaluation_id), _decided(assignment_id, evaluation_id)]
        )
        entry = waiting or decided
        if entry is None or "studentId" not in entry.fields:
            raise NotFound(_NO_EVALUATION)
        [found] = await self._documents.get([_evaluation(entry.fields["studentId"], evaluation_id)])
        if found is None:
            raise NotFound(_NO_EVALUATION)
        return _as_evaluation(found)

    async def page(
        self, assignment_id: str, *, decided: bool, after: str | None, size: int
    ) -> tuple[list[tuple[Evaluation, Decision | None]], str | None]:
        """
        A page of the queue, in order of evaluation ids, and the id behind which the next begins (or None).

        Reads: two per row, three for decided ones.
        """
        collection = f"reviews/{assignment_id}/{'decided' if decided else 'waiting'}"
        entries = await self._documents.scan(collection, after=after, limit=size + 1)
        following = entries[size - 1].id if len(entries) > size else None
        # Of an erased learner's only the points are left, for the figures of agreement.
        entries = [each for each in entries[:size] if "studentId" in each.fields]
        paths = [_evaluation(each.fields["studentId"], each.id) for each in entries]
        decisions = [_decision(each.fields["studentId"], each.id) for each in entries] if decided else []
        found = await self._documents.get([*paths, *decisions]) if paths else []
        rows = []
        for number in range(len(entries)):
            evaluation = found[number]
            decision = found[len(entries) + number] if decided else None
            if evaluation is not None:
                rows.append((_as_evaluation(evaluation), _as_decision(decision) if decision else None))
        return rows, following

    async def decide(self, evaluation: Evaluation, decision: Decision) -> Decision:
        """
        Put *decision* on record and take the evaluation out of the queue; the same again is the same.

        Raises:
            Conflict: something else was decided before; decisions are not overwritten.
        """
        uid, evaluation_id = evaluation.student_id, evaluation.evaluation_id
        figures = {
            "studentId": uid,
            "questionId": evaluation.question_id,
            "suggested": {each.criterion_id: each.points for each in evaluation.criteria},
            "decided": dict(decision.criteria),
        }
        try:
            await self._documents.commit(
                [
                    Create(_decision(uid, evaluation_id), decision.model_dump(mode="json", by_alias=True)),
                    Create(_decided(evaluation.assignment_id, evaluation_id), figures),
                    Delete(_waiting(evaluation.assignment_id, evaluation_id)),
                ]
            )
        except Conflict:
            [found] = await self._documents.get([_decision(uid, evaluation_id)])
            stored = _as_decision(found) if found is not None else None
            if stored is not None and _content(stored) == _content(decision):
                return stored
            message = "this evaluation has been decided about already"
            raise Conflict(message) from None
        return decision

    async def decided(self, assignment_id: str) -> list[Decided]:
        """Suggested and decided points of an assignment's evaluations: a read each, 5,000 at most."""
        found: list[Document] = []
        while len(found) < _MOST_DECIDED:
            after = found[-1].id if found else None
            page = await self._documents.scan(f"reviews/{assignment_id}/decided", after=after, limit=_PAGE)
            found += page
            if len(page) < _PAGE:
                break
        return [
            Decided(
                _POINTS.validate_python(each.fields["suggested"]),
                _POINTS.validate_python(each.fields["decided"]),
            )
            for each in found
        ]

    async def rung(self, uid: str, attempt_id: str) -> int:
        """Which rung comes next for an attempt: 1 to 4; four reads, one round trip."""
        found = await self._documents.get(
            [_assistance(uid, attempt_id, rung) for rung in range(1, LAST_RUNG + 1)]
        )
        taken = sum(each is not None for each in found)
        return min(taken + 1, LAST_RUNG)

    async def assisted(self, uid: str, assistance: Assistance) -> None:
        """Put *assistance* on record; the same rung again, as by two windows at once, changes nothing."""
        creation = Create(
            _assistance(uid, assistance.attempt_id, assistance.rung),
            assistance.model_dump(mode="json", by_alias=True),
        )
        await self._documents.create_each([creation])

    async def add_skeleton(self, course_id: str, skeleton: Skeleton) -> str:
        """Store *skeleton* under the name of its content, which is returned."""
        version = skeleton_version(skeleton)
        creation = Create(_skeleton(course_id, version), skeleton.model_dump(mode="json", by_alias=True))

        async def create() -> None:
            with contextlib.suppress(Conflict):  # it is there, and the same
                await self._documents.commit([creation])

        # Whoever asked for the same outline at once stores it at once, and a document bears a write a second.
        await self._storing.share(creation.path, create)
        return version

    async def skeleton(self, course_id: str, version: str) -> Skeleton:
        """
        The skeleton of that name.

        Raises:
            NotFound: the course has none of it.
        """
        [found] = await self._documents.get([_skeleton(course_id, version)])
        if found is None:
            message = "this course has no such skeleton"
            raise NotFound(message)
        return Skeleton.model_validate_json(_json(found.fields))

    async def add_pilot(self, pilot: Pilot, *, at: datetime) -> None:
        """Store *pilot* under its name, for 90 days; the same again changes nothing."""
        fields = {**pilot.model_dump(mode="json", by_alias=True), "expiresAt": at + PILOTS_KEPT}
        await self._documents.create_each([Create(f"{PILOTS}/{pilot.pilot_id}", fields)])

    async def pilot(self, assignment_id: str, pilot_id: str) -> Pilot:
        """
        A pilot of *assignment_id*.

        Raises:
            NotFound: it is not one of this assignment's, or its time is over.
        """
        [found] = await self._documents.get([f"{PILOTS}/{pilot_id}"])
        pilot = Pilot.model_validate_json(_json(_without_end(found.fields))) if found is not None else None
        if pilot is None or pilot.assignment_id != assignment_id:
            message = "there is no such preview; make another one"
            raise NotFound(message)
        return pilot

    async def add_piloted(
        self, evaluation_id: str, made: PilotEvaluation, *, at: datetime
    ) -> PilotEvaluation:
        """Store *made*, for 90 days; of several that are made at once, the first stays, and is returned."""
        fields = {**made.model_dump(mode="json", by_alias=True), "expiresAt": at + PILOTS_KEPT}
        path = f"{PILOT_EVALUATIONS}/{evaluation_id}"
        [written] = await self._documents.create_each([Create(path, fields)])
        if written is Written.EXISTS:
            return (await self.piloted([evaluation_id])).get(evaluation_id, made)
        return made

    async def piloted(self, evaluation_ids: Sequence[str]) -> dict[str, PilotEvaluation]:
        """Those of the evaluations by pilots that are there, by id; one round trip."""
        if not evaluation_ids:
            return {}
        found = await self._documents.get([f"{PILOT_EVALUATIONS}/{each}" for each in evaluation_ids])
        return {
            each.id: PilotEvaluation.model_validate_json(_json(_without_end(each.fields)))
            for each in found
            if each is not None
        }

    async def decisions(self, evaluations: Mapping[str, str]) -> dict[str, Decision]:
        """What was decided about *evaluations* (learners by evaluation id), by id; one round trip."""
        if not evaluations:
            return {}
        found = await self._documents.get([_decision(uid, each) for each, uid in evaluations.items()])
        return {each.id: _as_decision(each) for each in found if each is not None}


_NO_EVALUATION = "there is no such evaluation"


def _without_end(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "expiresAt"}


def _content(decision: Decision) -> tuple[object, ...]:
    return decision.decision, decision.criteria, decision.comment


def _as_evaluation(document: Document) -> Evaluation:
    return Evaluation.model_validate_json(_json(document.fields))


def _as_decision(document: Document) -> Decision:
    return Decision.model_validate_json(_json(document.fields))


def _as_context(document: Document | None) -> LearnerContext:
    return (
        LearnerContext.model_validate_json(_json(document.fields))
        if document is not None
        else LearnerContext()
    )


def _json(fields: object) -> bytes:
    return orjson.dumps(fields)


def _evaluation(uid: str, evaluation_id: str) -> str:
    return f"users/{uid}/evaluations/{evaluation_id}"


def _decision(uid: str, evaluation_id: str) -> str:
    return f"users/{uid}/decisions/{evaluation_id}"


def _context(uid: str) -> str:
    return f"users/{uid}/context/current"


def _assistance(uid: str, attempt_id: str, rung: int) -> str:
    return f"users/{uid}/assistance/{attempt_id}-{rung}"


def _waiting(assignment_id: str, evaluation_id: str) -> str:
    return f"reviews/{assignment_id}/waiting/{evaluation_id}"


def _decided(assignment_id: str, evaluation_id: str) -> str:
    return f"reviews/{assignment_id}/decided/{evaluation_id}"


def _skeleton(course_id: str, version: str) -> str:
    return f"courses/{course_id}/skeletons/{version}"
