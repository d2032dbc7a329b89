"""The tutor's help with one question: hints, each a rung further, and explanations of what went wrong."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared import metrics
from shared.budgets.ladder import Degree
from shared.caching.base import CacheUse
from shared.catalog.catalog import Asked
from shared.catalog.payers import payer_in
from shared.edge import endpoint
from shared.edge.streaming import streamed_call
from shared.errors import BudgetSpent, NotAllowed, Unavailable
from shared.gateway.base import MARGIN_SECONDS, Ask, Reply
from shared.learning.answers import microseconds, read_response, to_text
from shared.learning.facts import Digest, DocumentId, Fact
from shared.learning.grading import feedback_for
from shared.ledger.recorded import Standing
from shared.tutoring import chatting
from shared.tutoring.chatting import Answered, Assistance, Intent, Rung, Talk, Turn
from shared.tutoring.languages import Direction, Language, direction_of
from shared.tutoring.leak_guard import LeakGuard, Secrets, secrets_of
from shared.tutoring.questions import plain_text
from shared.tutoring.rendering import PlainStream

CHAT_SECONDS = 10
"""The most that callers wait; the model is given less by ``MARGIN_SECONDS``."""


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

    ``degraded``: no model could be asked, as the budget is spent or none answers, and prepared feedback is in
    its place; ``retryAfterSeconds`` says when one may be asked again. A prepared hint is no rung further.
    """

    text: str
    rung: Rung
    told: bool
    held_back: bool
    language: Language
    dir: Direction
    canned: bool
    degraded: Literal["budget", "outage"] | None
    retry_after_seconds: int


@endpoint.client_call(sensitive=True, max_body_bytes=4 * endpoint.KIB)
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
    Where no model can be asked, prepared feedback says that it is.
    """
    services, uid = call.services, call.principal.uid
    at = await services.catalog.asked(call.principal, command.assignment_id, command.question_id)
    if not at.assignment.tutor:
        raise NotAllowed("the tutor is switched off for this assignment")
    standing = await services.recorded_answers.standing(
        at.grading, uid, command.question_id, event_id=command.event_id
    )
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
    payer = await payer_in(services.catalog, call.principal, at.assignment.course_id)
    ask = Ask(
        task="chat",
        model_class="small",
        messages=chatting.request(talk),
        max_tokens=chatting.MAX_TOKENS,
        cache=CacheUse("chat", {"prompt": chatting.PROMPT}, uid),
        deadline_seconds=call.left_of(CHAT_SECONDS - MARGIN_SECONDS),
    )
    speech, said = _Speech(talk), False
    try:
        async with aclosing(services.gateway.stream(ask, payer)) as stream:
            async for text in speech.of(stream):
                if not said:
                    await services.tutoring_records.assisted(uid, assistance)
                said = True
                yield ChatPiece(text=text)
    except Unavailable as error:
        if said:
            raise
        reply = await _without_model(talk, assistance, error, call)
        yield ChatPiece(text=reply.text)
        yield reply
        return
    yield ChatReply(
        text="".join(speech.said),
        rung=talk.rung,
        told=talk.may_tell,
        held_back=speech.guard.leaked,
        language=talk.language,
        dir=direction_of(talk.language),
        canned=speech.canned,
        degraded=None,
        retry_after_seconds=0,
    )


class _Speech:
    """A model's reply on its way to the learner: plain text, without what would give the answer away."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._shown = PlainStream()
        self.guard = LeakGuard(Secrets() if talk.may_tell else secrets_of(talk.question, talk.answer_key))
        self.said: list[str] = []
        self.canned = False

    async def of(self, stream: AsyncIterator[str | Reply]) -> AsyncGenerator[str, None]:
        """What may be said of *stream*, piece by piece."""
        guard, shown = self.guard, self._shown
        async for piece in stream:
            if isinstance(piece, Reply):
                self.canned = piece.canned
                continue
            text = guard.feed(shown.feed(piece))
            if guard.leaked or shown.full:
                break
            if text:
                self.said.append(text)
                yield text
        rest = guard.feed(shown.finish()) + guard.finish()
        if guard.leaked:
            hint = chatting.in_its_place(self._talk.language, self._talk.rung)
            rest = "\n\n" + hint if self.said else hint
        if rest:
            self.said.append(rest)
            yield rest


async def _without_model(
    talk: Talk, assistance: Assistance, error: Unavailable, call: endpoint.Call
) -> ChatReply:
    """What is said although no model could be asked; it is on record where it tells the answer."""
    if talk.may_tell:
        unasked = assistance.model_copy(update={"prompt_version": ""})
        await call.services.tutoring_records.assisted(call.principal.uid, unasked)
    metrics.gateway_degraded.labels("chat", Degree.DETERMINISTIC).inc()
    return ChatReply(
        text=chatting.without_model(talk),
        rung=talk.rung,
        told=talk.may_tell,
        held_back=False,
        language=talk.language,
        dir=direction_of(talk.language),
        canned=False,
        degraded="budget" if isinstance(error, BudgetSpent) else "outage",
        retry_after_seconds=error.retry_after_seconds,
    )


async def _talk(command: Chat, at: Asked, standing: Standing, call: endpoint.Call) -> tuple[Talk, str]:
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
        grade = at.grading.grade(at.grading.question_index(command.question_id), event.answer)
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
