"""What every keeper of budgets promises; each adapter's test inherits it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.budgets.base import Budgets, Payer, Scope
from shared.budgets.ladder import Ceilings
from shared.budgets.prices import Usage
from shared.errors import BudgetSpent

CEILINGS = Ceilings(
    learner_day=1_000, class_day=2_000, course_day=3_000, tenant_day=6_000, tenant_month=10_000
)
ANN = Payer("ann", "algebra")
USAGE = Usage(10, 5, 2)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Clock:
    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


async def reserve(budgets: Budgets, payer=ANN, nanos=100, task="chat"):
    return await budgets.reserve(payer, task=task, model="canned", worst_nanos=nanos)


async def spend(budgets: Budgets, payer=ANN, nanos=100, actual=None, task="chat"):
    reservation = await reserve(budgets, payer, nanos, task)
    await budgets.settle(reservation, actual_nanos=nanos if actual is None else actual, usage=USAGE)


async def refusal(budgets: Budgets, payer=ANN, nanos=100) -> BudgetSpent:
    with pytest.raises(BudgetSpent) as caught:
        await reserve(budgets, payer, nanos)
    return caught.value


class BudgetsContract:
    """Subclasses provide the fixtures ``clock`` and ``make``, which makes budgets of one store."""

    @pytest.fixture
    async def budgets(self, make: Callable[..., Budgets]):
        return make()

    async def test_what_is_reserved_is_not_there_for_others_and_what_is_left_over_comes_back(self, budgets):
        first = await reserve(budgets, nanos=900)
        assert (await refusal(budgets, nanos=200)).ceiling == "learner"
        await budgets.settle(first, actual_nanos=300, usage=USAGE)
        second = await reserve(budgets, nanos=700)
        await refusal(budgets, nanos=1)
        await budgets.release(second)
        await reserve(budgets, nanos=700)

    async def test_200_concurrent_calls_at_a_ceiling_for_n_make_exactly_n(self, budgets):
        outcomes = await asyncio.gather(*(reserve(budgets) for _ in range(200)), return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, BudgetSpent)]
        assert len(refused) == 190
        assert {each.ceiling for each in refused} == {"learner"}

    async def test_every_ceiling_of_the_ladder_holds(self, budgets):
        for number in range(3):
            await spend(budgets, Payer(f"a{number}", "algebra"), 1000)
        assert (await refusal(budgets, Payer("new", "algebra"))).ceiling == "course"
        for number in range(2):
            await spend(budgets, Payer(f"b{number}", "biology", class_id="7b"), 1000)
        assert (await refusal(budgets, Payer("new", "biology", class_id="7b"))).ceiling == "class"
        await spend(budgets, Payer("c", "chemistry"), 1000)
        assert (await refusal(budgets, Payer("d", "drama"))).ceiling == "tenant"
        await spend(budgets, Payer("d", "drama", tenant="other"), 1000)

    async def test_a_refused_call_takes_nothing_anywhere(self, budgets):
        for number in range(3):
            await spend(budgets, Payer(f"a{number}", "algebra"), 1000)
        for _ in range(20):
            await refusal(budgets, Payer("new", "algebra"), 1000)
        await spend(budgets, Payer("new", "biology"), 1000)

    async def test_a_new_day_brings_money_and_a_refusal_says_when(self, budgets, clock):
        await spend(budgets, nanos=1000)
        refused = await refusal(budgets)
        assert refused.retry_after_seconds == 12 * 3600
        clock.now += timedelta(seconds=refused.retry_after_seconds)
        await spend(budgets, nanos=1000)

    async def test_a_month_has_a_ceiling_of_its_own(self, budgets, clock):
        clock.now = datetime(2026, 11, 1, 12, tzinfo=UTC)
        spent, refusals = 0, []
        for day in range(12):
            for number in range(3):
                try:
                    await spend(budgets, Payer(f"{day}-{number}", f"course-{day}"), 1000)
                except BudgetSpent as error:
                    refusals.append((error.ceiling, error.retry_after_seconds > 86_400))
                else:
                    spent += 1000
            clock.now += timedelta(days=1)
        assert spent == 10_000
        assert set(refusals) == {("tenant", True)}
        clock.now = datetime(2026, 12, 1, tzinfo=UTC)
        await spend(budgets)

    async def test_a_call_is_counted_on_the_day_that_it_began(self, budgets, clock):
        clock.now = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
        begun = await reserve(budgets, nanos=800)
        clock.now += timedelta(seconds=2)
        await reserve(budgets, nanos=1000)
        await budgets.settle(begun, actual_nanos=700, usage=USAGE)
        clock.now -= timedelta(seconds=2)
        await refusal(budgets, nanos=301)
        await reserve(budgets, nanos=300)

    async def test_a_clock_that_jumps_over_midnight_and_back_finds_yesterdays_figures(self, budgets, clock):
        await spend(budgets, nanos=1000)
        for _ in range(3):
            clock.now += timedelta(days=1)
            clock.now -= timedelta(days=1)
            await refusal(budgets)

    async def test_settling_twice_counts_once(self, budgets):
        reservation = await reserve(budgets, nanos=500)
        for _ in range(3):
            await budgets.settle(reservation, actual_nanos=100, usage=USAGE)
        await budgets.release(reservation)
        await reserve(budgets, nanos=900)
        await refusal(budgets, nanos=1)

    async def test_a_call_that_cost_more_than_reserved_is_counted_in_full(self, budgets):
        reservation = await reserve(budgets, nanos=10)
        await budgets.settle(reservation, actual_nanos=990, usage=USAGE)
        await refusal(budgets, nanos=11)
        await reserve(budgets, nanos=10)

    async def test_what_remains_is_told_under_the_tightest_ceiling(self, budgets):
        assert await budgets.remaining(ANN) == 1000
        await reserve(budgets, nanos=300)
        await spend(budgets, nanos=200, actual=100)
        assert await budgets.remaining(ANN) == 600
        for number in range(3):
            await spend(budgets, Payer(f"a{number}", "algebra"), 800)
        assert await budgets.remaining(ANN) == 200

    async def test_figures_tell_what_was_spent_on_what(self, budgets):
        await spend(budgets, nanos=200, actual=150)
        await spend(budgets, nanos=100, actual=30, task="evaluate_answer")
        await spend(budgets, Payer("bob", "algebra"), 100, 20)
        await reserve(budgets, nanos=300)
        [day] = await budgets.spent(Scope.COURSE, "algebra")
        assert (day.period, day.ceiling_nanos, day.spent_nanos) == ("2026-11-20", 3000, 200)
        assert day.by_task == {"chat": (170, 2), "evaluate_answer": (30, 1)}
        assert day.reserved_nanos >= 300
        assert day.spent_nanos + day.reserved_nanos <= day.ceiling_nanos
        tenant_day, tenant_month = await budgets.spent(Scope.TENANT, "default")
        assert (tenant_day.period, tenant_month.period) == ("2026-11-20", "2026-11")
        assert tenant_month.spent_nanos == 200
        [nobody] = await budgets.spent(Scope.COURSE, "nobody")
        assert (nobody.spent_nanos, nobody.reserved_nanos) == (0, 0)

    async def test_a_charge_is_spent_and_what_was_too_much_comes_back_once_it_is_corrected(self, budgets):
        charge = await budgets.charge(await reserve(budgets, nanos=900), "batch-1")
        await budgets.report()
        await refusal(budgets, nanos=101)
        [day] = await budgets.spent(Scope.COURSE, "algebra")
        assert (day.spent_nanos, day.by_task) == (900, {"chat": (900, 1)})
        await budgets.correct(charge, actual_nanos=150, usage=USAGE)
        held = await reserve(budgets, nanos=850)
        await refusal(budgets, nanos=1)
        await budgets.release(held)
        await budgets.report()
        [day] = await budgets.spent(Scope.COURSE, "algebra")
        assert (day.spent_nanos, day.reserved_nanos, day.by_task) == (150, 0, {"chat": (150, 1)})

    async def test_charging_twice_counts_once_and_nobody_settles_what_was_charged(self, budgets):
        reservation = await reserve(budgets, nanos=500)
        assert await budgets.charge(reservation, "one") == await budgets.charge(reservation, "one")
        await budgets.settle(reservation, actual_nanos=0, usage=USAGE)
        await budgets.release(reservation)
        await refusal(budgets, nanos=501)
        await reserve(budgets, nanos=500)

    async def test_a_charge_for_what_was_never_asked_leaves_no_call(self, budgets):
        charge = await budgets.charge(await reserve(budgets, nanos=900), "one")
        await budgets.correct(charge, actual_nanos=0, usage=None)
        await budgets.report()
        [day] = await budgets.spent(Scope.COURSE, "algebra")
        assert (day.spent_nanos, day.by_task.get("chat", (0, 0))) == (0, (0, 0))
        await reserve(budgets, nanos=1000)

    async def test_a_charge_of_a_day_that_is_over_is_corrected_in_the_month_only(self, budgets, clock):
        charge = await budgets.charge(await reserve(budgets, nanos=900), "one")
        await budgets.report()
        clock.now += timedelta(days=1)
        await budgets.correct(charge, actual_nanos=100, usage=USAGE)
        await budgets.report()
        today, month = await budgets.spent(Scope.TENANT, "default")
        assert (today.spent_nanos, month.spent_nanos) == (0, 100)
        clock.now -= timedelta(days=1)
        yesterday, _ = await budgets.spent(Scope.TENANT, "default")
        assert yesterday.spent_nanos == 900

    async def test_what_a_provider_took_twice_is_counted_beyond_any_ceiling(self, budgets):
        charge = await budgets.charge(await reserve(budgets, nanos=900), "one")
        await budgets.add(charge)
        await budgets.report()
        [day] = await budgets.spent(Scope.LEARNER, "ann")
        assert day.spent_nanos == 1800
        await refusal(budgets, nanos=1)
