"""Tasks that are streamed: equal ones are one call upstream and one payment, whoever leaves."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from local.processes import tethered
from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.budgets.prices import PriceTable
from shared.caching.base import CacheUse
from shared.caching.caches import Caches
from shared.caching.firestore import FirestoreStore
from shared.caching.keys import Keys
from shared.documents.memory import MemoryDocuments
from shared.errors import BudgetSpent, Unavailable
from shared.gateway import build
from shared.gateway.base import Ask, Reply
from shared.gateway.gateway import Gateway
from shared.metrics import REGISTRY
from shared.settings import Settings
from tests.deployed import deployed, in_memory
from tests.running import ROOT
from tests.tutoring import a_class

PLENTY = 10**12
ANN, BEN = Payer(uid="ann"), Payer(uid="ben")
FOR_ALL = CacheUse("skeleton", {"prompt": "1"})


def ask(text="why?", cache=FOR_ALL, **more):
    fields = {
        "task": "chat",
        "model_class": "small",
        "messages": ({"role": "user", "content": text},),
        "max_tokens": 100,
        "deadline_seconds": 10.0,
    }
    return Ask(**{**fields, **more}, cache=cache)


class Instances:
    """Several processes' gateways, in one loop, over one store; the money is one learner's day."""

    def __init__(self, tutor, count=2):
        self.documents = MemoryDocuments()
        self.settings = Settings(openai_base_url=tutor.url)
        self.money = MemoryBudgets(Ceilings(PLENTY, *[10 * PLENTY] * 4), now=lambda: datetime.now(UTC))
        self.all = [self._one() for _ in range(count)]

    def _one(self):
        store = FirestoreStore(self.documents, lambda: datetime.now(UTC))
        caches = Caches(Keys(b"secret"), store=store)
        models = build.models(self.settings)
        return Gateway(build.upstream(self.settings), self.money, PriceTable(), caches, models=models)

    async def spends(self, uid="ann"):
        """What *uid* spent, in how many calls, and what is reserved."""
        [day] = await self.money.spent("learner", uid)
        return day.spent_nanos, sum(calls for _, calls in day.by_task.values()), day.reserved_nanos

    async def impoverish(self, payer):
        left = await self.money.remaining(payer)
        await self.money.reserve(payer, task="x", model="gpt-6-luna", worst_nanos=left)

    async def close(self):
        for each in self.all:
            await each._upstream.close()


@pytest.fixture
async def instances(tutor):
    made = Instances(tutor)
    yield made
    await made.close()


async def read(gateway, wanted, payer=ANN):
    *pieces, last = [each async for each in gateway.stream(wanted, payer)]
    assert isinstance(last, Reply)
    assert "".join(pieces) == last.text
    return last


async def test_five_hundred_outlines_in_one_process_are_one_call_and_one_write(tutor, monkeypatch):
    tutor.pace_seconds = 0.005
    settings = {"limiter": "memory", "budgets": "memory", "rate_lesson_points": 500}
    async with in_memory(firestore_emulator_host="unused", openai_base_url=tutor.url, **settings) as app:
        lesson = await a_class(app)
        documents = app.services.documents
        commits, commit = [], documents.commit

        async def noted(writes):
            commits.append([each.path for each in writes])
            return await commit(writes)

        monkeypatch.setattr(documents, "commit", noted)
        outline = {"courseId": lesson.course_id, "topic": "Fractions", "lessons": 2}
        asking = (app.ok("generate_skeleton", outline, uid="teacher") for _ in range(500))
        replies = await asyncio.gather(*asking)
        assert tutor.total == 1
        [version] = {each["version"] for each in replies}
        assert commits == [[f"courses/{lesson.course_id}/skeletons/{version}"]]
        [day] = await app.services.budgets.spent("course", lesson.course_id)
        assert [calls for _, calls in day.by_task.values()] == [1]
        assert day.reserved_nanos == 0
        await app.services.close()


@pytest.mark.parametrize("backend", ["redis", "firestore"])
async def test_five_hundred_outlines_in_four_processes_are_one_call(
    backend, tutor, emulators, project_id, id_token, request
):
    """Two hundred of them leave at once: nobody else notices."""
    tutor.pace_seconds = 0.02
    async with deployed(id_token) as app:
        course_id = await app.course()
    environment = {
        **os.environ,
        **emulators.environment(),
        "PYTHONPATH": str(ROOT),
        "GOOGLE_CLOUD_PROJECT": project_id,
        "LECTERN_OPENAI_BASE_URL": tutor.url,
        "LECTERN_CACHE": backend,
        "LECTERN_BUDGETS": "memory",
        "LECTERN_RATE_LIMITING": "false",
        "LECTERN_CHECK_REVOKED": "false",  # nobody has opened this teacher an account
        "LECTERN_RECEIPT_KEY": f"a key for receipts, for tests only, {project_id}",
    }
    if backend == "redis":
        environment["LECTERN_REDIS_URL"] = request.getfixturevalue("redis_url")
    script = str(ROOT / "tests/gateway/outlining_instance.py")
    processes = [
        subprocess.Popen(  # noqa: ASYNC220  it is not waited for
            tethered(sys.executable, script, "125", "50", course_id, id_token("teacher")),
            env=environment,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    told = await asyncio.gather(*(asyncio.to_thread(each.communicate, timeout=60) for each in processes))
    answers = [json.loads(out) for out, _ in told]
    assert [each["asked"] for each in answers] == [75] * 4
    assert len({version for each in answers for version in each["versions"]}) == 1
    assert tutor.total == 1
    assert sorted(each["calls"] for each in answers) == [0, 0, 0, 1]
    assert [each["reserved"] for each in answers] == [0] * 4


def missed():
    labels = {"entry": "skeleton", "outcome": "miss"}
    return REGISTRY.get_sample_value("lectern_cache_requests_total", labels) or 0


async def test_who_asked_first_may_leave_and_the_others_hear_all_of_it(instances, tutor):
    tutor.pace_seconds = 0.02
    gateway = instances.all[0]
    leader = gateway.stream(ask(), ANN)
    first = await anext(leader)
    before = missed()
    following = [asyncio.create_task(read(gateway, ask(), BEN)) for _ in range(20)]
    await asyncio.sleep(0.01)
    await asyncio.wait_for(leader.aclose(), 0.05)  # it does not wait for what others read on
    replies = await asyncio.gather(*following)
    assert missed() == before  # the store is not asked for what is under way
    assert len({each.text for each in replies}) == 1
    assert replies[0].text.startswith(first)
    assert tutor.total == 1
    spent, calls, reserved = await instances.spends()
    [reply, *_] = replies
    assert spent == PriceTable().actual("gpt-6-luna", reply.usage)
    assert (calls, reserved) == (1, 0)
    assert await instances.spends("ben") == (0, 0, 0)


async def test_who_asked_first_may_be_cancelled_before_the_first_piece(instances, tutor):
    tutor.delay_seconds = 0.2
    gateway = instances.all[0]
    asking = [asyncio.create_task(read(gateway, ask())) for _ in range(3)]
    await asyncio.sleep(0.05)
    asking[0].cancel()
    await asyncio.gather(*asking[1:])
    assert asking[0].cancelled()
    assert tutor.total == 1


async def test_when_the_last_has_left_the_stream_is_closed_and_settled_at_its_worst(instances, tutor):
    tutor.pace_seconds = 0.05
    gateway = instances.all[0]
    streams = [gateway.stream(ask(), ANN) for _ in range(3)]
    for each in streams:
        await anext(each)
    for each in streams:
        await each.aclose()
    spent, calls, reserved = await instances.spends()
    assert spent >= 100 * 500  # every token that it might have had
    assert (calls, reserved) == (1, 0)
    assert gateway._upstream._pool.in_use == 0
    assert await instances.documents.scan("cacheLeases") == []


async def test_another_instance_has_what_this_one_kept_and_pays_nothing(instances, tutor):
    tutor.pace_seconds = 0.01
    replies = await asyncio.gather(*(read(each, ask()) for each in instances.all * 3))
    assert tutor.total == 1
    assert len({each.text for each in replies}) == 1
    assert [each.cached for each in replies].count(True) == 3
    assert (await instances.spends())[1:] == (1, 0)
    assert await instances.documents.scan("cacheLeases") == []


async def test_a_learners_own_stays_their_own(instances, tutor):
    tutor.pace_seconds = 0.01
    mine, theirs = (ask(cache=CacheUse("chat", {"prompt": "1"}, uid)) for uid in ("ann", "ben"))
    gateway = instances.all[0]
    await asyncio.gather(*(read(gateway, each, ANN) for each in (mine, theirs, mine, theirs)))
    assert tutor.total == 2


async def test_what_may_not_be_kept_is_asked_for_by_everybody(instances, tutor):
    await asyncio.gather(*(read(instances.all[0], ask(cache=None)) for _ in range(3)))
    assert tutor.total == 3


async def test_nobody_fails_because_somebody_elses_money_is_spent(instances, tutor):
    await instances.impoverish(ANN)
    gateway = instances.all[0]
    poor = [asyncio.create_task(read(gateway, ask(), ANN)) for _ in range(3)]
    rich = [asyncio.create_task(read(gateway, ask(), BEN)) for _ in range(3)]
    outcomes = await asyncio.gather(*poor, return_exceptions=True)
    assert isinstance(outcomes[0], BudgetSpent)
    assert len({each.text for each in await asyncio.gather(*rich)}) == 1
    assert tutor.total == 1
    assert (await instances.spends("ben"))[1:] == (1, 0)


async def test_a_failure_is_told_to_all_and_forgotten(instances, tutor):
    tutor.fault = "500"
    gateway = instances.all[0]
    outcomes = await asyncio.gather(*(read(gateway, ask()) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in outcomes)
    assert tutor.total == 3  # the attempts of one call
    tutor.fault = ""
    assert (await read(gateway, ask())).text
    assert await instances.documents.scan("cacheLeases") == []


async def test_a_stream_that_breaks_off_is_an_error_to_all_and_not_kept(instances, tutor):
    tutor.fault = "truncated"
    gateway = instances.all[0]
    outcomes = await asyncio.gather(*(read(gateway, ask()) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in outcomes)
    assert tutor.total == 1
    tutor.fault = ""
    await read(gateway, ask())
    assert tutor.total == 2


async def test_a_reply_that_came_whole_and_will_not_do_costs_what_it_used(instances, tutor):
    def refuse(_):
        raise ValueError

    gateway = instances.all[0]
    with pytest.raises(Unavailable):
        await read(gateway, ask(accept=refuse))
    refused, calls, _ = await instances.spends()
    assert calls == 1
    reply = await read(gateway, ask())
    assert refused == PriceTable().actual("gpt-6-luna", reply.usage)
    assert gateway._upstream._breaker._failures == 0  # the provider works


async def test_the_first_piece_is_measured_once_for_one_call(instances, tutor):
    def measured():
        labels = {"task": "measured"}
        return REGISTRY.get_sample_value("lectern_gateway_first_token_seconds_count", labels) or 0

    await asyncio.gather(*(read(instances.all[0], ask(task="measured")) for _ in range(5)))
    assert measured() == 1
