"""The restore drill: export, destroy, restore into a new database process, and rebuild to the same bytes."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from shared.learning.answers import AnswerSubmitted, encode, microseconds
from shared.learning.assignments import GradingPolicy
from shared.ledger.base import PENDING
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.checker import Told, check
from tests.faults import figures
from tests.faults.services import FaultyServices, MemoryArchive
from tests.restoring import databases, patiently
from tests.simulation import forms
from tests.simulation.world import EPOCH

EVENTS = figures.number("LECTERN_RESTORE_EVENTS", 5000)
PROJECT = "demo-restore"
SECONDS = 60 * max(1, EVENTS // 5000)


@pytest.fixture
async def started(tmp_path):
    """Start databases of this test's own, one after another."""
    async with databases(tmp_path / "logs") as start:
        yield start


def documents_of(database):
    return FirestoreDocuments(project=PROJECT, database="(default)", emulator_host=database.address)


def services(documents):
    return FaultyServices(
        documents=documents,
        topic=MemoryTopic(),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        merging=MergeSettings(gather_seconds=0, merge_seconds=0, page_bytes=64_000, rollup_seconds=0),
        young=timedelta(0),
    )


async def test_what_was_exported_is_restored_and_rebuilt_to_the_same_bytes(started, tmp_path):
    rng = random.Random(5000)
    told, form = Told(), forms.make("assignment", 7, GradingPolicy())
    first = await started()
    documents = documents_of(first)
    await patiently(lambda: documents.commit(forms.documents_of(form, EPOCH)))
    events = []
    for number in range(EVENTS):
        question = rng.choice(form.questions).question_id
        event = AnswerSubmitted(
            assignment_id="assignment",
            question_id=question,
            student_id=f"student-{rng.randrange(EVENTS // 20)}",
            submission_id=f"submission-{number}",
            answer=forms.some_answer(rng, question),
            submitted_at=microseconds(EPOCH) + rng.randrange(10**9),
            source="function",
        )
        events.append(event)
        told.acknowledge(event)
    pending = [Create(f"{PENDING}/{event.event_id}", {"event": encode(event)}) for event in events]
    for start in range(0, EVENTS, 400):
        await patiently(lambda start=start: documents.create_each(pending[start : start + 400]))
    # All but a handful are merged; the rest is pending when the backup is made.
    for start in range(0, EVENTS - 20, 1000):
        some = events[start : min(start + 1000, EVENTS - 20)]
        await patiently(lambda some=some: services(documents).merger.merge(some, by="message"))
    grading = await services(documents).catalog.grading("assignment")
    before = await services(documents).history.rebuild(grading)
    [shown] = await documents.get(["assignments/assignment"])
    await documents.close()

    began = time.monotonic()
    seed = await first.export(PROJECT, tmp_path)
    await first.destroy()
    restored = documents_of(await started(seed))
    after = await patiently(lambda: services(restored).history.rebuild(grading))
    took = time.monotonic() - began

    assert after == before
    assert after.identical
    assert after.events == EVENTS - 20
    [again] = await restored.get(["assignments/assignment"])
    assert again.fields == shown.fields
    await services(restored).sweep.run()
    assert (await check(restored, told, [form])).merged == EVENTS
    await restored.close()
    figures.note(events=EVENTS, worst_restore_s=took)
    assert took < SECONDS, f"export, restore and rebuilding took {took:.1f} s"
