"""Leases over the in-memory store keep the contract, and cost few round trips."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from shared.documents.memory import MemoryDocuments
from shared.errors import Unavailable
from shared.limits.leases import LeaseLimiter
from tests.faults import figures
from tests.limits_contract import Late, LimiterContract, Mortal, ai
from tests.simulation.loop import SimulatedLoop


@pytest.fixture
def clock():
    return SimpleNamespace(seconds=1_700_000_000.0)


class TestLeaseLimiter(LimiterContract):
    @pytest.fixture
    async def limiter(self, clock):
        limiter = LeaseLimiter(MemoryDocuments(), lambda: clock.seconds)
        yield limiter
        await limiter.close()


class School:
    """Processes that lease from one store, in simulated time; a killed one never answers again."""

    def __init__(self, seed, limit, *, processes=4, cut=0.0, late=0.0):
        self.loop = SimulatedLoop()
        self.rng = random.Random(seed)
        self.limit = limit
        self.cut = cut
        self.store = MemoryDocuments(before=self._pause, after=self._pause)
        self.late = Late(self.store, self.rng, late)
        self.processes = [self._start() for _ in range(processes)]
        self.admitted = []
        self.checks = self.failed = self.kills = self.lost_trips = 0

    async def _pause(self, _operation):
        await asyncio.sleep(self.rng.uniform(0.001, 0.015))
        if self.cut and self.rng.random() < self.cut:
            raise Unavailable("cut")

    def _start(self):
        documents = Mortal(self.late)
        limiter = LeaseLimiter(documents, lambda: 1_700_000_000 + self.loop.time())
        limiter.mortal = documents
        return limiter

    def run(self, work):
        """Do *work*, then end whatever else is under way."""
        self.loop.run_alone(work)

    def kill(self, number):
        self.kills += 1
        self.lost_trips += self.processes[number].trips
        self.processes[number].mortal.dead = True
        self.processes[number] = self._start()

    async def call(self, limiter, limit=None):
        self.checks += 1
        try:
            verdict = await limiter.take([limit or self.limit])
        except Unavailable:
            self.failed += 1
            return
        if verdict.allowed and not limiter.mortal.dead:
            self.admitted.append(self.loop.time())

    async def load(self, rate, seconds):
        """So many calls a second, one process or another."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await asyncio.sleep(self.rng.expovariate(rate))
            self.loop.create_task(self.call(self.rng.choice(self.processes)))
        await asyncio.sleep(0.2)

    @property
    def trips(self):
        return self.lost_trips + sum(each.trips for each in self.processes)

    def most_in_a_window(self):
        most = first = 0
        for last, at in enumerate(self.admitted):
            while self.admitted[first] <= at - self.limit.seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


@pytest.mark.parametrize(("points", "seed"), [(10, 0), (10, 1), (100, 2), (100, 3), (3000, 4)])
def test_under_load_nothing_is_over_and_nearly_everything_is_used(seed, points):
    school = School(seed, ai(points=points))
    # Four processes, offered some times what is allowed, for five windows.
    rate = max(points / 60 * 3, 60)
    school.run(school.load(rate, 300))
    assert school.most_in_a_window() <= points
    used = len(school.admitted) / (points * 5)
    trips = school.trips / school.checks
    assert used >= 0.95, used
    assert trips <= 0.1, trips
    assert school.failed == 0


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_kills_and_lost_replies_never_put_a_window_over(seed):
    school = School(seed, ai(points=40, seconds=20), processes=3, cut=0.05)

    async def killer():
        while True:
            await asyncio.sleep(school.rng.uniform(0.1, 3))
            school.kill(school.rng.randrange(3))

    async def run():
        killing = asyncio.ensure_future(killer())
        await school.load(school.rng.choice([2, 20, 60]), 100)
        killing.cancel()

    school.run(run())
    assert school.kills > 20
    assert len(school.admitted) >= 40
    assert school.most_in_a_window() <= 40


@pytest.mark.parametrize("seed", range(figures.number("LECTERN_TOWNS", 10)))
def test_writes_that_are_done_after_their_time_never_put_a_window_over(seed):
    school = School(seed, ai(points=40, seconds=20), processes=3, late=0.3)
    school.late.seconds = lambda: school.rng.choice([0.01, 0.1, 5]) * school.rng.random()
    school.run(school.load(school.rng.choice([2, 20, 60]), 100))
    assert school.late.done >= 1
    assert len(school.admitted) >= 40
    assert school.most_in_a_window() <= 40


def test_a_lone_user_pays_a_round_trip_or_two_a_call_and_loses_no_points():
    school = School(1, ai(points=10), processes=1)

    async def run():
        for _ in range(60):
            await school.call(school.processes[0])
            await asyncio.sleep(6.2)

    school.run(run())
    assert len(school.admitted) == 60
    assert school.trips <= 61


def test_points_that_nobody_needed_come_back():
    school = School(2, ai(points=100), processes=2)

    async def run():
        first, second = school.processes
        await asyncio.gather(*(school.call(first) for _ in range(30)))
        for _ in range(6):
            await school.call(first)
        await asyncio.sleep(3)
        await asyncio.gather(*(school.call(second) for _ in range(100)))

    school.run(run())
    assert len(school.admitted) == 100


def test_a_store_that_does_not_answer_allows_nothing():
    school = School(3, ai(), cut=1.0)
    school.run(school.load(20, 3))
    assert school.admitted == []
    assert school.failed == school.checks


async def test_documents_expire_by_themselves_and_name_nobody():
    store = MemoryDocuments()
    await LeaseLimiter(store, lambda: 1_700_000_000.0).take([ai("ip:203.0.113.9")])
    [(path, fields)] = store.dump().items()
    assert "203" not in repr(fields["slots"])
    assert len(path.removeprefix("rateLimits/")) == 32
    over = datetime.fromtimestamp(1_700_000_060, UTC)
    assert over + timedelta(hours=1) < fields["expiresAt"] < over + timedelta(hours=1, seconds=5)
