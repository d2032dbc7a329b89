"""Evaluations of written answers: suggested by models, decided by teachers."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.batching.items import item_of
from shared.catalog.base import CourseRole
from shared.catalog.payers import payer_in
from shared.edge import cursors, endpoint
from shared.edge.registry import RateClass
from shared.errors import InvalidRequest, Unavailable
from shared.gateway.base import MARGIN_SECONDS
from shared.learning.answers import microseconds, to_text
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.tutoring import chatting, evaluating
from shared.tutoring.agreement import Agreement, agreement, by_criterion
from shared.tutoring.evaluating import About, Evaluation, Task
from shared.tutoring.records import Decision
from shared.tutoring.rendering import plain

EVALUATE_SECONDS = 20
"""The most that callers wait; the model is given less by ``MARGIN_SECONDS``."""

Points = Annotated[int, Field(ge=0, le=1000)]


class EvaluateAnswer(Fact):
    """
    An answer of the caller's, by its event id or (without) the one that counts, to a text question.

    ``whenRefused``: what becomes of it where money is spent or the provider fails: an error, or a place in
    the queue, whose turn comes within a day or two.
    """

    assignment_id: DocumentId
    question_id: DocumentId
    event_id: Digest | None = None
    when_refused: Literal["refuse", "queue"] = "refuse"


class EvaluationReply(Fact):
    """The evaluation, a suggestion until a teacher decides; null where there is none, or none yet."""

    state: Literal["evaluated", "queued", "unanswered"]
    evaluation: Evaluation | None


class ListEvaluations(Fact):
    """A page of an assignment's evaluations: those that wait for a decision, or those that were decided."""

    assignment_id: DocumentId
    state: Literal["waiting", "decided"] = "waiting"
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=512)] | None = None


class EvaluationRow(Fact):
    """An evaluation, and what was decided about it."""

    evaluation: Evaluation
    decision: Decision | None


class EvaluationPage(Fact):
    """Some evaluations, and where the next page begins (null: there is none)."""

    rows: tuple[EvaluationRow, ...]
    next_cursor: str | None


class AcceptEvaluation(Fact):
    """Which evaluation of which assignment is right as it is."""

    assignment_id: DocumentId
    evaluation_id: Digest


class OverrideEvaluation(Fact):
    """Other points for an evaluation: of every criterion, by its id; ``comment`` is for the learner."""

    assignment_id: DocumentId
    evaluation_id: Digest
    criteria: Annotated[dict[DocumentId, Points], Field(min_length=1, max_length=8)]
    comment: Annotated[str, StringConstraints(max_length=2000)] = ""


class GetAgreement(Fact):
    """Of which assignment."""

    assignment_id: DocumentId


class AgreementReply(Fact):
    """How far suggestions and decisions agree: over the totals, and by criterion id."""

    total: Agreement
    criteria: dict[str, Agreement]


@endpoint.client_call(deadline_seconds=EVALUATE_SECONDS, max_body_bytes=4 * endpoint.KIB, rate=RateClass.AI)
async def evaluate_answer(command: EvaluateAnswer, call: endpoint.Call) -> EvaluationReply:
    """
    Evaluate a written answer of the caller's against the question's rubric: a suggestion for its teacher.

    The same answer is evaluated once; asking again returns what was found. What cannot be evaluated now
    is refused, or queued if the caller asks for that.
    """
    services, uid = call.services, call.principal.uid
    at = await services.catalog.asked(call.principal, command.assignment_id, command.question_id)
    if at.question.type not in evaluating.EVALUATED:
        raise InvalidRequest("only essays and short texts are evaluated")
    standing = await services.recorded_answers.standing(
        at.grading, uid, command.question_id, event_id=command.event_id
    )
    if standing.event is None:
        return EvaluationReply(state="unanswered", evaluation=None)
    evaluation_id = evaluating.evaluation_id(standing.event.event_id, evaluating.rubric_of(at.key))
    known, context = await services.tutoring_records.known(uid, evaluation_id)
    if known is not None:
        return EvaluationReply(state="evaluated", evaluation=known)
    task = Task(at.question, at.key, evaluating.written(standing.event, at.question), context)
    payer = await payer_in(services.catalog, call.principal, at.assignment.course_id)
    seconds = call.left_of(EVALUATE_SECONDS - MARGIN_SECONDS)
    try:
        reply = await services.gateway.complete(evaluating.ask(task, uid, deadline_seconds=seconds), payer)
    except Unavailable:
        if command.when_refused != "queue":
            raise
        await services.evaluation_queue.add_one(item_of(standing.event, at, evaluation_id, at=call.now))
        return EvaluationReply(state="queued", evaluation=None)
    evaluation = evaluating.concluded(
        task,
        reply,
        about=About(standing.event.event_id, at.assignment.assignment_id, at.assignment.course_id, uid),
        told=chatting.may_be_told(standing.attempts, at.assignment.policy),
        evaluated_at=to_text(microseconds(call.now)),
    )
    stored = await services.tutoring_records.add_evaluation(evaluation, per_mille=evaluation.per_mille)
    return EvaluationReply(state="evaluated", evaluation=stored)


