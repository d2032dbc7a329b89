"""The gateway over a built-in tutor that is asked over HTTP: replies, refusals, time and money."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from local.tutor.server import CANARY, FAULTS
from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.budgets.prices import PriceTable
from shared.caching.caches import Caches
from shared.caching.keys import Keys
from shared.errors import BudgetSpent, LecternError, Unavailable
from shared.gateway import build
from shared.gateway.base import Ask, Reply
from shared.gateway.gateway import Gateway
from shared.settings import Settings

PLENTY = 10**12
PAYER = Payer(uid="ann", course_id="course")
SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
        "level": {"enum": ["low", "high"]},
        "quotes": {"type": "array", "items": {"$ref": "#/$defs/quote"}, "maxItems": 1},
    },
    "required": ["score", "level", "quotes"],
    "additionalProperties": False,
    "$defs": {"quote": {"type": "string", "maxLength": 30}},
}


def ask(text="why?", **more):
    messages = ({"role": "system", "content": "Help."}, {"role": "user", "content": text})
    fields = {
        "task": "chat",
        "model_class": "small",
        "messages": messages,
        "max_tokens": 100,
        "deadline_seconds": 2.0,
    }
    return Ask(**{**fields, **more})


def budgets(**ceilings):
    fields = dict.fromkeys(("learner_day", "class_day", "course_day", "tenant_day", "tenant_month"), PLENTY)
    return MemoryBudgets(Ceilings(**{**fields, **ceilings}), now=lambda: datetime(2026, 11, 20, tzinfo=UTC))


def gateway(settings, money):
    models = build.models(settings)
    effort = settings.reasoning_effort
    parts = (build.upstream(settings), money, PriceTable(), Caches(Keys(b"secret")))
    return Gateway(*parts, models=models, effort=effort)


@pytest.fixture
def money():
    return budgets()


@pytest.fixture
async def asked(tutor, money):
    made = gateway(Settings(openai_base_url=tutor.url), money)
    yield made
    await made._upstream.close()


async def figures(money):
    [day] = await money.spent("learner", "ann")
    return day


async def test_a_reply_is_read_and_paid_for(asked, tutor, money):
    reply = await asked.complete(ask(), PAYER)
    assert reply.text.startswith("[Canned reply]")
    assert reply.canned
    assert not reply.cached
    assert reply.finish_reason == "stop"
    [(path, headers, body)] = tutor.requests
    assert path == "/v1/chat/completions"
    assert "authorization" not in headers
    assert body == {
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": "Help."}, {"role": "user", "content": "why?"}],
        "max_completion_tokens": 100,
        "reasoning_effort": "none",
        "temperature": 0.0,
    }
    day = await figures(money)
    assert day.spent_nanos == 100 * reply.usage.prompt_tokens + 500 * reply.usage.completion_tokens
    assert day.reserved_nanos == 0


async def test_a_streamed_reply_comes_in_pieces_and_is_the_same(asked, tutor, money):
    tutor.pace_seconds = 0.01
    *pieces, last = [each async for each in asked.stream(ask(), PAYER)]
    assert isinstance(last, Reply)
    assert len(pieces) > 5
    assert "".join(pieces) == last.text
    whole = await asked.complete(ask(), PAYER)
    assert (whole.text, whole.usage) == (last.text, last.usage)
    day = await figures(money)
    assert day.spent_nanos == 2 * (100 * last.usage.prompt_tokens + 500 * last.usage.completion_tokens)
    assert tutor.connections == 1


async def test_structured_output_satisfies_its_schema(asked):
    reply = await asked.complete(ask('{"answer": "because it rains in Spain"}', schema=SCHEMA), PAYER)
    value = orjson.loads(reply.text)
    assert value.keys() == {"score", "level", "quotes"}
    assert 0 <= value["score"] <= 10
    assert value["quotes"] == ["because it rains in Spain"]


async def test_what_the_task_does_not_accept_is_asked_for_again_and_then_refused(asked, tutor):
    def refuse(text):
        raise ValueError

    with pytest.raises(Unavailable):
        await asked.complete(ask(accept=refuse), PAYER)
    assert tutor.total == 3


def refusing(tutor, *faults):
    """What accepts no reply until it was asked for each of *faults*, which the next attempt meets."""
    left = list(faults)

    def accept(_):
        if left:
            tutor.fault = left.pop(0)
            raise ValueError

    return accept


def used(reply):
    return 100 * reply.usage.prompt_tokens + 500 * reply.usage.completion_tokens


async def test_a_whole_reply_that_will_not_do_costs_what_it_used(asked, tutor, money):
    reply = await asked.complete(ask(accept=refusing(tutor, "", "")), PAYER)
    assert tutor.total == 3
    assert (await figures(money)).spent_nanos == reply.nanos == 3 * used(reply)


async def test_an_attempt_that_fails_after_one_that_will_not_do_is_counted_once(asked, tutor, money):
    reply = await asked.complete(ask(), PAYER)
    before = (await figures(money)).spent_nanos
    with pytest.raises(Unavailable):
        await asked.complete(ask(accept=refusing(tutor, "500")), PAYER)
    assert (await figures(money)).spent_nanos - before == used(reply)


async def test_what_does_not_say_what_it_used_costs_its_worst_beside_what_others_used(asked, tutor, money):
    reply = await asked.complete(ask(), PAYER)
    before = (await figures(money)).spent_nanos
    await asked.complete(ask(accept=refusing(tutor, "", "no-usage")), PAYER)
    worst = asked.quote(ask()).worst_nanos // 3
    assert (await figures(money)).spent_nanos - before == 2 * used(reply) + worst


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_every_fault_ends_within_the_deadline_in_an_error_of_ours(asked, tutor, money, fault, way):
    tutor.fault, tutor.drip_seconds = fault, 0.5
    loop = asyncio.get_running_loop()
    began = loop.time()
    question = ask(schema=SCHEMA, accept=_strict, deadline_seconds=1.0)
    error = None
    try:
        if way == "complete":
            await asked.complete(question, PAYER)
        else:
            [each async for each in asked.stream(question, PAYER)]
    except LecternError as caught:
        error = caught
    assert loop.time() - began < 2.0  # its deadline is 1.0
    if fault == "no-usage":
        assert error is None
    else:
        assert isinstance(error, Unavailable)
        assert error.retry_after_seconds >= 1
        assert CANARY not in f"{error!r} {error.message}"
    day = await figures(money)
    assert day.reserved_nanos == 0
    assert (day.spent_nanos > 0) is (fault not in {"429", "500"})
    tutor.fault = ""
    asked._upstream._breaker.succeeded()
    await asked.complete(ask("and now?"), PAYER)


def _strict(text):
    value = orjson.loads(text)
    if value.keys() != {"score", "level", "quotes"} or not 0 <= value["score"] <= 10:
        raise ValueError


async def test_a_provider_that_fails_is_left_alone_and_asked_again_later(asked, tutor):
    tutor.fault = "500"
    for _ in range(3):
        with pytest.raises(Unavailable):
            await asked.complete(ask(), PAYER)
    calls = tutor.total
    assert calls < 9
    with pytest.raises(Unavailable) as caught:
        await asked.complete(ask(), PAYER)
    assert 1 <= caught.value.retry_after_seconds <= 2
    assert tutor.total == calls


async def test_nothing_is_asked_when_the_money_is_spent(tutor):
    made = gateway(Settings(openai_base_url=tutor.url), budgets(learner_day=100))
    with pytest.raises(BudgetSpent):
        await made.complete(ask(), PAYER)
    assert tutor.total == 0
    await made._upstream.close()


async def test_without_a_key_in_the_cloud_nothing_is_asked():
    made = gateway(Settings(), budgets())
    with pytest.raises(Unavailable):
        await made.complete(ask(), PAYER)


async def test_a_reader_who_leaves_a_stream_is_settled_and_the_connection_is_closed(asked, tutor, money):
    tutor.pace_seconds = 0.02
    stream = asked.stream(ask(), PAYER)
    await anext(stream)
    await stream.aclose()
    day = await figures(money)
    assert day.reserved_nanos == 0
    assert day.spent_nanos > 0
    assert asked._upstream._pool.in_use == 0
    await asyncio.sleep(0.05)
    assert len(tutor.transports) == 0


async def test_a_cancelled_call_gives_back_its_connection_closed_and_settles(asked, tutor, money):
    tutor.fault = "hang"
    task = asyncio.create_task(asked.complete(ask(deadline_seconds=5), PAYER))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked._upstream._pool.in_use == 0
    assert (await figures(money)).reserved_nanos == 0
