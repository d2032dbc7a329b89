"""What models help with: evaluations that teachers decide about, hints, explanations, outlines of courses."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import Field, StringConstraints

from shared.budgets.base import Payer
from shared.caching.base import CacheUse
from shared.catalog.base import CourseRole
from shared.edge import cursors, endpoint
from shared.edge.registry import RateClass
from shared.edge.streaming import streamed_call
from shared.errors import InvalidRequest, NotAllowed
from shared.gateway.base import Ask, Reply
from shared.learning.answers import microseconds, read_response, takes_answers, to_text
from shared.learning.assignments import Assignment
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.learning.grading import feedback_for
from shared.learning.questions import AnswerKey, Question
from shared.learning.responses import TextResponse
from shared.ledger.recorded import Standing
from shared.tutoring import chatting, evaluating, generating
from shared.tutoring.agreement import Agreement, agreement, by_criterion
from shared.tutoring.chatting import Answered, Assistance, Intent, Rung, Talk, Turn
from shared.tutoring.evaluating import About, Evaluation, Task
from shared.tutoring.generating import ReaderLevel, Skeleton, StepContent
from shared.tutoring.languages import Direction, Language, direction_of
from shared.tutoring.leak_guard import LeakGuard, Secrets, secrets_of
from shared.tutoring.questions import plain_text
from shared.tutoring.records import Decision
from shared.tutoring.rendering import PlainStream, plain
from shared.tutoring.replies import MAX_REPLY_CHARACTERS

EVALUATE_SECONDS = 20
CHAT_SECONDS = 10
SKELETON_SECONDS = 30
STEP_SECONDS = 15
"""The most that callers wait; the model is given a little less, so that an error can still be told."""

_MARGIN_SECONDS = 0.8
_LESSON = '"objectives":'

Points = Annotated[int, Field(ge=0, le=1000)]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class EvaluateAnswer(Fact):
    """An answer of the caller's, by its event id or (without) the one that counts, to a text question."""

    assignment_id: DocumentId
    question_id: DocumentId
    event_id: Digest | None = None


class EvaluationReply(Fact):
    """The evaluation, a suggestion until a teacher decides; null where nothing was answered yet."""

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


class Chat(Fact):
    """
    A learner's turn about one question: another hint, or an explanation of the answer they gave.

    ``conversation`` is what was said before, oldest first; it is quoted, not believed.
    """

    assignment_id: DocumentId
    question_id: DocumentId
    intent: Intent = "hint"
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    conversation: Annotated[tuple[Turn, ...], Field(max_length=chatting.MAX_TURNS)] = ()
    event_id: Digest | None = None


class SwitchTutor(Fact):
    """Whether learners may have hints and explanations (``chat``) about an assignment."""

    assignment_id: DocumentId
    on: bool


class TutorSwitched(Fact):
    """How it is from now on; other instances follow within 30 seconds."""

    assignment_id: DocumentId
    on: bool


class ChatPiece(Fact):
    """The next piece of the reply: plain text."""

    text: str


class ChatReply(Fact):
    """
    The whole reply: plain text in ``language``, which runs ``dir``.

    ``rung`` of 4 on the ladder of hints; ``told``: the answer could be told; ``heldBack``: a part that would
    have given it away was replaced; ``canned``: no model was asked, the built-in tutor made it.
    """

    text: str
    rung: Rung
    told: bool
    held_back: bool
    language: Language
    dir: Direction
    canned: bool


class GenerateSkeleton(Fact):
    """What a course is to be about, and for whom."""

    course_id: DocumentId
    topic: Annotated[str, StringConstraints(min_length=3, max_length=2000)]
    audience: Annotated[str, StringConstraints(max_length=500)] = ""
    lessons: Annotated[int, Field(ge=1, le=generating.MAX_LESSONS)] = 6
    language: Language = "en"


class SkeletonProgress(Fact):
    """How far it is: lessons begun, of how many."""

    lessons: int
    of: int


class SkeletonReply(Fact):
    """The outline, stored under ``version``, the name of its content."""

    course_id: DocumentId
    version: Version
    skeleton: Skeleton
    language: Language
    dir: Direction
    canned: bool


