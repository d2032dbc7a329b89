"""What was read lately is remembered for a while, and as far as there is room."""

import asyncio

import pytest

from shared.catalog.fresh import Fresh


class Reading:
    """Reads texts that say their own weight, and notes which it has read."""

    def __init__(self, *, room=10, seconds=30.0):
        self.at = 100.0
        self.read = []
        self.fresh = Fresh(seconds, lambda: self.at, room=room, weigh=len)

    async def get(self, key):
        async def read():
            self.read.append(key)
            await asyncio.sleep(0)
            if key.startswith("!"):
                raise ValueError(key)
            return None if key.startswith("?") else key

        return await self.fresh.get(key, read)

    async def all(self, *keys):
        """Get these, one after the other, and forget which had to be read so far."""
        for key in keys:
            await self.get(key)
        self.read.clear()


async def test_what_was_read_is_fresh_for_so_long():
    it = Reading()
    await it.all("a")
    it.at += 29.9
    assert await it.get("a") == "a"
    assert it.read == []
    it.at += 0.1
    assert await it.get("a") == "a"
    assert it.read == ["a"]
    it.at += 29.9
    await it.get("a")
    assert it.read == ["a"]


async def test_who_asks_meanwhile_shares_the_read():
    it = Reading()
    assert await asyncio.gather(it.get("a"), it.get("a")) == ["a", "a"]
    assert it.read == ["a"]


async def test_what_was_asked_for_longest_ago_makes_room():
    it = Reading(room=10)
    await it.all("aaaa", "bbbb", "aaaa")
    await it.all("cc")
    assert len(it.fresh) == 3
    await it.all("d")
    assert [key for key in ("aaaa", "bbbb", "cc", "d") if it.fresh.knows(key)] == ["aaaa", "cc", "d"]
    await it.all("eee")
    assert it.fresh.knows("aaaa")
    await it.all("f")
    assert [key for key in ("aaaa", "cc", "d", "eee", "f") if it.fresh.knows(key)] == ["cc", "d", "eee", "f"]


async def test_what_is_larger_than_the_room_is_read_and_not_kept():
    it = Reading(room=3)
    await it.all("a", "b")
    assert await it.get("cccc") == "cccc"
    assert len(it.fresh) == 0
    await it.all("aaa")
    assert it.fresh.knows("aaa")


async def test_what_is_forgotten_or_read_again_takes_no_room_any_more():
    it = Reading(room=10)
    await it.all("aaaa", "bbbb")
    it.fresh.forget("aaaa")
    it.fresh.forget("aaaa")
    it.at += 30
    await it.all("bbbb", "cccccc")
    assert it.fresh.knows("bbbb")
    assert len(it.fresh) == 2
    await it.all("d")
    assert not it.fresh.knows("bbbb")


async def test_what_is_forgotten_while_it_is_read_takes_no_room():
    it = Reading(room=4)
    asking = asyncio.create_task(it.get("aaaa"))
    await asyncio.sleep(0)
    it.fresh.forget("aaaa")
    assert await asking == "aaaa"
    await it.all("bbbb")
    assert it.fresh.knows("bbbb")
    assert not it.fresh.knows("aaaa")


@pytest.mark.parametrize("key", ["?none", "!fails", ""])
async def test_what_was_missing_failed_or_is_empty_takes_the_room_of_one(key):
    it = Reading(room=3)
    for _ in range(3):
        (told,) = await asyncio.gather(it.get(key), return_exceptions=True)
        assert not told or isinstance(told, ValueError)
    assert it.read == [key] * (3 if key else 1)
    assert len(it.fresh) == 1
    await it.all("aa")
    assert it.fresh.knows(key)
    await it.all("b")
    assert not it.fresh.knows(key)
    assert it.fresh.knows("aa")


async def test_what_was_cut_off_is_read_again():
    it = Reading(room=3)

    async def read():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await it.fresh.get("a", read)
    assert await it.get("a") == "a"


async def test_values_take_the_room_of_one_each_unless_they_are_weighed():
    fresh = Fresh(30.0, lambda: 0.0, room=2)

    async def read():
        return "a long one"

    for key in range(3):
        await fresh.get(key, read)
    assert [fresh.knows(key) for key in range(3)] == [False, True, True]
