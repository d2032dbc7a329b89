"""What every store that instances share promises; each adapter's test inherits it."""

import asyncio
import time

from shared.caching.base import Kept


class CacheStoreContract:
    """Subclasses provide the fixture ``store``; names are the test's own."""

    async def test_what_was_put_is_there_with_its_owner_until_its_time_is_over(self, store):
        until = time.time() + 60
        assert await store.get("a1") is None
        await store.put("a1", Kept(b"\x00 value", "ann", until))
        kept = await store.get("a1")
        assert (kept.value, kept.owner) == (b"\x00 value", "ann")
        assert abs(kept.until - until) < 0.001
        await store.put("a1", Kept(b"another", "", until))
        assert (await store.get("a1")).value == b"another"
        await store.put("a2", Kept(b"short", "", time.time() + 0.3))
        await asyncio.sleep(0.4)
        assert await store.get("a2") is None

    async def test_one_of_many_holds_a_lease(self, store):
        got = await asyncio.gather(*(store.lease("b", f"holder {n}", 30) for n in range(8)))
        assert sum(got) == 1
        holder = f"holder {got.index(True)}"
        assert await store.lease("b", holder, 30)
        await store.release("b", "somebody else")
        assert not await store.lease("b", "another", 30)
        await store.release("b", holder)
        assert await store.lease("b", "another", 30)

    async def test_a_lease_that_nobody_gave_back_ends(self, store):
        assert await store.lease("c", "killed", 2.0)
        assert not await store.lease("c", "next", 30)
        await asyncio.sleep(2.1)
        got = await asyncio.gather(*(store.lease("c", f"holder {n}", 30) for n in range(4)))
        assert sum(got) == 1

    async def test_generations_are_counted_up_and_none_is_lost(self, store):
        assert await store.generation("d:ann") == 0
        await asyncio.gather(*(store.count_up("d:ann") for _ in range(4)))
        assert await store.generation("d:ann") == 4
        assert await store.generation("d:ben") == 0
