"""What the simulation found about the assignment document, each by itself: it ends showing what is true."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import pytest

from shared.documents.base import Replace
from shared.documents.memory import MemoryDocuments
from shared.errors import DeadlineExceeded, PreconditionLost, Unavailable
from shared.learning.answers import AnswerSubmitted, canonical
from shared.learning.assignments import GradingPolicy
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.checker import Form
from tests.faults.services import FaultyServices, MemoryArchive
from tests.simulation import forms
from tests.simulation.world import EPOCH

PATH = "assignments/assignment"
OPTIONS = f"{PATH}/figures/options"


class LateWrites:
    """Documents whose next write of the assignment document arrives only when it is told to."""

    def __init__(self, inner):
        self.inner = inner
        self.hold = False
        self.held = None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def commit(self, writes):
        if self.hold and writes[0].path == PATH:
            self.hold, self.held = False, writes
            message = "no answer in time"
            raise DeadlineExceeded(message)
        return await self.inner.commit(writes)


@pytest.fixture
async def store():
    store = MemoryDocuments()
    await store.commit(forms.documents_of(forms.make("assignment", 2, GradingPolicy()), EPOCH))
    return store


def worker(documents, gather_seconds=0.0):
    return FaultyServices(
        documents=documents,
        topic=MemoryTopic(),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        merging=MergeSettings(gather_seconds=gather_seconds, merge_seconds=0, rollup_seconds=0),
    ).merger


def answer(number):
    text = canonical(forms.ANSWERS["truth"][0])
    return AnswerSubmitted(
        "assignment", "truth", f"s-{number}", f"submission-{number}", text, number, "function"
    )


async def shown(store):
    [document] = await store.get([PATH])
    as_of = document.fields["asOf"]
    return (as_of["events"], as_of["pending"])


async def test_what_another_worker_saw_waiting_does_not_stay(store):
    merger = worker(store)
    await merger.merge([answer(1)], by="message")
    assert await shown(store) == (1, 0)
    [document] = await store.get([PATH])
    as_of = {**document.fields["asOf"], "pending": 4}
    await store.commit([Replace(PATH, {"asOf": as_of}, document.version)])

    await merger.merge([answer(1)], by="message")

    assert await shown(store) == (1, 0)


async def test_a_worker_whose_memory_is_old_puts_right_what_another_saw_waiting(store):
    one, other = worker(store), worker(store)
    await one.merge([answer(1)], by="message")
    await other.merge([answer(2)], by="message")
    [document] = await store.get([PATH])
    as_of = {**document.fields["asOf"], "pending": 1}
    await store.commit([Replace(PATH, {"asOf": as_of}, document.version)])

    await one.merge([answer(1)], by="message")

    assert await shown(store) == (2, 0)


async def test_a_caller_who_was_cut_off_does_not_take_the_roll_up_along(store):
    merger = worker(store, gather_seconds=0.05)
    cut = asyncio.create_task(merger.merge([answer(1)], by="message"))
    await asyncio.sleep(0.01)
    cut.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cut

    await merger.merge([answer(1)], by="message")  # its message comes again, into the same batch

    assert await shown(store) == (1, 0)


async def test_what_was_merged_elsewhere_meanwhile_is_not_shown_as_waiting_here(store):
    here, elsewhere = worker(store, gather_seconds=1.0), worker(store)
    await elsewhere.merge([answer(1)], by="message")
    cut = asyncio.create_task(here.merge([answer(2)], by="message"))
    await asyncio.sleep(0.01)
    cut.cancel()
    await elsewhere.merge([answer(2)], by="message")  # its message comes again, to another worker

    await here.figures.roll_up("assignment", anew=True)
    assert await shown(store) == (2, 0)
    [document] = await store.get([PATH])
    as_of = {**document.fields["asOf"], "pending": 1}  # as it would be had it been read before the cut
    await store.commit([Replace(PATH, {"asOf": as_of}, document.version)])
    async with asyncio.timeout(10):
        while await shown(store) != (2, 0):  # noqa: ASYNC110  nobody tells when it was written
            await asyncio.sleep(0.05)


async def test_a_message_that_comes_again_after_a_failed_roll_up_brings_the_news(store):
    late = LateWrites(store)
    here, elsewhere = worker(late, gather_seconds=0.05), worker(store)
    await elsewhere.merge([answer(1)], by="message")
    late.hold = True
    outcomes = await asyncio.gather(
        here.merge([answer(1)], by="message"), here.merge([answer(2)], by="message"), return_exceptions=True
    )
    assert [isinstance(each, Unavailable) for each in outcomes] == [False, True]
    assert await shown(store) == (1, 0)

    await elsewhere.merge([answer(2)], by="message")  # which believes to know everything, until it sees this

    assert await shown(store) == (2, 0)


async def test_counts_of_options_come_with_the_figures_or_not_at_all(store):
    late = LateWrites(store)
    merger = worker(late)
    await merger.merge([answer(1)], by="message")
    late.hold = True
    with pytest.raises(Unavailable):
        await merger.merge([answer(2)], by="message")
    for number in (1, 2):
        [document, options] = await store.get([PATH, OPTIONS])
        assert options.fields["asOf"] == document.fields["asOf"]
        assert options.fields["questions"]["truth"] == {"true": number, "false": 0}
        await merger.merge([answer(2)], by="message")

    with pytest.raises(PreconditionLost):
        await store.commit(late.held)
    [after] = await store.get([OPTIONS])
    assert after.fields["questions"]["truth"] == {"true": 2, "false": 0}


async def test_where_no_question_has_options_no_counts_of_them_are_written():
    store = MemoryDocuments()
    form = forms.make("assignment", 3, GradingPolicy())
    number = tuple(form.questions[-1:])
    form = Form(form.assignment.model_copy(update={"questions": number}), {"number": form.keys["number"]})
    await store.commit(forms.documents_of(form, EPOCH))
    event = AnswerSubmitted("assignment", "number", "s", "submission", '{"number":4}', 1, "function")

    await worker(store).merge([event], by="message")

    assert await shown(store) == (1, 0)
    assert OPTIONS not in store.dump()


async def test_a_write_that_comes_too_late_is_fenced_off(store):
    late = LateWrites(store)
    merger = worker(late)
    await merger.merge([answer(1)], by="message")
    late.hold = True
    with pytest.raises(Unavailable):
        await merger.merge([answer(2)], by="message")
    await merger.merge([answer(2)], by="message")
    assert await shown(store) == (2, 0)

    with pytest.raises(PreconditionLost):
        await store.commit(late.held)


async def test_a_write_that_comes_too_late_is_fenced_off_even_if_nothing_else_changed(store):
    late = LateWrites(store)
    merger = worker(late)
    await merger.merge([answer(1)], by="message")
    [before] = await store.get([PATH])
    late.hold = True
    with pytest.raises(Unavailable):
        await merger.figures.roll_up("assignment", anew=True)

    await merger.merge([answer(1)], by="message")

    [after] = await store.get([PATH])
    assert after.version != before.version
    with pytest.raises(PreconditionLost):
        await store.commit(late.held)