class GenerateStep(Fact):
    """Which step of which outline (positions from 0), for which level, in which language."""

    course_id: DocumentId
    version: Version
    lesson: Annotated[int, Field(ge=0, lt=generating.MAX_LESSONS)]
    step: Annotated[int, Field(ge=0, lt=5)]
    level: ReaderLevel = "intermediate"
    language: Language = "en"


class StepReply(Fact):
    """The step, written: plain text in ``language``, which runs ``dir``."""

    content: StepContent
    language: Language
    dir: Direction
    canned: bool


@endpoint.client_call(deadline_seconds=EVALUATE_SECONDS, max_body_bytes=4 * endpoint.KIB, rate=RateClass.AI)
async def evaluate_answer(command: EvaluateAnswer, call: endpoint.Call) -> EvaluationReply:
    """
    Evaluate a written answer of the caller's against the question's rubric: a suggestion for its teacher.

    The same answer is evaluated once; asking again returns what was found.
    """
    services, uid = call.services, call.principal.uid
    at = await _question(command.assignment_id, command.question_id, call)
    if at.question.type not in evaluating.EVALUATED:
        raise InvalidRequest("only essays and short texts are evaluated")
    standing = await _standing(at, command.event_id, call)
    if standing.event is None:
        return EvaluationReply(evaluation=None)
    response = read_response(standing.event.answer, at.question)
    answer = response.text if isinstance(response, TextResponse) else ""
    evaluation_id = evaluating.evaluation_id(standing.event.event_id, evaluating.rubric_of(at.key))
    known, context = await services.tutoring_records.known(uid, evaluation_id)
    if known is not None:
        return EvaluationReply(evaluation=known)
    task = Task(at.question, at.key, answer, context)
    reply = await services.gateway.complete(
        evaluating.ask(task, uid, deadline_seconds=EVALUATE_SECONDS - _MARGIN_SECONDS),
        Payer(uid=uid, course_id=at.assignment.course_id),
    )
    judgement = evaluating.read(reply.text, task)
    if not chatting.may_be_told(standing.attempts, at.assignment.policy):
        judgement = evaluating.without_answer(judgement, secrets_of(at.question, at.key), task)
    evaluation = evaluating.evaluation(
        judgement,
        task,
        about=About(standing.event.event_id, at.assignment.assignment_id, at.assignment.course_id, uid),
        model=reply.model,
        canned=reply.canned,
        evaluated_at=to_text(microseconds(call.now)),
    )
    per_mille = evaluation.points * 1000 // evaluation.max_points
    stored = await services.tutoring_records.add_evaluation(evaluation, per_mille=per_mille)
    return EvaluationReply(evaluation=stored)


@endpoint.client_call()
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


@endpoint.client_call(max_body_bytes=4 * endpoint.KIB)
async def accept_evaluation(command: AcceptEvaluation, call: endpoint.Call) -> Decision:
    """Accept a suggested evaluation as it is, for teachers of the course; decisions are not overwritten."""
    evaluation = await _for_teacher(command.assignment_id, command.evaluation_id, call)
    points = {each.criterion_id: each.points for each in evaluation.criteria}
    return await _decide(evaluation, "accepted", points, "", call)


@endpoint.client_call(max_body_bytes=16 * endpoint.KIB)
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


@endpoint.client_call()
async def get_agreement(command: GetAgreement, call: endpoint.Call) -> AgreementReply:
    """Say how far suggested evaluations and teachers' decisions agree, for teachers of the course."""
    services = call.services
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    decided = await services.tutoring_records.decided(command.assignment_id)
    totals = ((sum(each.suggested.values()), sum(each.decided.values())) for each in decided)
    return AgreementReply(total=agreement(totals), criteria=by_criterion(decided))


@endpoint.client_call(max_body_bytes=4 * endpoint.KIB)
async def switch_tutor(command: SwitchTutor, call: endpoint.Call) -> TutorSwitched:
    """Switch the tutor's hints and explanations of an assignment on or off, for teachers of the course."""
    await call.services.catalog.switch_tutor(call.principal, command.assignment_id, on=command.on)
    return TutorSwitched(assignment_id=command.assignment_id, on=command.on)


