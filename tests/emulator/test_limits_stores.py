"""Rate limits on real Firestore and real Redis keep the contract."""

import asyncio
import time
from types import SimpleNamespace

import pytest
import redis

from shared.documents.firestore import FirestoreDocuments
from shared.errors import Unavailable
from shared.limits.leases import LeaseLimiter
from shared.limits.redis import RedisLimiter
from tests.faults import figures
from tests.limiting import Asking
from tests.limits_contract import LimiterContract, ai


class TestOnFirestore(LimiterContract):
    @pytest.fixture
    def clock(self):
        return SimpleNamespace(seconds=float(int(time.time())))

    @pytest.fixture
    async def limiter(self, project_id, emulators, clock):
        documents = FirestoreDocuments(
            project=project_id, database="(default)", emulator_host=emulators.firestore
        )
        limiter = LeaseLimiter(documents, lambda: clock.seconds)
        yield limiter
        await limiter.close()
        await documents.close()


class Moved(RedisLimiter):
    """Redis has a clock of its own: a test moves it by what it moved its own."""

    def __init__(self, url, clock):
        super().__init__(url)
        self._clock, self._began = clock, clock.seconds

    async def take(self, limits):
        self.skew_microseconds = int((self._clock.seconds - self._began) * 1_000_000)
        return await super().take(limits)


class TestOnRedis(LimiterContract):
    @pytest.fixture
    def clock(self):
        return SimpleNamespace(seconds=0.0)

    @pytest.fixture
    async def limiter(self, redis_url, clock):
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        limiter = Moved(redis_url, clock)
        yield limiter
        await limiter.close()

    async def test_windows_leave_nothing_behind(self, limiter, redis_url):
        await limiter.take([ai(seconds=10)])
        with redis.Redis.from_url(redis_url) as client:
            [key] = client.keys()
            assert 10_000 <= client.pttl(key) <= 11_000
            assert b"ann" not in key

    async def test_a_large_limit_takes_little_room(self, limiter, redis_url, clock):
        for _ in range(500):
            clock.seconds += 0.3
            assert (await limiter.take([ai(points=100_000)])).allowed
        with redis.Redis.from_url(redis_url) as client:
            [key] = client.keys()
            assert client.zcard(key) <= 66


async def test_a_redis_that_is_not_there_allows_nothing():
    limiter = RedisLimiter("redis://127.0.0.1:1/0", timeout_seconds=0.2)
    try:
        with pytest.raises(Unavailable):
            await limiter.take([ai()])
    finally:
        await limiter.close()


async def test_two_redis_limiters_share_their_limits(redis_url):
    limiters = [RedisLimiter(redis_url) for _ in range(2)]
    limit = ai(f"uid:{time.time_ns()}", 50)
    verdicts = await asyncio.gather(*(each.take([limit]) for each in limiters * 100))
    assert sum(each.allowed for each in verdicts) == 50
    for each in limiters:
        await each.close()


@pytest.fixture
async def firestore(project_id, emulators):
    """The emulator's address, warm: its first commit may take seconds."""
    documents = FirestoreDocuments(
        project=project_id, database="(default)", emulator_host=emulators.firestore
    )
    await LeaseLimiter(documents, time.time).take([ai("uid:first")])
    await documents.close()
    return emulators.firestore


@pytest.mark.parametrize("points", [10, 400])
def test_four_processes_on_firestore_are_never_over_and_use_nearly_everything(project_id, firestore, points):
    asking = Asking("firestore", firestore, project_id, key="k", points=points, seconds=60, rate=400)
    found = asking.run(4, lasts=3)
    assert points * 0.95 <= len(found.allowed) <= points
    assert found.trips <= 0.1 * found.checks, (found.trips, found.checks)


def test_windows_hold_while_processes_are_killed(project_id, firestore):
    """kill -9 with points in hand: they count until their window is over."""
    kills = figures.number("LECTERN_KILLS", 5)
    asking = Asking("firestore", firestore, project_id, key="k", points=60, seconds=10, rate=100)
    seed = kills + 1000 * figures.number("LECTERN_FIRST_SEED", 0)
    found = asking.run(3, lasts=16, kills=kills, seed=seed)
    figures.note(kills=found.kills, allowed=len(found.allowed), worst_in_a_window=found.most_within(10))
    assert found.kills == kills
    assert len(found.allowed) > 60
    assert found.most_within(10) <= 60


def test_four_processes_on_redis_are_allowed_exactly_the_limit(redis_url):
    key = f"k{time.time_ns()}"
    asking = Asking("redis", redis_url, "-", key=key, points=150, seconds=60, rate=300)
    assert len(asking.run(4, lasts=2).allowed) == 150
