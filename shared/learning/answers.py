"""An answer as a fact: its identity, its one canonical text, and how it comes to be."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import StringConstraints, TypeAdapter, ValidationError

from shared.errors import InvalidRequest
from shared.learning.facts import DocumentId, Fact
from shared.learning.questions import Question, QuestionType
from shared.learning.responses import SHAPE_OF, Response, check

EVENT_TYPE = "lectern.assignment.answer.submitted.v1"

Source = Literal["function", "browser", "ingest"]

SubmissionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Chosen by the client, once per intent to answer: a resend with the same id is the same event."""


class SubmitAnswer(Fact):
    """What a learner may claim: which question, and what the answer is. Who and when come from the server."""

    assignment_id: DocumentId
    question_id: DocumentId
    answer: Response
    submission_id: SubmissionId | None = None


@dataclass(frozen=True, slots=True)
class AnswerSubmitted:
    """
    One answer, on record.

    A dataclass and not a pydantic model: millions are folded in a replay, and everything in it was
    validated when it was accepted. ``answer`` is the canonical JSON of the response, so that equal
    answers are equal texts; ``submitted_at`` is in microseconds since 1970, UTC, by the server's clock.
    """

    assignment_id: str
    question_id: str
    student_id: str
    submission_id: str
    answer: str
    submitted_at: int
    source: str
    event_id: str = field(init=False, compare=False)
    """The name of this answer: equal for every resend of the same submission."""

    def __post_init__(self) -> None:
        """Compute the name once; every merge asks for it several times."""
        name = event_id(self.assignment_id, self.student_id, self.question_id, self.submission_id)
        object.__setattr__(self, "event_id", name)


def event_id(assignment_id: str, student_id: str, question_id: str, submission_id: str) -> str:
    """
    Name a submission by what it is: 64 hexadecimal digits, spread evenly over the collection.

    Browsers and security rules compute the same: SHA-256 over the five lines
    ``lectern.answer.v1``, assignment, student, question and submission id.
    """
    text = f"lectern.answer.v1\n{assignment_id}\n{student_id}\n{question_id}\n{submission_id}"
    return hashlib.sha256(text.encode()).hexdigest()


def decide(
    command: SubmitAnswer,
    question: Question,
    *,
    student_id: str,
    submission_id: str,
    now: datetime,
    source: Source,
) -> AnswerSubmitted:
    """
    Turn what a learner claims into what is recorded.

    Raises:
        InvalidRequest: the answer does not fit the question.
    """
    check(command.answer, question)
    return AnswerSubmitted(
        assignment_id=command.assignment_id,
        question_id=command.question_id,
        student_id=student_id,
        submission_id=submission_id,
        answer=canonical(command.answer.model_dump(by_alias=True)),
        submitted_at=microseconds(now),
        source=source,
    )


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def read_response(answer: str, question: Question) -> Response:
    """
    Read back the response in *answer* (JSON) and check it against *question*.

    Raises:
        InvalidRequest: it is not a response to this question.
    """
    shape = SHAPE_OF.get(question.type)
    if shape is None:
        message = f"question {question.question_id} takes no answer"
        raise InvalidRequest(message)
    adapter = _ADAPTERS.get(shape)
    if adapter is None:
        adapter = _ADAPTERS[shape] = TypeAdapter(shape)
    try:
        response: Response = adapter.validate_json(answer, strict=True)
    except ValidationError as error:
        message = f"not an answer to a {question.type.value} question"
        raise InvalidRequest(message) from error
    check(response, question)
    return response


def canonical(value: object) -> str:
    """The one JSON text of *value*: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def utf8_bytes(text: str) -> int:
    """How many bytes *text* is in UTF-8, which is what stores and topics count."""
    return len(text) if text.isascii() else len(text.encode())


def encode(event: AnswerSubmitted) -> str:
    """Write *event* as its one JSON text, which is what is stored, sealed and sent."""
    return canonical(
        {
            "type": EVENT_TYPE,
            "assignmentId": event.assignment_id,
            "questionId": event.question_id,
            "studentId": event.student_id,
            "submissionId": event.submission_id,
            "answer": orjson.Fragment(event.answer),
            "submittedAt": to_text(event.submitted_at),
            "source": event.source,
        }
    )


def decode(text: str | bytes) -> AnswerSubmitted:
    """
    Read an event back from its JSON text.

    Raises:
        InvalidRequest: it is not an event of a known type.
    """
    try:
        fields = orjson.loads(text)
        if fields["type"] != EVENT_TYPE:
            message = f"unknown event type {fields['type']!r}"
            raise InvalidRequest(message)
        return AnswerSubmitted(
            assignment_id=_text(fields["assignmentId"]),
            question_id=_text(fields["questionId"]),
            student_id=_text(fields["studentId"]),
            submission_id=_text(fields["submissionId"]),
            answer=canonical(fields["answer"]),
            submitted_at=from_text(fields["submittedAt"]),
            source=_text(fields["source"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = "not an answer event"
        raise InvalidRequest(message) from error


def payload_digest(event: AnswerSubmitted) -> str:
    """What was answered, apart from when and by which door: equal for every honest resend."""
    return hashlib.sha256(f"{event.event_id}\n{event.answer}".encode()).hexdigest()


def microseconds(moment: datetime) -> int:
    """Microseconds from 1970 to *moment*, exactly (no float in between)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(at: int) -> datetime:
    """The aware UTC time that is *at* microseconds after 1970."""
    seconds, micros = divmod(at, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def to_text(at: int) -> str:
    """*at* as RFC 3339 with six decimals and ``Z``."""
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> int:
    """Microseconds since 1970 of the RFC 3339 *text*."""
    return microseconds(datetime.fromisoformat(text))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "expected a string"
        raise TypeError(message)
    return value


def takes_answers(question: Question) -> bool:
    """Whether *question* asks for anything: a description does not."""
    return question.type is not QuestionType.DESCRIPTION
