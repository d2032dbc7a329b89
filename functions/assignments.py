"""Assignments: importing them, answering results, and rebuilding their figures from history."""

import asyncio
import uuid
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, PlainSerializer

from shared.catalog.base import AssignmentSummary, CourseRole
from shared.edge import cursors, endpoint
from shared.errors import InvalidRequest
from shared.learning.answers import to_text
from shared.learning.assignments import Assignment, GradingPolicy, Title
from shared.learning.facts import DocumentId, Fact
from shared.learning.grading import feedback_for
from shared.learning.importing.parsing import SourceForm, parse
from shared.learning.item_analysis import Statistics, option_names, statistics
from shared.learning.questions import FULL_CREDIT, Question, QuestionType, RichText
from shared.ledger.results import QuestionResult, StudentResult

Points = Annotated[Decimal, PlainSerializer(float, return_type=float)]
"""Points, to three decimals; a number in JSON."""


class ImportAssignment(Fact):
    """
    A question set in one of three formats (``docs/import.md``), and how it is to be graded.

    ``tutor``: whether learners get hints and explanations about it; ``switch_tutor`` changes it.
    """

    course_id: DocumentId
    title: Title
    format: SourceForm
    source: Annotated[str, Field(max_length=512 * 1024)]
    policy: GradingPolicy = GradingPolicy()
    tutor: bool = True


class ImportedQuestion(Fact):
    """One question of a new assignment."""

    question_id: DocumentId
    name: str
    type: QuestionType


class SkippedPart(Fact):
    """Something in the source that the assignment does not have; positions from 1."""

    line: int
    column: int
    reason: str


class AssignmentImported(Fact):
    """The new assignment."""

    assignment_id: DocumentId
    questions: tuple[ImportedQuestion, ...]
    skipped: tuple[SkippedPart, ...]


class GetAssignment(Fact):
    """Which assignment."""

    assignment_id: DocumentId


class AssignmentForm(Fact):
    """
    An assignment as learners see it: without keys, options in an order that tells nothing.

    ``tutor``: whether there are hints and explanations.
    """

    assignment_id: DocumentId
    course_id: DocumentId
    title: Title
    policy: GradingPolicy
    tutor: bool
    questions: tuple[Question, ...]


class ListAssignments(Fact):
    """Of which course."""

    course_id: DocumentId


class AssignmentList(Fact):
    """Newest first."""

    assignments: tuple[AssignmentSummary, ...]


class AnswerResult(Fact):
    """
    What the caller has at one question.

    ``credit`` is a share of full credit (null while a person has to grade); ``response`` says which
    options were chosen, where there are options.
    """

    question_id: DocumentId
    credit: float | None
    attempts: int
    submitted_at: str
    response: dict[str, str | bool | tuple[str, ...]] | None
    feedback: tuple[RichText, ...]


class MyResults(Fact):
    """What the caller has achieved; scores in points."""

    assignment_id: DocumentId
    score: Points
    max_score: Points
    ungraded: int
    answers: tuple[AnswerResult, ...]


class GetGradebook(Fact):
    """A page of the gradebook: from the beginning, or from where another page ended."""

    assignment_id: DocumentId
    page_size: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=512)] | None = None


class GradebookRow(Fact):
    """One student; ``answered`` questions, of which ``ungraded`` wait for a person; scores in points."""

    student_id: str
    score: Points
    max_score: Points
    answered: int
    ungraded: int
    attempts: int
    last_submitted_at: str


class Gradebook(Fact):
    """Some students, and where the next page begins (null: there is none)."""

    rows: tuple[GradebookRow, ...]
    next_cursor: str | None


class RebuildAssignment(Fact):
    """Replay the whole history; ``replace`` puts what was rebuilt in the place of what is live."""

    assignment_id: DocumentId
    mode: Literal["compare", "replace"] = "compare"


class AssignmentRebuilt(Fact):
    """
    Whether what was live equals what history says, byte for byte.

    ``digest`` is SHA-256 over the rebuilt registers, ``events`` how many answers were replayed.
    """

    identical: bool
    digest: str
    events: int


class GetAssignmentAsOf(Fact):
    """Which assignment, at which moment."""

    assignment_id: DocumentId
    at: AwareDatetime


class AssignmentAsOf(Fact):
    """The figures as they were after every merge up to that moment."""

    assignment_id: DocumentId
    at: AwareDatetime
    stats: Statistics


@endpoint.client_call(sensitive=True, deadline_seconds=30, max_body_bytes=2 * endpoint.KIB * endpoint.KIB)
async def import_assignment(command: ImportAssignment, call: endpoint.Call) -> AssignmentImported:
    """
    Create an assignment from a question set; all of it, or nothing and the positions of what is wrong.

    For teachers of the course.
    """
    catalog = call.services.catalog
    await catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    imported = await asyncio.to_thread(parse, command.source, command.format, seed=uuid.uuid4().hex)
    assignment = Assignment(
        assignment_id=uuid.uuid4().hex,
        course_id=command.course_id,
        title=command.title,
        policy=command.policy,
        tutor=command.tutor,
        questions=tuple(each.question for each in imported.questions),
    )
    await catalog.add_assignment(call.principal, assignment, imported.questions)
    return AssignmentImported(
        assignment_id=assignment.assignment_id,
        questions=tuple(
            ImportedQuestion(question_id=each.question_id, name=each.name, type=each.type)
            for each in assignment.questions
        ),
        skipped=tuple(
            SkippedPart(line=each.line, column=each.column, reason=each.reason) for each in imported.skipped
        ),
    )


