"""The budgets of one process keep the contract."""

import logging
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import Override
from shared.budgets.memory import RESERVATION, MemoryBudgets
from shared.errors import BudgetSpent
from shared.metrics import REGISTRY
from tests.budgets_contract import ANN, CEILINGS, USAGE, BudgetsContract, Clock, refusal, reserve, spend


@pytest.fixture
def clock():
    return Clock()


class TestMemoryBudgets(BudgetsContract):
    @pytest.fixture
    def make(self, clock):
        return lambda: MemoryBudgets(CEILINGS, now=clock)

    async def test_the_kill_switch_refuses_everything(self, budgets):
        budgets.stopped = True
        assert (await refusal(budgets)).ceiling == "killSwitch"
        assert await budgets.remaining(ANN) == 0

    async def test_a_reservation_that_nobody_settles_is_counted_as_spent(self, budgets, clock):
        forgotten = await reserve(budgets, nanos=600)
        clock.now += RESERVATION
        await refusal(budgets, nanos=401)
        [figures] = await budgets.spent(Scope.LEARNER, "ann")
        assert (figures.spent_nanos, figures.reserved_nanos) == (600, 0)
        await budgets.settle(forgotten, actual_nanos=1, usage=USAGE)
        await refusal(budgets, nanos=401)

    async def test_books_of_long_ago_are_forgotten(self, budgets, clock):
        for _ in range(100):
            await spend(budgets)
            clock.now += timedelta(days=1)
        assert len(budgets._books) < 150


async def test_a_scope_may_have_ceilings_of_its_own():
    clock = Clock()
    overrides = {"course.algebra": Override(day=150), "learner.ann": Override(day=5000)}
    budgets = MemoryBudgets(CEILINGS, now=clock, overrides=overrides)
    await spend(budgets, nanos=150)
    with pytest.raises(BudgetSpent, match="course's budget of this day"):
        await reserve(budgets, nanos=1)
    await spend(budgets, Payer("ann", "biology"), 2000)


async def test_days_are_those_of_the_school():
    clock = Clock()
    budgets = MemoryBudgets(CEILINGS, now=clock, zone=ZoneInfo("Asia/Jerusalem"))
    await spend(budgets, nanos=1000)
    assert (await refusal(budgets)).retry_after_seconds == 10 * 3600


async def test_thresholds_are_told_once(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lectern"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("lectern"), "handlers", [])

    def told(percent):
        labels = {"scope": "learner", "percent": str(percent)}
        return REGISTRY.get_sample_value("lectern_budget_thresholds_total", labels) or 0

    before = [told(each) for each in (50, 80, 100)]
    budgets = MemoryBudgets(CEILINGS, now=Clock())
    with caplog.at_level("WARNING", logger="lectern"):
        for _ in range(10):
            await spend(budgets)
    assert [told(each) for each in (50, 80, 100)] == [each + 1 for each in before]
    lines = [each for each in caplog.records if each.message == "budget_threshold"]
    assert [(each.scope, each.scope_id, each.percent) for each in lines] == [
        ("learner", "", 50),
        ("learner", "", 80),
        ("learner", "", 100),
    ]
