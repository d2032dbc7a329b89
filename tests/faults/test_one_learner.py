"""One learner who answers without end harms nobody, the ledger least of all."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.base import Create
from shared.documents.memory import MemoryDocuments
from shared.errors import LecternError, Unavailable
from shared.learning import registers
from shared.learning.answers import AnswerSubmitted, canonical, encode
from shared.learning.assignments import GradingPolicy
from shared.ledger.base import PENDING
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.checker import Told, check
from tests.faults.services import FaultyServices, MemoryArchive
from tests.simulation import forms
from tests.simulation.world import EPOCH

FORM = forms.make("assignment", 3, GradingPolicy())


@pytest.fixture
async def store():
    store = MemoryDocuments()
    await store.commit(forms.documents_of(FORM, EPOCH))
    return store


def worker(store):
    return FaultyServices(
        documents=store,
        topic=MemoryTopic(),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        merging=MergeSettings(gather_seconds=0, merge_seconds=0, page_bytes=400, rollup_seconds=0),
        young=timedelta(0),
    )


def answer(number, student="diligent", question="truth"):
    text = canonical(forms.ANSWERS[question][number % 2])
    return AnswerSubmitted(
        "assignment", question, student, f"submission-{number}", text, 1_000_000 + number, "function"
    )


@pytest.mark.parametrize("others", [0, 3])
async def test_registers_that_no_split_makes_smaller_are_not_split_for_ever(store, others):
    told, services = Told(), worker(store)
    for number in range(60):
        events = [
            answer(number),
            *(answer(number, f"other-{n}", "one") for n in range(others) if number == 0),
        ]
        for event in events:
            told.acknowledge(event)
        await services.merger.merge(events, by="message")
    found = await check(store, told, [FORM])
    assert found.merged == 60 + others
    assert len(await store.scan("ledgers/assignment/shards")) <= (1 if not others else 60)
    assert await services.pending_answers.count() == 0


async def test_repeats_are_bounded_over_an_assignment_in_any_order(store, monkeypatch):
    monkeypatch.setattr(registers, "MAX_REPEATS_KEPT", 4)
    services = worker(store)
    grading = await services.catalog.grading("assignment")
    answers = [answer(n, question=question) for n in range(6) for question in ("one", "truth", "number")]
    for order in (answers, answers[::-1], answers[1::2] + answers[::2]):
        folded = registers.Registers(grading).fold(order)
        assert len(folded.applied) == 3 + 4
        assert all("repeated attempts" in each.reason for each in folded.refused)
        for again in (folded.applied, folded.applied[::-1]):
            assert not registers.Registers(grading).fold(again).refused


async def test_an_assignment_that_cannot_be_merged_does_not_hold_up_the_sweep_of_others(store, monkeypatch):
    services = worker(store)
    stuck = replace(answer(1), assignment_id="stuck")
    for event in (stuck, answer(2)):
        await store.commit([Create(f"{PENDING}/{event.event_id}", {"event": encode(event)})])
    merge = services.merger._merge_one

    async def failing(assignment_id, *arguments, **options):
        if assignment_id == "stuck":
            message = "Firestore: INVALID_ARGUMENT"
            raise LecternError(message)
        await merge(assignment_id, *arguments, **options)

    monkeypatch.setattr(services.merger, "_merge_one", failing)
    with pytest.raises(Unavailable, match="set aside: 1"):
        await services.sweep.run()

    assert [each.id for each in await store.scan(PENDING)] == [stuck.event_id]
    [document] = await store.get(["assignments/assignment"])
    assert document.fields["asOf"]["events"] == 1
