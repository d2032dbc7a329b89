"""SEC-21: nobody gets what was another's, whatever is cancelled, cut short or poisoned; connections stay clean."""

import asyncio
import random

import httpx
import pytest

from shared.caching.base import Kept
from shared.gateway.connections import ConnectionLost, Origin, Pool
from tests.gateway.served import served


@pytest.fixture
async def place(tutor):
    async with served(tutor) as place:
        yield place


async def test_two_learners_with_the_same_text_are_two_calls(place, tutor):
    replies = [await place.chat("the same", uid) for uid in ("ann", "ben", "ann")]
    assert [each.status_code for each in replies] == [200, 200, 200]
    assert tutor.total == 2
    headers = [set(each.headers) for each in replies]
    assert headers[0] == headers[1] == headers[2], "a hit looks like a miss"
    streams = [await place.chat("the same", uid, stream=True) for uid in ("ann", "ben", "ann")]
    assert tutor.total == 4
    assert streams[0].content == streams[2].content


async def test_concurrent_equal_requests_of_one_learner_share_a_call_and_of_two_do_not(place, tutor):
    tutor.delay_seconds = 0.1
    replies = await asyncio.gather(*(place.chat("at once", uid) for uid in ["ann", "ben"] * 20))
    assert {each.status_code for each in replies} == {200}
    assert tutor.total == 2
    tutor.pace_seconds = 0.005
    streams = await asyncio.gather(*(place.chat("streamed", uid, stream=True) for uid in ["ann", "ben"] * 20))
    assert tutor.total == 4
    assert len({each.content for each in streams}) == 1


@pytest.mark.parametrize("fault", ["truncated", "malformed", "empty", "reset", "500", "429"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_no_good_is_never_served_again(place, tutor, fault, stream):
    tutor.fault = fault
    bad = await place.chat("poison", stream=stream)
    assert bad.status_code == 503 or b'"error"' in bad.content
    tutor.fault = ""
    place.services.upstream._breaker.succeeded()
    calls = tutor.total
    good = await place.chat("poison", stream=stream)
    assert good.status_code == 200
    assert b"[Canned reply]" in good.content or b"[Canned" in good.content
    assert tutor.total == calls + 1


async def test_a_reply_that_was_cut_at_its_length_is_given_and_not_kept(place, tutor):
    for _ in range(2):
        reply = await place.chat("long", max_tokens=2)
        assert reply.json()["choices"][0]["finish_reason"] == "length"
    assert tutor.total == 2


async def test_an_entry_of_another_owner_is_not_served(place, tutor):
    await place.chat("mine")
    memory = place.services.caches._memory
    for name, kept in list(memory._kept.items()):
        memory._kept[name] = Kept(kept.value, "eve", kept.until)
    await place.chat("mine")
    assert tutor.total == 2


async def test_one_reader_who_leaves_takes_no_other_along(place, tutor):
    tutor.pace_seconds = 0.02
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "shared"}], "stream": True}
    url, headers = f"{place.openai}/chat/completions", {"authorization": "Bearer ann"}

    async def leave():
        async with (
            httpx.AsyncClient() as client,
            client.stream("POST", url, json=body, headers=headers) as reply,
        ):
            async for _ in reply.aiter_bytes():
                return

    leaving = asyncio.create_task(leave())
    await asyncio.sleep(0.01)
    staying = asyncio.create_task(place.chat("shared", stream=True))
    await leaving
    assert (await staying).content.endswith(b"data: [DONE]\n\n")
    assert tutor.total == 1


async def test_the_provider_is_told_to_stop_when_the_last_reader_has_gone(place, tutor):
    tutor.pace_seconds = 0.1
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "gone"}], "stream": True}
    async with (
        httpx.AsyncClient() as client,
        client.stream(
            "POST", f"{place.openai}/chat/completions", json=body, headers={"authorization": "Bearer ann"}
        ) as reply,
    ):
        async for _ in reply.aiter_bytes():
            break
    for _ in range(100):
        if not tutor.transports and (await place.figures()).reserved_nanos == 0:
            break
        await asyncio.sleep(0.02)
    assert not tutor.transports
    day = await place.figures()
    assert day.reserved_nanos == 0
    assert day.spent_nanos > 0


