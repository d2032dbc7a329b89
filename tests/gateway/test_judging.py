"""What is whose fault: the provider's, ours, the caller's or nobody's; and who is told, charged and left alone."""

import asyncio
import time
from datetime import UTC, datetime

import orjson
import pytest

from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.budgets.prices import PriceTable, Usage
from shared.caching.caches import Caches
from shared.caching.keys import Keys
from shared.errors import InvalidRequest, Unavailable
from shared.gateway.base import Ask
from shared.gateway.breaker import Breaker
from shared.gateway.gateway import Gateway
from shared.gateway.reading import Streamed, read_completion
from shared.gateway.upstream import ATTEMPTS, Call, Declined, Improper, Unsuited, Upstream
from tests.gateway.test_connections import server

USED = {"prompt_tokens": 9, "completion_tokens": 5}


def reply(status, body=b"{}", content_type="application/json"):
    head = (
        f"HTTP/1.1 {status} Whatever\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return [head.encode() + body]


def completion(content, finish="stop", **message):
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return orjson.dumps({"choices": [choice], "usage": USED})


def check(body):
    read_completion(body)


def call():
    return Call("/chat/completions", b"{}", asyncio.get_running_loop().time() + 20)


def upstream(pool):
    breaker = Breaker(time.monotonic)
    return Upstream("http://127.0.0.1/v1", "", pool, breaker), breaker


WAYS = pytest.mark.parametrize("way", ["whole", "stream"])


async def asked(provider, way, one):
    if way == "whole":
        return await provider.whole(one, check)
    return await provider.stream(one)


@WAYS
@pytest.mark.parametrize("status", [301, 302, 307, 401, 402, 403, 404, 405, 407])
async def test_what_is_ours_to_mend_is_no_mistake_of_the_callers(way, status, caplog):
    async with server(reply(status)) as pool:
        provider, breaker = upstream(pool)
        one = call()
        with pytest.raises(Unavailable, match="not set up"):
            await asked(provider, way, one)
        assert (one.sent, one.unknown) == (1, 0)
        assert not breaker.is_open
        assert [record.message for record in caplog.records] == ["provider_refused"]


@WAYS
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_provider_refuses_is_the_callers(way, status):
    async with server(reply(status)) as pool:
        provider, _ = upstream(pool)
        one = call()
        with pytest.raises(InvalidRequest):
            await asked(provider, way, one)
        assert (one.sent, one.unknown) == (1, 0)


@WAYS
@pytest.mark.parametrize("status", [201, 202, 206])
async def test_another_success_is_no_reply_and_may_be_billed(way, status):
    async with server(*[reply(status, completion("hi"))] * ATTEMPTS) as pool:
        provider, _ = upstream(pool)
        one = call()
        with pytest.raises(Unavailable):
            await asked(provider, way, one)
        assert (one.sent, one.unknown) == (ATTEMPTS, ATTEMPTS)


DECLINING = [
    completion(None, refusal="I cannot help with that"),
    completion("So far", "content_filter"),
    completion(None, "content_filter"),
]


@pytest.mark.parametrize("body", DECLINING)
async def test_a_model_that_declines_is_asked_once_and_the_provider_works(body):
    async with server(*[reply(200, body)] * 20) as pool:
        provider, breaker = upstream(pool)
        for _ in range(8):
            one = call()
            with pytest.raises(Declined) as caught:
                await provider.whole(one, check)
            assert caught.value.usage == Usage(9, 5)
            assert (one.sent, one.unknown) == (1, 0)
        assert not breaker.is_open


async def test_texts_that_will_not_do_open_no_breaker_and_broken_replies_do():
    async def asked_often(body, check):
        async with server(*[reply(200, body)] * 30) as pool:
            provider, breaker = upstream(pool)
            for _ in range(4):
                one = call()
                with pytest.raises(Unavailable):
                    await provider.whole(one, check)
            return breaker.is_open

    def unsuited(body):
        read_completion(body)
        raise Unsuited

    assert not await asked_often(completion("hi"), unsuited)
    assert await asked_often(b"<html>", check)


def test_a_completion_says_what_it_used_whatever_is_null_in_it():
    told = {**USED, "prompt_tokens_details": {"cached_tokens": None, "cache_write_tokens": None}}
    body = orjson.loads(completion("hi"))
    assert read_completion(orjson.dumps({**body, "usage": told}))[1] == Usage(9, 5)


@pytest.mark.parametrize(
    "odd", [b"null", b"[]", b'{"choices": [{"message": null, "finish_reason": "stop"}]}']
)
def test_what_is_no_completion_is_the_providers_fault(odd):
    with pytest.raises(Improper) as caught:
        read_completion(odd)
    assert not isinstance(caught.value, Unsuited)


@pytest.mark.parametrize(
    "last",
    [
        {"delta": {"refusal": "I cannot"}, "finish_reason": "stop"},
        {"delta": {}, "finish_reason": "content_filter"},
    ],
)
def test_a_stream_may_decline_as_well(last):
    streamed = Streamed()
    chunks = [{"choices": [last]}, {"choices": [], "usage": USED}]
    data = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    assert list(streamed.feed(data)) == []
    with pytest.raises(Declined) as caught:
        streamed.reply()
    assert caught.value.usage == Usage(9, 5)


def asking(pool, budgets):
    provider, breaker = upstream(pool)
    models = {"small": "gpt-6-luna", "large": "gpt-6.1-terra"}
    caches = Caches(Keys(b"k" * 32))
    return Gateway(provider, budgets, PriceTable(), caches, models=models, effort="none"), breaker


def streamed(body):
    [choice] = orjson.loads(body)["choices"]
    message, finish = choice["message"], choice["finish_reason"]
    chunks = [
        {"choices": [{"delta": message, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": USED},
    ]
    data = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    return reply(200, data, "text/event-stream")


async def all_of(pieces):
    return [piece async for piece in pieces]


@WAYS
@pytest.mark.parametrize("body", DECLINING)
async def test_what_a_model_declines_costs_what_that_took_and_shuts_nobody_out(way, body):
    plenty = 10**18
    budgets = MemoryBudgets(Ceilings(*[plenty] * 5), now=lambda: datetime.now(UTC))
    replies = [reply(200, body) if way == "whole" else streamed(body)] * 8
    async with server(*replies) as pool:
        gateway, breaker = asking(pool, budgets)
        for number in range(8):
            one = Ask("chat", "small", ({"role": "user", "content": f"{number}"},), 400, deadline_seconds=20)
            pieces = gateway.stream(one, Payer("ann"))
            with pytest.raises(Declined):
                await (gateway.complete(one, Payer("ann")) if way == "whole" else all_of(pieces))
            await pieces.aclose()
        assert not breaker.is_open
    [day] = await budgets.spent(Scope.LEARNER, "ann")
    assert day.spent_nanos == 8 * PriceTable().actual("gpt-6-luna", Usage(9, 5))
    assert day.reserved_nanos == 0
