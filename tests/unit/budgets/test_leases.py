"""Budgets that are leased, over the in-memory store, keep the contract, also when much goes wrong."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime, timedelta

import pytest

from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import Ceilings
from shared.budgets.leases import Account, LeasedBudgets, account_path
from shared.documents.base import Create, Put
from shared.documents.memory import MemoryDocuments
from shared.errors import BudgetSpent, Unavailable
from shared.metrics import REGISTRY
from tests.budgets_contract import (
    ANN,
    CEILINGS,
    NOON,
    USAGE,
    BudgetsContract,
    Clock,
    refusal,
    reserve,
    spend,
)
from tests.faults import figures
from tests.limits_contract import Late, Mortal
from tests.simulation.loop import SimulatedLoop


@pytest.fixture
def clock():
    return Clock()


class TestLeasedBudgets(BudgetsContract):
    @pytest.fixture
    async def make(self, clock):
        store, made = MemoryDocuments(), []

        def make():
            made.append(LeasedBudgets(store, CEILINGS, now=clock))
            return made[-1]

        yield make
        for each in made:
            await each.close()

    async def test_another_process_corrects_a_charge(self, make):
        one, other = make(), make()
        charge = await one.charge(await reserve(one, nanos=900), "one")
        await one.report()
        await other.correct(charge, actual_nanos=300, usage=USAGE)
        await other.report()
        [day] = await one.spent(Scope.LEARNER, "ann")
        assert (day.spent_nanos, day.remaining_nanos) == (300, 700)


class Town:
    """Processes that spend from one store, in simulated time; what the provider was paid is the truth."""

    def __init__(self, seed, ceilings=CEILINGS, *, processes=3, cut=0.0, late=0.0, charged=0.0, at=NOON):
        self.loop = SimulatedLoop()
        self.rng = random.Random(seed)
        self.ceilings, self.cut, self.charged, self.at = ceilings, cut, charged, at
        self.jumped = timedelta()
        self.store = MemoryDocuments(before=self._pause, after=self._pause)
        self.late = Late(self.store, self.rng, late)
        self.processes = [self.start() for _ in range(processes)]
        self.paid = {}
        self.refused = self.failed = self.kills = self.served = self.corrected = 0

    async def _pause(self, operation):
        await asyncio.sleep(self.rng.uniform(0.001, 0.015))
        if self.cut and self.rng.random() < self.cut:
            raise Unavailable("cut")

    def now(self):
        return self.at + self.jumped + timedelta(seconds=self.loop.time())

    def start(self):
        documents = Mortal(self.late)
        budgets = LeasedBudgets(documents, self.ceilings, now=self.now)
        budgets.mortal = documents
        return budgets

    def run(self, work):
        """Do *work*, then end whatever else is under way."""
        self.loop.run_alone(work)

    def kill(self, number):
        self.kills += 1
        self.processes[number].mortal.dead = True
        self.processes[number] = self.start()

    async def call(self, budgets, payer, worst, actual, seconds):
        try:
            reservation = await reserve(budgets, payer, worst)
        except BudgetSpent:
            self.refused += 1
            return
        except Unavailable:
            self.failed += 1
            return
        if budgets.mortal.dead:
            return
        for rung in reservation.rungs:  # the provider is paid whatever becomes of the process
            key = (rung.scope, rung.id, rung.period)
            self.paid[key] = self.paid.get(key, 0) + actual
        self.served += 1
        if self.rng.random() < self.charged:
            await self._charged(budgets, reservation, actual, seconds)
            return
        await asyncio.sleep(seconds)
        if self.rng.random() < 0.05:
            return  # nobody settles it
        await budgets.settle(reservation, actual_nanos=actual, usage=USAGE)

    async def _charged(self, budgets, reservation, actual, seconds):
        """Whoever lives then corrects it, if anybody does."""
        charge = await budgets.charge(reservation, reservation.id)
        await asyncio.sleep(seconds * 4)
        if self.rng.random() < 0.9:
            await self.rng.choice(self.processes).correct(charge, actual_nanos=actual, usage=USAGE)
            self.corrected += 1

    async def load(self, rate, seconds, payers):
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await asyncio.sleep(self.rng.expovariate(rate))
            worst = self.rng.randrange(20, 120)
            work = self.call(
                self.rng.choice(self.processes), self.rng.choice(payers), worst,
                self.rng.randrange(worst + 1), self.rng.uniform(0.1, 3),
            )  # fmt: skip
            self.loop.create_task(work)

    def accounts(self):
        for path, fields in self.store.dump().items():
            if path.startswith("spending/"):
                yield (Scope(fields["scope"]), fields["scopeId"], fields["period"]), Account.of(fields)

    def check(self):
        """No ceiling was passed, in documents or in truth, and documents know of all that was paid."""
        ceilings = self.ceilings
        of = {
            Scope.LEARNER: ceilings.learner_day,
            Scope.CLASS: ceilings.class_day,
            Scope.COURSE: ceilings.course_day,
        }
        found = dict(self.accounts())
        for key, account in found.items():
            month = len(key[2]) == 7
            ceiling = of.get(key[0], ceilings.tenant_month if month else ceilings.tenant_day)
            assert account.total <= ceiling, (key, account)
        for key, paid in self.paid.items():
            assert paid <= found[key].total, (key, paid, found[key])


PAYERS = [Payer(f"learner-{n}", f"course-{n % 3}") for n in range(8)]
TIGHT = Ceilings(learner_day=4_000, class_day=1, course_day=9_000, tenant_day=20_000, tenant_month=30_000)


def attacked(town, *, pause):
    """A minute of calls in *town*, whose processes are killed at least *pause* seconds apart, under watch."""

    async def killer():
        while True:
            await asyncio.sleep(town.rng.uniform(pause, 15))
            town.kill(town.rng.randrange(3))

    async def watch():
        while True:
            await asyncio.sleep(0.05)
            town.check()

    async def run():
        others = [asyncio.ensure_future(killer()), asyncio.ensure_future(watch())]
        await town.load(town.rng.choice([2, 8, 20]), 60, PAYERS)
        for each in others:
            if each.done():
                each.result()
            each.cancel()

    town.run(run())
    town.check()
    assert town.kills >= 3


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_no_ceiling_is_ever_passed_whoever_is_killed_and_whatever_is_cut(seed):
    town = Town(seed, TIGHT, cut=0.03)

    attacked(town, pause=0.5)
    assert town.served > 50


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_charges_that_another_process_corrects_pass_no_ceiling_whoever_is_killed(seed):
    town = Town(seed, TIGHT, cut=0.03, late=0.02, charged=0.7)

    attacked(town, pause=2)
    assert town.corrected > 10


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_writes_that_are_done_after_their_time_pass_no_ceiling(seed):
    town = Town(seed, TIGHT, cut=0.01, late=0.1)

    async def watch():
        while True:
            await asyncio.sleep(0.05)
            town.check()

    async def run():
        watching = asyncio.ensure_future(watch())
        await town.load(town.rng.choice([1, 2, 8]), 60, PAYERS)
        if watching.done():
            watching.result()
        watching.cancel()

    town.run(run())
    town.check()
    assert town.late.done >= 3
    assert town.served > 10


def test_a_correction_whose_first_write_is_lost_is_no_sign_of_a_process_that_was_given_up():
    town = Town(9, processes=2)

    async def run():
        first, second = town.processes
        charge = await first.charge(await reserve(first, nanos=900), "one")
        await first.report()
        await second.correct(charge, actual_nanos=100, usage=USAGE)
        town.cut = 1.0
        with pytest.raises(Unavailable):
            await second.report()
        town.cut = 0.0
        await second.report()
        [figures] = await first.spent(Scope.LEARNER, "ann")
        assert (figures.spent_nanos, figures.remaining_nanos) == (100, 900)

    town.run(run())


def test_figures_are_never_below_nothing_where_the_process_that_charged_was_killed():
    town = Town(9, processes=2)

    async def run():
        first, second = town.processes
        charge = await first.charge(await reserve(first, nanos=900), "one")
        first.mortal.dead = True  # before it told
        await second.correct(charge, actual_nanos=100, usage=USAGE)
        await second.report()
        [figures] = await second.spent(Scope.LEARNER, "ann")
        assert (figures.spent_nanos, figures.by_task) == (0, {"chat": (0, 0)})
        assert figures.reserved_nanos >= 900
        town.jumped = timedelta(hours=2)
        [figures] = await second.spent(Scope.LEARNER, "ann")
        assert 100 <= figures.spent_nanos <= 150, "what it leased beyond its charge as well"

    town.run(run())


def test_what_a_late_write_gives_back_is_nobodys_until_it_is_decided():
    town = Town(9, processes=2)

    async def run():
        first, second = town.processes
        await first.release(await reserve(first, nanos=600))
        town.late.part, town.late.seconds = 1, lambda: 40
        await asyncio.sleep(30)  # all was given back, and nobody heard whether it was done
        town.late.part = 0
        kept = await reserve(first, nanos=600)
        await asyncio.gather(*town.late.late)
        await refusal(second, nanos=401)
        other = await reserve(second, nanos=400)
        await first.settle(kept, actual_nanos=600, usage=USAGE)
        await second.settle(other, actual_nanos=400, usage=USAGE)
        await asyncio.sleep(10)
        [figures] = await second.spent(Scope.LEARNER, "ann")
        assert (figures.spent_nanos, figures.by_task) == (1_000, {"chat": (1_000, 2)})

    town.run(run())


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_midnight_and_clocks_that_jump_pass_no_ceiling(seed):
    town = Town(seed, TIGHT, at=datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC))

    async def jumper():
        while True:
            await asyncio.sleep(town.rng.uniform(1, 8))
            town.jumped = timedelta(seconds=town.rng.choice([0, 3600, -40, 86400, 5]))

    async def run():
        jumping = asyncio.ensure_future(jumper())
        await town.load(10, 60, PAYERS)
        jumping.cancel()

    town.run(run())
    town.check()
    assert len({key[2] for key in town.paid}) >= 4


def test_without_faults_figures_end_exact_and_nothing_stays_reserved():
    town = Town(1, cut=0.0, ceilings=Ceilings(10**9, 10**9, 10**9, 10**9, 10**9))
    town.rng.random = lambda: 0.5  # everything is settled

    async def run():
        await town.load(10, 30, PAYERS)
        await asyncio.sleep(120)

    town.run(run())
    for key, account in town.accounts():
        assert account.spent == account.total == town.paid[key], key
    assert town.refused == town.failed == 0


def test_documents_of_many_are_written_every_few_seconds_and_not_per_call():
    town = Town(2, ceilings=Ceilings(10**9, 10**9, 10**9, 10**9, 10**9), processes=4)
    written = []

    async def run():
        commit = town.store.commit

        async def counted(writes):
            written.extend(each.path for each in writes)
            return await commit(writes)

        town.store.commit = counted
        await town.load(100, 40, [Payer(f"learner-{n}", "one course") for n in range(400)])

    town.run(run())
    rung = next(iter(town.processes[0]._rungs(Scope.COURSE, "one course", town.now())))
    mine = [each for each in written if each == account_path(rung)]
    assert town.served > 3_500
    assert len(mine) <= 4 * 40, len(mine)


def test_money_that_one_process_does_not_need_is_there_for_another():
    town = Town(3, processes=2)

    async def run():
        first, second = town.processes
        await spend(first, nanos=900, actual=100)
        await asyncio.sleep(8)
        await spend(second, nanos=900)
        await refusal(first, nanos=1)

    town.run(run())


def test_a_killed_processes_reservation_is_spent_until_the_day_is_over():
    town = Town(4, processes=2)

    async def run():
        first, second = town.processes
        await reserve(first, nanos=600)
        town.kill(0)
        await spend(second, nanos=400)
        await refusal(second, nanos=1)
        [figures] = await second.spent(Scope.LEARNER, "ann")
        assert (figures.reserved_nanos, figures.unaccounted_nanos) == (600, 0)
        town.jumped = timedelta(hours=2)
        [figures] = await second.spent(Scope.LEARNER, "ann")
        assert (figures.spent_nanos, figures.unaccounted_nanos) == (1000, 600)
        await refusal(second, nanos=1)
        town.jumped = timedelta(days=1)
        await spend(second, nanos=1000)

    town.run(run())


def test_the_kill_switch_and_ceilings_of_ones_own_hold_within_half_a_minute():
    town = Town(5, processes=2)

    async def run():
        first, second = town.processes
        await spend(first)
        own = {"dayNanos": 300, "monthNanos": None}
        await town.store.commit([Create("budgets/learner.ann", own)])
        await asyncio.sleep(31)
        await refusal(first, nanos=201)
        await spend(first, nanos=200)
        await town.store.commit([Create("budgets/killSwitch", {"stopped": True})])
        await asyncio.sleep(31)
        for each in (first, second):
            assert (await refusal(each, nanos=1)).ceiling == "killSwitch"
            assert await each.remaining(ANN) == 0
        await town.store.commit([Put("budgets/killSwitch", {"stopped": False})])
        await asyncio.sleep(31)
        await spend(first, Payer("bob"))
        # What is not a number of nano-dollars is no money at all.
        await town.store.commit([Put("budgets/learner.bob", {"dayNanos": "much"})])
        await asyncio.sleep(31)
        await refusal(first, Payer("bob"), nanos=1)

    town.run(run())


def test_nothing_is_spent_when_the_store_does_not_answer():
    town = Town(6, cut=1.0)
    town.run(town.load(10, 5, PAYERS))
    assert town.served == 0
    assert town.failed > 20


def _told(scope):
    labels = {"scope": scope, "percent": "50"}
    return REGISTRY.get_sample_value("lectern_budget_thresholds_total", labels) or 0


def test_a_threshold_is_told_though_the_reply_of_the_write_was_lost():
    town = Town(11, processes=1)

    async def run():
        await spend(town.processes[0], nanos=500, actual=0)
        await asyncio.sleep(30)
        before = _told("learner")
        await spend(town.processes[0], nanos=600)
        town.late.part, town.late.seconds = 1, lambda: 0.001
        await asyncio.sleep(6)
        assert town.late.done
        town.late.part = 0
        await asyncio.sleep(30)
        assert _told("learner") - before == 1

    town.run(run())


def test_thresholds_of_an_account_are_told_by_one_process():
    before = _told("course")
    town = Town(7, processes=4)

    async def run():
        for number in range(20):
            with contextlib.suppress(BudgetSpent):
                await spend(town.processes[number % 4], Payer(f"l{number}", "algebra"), 100)
            await asyncio.sleep(3)

    town.run(run())
    assert _told("course") - before == 1


def _leased(town, number):
    """What a process holds of the course, by the document."""
    budgets = town.processes[number]
    [account] = [each for key, each in town.accounts() if key[0] is Scope.COURSE]
    lease = account.leases.get(budgets._name)
    return lease.nanos if lease is not None else 0


@pytest.mark.parametrize("peak", [1, 100])
def test_who_spends_steadily_holds_no_more_than_calls_under_way_and_a_twentieth(peak):
    """One call a second for forty minutes, after *peak* at once; then another process needs the rest."""
    much, ceiling, worst, actual = 10**15, 10**9, 676_875, 35_000
    town = Town(8, Ceilings(much, much, ceiling, much, much), processes=2)
    payer, held = Payer("ann", "algebra"), []

    async def call(seconds):
        reservation = await reserve(town.processes[0], payer, worst)
        await asyncio.sleep(seconds)
        await town.processes[0].settle(reservation, actual_nanos=actual, usage=USAGE)

    async def run():
        await asyncio.gather(*(call(1) for _ in range(peak)))
        for _ in range(2400):
            await call(1)
            held.append(_leased(town, 0))
        town.kill(0)  # it gives nothing back
        others = 0
        with contextlib.suppress(BudgetSpent):
            while True:
                await reserve(town.processes[1], Payer("bob", "algebra"), worst)
                others += worst
        spent = (2400 + peak) * actual
        assert max(held[10:]) <= ceiling // 20 + 4 * worst
        assert others >= ceiling - spent - ceiling // 20 - 5 * worst

    town.run(run())
