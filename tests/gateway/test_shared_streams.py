"""Equal streams are one call upstream, in one process and over all of them, whoever leaves."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from local.processes import tethered
from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.budgets.prices import PriceTable
from shared.caching.caches import Caches
from shared.caching.firestore import FirestoreStore
from shared.caching.keys import Keys
from shared.documents.memory import MemoryDocuments
from shared.errors import BudgetSpent, Unavailable
from shared.gateway import build
from shared.gateway.allowed import CHAT, passing
from shared.gateway.proxy import Proxy
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
PLENTY = 10**12
ANN = Payer(uid="ann")
END = b"data: [DONE]\n\n"


def request(text, **more):
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}], "stream": True, **more}
    return passing(CHAT, orjson.dumps(body), build.allowance(Settings(), teacher=False))


class Instances:
    """Several processes' gateways, in one loop, over one store."""

    def __init__(self, tutor, count, *, seconds=10.0, learner_day=PLENTY):
        self.documents = MemoryDocuments()
        self.settings = Settings(openai_base_url=tutor.url)
        self.all = [self._one(seconds, learner_day) for _ in range(count)]

    def _one(self, seconds, learner_day):
        store = FirestoreStore(self.documents, lambda: datetime.now(UTC))
        money = MemoryBudgets(
            Ceilings(learner_day, PLENTY, PLENTY, PLENTY, PLENTY), now=lambda: datetime.now(UTC)
        )
        caches = Caches(Keys(b"secret"), store=store)
        return Proxy(build.upstream(self.settings), money, PriceTable(), caches, seconds=seconds)

    async def leases(self):
        return await self.documents.scan("cacheLeases")

    async def close(self):
        for each in self.all:
            await each._upstream.close()


@pytest.fixture
async def instances(tutor):
    made = Instances(tutor, 3)
    yield made
    await made.close()


async def read(proxy, wanted, payer=ANN):
    told = await proxy.stream(wanted, payer)
    if isinstance(told, bytes):
        return told
    whole = b"".join([each async for each in told])
    await told.settle()
    return whole


@pytest.mark.parametrize("backend", ["redis", "firestore"])
async def test_five_hundred_streams_in_four_processes_are_one_call(backend, tutor, request):
    """Two hundred of them leave at once: nobody else notices."""
    tutor.pace_seconds = 0.02
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
    script = str(ROOT / "tests/gateway/streaming_instance.py")
    processes = [
        subprocess.Popen(  # noqa: ASYNC220  it is not waited for
            tethered(sys.executable, script, "125", "50", f"why, {os.getpid()}?"),
            env=environment,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    told = await asyncio.gather(*(asyncio.to_thread(each.communicate, timeout=60) for each in processes))
    answers = [json.loads(out) for out, _ in told]
    assert [each["asked"] for each in answers] == [75] * 4
    assert len({digest for each in answers for digest in each["digests"]}) == 1
    assert tutor.total == 1


async def test_streams_of_three_instances_at_once_are_one_call_and_leave_no_lease(instances, tutor):
    tutor.pace_seconds = 0.01
    told = await asyncio.gather(*(read(each, request("at once")) for each in instances.all * 5))
    assert tutor.total == 1
    assert len(set(told)) == 1
    assert told[0].endswith(END)
    assert await instances.leases() == []


async def test_another_instance_takes_over_when_the_last_reader_of_the_first_has_gone(instances, tutor):
    tutor.pace_seconds = 0.05
    first, second, _ = instances.all
    begun = await first.stream(request("taken over"), ANN)
    following = asyncio.create_task(read(second, request("taken over")))
    await asyncio.sleep(0.1)
    begun.abandon()
    await begun.settle()
    assert (await following).endswith(END)
    assert tutor.total == 2
    assert await instances.leases() == []


async def test_who_leaves_before_the_first_byte_leaves_no_lease(instances, tutor):
    tutor.delay_seconds = 0.3
    asking = asyncio.create_task(instances.all[0].stream(request("left"), ANN))
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await read(instances.all[1], request("left"))).endswith(END)
    assert await instances.leases() == []


async def test_who_comes_when_the_last_reader_leaves_gets_a_stream_of_their_own(instances, tutor):
    tutor.pace_seconds = 0.02
    proxy = instances.all[0]
    begun = await proxy.stream(request("next"), ANN)
    begun.abandon()
    assert (await read(proxy, request("next"))).endswith(END)
    tutor.delay_seconds = 0.2
    asking = asyncio.create_task(proxy.stream(request("sooner"), ANN))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.sleep(0)
    assert (await read(proxy, request("sooner"))).endswith(END)
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_stream_that_was_cut_at_its_length_is_asked_for_anew_by_the_next_in_turn(instances, tutor):
    wanted = request("cut", max_tokens=2)
    told = await asyncio.gather(*(read(each, wanted) for each in instances.all))
    assert all(each.endswith(END) for each in told)
    assert tutor.total == 3
    assert await instances.leases() == []


async def test_a_failure_ends_the_turn(instances, tutor):
    tutor.fault = "500"
    with pytest.raises(Unavailable):
        await read(instances.all[0], request("failed"))
    tutor.fault = ""
    assert (await read(instances.all[1], request("failed"))).endswith(END)


async def test_money_that_is_spent_ends_the_turn(tutor):
    instances = Instances(tutor, 1, learner_day=1)
    with pytest.raises(BudgetSpent):
        await read(instances.all[0], request("poor"))
    assert await instances.leases() == []
    assert tutor.total == 0
    await instances.close()


async def test_whoever_holds_the_turn_for_too_long_is_not_waited_for(tutor):
    instances = Instances(tutor, 1, seconds=0.3)
    proxy = instances.all[0]
    key = proxy._key(request("stuck"), ANN)
    assert await proxy._caches._store.lease(key.name, "stuck", 30)
    with pytest.raises(Unavailable):
        await read(proxy, request("stuck"))
    assert tutor.total == 0
    await instances.close()
