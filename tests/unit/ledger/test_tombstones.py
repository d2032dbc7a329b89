"""Who was erased is remembered as a mark, cheaply, everywhere and for long enough."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.memory import MemoryDocuments
from shared.errors import Unavailable
from shared.learning.marks import mark
from shared.ledger import tombstones
from shared.ledger.tombstones import KNOWN_FOR_SECONDS, PATH, Tombstones

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = b"a key"


class Store(MemoryDocuments):
    """A store that counts its reads and may be interfered with before a commit."""

    def __init__(self):
        super().__init__()
        self.reads = self.commits = 0
        self.meanwhile = []

    async def get(self, paths, *, only=None):
        self.reads += 1
        return await super().get(paths, only=only)

    async def commit(self, writes):
        if self.meanwhile:
            await self.meanwhile.pop()()
        self.commits += 1
        return await super().commit(writes)


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def store():
    return Store()


def over(store, clock=None):
    return Tombstones(store, key=KEY, clock=clock or Clock())


def test_a_mark_is_keyed_and_short():
    assert len(mark(KEY, "ann")) == 16
    assert mark(KEY, "ann") == mark(KEY, "ann")
    assert mark(KEY, "ann") != mark(KEY, "bob")
    assert mark(KEY, "ann") != mark(b"another key", "ann")


async def test_nobody_is_erased_at_first(store):
    assert await over(store).known() == frozenset()
    assert await over(store).among(["ann"]) == set()


async def test_who_was_erased_is_told_from_others_and_nobody_is_named(store):
    marks = over(store)
    await marks.add([mark(KEY, "ann"), mark(KEY, "bob")], now=NOW)
    await marks.add([mark(KEY, "cid")], now=NOW)
    assert await marks.among(["ann", "bob", "cid", "dee"]) == {"ann", "bob", "cid"}
    assert await over(store).known() == {mark(KEY, each) for each in ("ann", "bob", "cid")}
    assert b"ann" not in repr(store.dump()).encode()


async def test_it_is_read_once_in_thirty_seconds_whoever_asks(store):
    clock = Clock()
    marks = over(store, clock)
    await asyncio.gather(*(marks.known() for _ in range(20)))
    assert store.reads == 1
    await over(store).add([mark(KEY, "ann")], now=NOW)
    store.reads = 0
    clock.seconds = KNOWN_FOR_SECONDS - 0.1
    assert await marks.among(["ann"]) == set()
    assert store.reads == 0
    clock.seconds = KNOWN_FOR_SECONDS
    assert await marks.among(["ann"]) == {"ann"}
    assert store.reads == 1


async def test_who_adds_one_knows_it_at_once(store):
    marks = over(store)
    await marks.known()
    await marks.add([mark(KEY, "ann")], now=NOW)
    assert await marks.among(["ann"]) == {"ann"}


async def test_adding_again_writes_nothing(store):
    marks = over(store)
    await marks.add([mark(KEY, "ann")], now=NOW)
    [before] = await store.get([PATH])
    await marks.add([mark(KEY, "ann")], now=NOW + timedelta(days=3))
    assert await store.get([PATH]) == [before]
    assert store.commits == 1


async def test_two_who_add_at_once_lose_neither(store):
    for first in ("ann", "cid"):  # once where there is no document yet, once where there is one
        store.meanwhile = [lambda first=first: over(store).add([mark(KEY, f"{first}'s friend")], now=NOW)]
        await over(store).add([mark(KEY, first)], now=NOW)
    assert await over(store).among(["ann", "ann's friend", "cid", "cid's friend"]) == {
        "ann",
        "ann's friend",
        "cid",
        "cid's friend",
    }


async def test_it_gives_up_when_others_are_always_first(store):
    numbers = itertools.count()

    async def another():
        store.meanwhile = []
        await over(store).add([mark(KEY, f"another {next(numbers)}")], now=NOW)
        store.meanwhile = [another]

    store.meanwhile = [another]
    with pytest.raises(Unavailable, match="keep being added"):
        await over(store).add([mark(KEY, "ann")], now=NOW)


async def test_after_four_hundred_days_one_is_forgotten_when_another_is_added(store):
    marks = over(store)
    await marks.add([mark(KEY, "ann")], now=NOW)
    await marks.add([mark(KEY, "bob")], now=NOW + timedelta(days=400))
    assert await marks.among(["ann", "bob"]) == {"ann", "bob"}
    await marks.add([mark(KEY, "cid")], now=NOW + timedelta(days=401))
    assert await marks.among(["ann", "bob", "cid"]) == {"bob", "cid"}


async def test_more_than_fit_one_document_are_refused(store, monkeypatch):
    assert 20 * tombstones._MOST < 1_000_000
    monkeypatch.setattr(tombstones, "_MOST", 3)
    await over(store).add([mark(KEY, name) for name in "abc"], now=NOW)
    with pytest.raises(Unavailable, match="more learners"):
        await over(store).add([mark(KEY, "d")], now=NOW)


async def test_who_asks_while_the_store_fails_is_told_and_may_ask_again(store):
    async def fails(_paths, *, only=None):
        message = "not now"
        raise Unavailable(message)

    marks = over(store)
    works, store.get = store.get, fails
    with pytest.raises(Unavailable):
        await marks.known()
    store.get = works
    assert await marks.known() == frozenset()


async def test_who_stops_waiting_does_not_stop_the_others(store):
    marks = over(store)
    first, second = asyncio.create_task(marks.known()), asyncio.create_task(marks.known())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == frozenset()
    assert store.reads == 1