@streamed_call(
    sends=ChatPiece, reply=ChatReply, deadline_seconds=CHAT_SECONDS, max_body_bytes=64 * endpoint.KIB
)
async def chat(command: Chat, call: endpoint.Call) -> AsyncGenerator[ChatPiece | ChatReply, None]:
    """
    Help the caller with one question, streamed: a hint, each a rung further, or what went wrong.

    The answer is told on the last rung after an attempt, or once the learner has it or has no attempt left.
    """
    services, uid = call.services, call.principal.uid
    at = await _question(command.assignment_id, command.question_id, call)
    if not at.assignment.tutor:
        raise NotAllowed("the tutor is switched off for this assignment")
    standing = await _standing(at, command.event_id, call)
    talk, attempt_id = await _talk(command, at, standing, call)
    assistance = Assistance(
        attempt_id=attempt_id,
        event_id=standing.event.event_id if standing.event is not None else None,
        assignment_id=at.assignment.assignment_id,
        course_id=at.assignment.course_id,
        question_id=at.question.question_id,
        intent=talk.intent,
        rung=talk.rung,
        told=talk.may_tell,
        prompt_version=chatting.PROMPT,
        at=to_text(microseconds(call.now)),
    )
    ask = Ask(
        task="chat",
        model_class="small",
        messages=chatting.request(talk),
        max_tokens=chatting.MAX_TOKENS,
        cache=CacheUse("chat", {"prompt": chatting.PROMPT}, uid),
        deadline_seconds=CHAT_SECONDS - _MARGIN_SECONDS,
    )
    payer = Payer(uid=uid, course_id=at.assignment.course_id)
    shown, guard = PlainStream(), LeakGuard(Secrets() if talk.may_tell else secrets_of(at.question, at.key))
    said: list[str] = []
    canned = False
    async with _closing(services.gateway.stream(ask, payer)) as stream:
        async for piece in stream:
            if isinstance(piece, Reply):
                canned = piece.canned
                continue
            text = guard.feed(shown.feed(piece))
            if guard.leaked or shown.full:
                break
            if text:
                if not said:
                    await services.tutoring_records.assisted(uid, assistance)
                said.append(text)
                yield ChatPiece(text=text)
    rest = guard.feed(shown.finish()) + guard.finish()
    if guard.leaked:
        rest = ("\n\n" if said else "") + chatting.in_its_place(talk.language, talk.rung)
    if rest:
        if not said:
            await services.tutoring_records.assisted(uid, assistance)
        said.append(rest)
        yield ChatPiece(text=rest)
    yield ChatReply(
        text="".join(said),
        rung=talk.rung,
        told=talk.may_tell,
        held_back=guard.leaked,
        language=talk.language,
        dir=direction_of(talk.language),
        canned=canned,
    )


@streamed_call(
    sends=SkeletonProgress,
    reply=SkeletonReply,
    deadline_seconds=SKELETON_SECONDS,
    max_body_bytes=16 * endpoint.KIB,
)
async def generate_skeleton(
    command: GenerateSkeleton, call: endpoint.Call
) -> AsyncGenerator[SkeletonProgress | SkeletonReply, None]:
    """Outline a course, streamed, for its teachers; the outline is stored under the name of its content."""
    services = call.services
    await services.catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    ask = Ask(
        task="generate_skeleton",
        model_class="large",
        messages=generating.skeleton_request(
            topic=command.topic,
            audience=command.audience,
            lesson_count=command.lessons,
            language=command.language,
        ),
        max_tokens=generating.SKELETON_TOKENS,
        schema=generating.skeleton_schema(),
        accept=lambda text: generating.read_skeleton(text, lesson_count=command.lessons),
        cache=CacheUse("skeleton", {"prompt": generating.SKELETON_PROMPT}),
        deadline_seconds=SKELETON_SECONDS - _MARGIN_SECONDS,
    )
    payer = Payer(uid=call.principal.uid, course_id=command.course_id)
    yield SkeletonProgress(lessons=0, of=command.lessons)
    text, begun, canned = "", 0, False
    async with _closing(services.gateway.stream(ask, payer)) as stream:
        async for piece in stream:
            if isinstance(piece, Reply):
                text, canned = piece.text, piece.canned
                continue
            found = (text[1 - len(_LESSON) :] + piece).count(_LESSON)
            text += piece
            if len(text) > MAX_REPLY_CHARACTERS:
                break
            if found and begun < command.lessons:
                begun = min(begun + found, command.lessons)
                yield SkeletonProgress(lessons=begun, of=command.lessons)
    skeleton = generating.read_skeleton(text, lesson_count=command.lessons)
    version = await services.tutoring_records.add_skeleton(command.course_id, skeleton)
    yield SkeletonReply(
        course_id=command.course_id,
        version=version,
        skeleton=skeleton,
        language=command.language,
        dir=direction_of(command.language),
        canned=canned,
    )


