"""Outlining a course and writing its steps: what is asked of the model, and what is kept of its reply."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.learning.answers import canonical
from shared.learning.facts import Fact
from shared.tutoring.languages import Language
from shared.tutoring.prompting import Messages, messages
from shared.tutoring.redaction import redacted
from shared.tutoring.rendering import plain
from shared.tutoring.replies import Unusable, listed, read_object, strict_object, text_of

SKELETON_PROMPT = "generate_skeleton/v1"
STEP_PROMPT = "generate_step/v1"
SKELETON_TOKENS = 4000
STEP_TOKENS = 900
MAX_LESSONS = 12

StepKind = Literal["read", "example", "practice", "check"]
ReaderLevel = Literal["beginner", "intermediate", "advanced"]

_KINDS: tuple[StepKind, ...] = ("read", "example", "practice", "check")
_TITLE = 160
_SENTENCE = 400
_BODY = 4000

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=_TITLE)]
Sentence = Annotated[str, StringConstraints(max_length=_SENTENCE)]


class SkeletonStep(Fact):
    """One step of a lesson, not written yet."""

    title: ShortText
    kind: StepKind
    objective: Sentence


class SkeletonLesson(Fact):
    """One lesson: what learners can do after it, and its steps."""

    title: ShortText
    objectives: Annotated[tuple[Sentence, ...], Field(min_length=1, max_length=3)]
    steps: Annotated[tuple[SkeletonStep, ...], Field(min_length=1, max_length=5)]


class Skeleton(Fact):
    """A course in outline."""

    title: ShortText
    summary: Sentence
    lessons: Annotated[tuple[SkeletonLesson, ...], Field(min_length=1, max_length=MAX_LESSONS)]


class StepContent(Fact):
    """A step, written."""

    body: Annotated[str, StringConstraints(min_length=1, max_length=_BODY)]
    key_points: Annotated[tuple[Sentence, ...], Field(max_length=4)]


def skeleton_version(skeleton: Skeleton) -> str:
    """Name a skeleton by its content: 32 hexadecimal digits."""
    text = canonical(skeleton.model_dump(mode="json", by_alias=True))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def skeleton_request(*, topic: str, audience: str, lesson_count: int, language: Language) -> Messages:
    """The messages for a skeleton of *lesson_count* lessons."""
    data = {
        "topic": redacted(topic).text,
        "audience": redacted(audience).text,
        "lessonCount": lesson_count,
    }
    return messages(SKELETON_PROMPT, language, data)


def skeleton_schema() -> dict[str, Any]:
    """What the model's reply must look like, for strict structured output."""
    text = {"type": "string"}
    step = strict_object({"title": text, "kind": {"type": "string", "enum": list(_KINDS)}, "objective": text})
    lesson = strict_object(
        {
            "title": text,
            "objectives": {"type": "array", "items": text},
            "steps": {"type": "array", "items": step},
        }
    )
    return strict_object({"title": text, "summary": text, "lessons": {"type": "array", "items": lesson}})


def read_skeleton(reply: str, *, lesson_count: int) -> Skeleton:
    """
    The skeleton in *reply*: plain text, at most *lesson_count* lessons, nothing beyond the schema.

    Raises:
        Unusable: it has no lesson, or a title, objective or step is missing.
    """
    value = read_object(reply)
    try:
        return Skeleton(
            title=_title(value.get("title")),
            summary=plain(text_of(value.get("summary")), _SENTENCE),
            lessons=tuple(_lesson(each) for each in listed(value.get("lessons"), lesson_count)),
        )
    except ValueError:
        raise Unusable("the model's reply is no skeleton") from None


def _lesson(value: Any) -> SkeletonLesson:
    fields = value if isinstance(value, dict) else {}
    objectives = (plain(text_of(each), _SENTENCE).strip() for each in listed(fields.get("objectives"), 3))
    return SkeletonLesson(
        title=_title(fields.get("title")),
        objectives=tuple(each for each in objectives if each),
        steps=tuple(_step(each) for each in listed(fields.get("steps"), 5)),
    )


def _step(value: Any) -> SkeletonStep:
    fields = value if isinstance(value, dict) else {}
    kind = fields.get("kind")
    return SkeletonStep(
        title=_title(fields.get("title")),
        kind=kind if kind in _KINDS else "read",
        objective=plain(text_of(fields.get("objective")), _SENTENCE).strip(),
    )


def _title(value: object) -> str:
    return " ".join(plain(text_of(value), _TITLE).split())


def step_request(
    skeleton: Skeleton, *, lesson: int, step: int, level: ReaderLevel, language: Language
) -> Messages:
    """The messages for one step (positions from 0) of *skeleton*."""
    outline = skeleton.lessons[lesson]
    data = {
        "course": skeleton.title,
        "lesson": outline.title,
        "lessonObjectives": list(outline.objectives),
        "step": outline.steps[step].model_dump(mode="json", by_alias=True),
        "level": level,
    }
    return messages(STEP_PROMPT, language, data)


def step_schema() -> dict[str, Any]:
    """What the model's reply must look like, for strict structured output."""
    text = {"type": "string"}
    return strict_object({"body": text, "keyPoints": {"type": "array", "items": text}})


def read_step(reply: str) -> StepContent:
    """
    The step in *reply*, as plain text.

    Raises:
        Unusable: it has no body.
    """
    value = read_object(reply)
    points = (plain(text_of(each), _SENTENCE).strip() for each in listed(value.get("keyPoints"), 4))
    try:
        return StepContent(
            body=plain(text_of(value.get("body")), _BODY).strip(),
            key_points=tuple(each for each in points if each),
        )
    except ValueError:
        raise Unusable("the model's reply is no step") from None