@endpoint.client_call()
async def get_assignment(command: GetAssignment, call: endpoint.Call) -> AssignmentForm:
    """Return an assignment's questions, without their keys."""
    assignment = await call.services.catalog.assignment(call.principal, command.assignment_id)
    return AssignmentForm(
        assignment_id=assignment.assignment_id,
        course_id=assignment.course_id,
        title=assignment.title,
        policy=assignment.policy,
        tutor=assignment.tutor,
        questions=assignment.questions,
    )


@endpoint.client_call()
async def list_assignments(command: ListAssignments, call: endpoint.Call) -> AssignmentList:
    """Return the assignments of a course, newest first."""
    found = await call.services.catalog.assignments(call.principal, command.course_id)
    return AssignmentList(assignments=tuple(found))


@endpoint.client_call()
async def my_results(command: GetAssignment, call: endpoint.Call) -> MyResults:
    """Return what the caller has achieved in an assignment, as of the newest merge."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id)
    grading = await services.catalog.grading(command.assignment_id)
    result = await services.results.of(grading, call.principal.uid)
    return MyResults(
        assignment_id=command.assignment_id,
        score=result.score,
        max_score=result.max_score,
        ungraded=result.ungraded,
        answers=tuple(
            AnswerResult(
                question_id=each.question.question_id,
                credit=None if each.attempt.credit is None else each.attempt.credit / FULL_CREDIT,
                attempts=each.attempts,
                submitted_at=to_text(each.attempt.submitted_at_micros),
                response=_response(each),
                feedback=feedback_for(
                    each.question, grading.keys[each.question.question_id], each.attempt.response_code
                ),
            )
            for each in result.questions
        ),
    )


@endpoint.client_call(sensitive=True, deadline_seconds=30)
async def get_gradebook(command: GetGradebook, call: endpoint.Call) -> Gradebook:
    """Return a page of everybody's scores, for teachers of the course."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    grading = await services.catalog.grading(command.assignment_id)
    scope = f"gradebook/{command.assignment_id}"
    after = _place(command.cursor, scope, services.receipt_key) if command.cursor else None
    found, following = await services.results.page(grading, after=after, size=command.page_size)
    # The line of learners is 64 bits long: more than a JSON number holds everywhere.
    cursor = (
        cursors.write([str(following[0]), following[1]], scope=scope, key=services.receipt_key)
        if following
        else None
    )
    return Gradebook(rows=tuple(_row(each) for each in found), next_cursor=cursor)


@endpoint.client_call(sensitive=True, deadline_seconds=300, max_body_bytes=4 * endpoint.KIB)
async def rebuild_assignment(command: RebuildAssignment, call: endpoint.Call) -> AssignmentRebuilt:
    """Replay an assignment's history and compare it with what is live, or replace that; for its teachers."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    grading = await services.catalog.grading(command.assignment_id)
    rebuilt = await services.history.rebuild(grading, replace=command.mode == "replace")
    if command.mode == "replace":
        await services.merger.figures.roll_up(command.assignment_id, anew=True)
    return AssignmentRebuilt(identical=rebuilt.identical, digest=rebuilt.digest, events=rebuilt.events)


@endpoint.client_call(sensitive=True, deadline_seconds=300)
async def get_assignment_as_of(command: GetAssignmentAsOf, call: endpoint.Call) -> AssignmentAsOf:
    """Return an assignment's figures as they were at a past moment; for its teachers."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    grading = await services.catalog.grading(command.assignment_id)
    sums = await services.history.as_of(grading, command.at)
    return AssignmentAsOf(
        assignment_id=command.assignment_id, at=command.at, stats=statistics(sums, grading.questions)
    )


def _response(result: QuestionResult) -> dict[str, str | bool | tuple[str, ...]] | None:
    """The response, as far as its code tells: which options, or which truth value."""
    question, code = result.question, result.attempt.response_code
    names = [name for bit, name in enumerate(option_names(question)) if code >> bit & 1]
    match question.type:
        case QuestionType.SINGLE_CHOICE if names:
            return {"optionId": names[0]}
        case QuestionType.MULTIPLE_CHOICE:
            return {"optionIds": tuple(names)}
        case QuestionType.TRUE_FALSE if names:
            return {"value": names[0] == "true"}
    return None


def _row(result: StudentResult) -> GradebookRow:
    return GradebookRow(
        student_id=result.student_id,
        score=result.score,
        max_score=result.max_score,
        answered=len(result.questions),
        ungraded=result.ungraded,
        attempts=sum(each.attempts for each in result.questions),
        last_submitted_at=to_text(max(each.attempt.submitted_at_micros for each in result.questions)),
    )


def _place(cursor: str, scope: str, key: bytes) -> tuple[int, str]:
    place = cursors.read(cursor, scope=scope, key=key)
    if not isinstance(place, list):
        message = "this cursor is not valid here"
        raise InvalidRequest(message)
    return int(place[0]), str(place[1])
