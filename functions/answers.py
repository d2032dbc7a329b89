"""Takes answers: from browsers, in batches, from other systems, and those that browsers wrote themselves."""

import asyncio
import hmac
import uuid
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from shared import metrics
from shared.edge import endpoint
from shared.edge.events import CreatedDocument
from shared.edge.logs import log
from shared.edge.problems import as_callable_error
from shared.edge.registry import Capacity, RateClass
from shared.errors import InvalidRequest, LecternError, Unavailable
from shared.identity.principal import Principal
from shared.learning import receipts
from shared.learning.answers import SubmitAnswer, decide, to_text
from shared.learning.facts import Fact, LearnerId
from shared.learning.sharding import at, position
from shared.ledger.accepting import Recorded
from shared.ledger.browser_answers import from_browser
from shared.topics.base import ANSWERS_INCOMING, Message
from shared.topics.doorbell import Sealed
from shared.wiring import Services

MAX_BATCH = 50


class AnswerAccepted(Fact):
    """
    The answer is on record.

    ``receipt`` proves it (see ``verify_receipt``); ``duplicate`` says that it was there before.
    """

    event_id: str
    receipt: str
    duplicate: bool


class SubmitAnswers(Fact):
    """Up to 50 answers at once."""

    answers: Annotated[tuple[SubmitAnswer, ...], Field(min_length=1, max_length=MAX_BATCH)]


class AnswerProblem(Fact):
    """Why one answer of a batch was not taken: canonical status and message."""

    status: str
    message: str


class AnswerOutcome(Fact):
    """What became of one answer of a batch: accepted, or an error."""

    event_id: str | None = None
    receipt: str | None = None
    duplicate: bool | None = None
    error: AnswerProblem | None = None


class AnswerOutcomes(Fact):
    """One outcome per answer, in the order sent."""

    outcomes: tuple[AnswerOutcome, ...]


class VerifyReceipt(Fact):
    """A receipt, as ``submit_answer`` gave it."""

    receipt: Annotated[str, Field(max_length=512)]


class ReceiptVerified(Fact):
    """What a valid receipt vouches for; ``digest`` is the SHA-256 of the stored event."""

    event_id: str
    digest: str
    submitted_at: str


@endpoint.client_call(status=202, rate=RateClass.SUBMIT)
async def submit_answer(command: SubmitAnswer, call: endpoint.Call) -> AnswerAccepted:
    """
    Record one answer. 202: it is on record and will reach the assignment.

    Safe to resend: a submission id counts once.
    """
    return await _accept(command, call)


@endpoint.client_call(status=202, max_body_bytes=1024 * endpoint.KIB, rate=RateClass.SUBMIT)
async def submit_answers(command: SubmitAnswers, call: endpoint.Call) -> AnswerOutcomes:
    """
    Record up to 50 answers; each has its own outcome, and duplicates are skipped.

    Safe to resend as a whole.
    """
    outcomes = await asyncio.gather(
        *(_accept(each, call) for each in command.answers), return_exceptions=True
    )
    return AnswerOutcomes(outcomes=tuple(_outcome(each, call.request_id) for each in outcomes))


@endpoint.client_call()
async def verify_receipt(command: VerifyReceipt, call: endpoint.Call) -> ReceiptVerified:
    """Say what a receipt vouches for; a 400 says that it was not issued here."""
    receipt = receipts.read(command.receipt, key=call.services.receipt_key)
    return ReceiptVerified(
        event_id=receipt.event_id, digest=receipt.digest, submitted_at=to_text(receipt.submitted_at)
    )


@endpoint.topic(ANSWERS_INCOMING)
async def ingest_answers(message: Message, services: Services) -> None:
    """
    Record answers that another system publishes on its learners' behalf.

    The data is ``{"studentId", "assignmentId", "questionId", "answer", "submissionId"}``; the attribute
    ``signature`` is the hexadecimal HMAC-SHA256 of the data under the ingest key.
    """
    key = services.settings.ingest_key.get_secret_value().encode()
    signature = message.attributes.get("signature", "")
    if not key or not hmac.compare_digest(
        hmac.digest(key, message.data, "sha256").hex().encode(), signature.encode()
    ):
        message_text = "the message is not signed with the ingest key"
        raise InvalidRequest(message_text)
    try:
        incoming = _INCOMING.validate_json(message.data, strict=True)
    except ValidationError as error:
        message_text = "not an answer"
        raise InvalidRequest(message_text) from error
    assignment = await services.catalog.unscoped_assignment(incoming.assignment_id)
    if incoming.submission_id is None:
        message_text = "submissionId is missing: without it, a repeated message would count again"
        raise InvalidRequest(message_text)
    event = decide(
        SubmitAnswer(
            assignment_id=incoming.assignment_id, question_id=incoming.question_id, answer=incoming.answer
        ),
        assignment.question(incoming.question_id),
        student_id=incoming.student_id,
        submission_id=incoming.submission_id,
        now=services.now(),
        source="ingest",
    )
    recorded = await services.pending_answers.record(event)
    receipt = receipts.issue(recorded.event, recorded.text, key=services.receipt_key)
    await _ring(recorded, receipt, services)


# As of ``merge_answers``: requests mostly wait for each other.
@endpoint.created("browserAnswers/{eventId}", capacity=Capacity(concurrency=500))
async def on_answer_created(document: CreatedDocument, services: Services) -> None:
    """Merge an answer that a browser wrote to Firestore itself."""
    # One that is no answer is set aside; its document waits for the sweep, which removes it.
    event = from_browser(document.id, document.fields)
    await services.merger.merge([event], by="trigger")


class _Incoming(SubmitAnswer):
    student_id: LearnerId


_INCOMING: TypeAdapter[_Incoming] = TypeAdapter(_Incoming)


async def _accept(command: SubmitAnswer, call: endpoint.Call) -> AnswerAccepted:
    recorded = await _record(command, call.principal, call)
    receipt = receipts.issue(recorded.event, recorded.text, key=call.services.receipt_key)
    await _ring(recorded, receipt, call.services)
    return AnswerAccepted(event_id=recorded.event.event_id, receipt=receipt, duplicate=recorded.duplicate)


async def _record(command: SubmitAnswer, principal: Principal, call: endpoint.Call) -> Recorded:
    assignment = await call.services.catalog.assignment(principal, command.assignment_id)
    event = decide(
        command,
        assignment.question(command.question_id),
        student_id=principal.uid,
        submission_id=command.submission_id or uuid.uuid4().hex,
        now=call.now,
        source="function",
    )
    return await call.services.pending_answers.record(event)


async def _ring(recorded: Recorded, receipt: str, services: Services) -> None:
    event = recorded.event
    bits = await services.catalog.shard_bits(event.assignment_id)
    shard = at(position(event.student_id), bits)
    sealed = Sealed(recorded.text, receipts.seal_of(receipt))
    try:
        await services.doorbell.ring(sealed, shard_key=f"{event.assignment_id}.{shard.name}")
    except Unavailable:
        # The answer is on record; sweep_pending() will find it.
        metrics.doorbells_lost.inc()
        log.warning("doorbell_lost", extra={"event_id": event.event_id})


def _outcome(result: AnswerAccepted | BaseException, request_id: str) -> AnswerOutcome:
    if isinstance(result, AnswerAccepted):
        return AnswerOutcome(event_id=result.event_id, receipt=result.receipt, duplicate=result.duplicate)
    if not isinstance(result, LecternError):
        raise result
    error = as_callable_error(result, request_id=request_id)["error"]
    return AnswerOutcome(error=AnswerProblem(status=error["status"], message=error["message"]))
