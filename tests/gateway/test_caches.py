"""Caches: keys, tiers, single flight, within one process and across four."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.processes import tethered
from shared import metrics
from shared.caching import build
from shared.caching.base import Kept
from shared.caching.caches import Caches, Made
from shared.caching.firestore import FirestoreStore
from shared.caching.keys import Keys
from shared.caching.memory import MemoryCache
from shared.caching.redis import RedisStore
from shared.caching.registry import ENTRIES
from shared.documents.firestore import FirestoreDocuments
from shared.documents.memory import MemoryDocuments
from shared.errors import BudgetSpent, Unavailable
from tests.cache_contract import CacheStoreContract
from tests.deployed import settings_for_tests
from tests.running import ROOT

KEYS = Keys(b"a secret")
WITHIN = 10.0


class TestMemoryDocuments(CacheStoreContract):
    @pytest.fixture
    def store(self):
        return FirestoreStore(MemoryDocuments(), lambda: datetime.now(UTC))


class TestFirestore(CacheStoreContract):
    @pytest.fixture
    async def store(self, emulators, project_id):
        documents = FirestoreDocuments(
            project=project_id, database="(default)", emulator_host=emulators.firestore
        )
        yield FirestoreStore(documents, lambda: datetime.now(UTC))
        await documents.close()


class TestRedis(CacheStoreContract):
    @pytest.fixture
    async def store(self, redis_url):
        store = RedisStore(redis_url)
        await store._redis.flushdb()
        yield store
        await store.close()

    async def test_a_server_that_is_away_is_unavailable(self):
        store = RedisStore("redis://127.0.0.1:1/0")
        with pytest.raises(Unavailable):
            await store.get("a")
        await store.close()


# Keys


def test_a_personal_key_without_a_user_cannot_be_made():
    for name, entry in ENTRIES.items():
        parts = dict.fromkeys(set(entry.parts) - {"uid"}, "x")
        if entry.personal:
            with pytest.raises(ValueError, match="needs uid"):
                KEYS.key(name, parts)
            assert KEYS.key(name, parts, uid="ann").owner == "ann"
        else:
            with pytest.raises(ValueError, match="has no uid"):
                KEYS.key(name, parts, uid="ann")
            assert KEYS.key(name, parts).owner == ""
        with pytest.raises(ValueError, match="has the parts"):
            KEYS.key(name, {**parts, "more": "x"}, uid="ann" if entry.personal else "")


def test_the_templates_are_those_of_the_documents():
    assert ENTRIES["performance"].template == "user:{uid}:performance"
    assert ENTRIES["questionPool"].template == "questions:pool:{system}:{topic}:{difficulty}"
    lives = {entry.life_seconds for entry in ENTRIES.values()}
    assert lives == {30, 300, 3600, 86_400}


TEXTS = st.text(alphabet=":/{}|\\\n\x000123456789ab", max_size=12)


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_no_two_lists_of_parts_have_one_key(first, second):
    def name(parts):
        uid, path, request = parts
        return KEYS.key("proxy", {"path": path, "request": request}, uid=f"u{uid}").name

    assert (name(first) == name(second)) is (first == second)


def test_a_key_tells_nothing_and_depends_on_secret_tenant_kind_and_generation():
    parts = {"path": "/x", "request": "because it rains"}
    names = {
        KEYS.key("proxy", parts, uid="ann").name,
        KEYS.key("proxy", parts, uid="ben").name,
        Keys(b"another").key("proxy", parts, uid="ann").name,
        Keys(b"a secret", tenant="b").key("proxy", parts, uid="ann").name,
        KEYS.key("proxy", parts, uid="ann", generations=[1]).name,
        KEYS.key("embedding", {"request": "because it rains"}, uid="ann").name,
    }
    assert len(names) == 6
    assert all(len(name) == 64 and name.isalnum() for name in names)


# Tiers


def proxy_key(uid="ann", text="x"):
    return KEYS.key("proxy", {"path": "/x", "request": text}, uid=uid)


def makes(value=b"value", *, keep=True):
    async def make():
        make.calls += 1
        await asyncio.sleep(0.01)
        return Made(value, keep=keep, nanos=7)

    make.calls = 0
    return make


async def test_what_was_made_is_not_made_again_and_the_thousand_used_last_are_kept():
    caches, make = Caches(KEYS, entries=1000), makes()
    for n in range(1001):
        await caches.put(proxy_key(text=str(n)), b"x")
    assert await caches.get(proxy_key(text="0")) is None
    assert await caches.get(proxy_key(text="1")) == b"x"
    found = [await caches.get_or_make(proxy_key(), make, within_seconds=WITHIN) for _ in range(3)]
    assert [(each.value, each.cached) for each in found] == [
        (b"value", False),
        (b"value", True),
        (b"value", True),
    ]
    assert make.calls == 1


def test_the_memory_has_an_end():
    now = [0.0]
    cache = MemoryCache(entries=1000, clock=lambda: now[0])
    mebibyte = b"x" * (1 << 20)
    cache.put("too large", Kept(mebibyte + b"x", "", 10))
    assert cache.get("too large") is None
    for number in range(100):
        cache.put(str(number), Kept(mebibyte, "", 10))
        cache.put("small", Kept(b"x", "", 10))
    there = [number for number in range(100) if cache.get(str(number)) is not None]
    assert there == list(range(37, 100))
    assert cache.get("small") is not None
    assert metrics.cache_bytes.labels().value == 63 * len(mebibyte) + 1
    cache.put("99", Kept(b"", "", 10))
    assert metrics.cache_bytes.labels().value == 62 * len(mebibyte) + 1
    now[0] = 10.0
    assert all(cache.get(str(number)) is None for number in range(100))
    cache.put("after", Kept(b"y", "", 20))
    assert metrics.cache_bytes.labels().value == 2


async def test_the_life_of_a_copy_ends_and_differs():
    now, chance = [1000.0], [0.0]
    caches = Caches(KEYS, clock=lambda: now[0], chance=lambda: chance[0])
    await caches.put(proxy_key(text="long"), b"x")
    chance[0] = 1.0
    await caches.put(proxy_key(text="short"), b"x")
    now[0] += 3600 * 0.95
    assert await caches.get(proxy_key(text="short")) is None
    assert await caches.get(proxy_key(text="long")) == b"x"
    now[0] += 3600 * 0.06
    assert await caches.get(proxy_key(text="long")) is None


async def test_a_deployment_says_how_long_lessons_are_kept():
    now = [datetime(2026, 11, 28, tzinfo=UTC)]
    settings = settings_for_tests(lesson_cache_seconds=600)
    caches = build.caches(settings, b"a receipt key", MemoryDocuments, lambda: now[0])
    step, chat = [
        await caches.key(entry, {"prompt": "v1", "request": b"x"}, uid=uid)
        for entry, uid in (("step", ""), ("chat", "ann"))
    ]
    for key in (step, chat):
        await caches.put(key, b"x")
    now[0] += timedelta(seconds=269)
    assert await caches.get(step) == await caches.get(chat) == b"x"
    now[0] += timedelta(seconds=200)  # a chat's copy lives five minutes at most, this one nine at least
    assert await caches.get(chat) is None
    assert await caches.get(step) == b"x"
    now[0] += timedelta(seconds=132)
    assert await caches.get(step) is None


async def test_what_is_not_whole_is_never_kept():
    caches, make = Caches(KEYS), makes(keep=False)
    for _ in range(3):
        await caches.get_or_make(proxy_key(), make, within_seconds=WITHIN)
    assert make.calls == 3


async def test_an_entry_under_a_name_that_is_not_its_owners_is_not_served():
    store = FirestoreStore(MemoryDocuments(), lambda: datetime.now(UTC))
    key = proxy_key()
    await store.put(key.name, Kept(b"\0" * 8 + b"poisoned", "eve", datetime.now(UTC).timestamp() + 60))
    assert await Caches(KEYS, store=store).get(key) is None


@pytest.mark.parametrize("shared", [False, True])
async def test_an_event_ends_what_the_registry_says_and_nothing_else(shared):
    now = [datetime.now(UTC).timestamp()]
    documents = MemoryDocuments()

    def instance():
        store = FirestoreStore(documents, lambda: datetime.now(UTC)) if shared else None
        return Caches(KEYS, store=store, clock=lambda: now[0])

    here = instance()
    there = instance() if shared else here
    for uid in ("ann", "ben"):
        await here.put(await here.key("performance", {}, uid=uid), b"x")
        await here.put(await here.key("chat", {"prompt": "1", "request": "r"}, uid=uid), b"x")
    await here.ended("answer", uid="ann")
    now[0] += 6  # another instance may know no sooner
    assert await there.get(await there.key("performance", {}, uid="ann")) is None
    assert await there.get(await there.key("performance", {}, uid="ben")) == b"x"
    assert await there.get(await there.key("chat", {"prompt": "1", "request": "r"}, uid="ann")) == b"x"


async def test_a_store_that_is_away_is_as_if_nothing_were_kept():
    store = RedisStore("redis://127.0.0.1:1/0")
    caches, make = Caches(KEYS, store=store), makes()
    found = await caches.get_or_make(
        await caches.key("performance", {}, uid="ann"), make, within_seconds=WITHIN
    )
    assert (found.value, make.calls) == (b"value", 1)
    await caches.close()


# Single flight


async def test_five_hundred_at_once_make_it_once_and_who_leaves_takes_nobody_along():
    caches, make = Caches(KEYS), makes()
    asking = [
        asyncio.create_task(caches.get_or_make(proxy_key(), make, within_seconds=WITHIN)) for _ in range(500)
    ]
    await asyncio.sleep(0)
    for task in asking[:250]:  # the first of them leads
        task.cancel()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes[:250])
    assert {each.value for each in outcomes[250:]} == {b"value"}
    assert make.calls == 1


async def test_nobody_fails_because_somebody_elses_money_is_spent():
    caches = Caches(KEYS)
    key = KEYS.key("step", {"prompt": "1", "request": "r"})

    async def poor():
        await asyncio.sleep(0.01)
        raise BudgetSpent("the learner's budget is spent", ceiling="learner")

    rich = makes()
    first = asyncio.create_task(caches.get_or_make(key, poor, within_seconds=WITHIN))
    await asyncio.sleep(0)
    others = [asyncio.create_task(caches.get_or_make(key, rich, within_seconds=WITHIN)) for _ in range(10)]
    with pytest.raises(BudgetSpent):
        await first
    assert {each.value for each in await asyncio.gather(*others)} == {b"value"}
    assert rich.calls == 1


async def test_a_failure_is_told_to_all_and_forgotten():
    caches, calls = Caches(KEYS), []

    async def fail():
        calls.append(1)
        await asyncio.sleep(0.01)
        raise Unavailable("no")

    asking = [caches.get_or_make(proxy_key(), fail, within_seconds=WITHIN) for _ in range(5)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in outcomes)
    assert len(calls) == 1
    assert (await caches.get_or_make(proxy_key(), makes(), within_seconds=WITHIN)).value == b"value"


async def test_a_holder_that_was_killed_is_waited_for_no_longer_than_its_lease():
    store = FirestoreStore(MemoryDocuments(), lambda: datetime.now(UTC))
    caches, make = Caches(KEYS, store=store), makes()
    assert await store.lease(proxy_key().name, "killed", 0.3)
    found = await caches.get_or_make(proxy_key(), make, within_seconds=WITHIN)
    assert (found.value, make.calls) == (b"value", 1)
    assert await store.lease(proxy_key("ben").name, "stuck", 30)
    with pytest.raises(Unavailable):
        await caches.get_or_make(proxy_key("ben"), make, within_seconds=0.2)


@pytest.mark.parametrize("backend", ["redis", "firestore"])
async def test_five_hundred_in_four_processes_make_one_call_upstream(backend, tutor, request):
    """One question of one learner, through four instances at once."""
    tutor.delay_seconds = 0.5
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LECTERN_OPENAI_BASE_URL": tutor.url,
        "LECTERN_CACHE": backend,
        "LECTERN_RECEIPT_KEY": "a key for receipts, for tests only, 32+",
    }
    # Who was erased is asked of Firestore, whatever keeps the replies.
    emulators, project = request.getfixturevalue("emulators"), request.getfixturevalue("project_id")
    environment |= {**emulators.environment(), "GOOGLE_CLOUD_PROJECT": project}
    if backend == "redis":
        environment["LECTERN_REDIS_URL"] = request.getfixturevalue("redis_url")
    command = tethered(sys.executable, ROOT / "tests/gateway/asking.py", "125", f"why, {os.getpid()}?")
    processes = [
        subprocess.Popen(  # noqa: ASYNC220  it is not waited for
            command, env=environment, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    told = await asyncio.gather(*(asyncio.to_thread(each.communicate, timeout=60) for each in processes))
    answers = [json.loads(out) for out, _ in told]
    assert [each["asked"] for each in answers] == [125] * 4
    assert len({text for each in answers for text in each["texts"]}) == 1
    assert tutor.total == 1
