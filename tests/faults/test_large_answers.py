"""Answers as large as they may be, many at once, and batches that cannot be merged: the others go on."""

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.base import Create, Put
from shared.documents.memory import MemoryDocuments
from shared.errors import LecternError, Unavailable
from shared.learning.answers import encode
from shared.learning.assignments import GradingPolicy
from shared.ledger.accepting import PendingAnswers
from shared.ledger.base import PENDING
from shared.ledger.dead_letters import DEAD_LETTERS
from shared.ledger.merging import MergeSettings
from shared.topics.doorbell import Doorbell, Sealed
from shared.topics.memory import MemoryTopic
from tests.checker import Told, check
from tests.deployed import in_memory
from tests.deployed import replace as put_in_place
from tests.faults.services import FaultyServices, MemoryArchive
from tests.large_answers import FORM, answers, texts
from tests.simulation import forms
from tests.simulation.world import EPOCH

ESSAYS = {
    "ascii": lambda: texts(300, 9_000),
    "four bytes each": lambda: texts(200, 4_096, beyond_ascii=True),
}


@pytest.fixture
async def store():
    store = MemoryDocuments()
    await store.commit(forms.documents_of(FORM, EPOCH))
    return store


def worker(store, topic=None):
    return FaultyServices(
        documents=store,
        topic=topic or MemoryTopic(),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        merging=MergeSettings(gather_seconds=0, merge_seconds=0, rollup_seconds=0),
        young=timedelta(0),
    )


async def pend(store, events):
    for event in events:
        await store.commit([Create(f"{PENDING}/{event.event_id}", {"event": encode(event)})])
    return events


def told(events):
    told = Told()
    for event in events:
        told.acknowledge(event)
    return told


@pytest.mark.parametrize("essays", ESSAYS.values(), ids=ESSAYS)
@pytest.mark.parametrize("by", ["message", "sweep"])
async def test_large_answers_that_come_together_are_merged(store, essays, by):
    events = await pend(store, answers(essays()))
    services = worker(store)
    if by == "message":
        await services.merger.merge(events, by="message")
    else:
        assert (await services.sweep.run()).answers == len(events)
    assert (await check(store, told(events), [FORM])).merged == len(events)
    assert await services.pending_answers.count() == 0


class Weighed(MemoryDocuments):
    """Notes how many bytes of answers are created together."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    async def create_each(self, creations):
        self.sizes.append(sum(len(each.fields["event"].encode()) for each in creations))
        return await super().create_each(creations)


async def test_large_answers_are_put_on_record_by_the_megabyte_whatever_the_characters():
    store = Weighed()
    pending = PendingAnswers(store)
    events = answers(texts(200, 4_096, beyond_ascii=True))
    await asyncio.gather(*(pending.record(event) for event in events))
    assert await pending.count() == len(events)
    assert max(store.sizes) <= 1_000_000


async def test_a_message_is_no_larger_than_a_merge_whatever_the_characters():
    topic = MemoryTopic()
    doorbell = Doorbell(topic)
    sealed = [Sealed(encode(each), "seal") for each in answers(texts(100, 4_096, beyond_ascii=True))]
    await asyncio.gather(*(doorbell.ring(each, shard_key="one") for each in sealed))
    assert len(topic.messages) > 1
    assert max(len(message.data) for message in topic.messages) < 600_000


class Obstinate(MemoryDocuments):
    """Does not write beneath the paths in *refused*."""

    refused = ()

    async def commit(self, writes):
        if any(write.path.startswith(path) for write in writes for path in self.refused):
            message = "this cannot be written"
            raise ValueError(message)
        return await super().commit(writes)


@pytest.fixture
async def obstinate():
    store = Obstinate()
    for name in ("assignment", "stuck"):
        await store.commit(forms.documents_of(forms.make(name, len(forms.ANSWERS), GradingPolicy()), EPOCH))
    return store


@pytest.fixture
def logged(caplog, monkeypatch):
    """The records of a name, whether or not functions were called before in this process."""
    monkeypatch.setattr(logging.getLogger("lectern"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("lectern"), "handlers", [logging.NullHandler()])
    return lambda name: [record for record in caplog.records if record.message == name]


async def test_what_cannot_be_merged_or_set_aside_does_not_hold_up_the_sweep(obstinate, logged):
    sound = await pend(obstinate, answers(["an essay"]))
    stuck = await pend(obstinate, [replace(each, assignment_id="stuck") for each in sound])
    await obstinate.commit([Put(f"{PENDING}/0", {"event": "nonsense"})])
    obstinate.refused = ("ledgers/stuck/", DEAD_LETTERS)
    services = worker(obstinate)

    with pytest.raises(Unavailable, match="set aside: 2"):
        await services.sweep.run()
    assert {each.id for each in await obstinate.scan(PENDING)} == {"0", stuck[0].event_id}
    [document] = await obstinate.get(["assignments/assignment"])
    assert document.fields["asOf"]["events"] == 1
    assert [each.assignment_id for each in logged("answers_not_swept")] == ["stuck"]
    assert [each.event_id for each in logged("document_not_set_aside")] == ["0"]

    obstinate.refused = ()
    swept = await services.sweep.run()
    assert (swept.answers, swept.unreadable) == (1, 1)
    assert await services.pending_answers.count() == 0


async def merged_one_by_one(store, services):
    for event in await pend(store, answers(["first", "second"])):
        for assignment_id in ("assignment", "stuck"):
            await services.merger.merge([replace(event, assignment_id=assignment_id)], by="message")


async def test_an_assignment_that_cannot_be_tidied_does_not_hold_up_the_others(obstinate, logged):
    services = worker(obstinate)
    await merged_one_by_one(obstinate, services)
    obstinate.refused = ("ledgers/assignment/",)

    with pytest.raises(Unavailable, match="tidied: 1"):
        await services.tidying.run()
    assert await obstinate.count("ledgers/assignment/shards/0-0/segments") == 2
    assert await obstinate.count("ledgers/stuck/shards/0-0/segments") == 1
    assert [each.assignment_id for each in logged("assignment_not_tidied")] == ["assignment"]


async def test_a_sweep_that_fails_does_not_hold_up_the_clean_up_which_fails_in_the_end(obstinate, logged):
    expired = {"expiresAt": datetime.now(UTC) - timedelta(days=1)}
    await obstinate.commit([Put("spending/old", expired)])
    async with in_memory() as app:
        put_in_place(app.services, documents=obstinate)
        await merged_one_by_one(obstinate, app.services)

        async def failing():
            message = "no"
            raise LecternError(message)

        sweep, app.services.sweep.run = app.services.sweep.run, failing
        assert (await app.call("clean_up", {}, uid="platform")).status_code == 500
        assert await obstinate.count("ledgers/stuck/shards/0-0/segments") == 1
        assert await obstinate.count("spending") == 0
        assert len(logged("clean_up_incomplete")) == 1

        app.services.sweep.run = sweep
        assert (await app.call("clean_up", {}, uid="platform")).status_code == 200
