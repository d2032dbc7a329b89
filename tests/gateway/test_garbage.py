"""
A request leaves no cycle of references behind.

It would be freed by the garbage collector only, which took a fifth of the processor time of replies from
the cache while there was one.
"""

import gc

import pytest

from shared.edge.exchange import Exchange
from shared.errors import BudgetSpent
from tests.gateway.served import served

TIMES = 5


@pytest.fixture
async def place(tutor):
    async with served(tutor) as place:
        yield place


async def left_behind(ask):
    """How many exchanges are unreachable and not freed after *ask* was awaited a few times."""
    await ask()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(TIMES):
            await ask()
        gc.collect()
        return sum(isinstance(each, Exchange) for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def test_passed_requests_leave_none(place):
    async def ask():
        assert (await place.chat()).status_code == 200
        assert (await place.chat(stream=True)).text.endswith("data: [DONE]\n\n")

    assert await left_behind(ask) == 0


async def test_refused_and_returned_ones_leave_none(place, monkeypatch):
    async def spent(*_, **__):
        raise BudgetSpent("nothing is left", ceiling="learner", retry_after_seconds=60)

    monkeypatch.setattr(place.services.budgets, "reserve", spent)

    async def ask():
        assert (await place.chat(headers={"cache-control": "no-cache"})).status_code == 429

    assert await left_behind(ask) == 0


async def test_calls_leave_none(place):
    async def ask():
        reply = await place.post("create_course", {"title": "Physics"}, "tess/teacher")
        assert reply.status_code == 200
        assert (await place.post("submit_answer", {})).status_code == 400
        assert (await place.post("submit_answer", {}, "bad")).status_code == 401

    assert await left_behind(ask) == 0