@endpoint.client_call(deadline_seconds=STEP_SECONDS, max_body_bytes=4 * endpoint.KIB, rate=RateClass.AI)
async def generate_step(command: GenerateStep, call: endpoint.Call) -> StepReply:
    """Write one step of an outline of a course, for its members; what was written once is written for all."""
    services = call.services
    await services.catalog.course(call.principal, command.course_id, at_least=CourseRole.STUDENT)
    skeleton = await services.tutoring_records.skeleton(command.course_id, command.version)
    if command.lesson >= len(skeleton.lessons) or command.step >= len(skeleton.lessons[command.lesson].steps):
        raise InvalidRequest("this outline has no such step")
    reply = await services.gateway.complete(
        Ask(
            task="generate_step",
            model_class="small",
            messages=generating.step_request(
                skeleton,
                lesson=command.lesson,
                step=command.step,
                level=command.level,
                language=command.language,
            ),
            max_tokens=generating.STEP_TOKENS,
            schema=generating.step_schema(),
            accept=generating.read_step,
            cache=CacheUse("step", {"prompt": generating.STEP_PROMPT}),
            deadline_seconds=STEP_SECONDS - _MARGIN_SECONDS,
        ),
        Payer(uid=call.principal.uid, course_id=command.course_id),
    )
    return StepReply(
        content=generating.read_step(reply.text),
        language=command.language,
        dir=direction_of(command.language),
        canned=reply.canned,
    )


def _closing(stream: AsyncIterator[str | Reply]) -> aclosing[AsyncGenerator[str | Reply, None]]:
    """*stream*, ended at the end of the block: what it cost is settled then."""
    return aclosing(cast("AsyncGenerator[str | Reply, None]", stream))


@dataclass(frozen=True, slots=True)
class _At:
    """One question of an assignment that the caller belongs to, with its key."""

    assignment: Assignment
    question: Question
    key: AnswerKey


async def _question(assignment_id: str, question_id: str, call: endpoint.Call) -> _At:
    catalog = call.services.catalog
    assignment = await catalog.assignment(call.principal, assignment_id)
    question = assignment.question(question_id)
    if not takes_answers(question):
        raise InvalidRequest("this question takes no answer")
    keys = await catalog.answer_keys(assignment_id)
    return _At(assignment, question, keys[question_id])


async def _standing(at: _At, event_id: str | None, call: endpoint.Call) -> Standing:
    grading = await call.services.catalog.grading(at.assignment.assignment_id)
    return await call.services.recorded_answers.standing(
        grading, call.principal.uid, at.question.question_id, event_id=event_id
    )


async def _talk(command: Chat, at: _At, standing: Standing, call: endpoint.Call) -> tuple[Talk, str]:
    """How far the reply may go, and which attempt it is about."""
    uid, event = call.principal.uid, standing.event
    told = chatting.may_be_told(standing.attempts, at.assignment.policy)
    if event is None:
        attempt_id = chatting.attempt_before_any(command.assignment_id, uid, command.question_id)
    else:
        attempt_id = event.event_id
    rung = chatting.LAST_RUNG if told else await call.services.tutoring_records.rung(uid, attempt_id)
    if event is None:
        rung = min(rung, chatting.LAST_RUNG - 1)
    answered = None
    if event is not None:
        grading = await call.services.catalog.grading(command.assignment_id)
        grade = grading.grade(grading.question_index(command.question_id), event.answer)
        feedback = feedback_for(at.question, at.key, grade.response_code)
        answered = Answered(
            event_id=event.event_id,
            response=read_response(event.answer, at.question),
            credit=grade.credit,
            feedback=tuple(plain_text(each, 1000) for each in feedback[:4]),
        )
    talk = Talk(
        question=at.question,
        answer_key=at.key,
        intent=command.intent if event is not None else "hint",
        rung=rung,
        may_tell=rung == chatting.LAST_RUNG,
        message=command.message,
        conversation=command.conversation,
        answered=answered,
    )
    return talk, attempt_id


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
