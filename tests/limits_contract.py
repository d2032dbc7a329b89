"""What every limiter promises; each adapter's test inherits it."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from shared.limits.base import Limit


def ai(key="uid:ann", points=10, seconds=60, cost=1, name="ai"):
    return Limit(name, key, points, seconds, cost)


class LimiterContract:
    """Subclasses provide the fixture ``limiter`` and ``clock``, whose ``seconds`` a test moves."""

    async def test_a_limit_is_a_limit_and_headers_explain_it(self, limiter):
        verdicts = [await limiter.take([ai()]) for _ in range(12)]
        assert [each.allowed for each in verdicts] == [True] * 10 + [False] * 2
        assert [each.remaining for each in verdicts] == [*range(9, -1, -1), 0, 0]
        assert {(each.name, each.limit) for each in verdicts} == {("ai", 10)}
        assert all(59 <= each.reset_seconds <= 62 for each in verdicts)
        assert all(each.retry_after_seconds == 0 for each in verdicts[:10])
        assert all(59 <= each.retry_after_seconds <= 62 for each in verdicts[10:])

    async def test_200_concurrent_calls_at_a_limit_of_n_make_exactly_n(self, limiter):
        for key, points in (("uid:a", 1), ("uid:b", 10), ("uid:c", 34), ("uid:d", 199)):
            limit = ai(key, points)
            verdicts = await asyncio.gather(*(limiter.take([limit]) for _ in range(200)))
            assert sum(each.allowed for each in verdicts) == points

    async def test_who_comes_back_when_told_is_let_in(self, limiter, clock):
        for _ in range(10):
            assert (await limiter.take([ai()])).allowed
        refused = await limiter.take([ai()])
        clock.seconds += refused.retry_after_seconds
        assert (await limiter.take([ai()])).allowed

    async def test_the_window_slides(self, limiter, clock):
        taken = []
        for _ in range(400):
            clock.seconds += 0.75
            if (await limiter.take([ai()])).allowed:
                taken.append(clock.seconds)
        for at in taken:
            assert sum(at - 60 < each <= at for each in taken) <= 10
        # Five minutes: at least 95 % of what could be had.
        assert len(taken) >= 0.95 * 10 * 5
        assert all(later > earlier for earlier, later in pairwise(taken))

    async def test_all_of_a_calls_limits_are_taken_or_none(self, limiter):
        address = ai("ip:1", 3, name="ai-ip")
        for _ in range(3):
            assert (await limiter.take([ai(), address])).allowed
        for _ in range(20):
            verdict = await limiter.take([ai(), address])
            assert (verdict.allowed, verdict.name, verdict.limit) == (False, "ai-ip", 3)
        allowed = [(await limiter.take([ai()])).allowed for _ in range(10)]
        assert sum(allowed) == 7

    async def test_keys_names_and_windows_are_apart(self, limiter):
        assert (await limiter.take([ai(points=1)])).allowed
        for other in (ai("uid:bob", 1), ai(points=1, name="lesson"), ai(points=1, seconds=120)):
            assert (await limiter.take([other])).allowed
        assert not (await limiter.take([ai(points=1)])).allowed

    async def test_costs_are_taken_whole(self, limiter):
        verdicts = [await limiter.take([ai(cost=4)]) for _ in range(3)]
        assert [each.allowed for each in verdicts] == [True, True, False]
        assert (await limiter.take([ai(cost=2)])).allowed
        assert not (await limiter.take([ai()])).allowed

    async def test_what_was_not_needed_can_be_taken_again(self, limiter):
        for _ in range(7):
            await limiter.take([ai()])
        taken = (await limiter.take([ai(cost=3)])).taken
        await limiter.give_back([ai(cost=3)], taken)
        allowed = [(await limiter.take([ai()])).allowed for _ in range(5)]
        assert sum(allowed) == 3

    async def test_all_of_a_calls_limits_are_given_back(self, limiter):
        limits = [ai(), ai("ip:1", 3, name="ai-ip")]
        for _ in range(20):
            verdict = await limiter.take(limits)
            assert verdict.allowed
            await limiter.give_back(limits, verdict.taken)

    async def test_what_is_given_back_late_shortens_no_window(self, limiter, clock):
        """The point that comes back is the old one: those taken since count as long as ever."""
        old = await limiter.take([ai()])
        clock.seconds += 30
        for _ in range(9):
            assert (await limiter.take([ai()])).allowed
        assert not (await limiter.take([ai()])).allowed
        await limiter.give_back([ai()], old.taken)
        assert (await limiter.take([ai()])).allowed
        clock.seconds += 35  # the old one would be over by now, the ten since are not
        assert not (await limiter.take([ai()])).allowed
        clock.seconds += 30
        assert (await limiter.take([ai()])).allowed

    async def test_what_is_over_when_it_is_given_back_frees_nothing(self, limiter, clock):
        old = await limiter.take([ai(points=1)])
        clock.seconds += 70
        assert (await limiter.take([ai(points=1)])).allowed
        await limiter.give_back([ai(points=1)], old.taken)
        assert not (await limiter.take([ai(points=1)])).allowed

    async def test_a_mixed_crowd_ends_exact(self, limiter):
        """200 calls of ten users behind one address: each user's limit and the address' hold."""
        address = ai("ip:1", 60, name="ai-ip")
        calls = [ai(f"uid:{number % 10}") for number in range(200)]
        verdicts = await asyncio.gather(*(limiter.take([each, address]) for each in calls))
        allowed = Counter(call.key for call, each in zip(calls, verdicts, strict=True) if each.allowed)
        assert max(allowed.values()) <= 10
        assert sum(allowed.values()) == 60

    async def test_what_cannot_be_taken_is_no_limit(self):
        for wrong in ({"cost": 11}, {"cost": 0}, {"points": 0}, {"seconds": 0}):
            with pytest.raises(ValueError, match="cannot be taken"):
                ai(**wrong)


class Mortal:
    """A store that a dead process hears no more of."""

    def __init__(self, store):
        self._store = store
        self.dead = False

    async def get(self, paths):
        found = await self._store.get(paths)
        return await self._alive(found)

    async def commit(self, writes):
        done = await self._store.commit(writes)
        return await self._alive(done)

    async def _alive(self, result):
        if self.dead:
            await asyncio.get_running_loop().create_future()
        return result
