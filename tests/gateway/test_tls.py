"""
The pool over real TLS: whom it believes, and that idleness costs no handshake.

Handshakes are counted by the server, as it begins them. ``LECTERN_IDLE_SECONDS`` says how long connections
rest in earnest: a few seconds here, four minutes in ``make soak``.
"""

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
import uvloop

from local.tutor.server import Tutor, serving
from shared.gateway.connections import ConnectionLost, Origin, Pool
from tests.certificates import Authority
from tests.faults import figures
from tests.gateway.served import served

IDLE_SECONDS = float(os.environ.get("LECTERN_IDLE_SECONDS", "3"))
KEPT = 10
KEY = "sk-" + "k" * 40
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@dataclass
class Provider:
    """A server behind TLS; ``handshakes`` were begun with it, of ``tutor.connections`` both sides saw the end."""

    tutor: Tutor
    port: int
    handshakes: int = 0

    def origin(self, host="localhost"):
        return Origin.of(f"https://{host}:{self.port}/v1")


@asynccontextmanager
async def provider(context):
    found = []
    context.sni_callback = lambda *_: found[0].count()
    async with serving(tls=context) as tutor:
        made = Provider(tutor, Origin.of(tutor.url).port)

        class Counting:
            @staticmethod
            def count():
                made.handshakes += 1

        found.append(Counting)
        yield made


async def exchange(pool, text="x"):
    connection = await pool.take()
    body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % text.encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    try:
        connection.send(head % len(body) + body)
        return await connection.whole()
    finally:
        pool.give_back(connection)


async def opened(pool, tutor, count):
    """Have *count* connections, each of which has carried an exchange."""
    tutor.delay_seconds = 0.1
    await asyncio.gather(*(exchange(pool, str(n)) for n in range(count)))
    tutor.delay_seconds = 0.0
    assert pool.opened == count


@pytest.mark.parametrize("loop", LOOPS)
def test_no_new_handshake_after_idleness_while_ten_connections_are_kept(authority, loop):
    """In earnest: real TLS, a real clock, both event loops; four minutes in the long run."""

    async def idle():
        async with provider(authority.server("localhost")) as there:
            pool = Pool(there.origin(), kept=KEPT, ca_file=str(authority.file))
            await opened(pool, there.tutor, KEPT)
            assert there.handshakes == there.tutor.connections == KEPT
            await asyncio.sleep(IDLE_SECONDS)
            for number in range(50):
                assert b"Canned" in await exchange(pool, f"one after the other {number}")
            assert there.handshakes == KEPT, "one after the other"
            there.tutor.delay_seconds = 0.1
            await asyncio.gather(*(exchange(pool, f"at once {n}") for n in range(KEPT)))
            assert (there.handshakes, pool.opened) == (KEPT, KEPT), "all at once"
            figures.note(
                idle_seconds=IDLE_SECONDS, exchanges=50 + KEPT, new_handshakes=there.handshakes - KEPT
            )
            await pool.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(idle())


async def test_a_handshake_is_made_once_its_connection_has_rested_too_long(authority):
    now = [0.0]
    async with provider(authority.server("localhost")) as there:
        pool = Pool(there.origin(), ca_file=str(authority.file), clock=lambda: now[0])
        await exchange(pool)
        for minutes in (4, 4, 4.9):
            now[0] += 60 * minutes
            await exchange(pool)
        assert there.handshakes == 1
        now[0] += 301
        await exchange(pool)
        assert there.handshakes == pool.opened == 2
        await pool.close()


async def test_what_a_burst_needed_beyond_ten_is_shaken_hands_with_again(authority):
    now = [0.0]
    async with provider(authority.server("localhost")) as there:
        pool = Pool(there.origin(), ca_file=str(authority.file), clock=lambda: now[0])
        await opened(pool, there.tutor, 15)
        now[0] += 240
        there.tutor.delay_seconds = 0.1
        await asyncio.gather(*(exchange(pool, f"again {n}") for n in range(KEPT)))
        assert there.handshakes == 15
        await asyncio.gather(*(exchange(pool, f"more {n}") for n in range(KEPT + 1)))
        assert there.handshakes == 16
        await pool.close()


async def test_a_connection_that_the_provider_ended_is_not_used(authority):
    async with provider(authority.server("localhost")) as there:
        pool = Pool(there.origin(), ca_file=str(authority.file))
        await exchange(pool)
        for transport in tuple(there.tutor.transports):
            transport.close()  # with TLS's own farewell
        await asyncio.sleep(0.05)
        assert b"Canned" in await exchange(pool)
        assert there.handshakes == pool.opened == 2
        await pool.close()


async def test_an_address_is_verified_as_a_host_is(authority):
    async with provider(authority.server("127.0.0.1")) as there:
        pool = Pool(there.origin("127.0.0.1"), ca_file=str(authority.file))
        assert b"Canned" in await exchange(pool)
        await pool.close()


@pytest.mark.parametrize("wrong", ["authority", "system", "host", "address", "over", "plain"])
async def test_nobody_else_is_believed_and_nothing_is_sent_to_them(authority, tmp_path, wrong):
    context, host, trusted = authority.server("localhost"), "localhost", str(authority.file)
    match wrong:
        case "authority":
            trusted = str(Authority(tmp_path, "Somebody else").file)
        case "system":
            trusted = ""
        case "host":
            context = authority.server("provider.example", "*.localhost.example")
        case "address":
            host = "127.0.0.1"  # the certificate is for the name
        case "over":
            context = authority.server("localhost", ends_in=timedelta(hours=-1))
    if wrong == "plain":
        async with serving() as tutor:
            await refused(Pool(Origin.of(f"https://localhost:{Origin.of(tutor.url).port}"), ca_file=trusted))
            assert tutor.total == 0
        return
    async with provider(context) as there:
        error = await refused(Pool(there.origin(host), ca_file=trusted))
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
        assert there.handshakes == 1
        assert (there.tutor.total, list(there.tutor.requests)) == (0, [])


async def refused(pool):
    with pytest.raises(ConnectionLost) as caught:
        await pool.take()
    assert not caught.value.sent
    assert (pool.in_use, pool.opened) == (0, 0)
    return caught.value


async def test_old_versions_of_tls_are_not_spoken(authority):
    context = authority.server("localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 "):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with provider(context) as there:
        await refused(Pool(there.origin(), ca_file=str(authority.file)))


async def test_the_whole_way_from_settings_to_the_provider_is_over_tls(authority):
    """Through the functions: the setting names the authority; without it, a 503 and no key is sent."""
    async with provider(authority.server("localhost")) as there:
        base = f"https://localhost:{there.port}/v1"
        async with served(None, openai_base_url=base, openai_ca_file=str(authority.file)) as place:
            for number in range(5):
                assert (await place.chat(f"number {number}")).status_code == 200
            assert (await place.chat("streamed", stream=True)).status_code == 200
            assert there.handshakes == 1
        calls = there.tutor.total
        async with served(None, openai_base_url=base, openai_api_key=KEY) as place:
            response = await place.chat("to whom?")
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert (await place.figures()).spent_nanos == 0
        assert there.tutor.total == calls
