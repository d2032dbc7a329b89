"""The limiter of one process keeps the contract, and agrees with two known libraries."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pyrate_limiter import InMemoryBucket, Rate, RateItem

from shared.limits.base import MICROSECONDS, Limit
from shared.limits.heavy import HeavyHitters
from shared.limits.memory import MemoryLimiter
from shared.limits.windows import SLICES, Window
from tests.limits_contract import LimiterContract, ai


@pytest.fixture
def clock():
    return SimpleNamespace(seconds=1000.0)


class TestMemoryLimiter(LimiterContract):
    @pytest.fixture
    def limiter(self, clock):
        return MemoryLimiter(lambda: clock.seconds)

    async def test_memory_is_bounded_under_attack(self, limiter, monkeypatch):
        monkeypatch.setattr("shared.limits.memory._MOST_KEYS", 50)
        for number in range(500):
            await limiter.take([ai(f"ip:{number}", 1)])
        assert len(limiter._windows) == 50
        assert not (await limiter.take([ai("ip:499", 1)])).allowed


STEPS = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 3)), min_size=1, max_size=120)


@settings(deadline=None)
@given(STEPS, st.integers(3, 12))
def test_a_window_never_holds_more_than_its_points_and_never_refuses_what_an_exact_one_would_much_later(
    steps, points
):
    """Beside a log of every point, which is exact: never more, and at most a 64th of the window later."""
    seconds = 8
    span, width = seconds * MICROSECONDS, seconds * MICROSECONDS // SLICES
    window, now, log = Window(), 0, []
    for pause, cost in steps:
        now += pause
        limit = Limit("ai", "k", points, seconds, cost)
        fits = window.standing(limit, now).wait == 0
        exact = sum(each for at, each in log if at > now - span)
        late = sum(each for at, each in log if at > now - span - width)
        assert not fits or exact + cost <= points
        assert fits or late + cost > points
        if fits:
            window.take(limit, now)
            log.append((now, cost))


@settings(deadline=None)
@given(STEPS, st.integers(3, 12))
def test_no_call_is_allowed_that_the_limits_library_would_refuse(steps, points):
    seconds = 8
    now = [1_700_000_000.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limits.storage.memory.time.time", lambda: now[0])
        theirs = MovingWindowRateLimiter(MemoryStorage())
        ours = MemoryLimiter(lambda: now[0])
        item = RateLimitItemPerSecond(points, seconds)
        allowed = 0
        for pause, cost in steps:
            now[0] += pause / 1e6
            if ours.take_now([Limit("ai", "k", points, seconds, cost)]).allowed:
                allowed += cost
                assert theirs.hit(item, "k", cost=cost)
        assert allowed or all(cost > points for _, cost in steps)


@settings(deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=120), st.integers(3, 12))
def test_no_call_is_allowed_that_pyrate_limiter_would_refuse(pauses, points):
    now = 1_700_000_000_000  # milliseconds
    # Its windows include both ends, in whole milliseconds: what is 8,000 old counts there, and not here.
    bucket = InMemoryBucket([Rate(points, 7_999)])
    ours = MemoryLimiter(lambda: now / 1000)
    for pause in pauses:
        now += pause
        bucket.leak(now)
        if ours.take_now([Limit("ai", "k", points, 8)]).allowed:
            assert bucket.put(RateItem("k", now))


def test_a_clock_that_goes_back_frees_nothing():
    window, limit = Window(), Limit("ai", "k", 2, 10)
    window.take(limit, 50 * MICROSECONDS)
    window.take(limit, 20 * MICROSECONDS)
    assert window.standing(limit, 20 * MICROSECONDS).wait > 0
    assert window.standing(limit, 59 * MICROSECONDS).wait > 0
    assert window.standing(limit, 60 * MICROSECONDS).wait == 0
    assert window.is_over(10, 60 * MICROSECONDS)


def test_the_most_limited_are_found_in_bounded_memory():
    heavy = HeavyHitters(10)
    for number in range(3000):
        heavy.add(f"light-{number}")
        if number % 3 == 0:
            heavy.add("heavy")
        if number % 5 == 0:
            heavy.add("second")
    assert [name for name, _ in heavy.top(2)] == ["heavy", "second"]
    assert heavy.top(1)[0][1] >= 1000
    assert len(heavy._counts) == 10
