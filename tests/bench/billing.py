"""What an answer costs by the way it comes: billed operations and round trips, fifty to a merge."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson

from shared.documents.base import Create
from shared.documents.metering import TOTAL
from shared.learning.answers import AnswerSubmitted
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.bench import material
from tests.bench.report import Report
from tests.faults.services import FaultyServices, MemoryArchive, accept, merge_created, merge_message

_TOGETHER = 50
_NAIVE = "naive read-modify-write: 3 in 2 round trips"

Way = Callable[[FaultyServices, MemoryTopic, list[AnswerSubmitted]], Awaitable[None]]


async def _alone(services: FaultyServices, topic: MemoryTopic, events: list[AnswerSubmitted]) -> None:
    for event in events:
        await accept(services, event)
    await _merged(services, topic)


async def _batch(services: FaultyServices, topic: MemoryTopic, events: list[AnswerSubmitted]) -> None:
    await asyncio.gather(*(accept(services, event) for event in events))
    await _merged(services, topic)


async def _browser(services: FaultyServices, _topic: MemoryTopic, events: list[AnswerSubmitted]) -> None:
    written = {each.event_id: _fields(each) for each in events}
    for event_id, fields in written.items():
        await services.documents.create_each([Create(f"browserAnswers/{event_id}", fields)])
    await asyncio.gather(*(merge_created(services, *each) for each in written.items()))


async def _swept(services: FaultyServices, topic: MemoryTopic, events: list[AnswerSubmitted]) -> None:
    await asyncio.gather(*(accept(services, event) for event in events))
    topic.messages.clear()  # lost
    swept = await services.sweep.run()
    assert swept.answers == len(events)


async def _merged(services: FaultyServices, topic: MemoryTopic) -> None:
    messages, topic.messages = topic.messages, []
    await asyncio.gather(*(merge_message(services, each) for each in messages))


WAYS: dict[str, tuple[str, Way]] = {
    "function": ("submitted one by one", _alone),
    "batch": ("submitted by the fifty", _batch),
    "browser": ("written by the browser itself", _browser),
    "sweep": ("its message lost, merged by the sweep", _swept),
}


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*; the first fifty, which find nothing known, are not counted."""
    for name, (told, way) in WAYS.items():
        store = material.documents(emulators, material.project())
        await material.assignment(store)
        topic = MemoryTopic()
        services = _services(store, topic)
        rounds = 2 if quick else 10
        events = material.answers(_TOGETHER * (rounds + 1))
        before = (0, 0)
        for number in range(rounds + 1):
            await way(services, topic, events[number * _TOGETHER : (number + 1) * _TOGETHER])
            if number == 0:
                before = (TOTAL.operations, TOTAL.rpcs)
        operations, rpcs = (
            (now - then) / (rounds * _TOGETHER)
            for now, then in zip((TOTAL.operations, TOTAL.rpcs), before, strict=True)
        )
        report.row(f"billed for an answer, {told}", f"{operations:.2f} in {rpcs:.2f} round trips", _NAIVE)
        report.measured(f"billed_ops_per_answer_by_{name}", operations)
        report.measured(f"rpcs_per_answer_by_{name}", rpcs)
        await store.close()


def _services(store: object, topic: MemoryTopic) -> FaultyServices:
    """A process' services, which merge as soon as fifty wait."""
    return FaultyServices(
        documents=store,
        topic=topic,
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=random.random,
        merging=MergeSettings(
            gather_seconds=1.0, gather_events=_TOGETHER, merge_seconds=0.0, rollup_seconds=0.0
        ),
        young=timedelta(0),
    )


def _fields(event: AnswerSubmitted) -> dict[str, object]:
    """As the browser writes it."""
    return {
        "assignmentId": event.assignment_id,
        "questionId": event.question_id,
        "studentId": event.student_id,
        "submissionId": event.submission_id,
        "answer": orjson.loads(event.answer),
        "submittedAt": datetime.fromtimestamp(event.submitted_at / 1_000_000, UTC),
    }
