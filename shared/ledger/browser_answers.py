"""Reads the answers that browsers write to Firestore themselves, under the security rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.errors import InvalidRequest
from shared.learning.answers import AnswerSubmitted, SubmissionId, canonical, microseconds
from shared.learning.facts import DocumentId, LearnerId
from shared.learning.responses import Response

_FIELDS = {"assignmentId", "questionId", "studentId", "submissionId", "answer", "submittedAt"}
_ID: TypeAdapter[str] = TypeAdapter(DocumentId)
_SUBMISSION: TypeAdapter[str] = TypeAdapter(SubmissionId)
_LEARNER: TypeAdapter[str] = TypeAdapter(LearnerId)
_RESPONSE: TypeAdapter[Response] = TypeAdapter(Response)


def from_browser(event_id: str, fields: Mapping[str, Any]) -> AnswerSubmitted:
    """
    The answer in a document of ``browserAnswers``: the same event whether a trigger or the sweep reads it.

    The rules vouch for who and when. What was answered is checked again here, because rules cannot
    know the question.

    Raises:
        InvalidRequest: the fields are not those of an answer, or do not hash to *event_id*.
    """
    if set(fields) != _FIELDS or not isinstance(fields["submittedAt"], datetime):
        message = "not the fields of an answer"
        raise InvalidRequest(message)
    try:
        # Through JSON, because that is where strictness means what a browser would mean by it.
        response = _RESPONSE.validate_json(canonical(_plain(fields["answer"])), strict=True)
        event = AnswerSubmitted(
            assignment_id=_ID.validate_python(fields["assignmentId"]),
            question_id=_ID.validate_python(fields["questionId"]),
            student_id=_LEARNER.validate_python(fields["studentId"]),
            submission_id=_SUBMISSION.validate_python(fields["submissionId"]),
            answer=canonical(response.model_dump(by_alias=True)),
            submitted_at=microseconds(fields["submittedAt"]),
            source="browser",
        )
    except (ValidationError, TypeError, ValueError) as error:
        message = "not an answer"
        raise InvalidRequest(message) from error
    if event.event_id != event_id:
        message = "the document's id is not its event's"
        raise InvalidRequest(message)
    return event


def _plain(answer: object) -> object:
    if not isinstance(answer, Mapping):
        message = "an answer is a map"
        raise TypeError(message)
    return dict(answer)
