"""
Segments: batches of merged answers, packed, each sealed to the one before.

They are immutable, but for erasures.

The digest is taken over the packed text *before* compression, because compressors differ from one
version to the next and replay must not.
"""

import hashlib
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

import orjson

from shared.errors import InvalidRequest
from shared.learning.answers import AnswerSubmitted

GENESIS = "0" * 64
"""The digest before the first segment."""

_ANSWERS, _ERASURE = 1, 2


def ordered(events: Iterable[AnswerSubmitted]) -> list[AnswerSubmitted]:
    """*events* in canonical order: by learner, question, time and submission, whatever order they came in."""
    return sorted(events, key=_rank)


def _rank(event: AnswerSubmitted) -> tuple[str, str, int, str]:
    return (event.student_id, event.question_id, event.submitted_at, event.submission_id)


def pack(assignment_id: str, events: Iterable[AnswerSubmitted]) -> bytes:
    """
    Write *events*, all of one assignment and in canonical order, as one JSON text.

    Learners, questions and answers are written once and referred to by number: about 40 bytes an
    answer in a class that answers alike.
    """
    students: dict[str, int] = {}
    questions: dict[str, int] = {}
    answers: dict[str, int] = {}
    rows = [
        (
            students.setdefault(event.student_id, len(students)),
            questions.setdefault(event.question_id, len(questions)),
            answers.setdefault(event.answer, len(answers)),
            event.submission_id,
            event.submitted_at,
            event.source,
        )
        for event in events
    ]
    return orjson.dumps(
        {
            "v": _ANSWERS,
            "assignmentId": assignment_id,
            "students": list(students),
            "questions": list(questions),
            "answers": list(answers),
            "rows": rows,
        }
    )


def pack_erasure(assignment_id: str, marks: Iterable[str]) -> bytes:
    """
    Write that the learners with these *marks* (hexadecimal) are erased here: nothing before it is theirs.

    A version of its own, so that a release that knows of no erasures stops instead of counting them in.
    """
    return orjson.dumps({"v": _ERASURE, "assignmentId": assignment_id, "erased": sorted(marks)})


def without(packed: bytes, learners: Collection[str]) -> bytes:
    """*packed* as it is when nothing in it is about *learners* any more; the same again changes nothing."""
    segment = opened(packed)
    if not any(learner in learners for learner in segment.students):
        return packed
    return pack(
        segment.assignment_id, (event for event in unpack(packed) if event.student_id not in learners)
    )


class Opened(NamedTuple):
    """
    A packed segment, its texts once each.

    A row names by number a student, a question and an answer; then come submission id, time and source.
    *erased* are marks of learners of whom nothing counts any more that was packed before.
    """

    assignment_id: str
    students: list[str]
    questions: list[str]
    answers: list[str]
    rows: list[tuple[int, int, int, str, int, str]]
    erased: list[str]


def opened(packed: bytes) -> Opened:
    """
    Read a segment as it is written, for whoever needs no event of each answer.

    Raises:
        InvalidRequest: *packed* is of no version known here.
    """
    body = orjson.loads(packed)
    version = body["v"]
    if version == _ERASURE:
        return Opened(body["assignmentId"], [], [], [], [], body["erased"])
    if version != _ANSWERS:
        message = f"unknown segment version {version!r}"
        raise InvalidRequest(message)
    return Opened(
        body["assignmentId"], body["students"], body["questions"], body["answers"], body["rows"], []
    )


def unpack(packed: bytes) -> list[AnswerSubmitted]:
    """
    Read the events back, in canonical order.

    Raises:
        InvalidRequest: *packed* is of no version known here.
    """
    assignment_id, students, questions, answers, rows, _ = opened(packed)
    return [
        AnswerSubmitted(
            assignment_id, questions[q], students[s], submission_id, answers[a], submitted_at, source
        )
        for s, q, a, submission_id, submitted_at, source in rows
    ]


def compress(packed: bytes) -> bytes:
    """*packed* for storage."""
    return zlib.compress(packed, 1)


def decompress(stored: bytes) -> bytes:
    """What :func:`compress` was given."""
    return zlib.decompress(stored)


def chain(previous: str, packed: bytes) -> str:
    """The digest after a segment: SHA-256 over the digest before it and the digest of its text."""
    return link(previous, content_digest(packed))


def content_digest(packed: bytes) -> str:
    """SHA-256 of a segment's text."""
    return hashlib.sha256(packed).hexdigest()


def link(previous: str, content: str) -> str:
    """The next digest of a chain, from the *previous* one and the digest of the *content* that is added."""
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
