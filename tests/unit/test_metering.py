"""Who is charged for what Firestore bills, and which documents are written too often."""

import asyncio

import pytest

from shared import metrics
from shared.documents.base import Create, Replace
from shared.documents.memory import MemoryDocuments
from shared.documents.metering import TOTAL, Bill, bill, charge, current, divided
from shared.edge.metrics import render
from tests.hot_documents import HotDocument, WatchedDocuments


def billed(function, kind):
    return metrics.REGISTRY.get_sample_value(
        "lectern_billed_operations_total", {"function": function, "kind": kind}
    )


def test_a_request_is_charged_for_what_it_and_its_tasks_do():
    async def work():
        with bill("f") as mine:
            charge(reads=2)
            await asyncio.create_task(nested())
        charge(reads=100)
        return mine

    async def nested():
        charge(writes=3, deletes=1)

    before = TOTAL.operations
    mine = asyncio.run(work())

    assert mine == Bill(reads=2, writes=3, deletes=1, rpcs=2)
    assert mine.operations == 6
    assert TOTAL.operations - before == 106


def test_a_shared_round_trip_is_divided_among_its_requests_and_charged_once():
    before = TOTAL.writes
    with bill("first") as first:
        [payer] = current()
    with bill("second") as second:
        pass
    with divided([payer, second]):
        charge(writes=5)

    assert payer is first
    assert (first.writes, second.writes) == (3, 2)
    assert (first.rpcs, second.rpcs) == (1, 0)
    assert TOTAL.writes - before == 5


def test_the_shares_of_any_charge_add_up():
    bills = [Bill() for _ in range(7)]
    with divided(bills):
        for count in range(20):
            charge(reads=count)
    assert sum(each.reads for each in bills) == sum(range(20))


def test_metrics_tell_operations_by_function_also_of_work_that_outlives_the_answer():
    async def work():
        with bill("late_worker"):
            task = asyncio.create_task(later())
        await task

    async def later():
        await asyncio.sleep(0)
        charge(deletes=4)

    asyncio.run(work())

    assert billed("late_worker", "deletes") == 4
    assert billed("late_worker", "rpcs") == 1
    assert b'lectern_billed_operations_total{function="late_worker",kind="deletes"} 4.0' in render()


class Watched:
    """A store whose clock stands still until it is turned."""

    def __init__(self):
        self.now = 0.0
        self.documents = WatchedDocuments(MemoryDocuments(), clock=lambda: self.now)

    async def write(self, times, every):
        [version] = await self.documents.commit([Create("a/b", {"n": 0})])
        for number in range(1, times):
            self.now += every
            [version] = await self.documents.commit([Replace("a/b", {"n": number}, version)])


async def test_a_document_written_once_a_second_passes():
    watched = Watched()
    await watched.write(60, every=1.0)
    watched.documents.check()


async def test_a_document_written_twice_a_second_fails_the_scenario():
    watched = Watched()
    await watched.write(60, every=0.5)
    assert watched.documents.busiest() == ("a/b", 20)
    with pytest.raises(HotDocument, match="a/b 20 times"):
        watched.documents.check()


async def test_a_short_burst_is_no_hot_document():
    watched = Watched()
    await watched.write(5, every=0.01)
    watched.documents.check()


async def test_a_hot_minute_is_found_within_a_quiet_hour():
    watched = Watched()
    await watched.write(60, every=0.5)
    watched.now += 3600
    with pytest.raises(HotDocument):
        watched.documents.check()