async def test_a_thousand_cancelled_calls_and_each_next_learner_gets_their_own(place, tutor):
    """What once happened elsewhere: a reply left on a connection went to whoever used it next."""
    chance = random.Random(5)
    gateway = place.services.proxy
    from shared.budgets.base import Payer
    from shared.gateway.allowed import CHAT, passing
    from shared.gateway.build import allowance

    allowed = allowance(place.services.settings, teacher=False)

    def request(text, *, stream):
        raw = b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"%b"}]%b}' % (
            text.encode(),
            b',"stream":true' if stream else b"",
        )
        return passing(CHAT, raw, allowed)

    async def ask(text, uid, *, stream=False):
        wanted = request(text, stream=stream)
        if not stream:
            return await gateway.whole(wanted, Payer(uid=uid))
        listening = await gateway.stream(wanted, Payer(uid=uid))
        try:
            return b"".join([each async for each in listening])
        finally:
            listening.abandon()

    tutor.pace_seconds = 0.0003
    expected = {}
    for n in range(8):
        expected[n] = await ask(f"ben asks {n}", "reference")
    for round_ in range(1000):
        stream = round_ % 2 == 0
        victim = asyncio.create_task(ask(f"ann asks {round_}", "ann", stream=stream))
        await asyncio.sleep(chance.random() * 0.004)
        victim.cancel()
        n = chance.randrange(8)
        other = await ask(f"ben asks {n}", f"ben{round_}")
        assert other == expected[n], round_
        await asyncio.gather(victim, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert place.services.upstream._pool.in_use == 0


# The pool by itself


async def pooled(tutor, **more):
    return Pool(Origin.of(tutor.url), **more)


async def exchange(pool, text="x"):
    connection = await pool.take()
    body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % text.encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    try:
        connection.send(head % len(body) + body)
        return await connection.whole()
    finally:
        pool.give_back(connection)


async def test_no_new_connection_after_four_minutes_of_idleness_and_one_after_six(tutor):
    now = [0.0]
    pool = await pooled(tutor, clock=lambda: now[0])
    await exchange(pool)
    now[0] += 240
    await exchange(pool)
    assert (pool.opened, tutor.connections) == (1, 1)
    now[0] += 301
    await exchange(pool)
    assert (pool.opened, tutor.connections) == (2, 2)
    await pool.close()


async def test_fifty_connections_and_no_more_whoever_waits(tutor):
    tutor.delay_seconds = 0.02
    pool = await pooled(tutor)
    await asyncio.gather(*(exchange(pool, str(n)) for n in range(300)))
    assert tutor.most_open == pool.opened == 50
    assert pool.in_use == 0
    await pool.close()


async def test_what_a_burst_needed_goes_soon_and_ten_stay(tutor):
    now = [0.0]
    tutor.delay_seconds = 0.02
    pool = await pooled(tutor, clock=lambda: now[0])
    await asyncio.gather(*(exchange(pool, str(n)) for n in range(40)))
    now[0] += 20
    await exchange(pool)
    await asyncio.sleep(0.02)
    assert len(tutor.transports) == 10
    assert pool.opened == 40
    await pool.close()


async def test_who_gives_up_waiting_for_a_connection_leaves_nothing_behind(tutor):
    tutor.delay_seconds = 0.05
    pool = await pooled(tutor, most=1)
    holder = asyncio.create_task(exchange(pool))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(exchange(pool, str(n))) for n in range(5)]
    await asyncio.sleep(0.01)
    for task in waiting[:4]:
        task.cancel()
    await asyncio.gather(*waiting[:4], return_exceptions=True)
    await asyncio.gather(holder, waiting[4])
    assert (pool.in_use, pool.opened) == (0, 1)
    await pool.close()


async def test_a_provider_that_cannot_be_reached_is_lost_and_not_sent():
    pool = Pool(Origin.of("http://127.0.0.1:1/v1"))
    with pytest.raises(ConnectionLost) as caught:
        await pool.take()
    assert not caught.value.sent
    assert pool.in_use == 0


@pytest.mark.parametrize("junk", [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"x"])
async def test_bytes_that_nobody_asked_for_end_a_connection(tutor, junk):
    pool = await pooled(tutor)
    await exchange(pool)
    for transport in tuple(tutor.transports):
        transport.write(junk)
    await asyncio.sleep(0.05)
    body = await exchange(pool)
    assert b"Canned" in body
    assert pool.opened == 2
    await pool.close()