@endpoint.client_call(sensitive=True)
async def list_evaluations(command: ListEvaluations, call: endpoint.Call) -> EvaluationPage:
    """Return a page of the review queue of an assignment, for teachers of its course."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    scope = f"evaluations/{command.assignment_id}/{command.state}"
    after = cursors.read(command.cursor, scope=scope, key=services.receipt_key) if command.cursor else None
    rows, following = await services.tutoring_records.page(
        command.assignment_id,
        decided=command.state == "decided",
        after=str(after) if after is not None else None,
        size=command.page_size,
    )
    return EvaluationPage(
        rows=tuple(EvaluationRow(evaluation=each, decision=decision) for each, decision in rows),
        next_cursor=cursors.write(following, scope=scope, key=services.receipt_key) if following else None,
    )


@endpoint.client_call(sensitive=True, max_body_bytes=4 * endpoint.KIB)
async def accept_evaluation(command: AcceptEvaluation, call: endpoint.Call) -> Decision:
    """Accept a suggested evaluation as it is, for teachers of the course; decisions are not overwritten."""
    evaluation = await _for_teacher(command.assignment_id, command.evaluation_id, call)
    points = {each.criterion_id: each.points for each in evaluation.criteria}
    return await _decide(evaluation, "accepted", points, "", call)


@endpoint.client_call(sensitive=True, max_body_bytes=16 * endpoint.KIB)
async def override_evaluation(command: OverrideEvaluation, call: endpoint.Call) -> Decision:
    """Give other points than a suggested evaluation, for teachers of the course; nothing is overwritten."""
    evaluation = await _for_teacher(command.assignment_id, command.evaluation_id, call)
    most = {each.criterion_id: each.max_points for each in evaluation.criteria}
    if command.criteria.keys() != most.keys():
        raise InvalidRequest(f"give points for each of these criteria: {', '.join(most)}")
    for criterion, points in command.criteria.items():
        if points > most[criterion]:
            raise InvalidRequest(f"criterion {criterion!r} is worth {most[criterion]} points at most")
    return await _decide(evaluation, "overridden", command.criteria, plain(command.comment, 2000), call)


@endpoint.client_call(sensitive=True)
async def get_agreement(command: GetAgreement, call: endpoint.Call) -> AgreementReply:
    """Say how far suggested evaluations and teachers' decisions agree, for teachers of the course."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    decided = await services.tutoring_records.decided(command.assignment_id)
    totals = ((sum(each.suggested.values()), sum(each.decided.values())) for each in decided)
    return AgreementReply(total=agreement(totals), criteria=by_criterion(decided))


async def _for_teacher(assignment_id: str, evaluation_id: str, call: endpoint.Call) -> Evaluation:
    services = call.services
    await services.catalog.assignment(call.principal, assignment_id, at_least=CourseRole.TEACHER)
    return await services.tutoring_records.evaluation(assignment_id, evaluation_id)


async def _decide(
    evaluation: Evaluation,
    decision: Literal["accepted", "overridden"],
    criteria: dict[str, int],
    comment: str,
    call: endpoint.Call,
) -> Decision:
    decided_by: LearnerId = call.principal.uid
    made = Decision(
        evaluation_id=evaluation.evaluation_id,
        event_id=evaluation.event_id,
        assignment_id=evaluation.assignment_id,
        question_id=evaluation.question_id,
        student_id=evaluation.student_id,
        decision=decision,
        criteria=criteria,
        points=sum(criteria.values()),
        max_points=evaluation.max_points,
        comment=comment,
        decided_by=decided_by,
        decided_at=to_text(microseconds(call.now)),
    )
    return await call.services.tutoring_records.decide(evaluation, made)
