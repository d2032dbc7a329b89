"""Courses that models outline and write, for teachers and the members of their courses."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.caching.base import CacheUse
from shared.catalog.base import CourseRole
from shared.catalog.payers import payer_in
from shared.edge import endpoint
from shared.edge.registry import RateClass
from shared.edge.streaming import streamed_call
from shared.errors import InvalidRequest
from shared.gateway.base import MARGIN_SECONDS, Ask, Reply
from shared.learning.facts import DocumentId, Fact
from shared.tutoring import generating
from shared.tutoring.generating import ReaderLevel, Skeleton, StepContent
from shared.tutoring.languages import Direction, Language, direction_of
from shared.tutoring.replies import MAX_REPLY_CHARACTERS

SKELETON_SECONDS = 30
STEP_SECONDS = 15
"""The most that callers wait; the model is given less by ``MARGIN_SECONDS``."""

_LESSON = '"objectives":'

Version = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


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


@streamed_call(
    sends=SkeletonProgress,
    reply=SkeletonReply,
    rate=RateClass.LESSON,
    sensitive=True,
    deadline_seconds=SKELETON_SECONDS,
    max_body_bytes=16 * endpoint.KIB,
)
async def generate_skeleton(
    command: GenerateSkeleton, call: endpoint.Call
) -> AsyncGenerator[SkeletonProgress | SkeletonReply, None]:
    """Outline a course, streamed, for its teachers; the outline is stored under the name of its content."""
    services = call.services
    await services.catalog.course(call.principal, command.course_id, at_least=CourseRole.TEACHER)
    payer = await payer_in(services.catalog, call.principal, command.course_id)
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
        cache=_kept("skeleton", generating.SKELETON_PROMPT, call),
        deadline_seconds=call.left_of(SKELETON_SECONDS - MARGIN_SECONDS),
    )
    yield SkeletonProgress(lessons=0, of=command.lessons)
    text, begun, canned = "", 0, False
    async with aclosing(services.gateway.stream(ask, payer)) as stream:
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


@endpoint.client_call(deadline_seconds=STEP_SECONDS, max_body_bytes=4 * endpoint.KIB, rate=RateClass.LESSON)
async def generate_step(command: GenerateStep, call: endpoint.Call) -> StepReply:
    """Write one step of an outline of a course, for its members; what was written once is written for all."""
    services = call.services
    await services.catalog.course(call.principal, command.course_id, at_least=CourseRole.STUDENT)
    skeleton = await services.tutoring_records.skeleton(command.course_id, command.version)
    if command.lesson >= len(skeleton.lessons) or command.step >= len(skeleton.lessons[command.lesson].steps):
        raise InvalidRequest("this outline has no such step")
    payer = await payer_in(services.catalog, call.principal, command.course_id)
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
            cache=_kept("step", generating.STEP_PROMPT, call),
            deadline_seconds=call.left_of(STEP_SECONDS - MARGIN_SECONDS),
        ),
        payer,
    )
    return StepReply(
        content=generating.read_step(reply.text),
        language=command.language,
        dir=direction_of(command.language),
        canned=reply.canned,
    )


def _kept(entry: str, prompt: str, call: endpoint.Call) -> CacheUse | None:
    """How what is written is kept for everybody, unless the deployment keeps no lessons."""
    return CacheUse(entry, {"prompt": prompt}) if call.services.settings.lesson_cache else None
