"""Where a reply ends, however the other side says so, and what becomes of its connection."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from shared.gateway.connections import ConnectionLost, Origin, Pool

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
BODY = b'{"choices": []}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
WITH_LENGTH = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
CLOSE = b"connection: close\r\n"


@asynccontextmanager
async def server(*replies, pause=0.0):
    """An upstream that answers each request with the next of *replies*, lists of what it sends at a time."""
    left = list(replies)
    served = []

    async def serve(reader, writer):
        served.append(writer)
        try:
            while left:
                await reader.readuntil(b"\r\n\r\n")
                pieces = left.pop(0)
                for piece in pieces:
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool(Origin.of(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"))
    try:
        yield pool
    finally:
        await pool.close()
        listening.close()
        for writer in served:
            writer.close()


async def whole(connection):
    return await connection.whole()


async def by_pieces(connection):
    await connection.head()
    found = b""
    while data := await connection.piece():
        found += data
    return found


async def by_each(connection):
    await connection.head()
    found = []
    await connection.each(found.append)
    return b"".join(found)


READERS = pytest.mark.parametrize("read", [whole, by_pieces, by_each])


async def asked(pool, read):
    connection = await pool.take()
    try:
        connection.send(REQUEST)
        return await read(connection)
    finally:
        pool.give_back(connection)


@READERS
@pytest.mark.parametrize("end", [WITH_LENGTH, CHUNKED])
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_a_reply_that_ends_by_itself_leaves_its_connection_for_the_next(read, end, pause):
    reply = [HEAD, end[:20], end[20:45], end[45:]]
    async with server(reply, reply, pause=pause) as pool:
        assert await asked(pool, read) == BODY
        assert await asked(pool, read) == BODY
        assert pool.opened == 1


@READERS
@pytest.mark.parametrize("end", [CLOSE + WITH_LENGTH, CLOSE + CHUNKED])
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_whoever_does_not_keep_connections_has_answered_all_the_same(read, end, pause):
    reply = [HEAD, end[:30], end[30:60], end[60:], None]
    async with server(reply, reply, pause=pause) as pool:
        assert await asked(pool, read) == BODY
        assert await asked(pool, read) == BODY
        assert pool.opened == 2
        assert pool.in_use == 0


@READERS
@pytest.mark.parametrize("head", [HEAD + CLOSE, b"HTTP/1.0 200 OK\r\n"])
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_a_body_without_a_length_ends_with_its_connection(read, head, pause):
    async with server([head + b"\r\n", BODY[:5], BODY[5:], None], pause=pause) as pool:
        assert await asked(pool, read) == BODY
        assert pool.in_use == 0


@READERS
@pytest.mark.parametrize("end", [WITH_LENGTH, CHUNKED, CLOSE + WITH_LENGTH, CLOSE + CHUNKED])
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_a_body_that_breaks_off_is_none(read, end, pause):
    async with server([HEAD, end[:-3], None], pause=pause) as pool:
        with pytest.raises(ConnectionLost):
            await asked(pool, read)
        assert pool.in_use == 0


@READERS
async def test_what_nobody_asked_for_ends_the_connection(read):
    async with server([HEAD + WITH_LENGTH, HEAD + WITH_LENGTH], [HEAD + WITH_LENGTH], pause=0.01) as pool:
        assert await asked(pool, read) == BODY
        async with asyncio.timeout(20):
            while pool._idle[-1].alive:  # noqa: ASYNC110  it is the other side that ends this
                await asyncio.sleep(0.01)
        assert await asked(pool, read) == BODY
        assert pool.opened == 2


@READERS
@pytest.mark.parametrize(
    "more",
    [
        HEAD + WITH_LENGTH,
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 500 ",
        b"something else altogether\r\n\r\n",
    ],
)
@pytest.mark.parametrize("end", [WITH_LENGTH, CHUNKED])
async def test_what_comes_in_one_piece_with_a_reply_is_not_a_part_of_it(read, more, end):
    async with server([HEAD + end + more], [HEAD + WITH_LENGTH]) as pool:
        connection = await pool.take()
        connection.send(REQUEST)
        assert await read(connection) == BODY
        assert connection.status == 200
        assert connection.header(b"content-type") == "application/json"
        pool.give_back(connection)
        assert await asked(pool, read) == BODY
        assert pool.opened == 2


@READERS
async def test_signs_of_life_come_before_a_reply(read):
    alive = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\ncontent-type: text/early\r\n\r\n"
    async with server([alive + HEAD + WITH_LENGTH], [HEAD + WITH_LENGTH]) as pool:
        connection = await pool.take()
        connection.send(REQUEST)
        assert await read(connection) == BODY
        assert connection.header(b"content-type") == "application/json"
        pool.give_back(connection)
        assert await asked(pool, read) == BODY
        assert pool.opened == 1


@READERS
async def test_another_protocol_is_no_reply(read):
    async with server(
        [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx"]
    ) as pool:
        with pytest.raises(ConnectionLost):
            await asked(pool, read)
        assert pool.in_use == 0


@READERS
async def test_headers_behind_a_large_body_are_not_those_before_it(read):
    body = b"x" * 200_000
    end = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\ncontent-type: text/late\r\n\r\n" % (
        len(body),
        body,
    )
    async with server([HEAD + end], [HEAD + WITH_LENGTH]) as pool:
        connection = await pool.take()
        connection.send(REQUEST)
        assert await read(connection) == body
        assert connection.header(b"content-type") == "application/json"
        pool.give_back(connection)
        assert await asked(pool, read) == BODY
        assert pool.opened == 1


@READERS
@pytest.mark.parametrize("piece", [b"x" * 8192, b"a: b\r\n" * 1000])
async def test_headers_without_end_are_no_reply(read, piece):
    async with server([HEAD + b"more: ", *[piece] * 40]) as pool:
        with pytest.raises(ConnectionLost):
            await asked(pool, read)
        assert pool.in_use == 0


async def test_whoever_waits_for_a_connection_is_not_overtaken():
    replies = [[HEAD + WITH_LENGTH]] * 60
    async with server(*replies) as pool:
        pool._most = 1
        held = await pool.take()
        order = []

        async def ask(name):
            connection = pool.take_idle() or await pool.take()
            order.append(name)
            connection.send(REQUEST)
            await connection.whole()
            pool.give_back(connection)

        async def come_again():
            for _ in range(20):
                await ask("newcomer")

        first = asyncio.create_task(ask("first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask("second"))
        await asyncio.sleep(0)
        held.send(REQUEST)
        await held.whole()
        newcomers = asyncio.create_task(come_again())
        pool.give_back(held)
        async with asyncio.timeout(20):
            await asyncio.gather(first, second, newcomers)
        assert order[:2] == ["first", "second"]
        assert pool.opened == 1
        assert pool.in_use == 0


@pytest.mark.parametrize("broken", [False, True])
async def test_a_turn_that_comes_too_late_is_the_next_ones(broken):
    async with server([HEAD + WITH_LENGTH], [HEAD + WITH_LENGTH]) as pool:
        pool._most = 1
        held = await pool.take()
        late, next_one = (asyncio.create_task(pool.take()) for _ in range(2))
        await asyncio.sleep(0)
        held.send(REQUEST)
        await held.whole()
        if broken:
            held.abort()
        pool.give_back(held)
        late.cancel()
        async with asyncio.timeout(20):
            connection = await next_one
        assert pool.in_use == 1
        connection.send(REQUEST)
        assert await connection.whole() == BODY
        pool.give_back(connection)
        assert late.cancelled()
        assert pool.in_use == 0
        assert pool.opened == 1 + broken


async def test_a_connection_that_died_on_its_way_to_whoever_waits_is_replaced():
    async with server([HEAD + WITH_LENGTH], [HEAD + WITH_LENGTH]) as pool:
        pool._most = 1
        held = await pool.take()
        waiting = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        held.send(REQUEST)
        await held.whole()
        pool.give_back(held)
        held.abort()
        async with asyncio.timeout(20):
            connection = await waiting
        assert connection is not held
        connection.send(REQUEST)
        assert await connection.whole() == BODY
        pool.give_back(connection)
        assert pool.in_use == 0


async def test_where_nobody_can_connect_everybody_hears_of_it():
    pool = Pool(Origin.of("http://127.0.0.1:9/v1"), most=1)
    tries = [asyncio.create_task(pool.take()) for _ in range(5)]
    async with asyncio.timeout(20):
        for each in tries:
            with pytest.raises(ConnectionLost):
                await each
    assert pool.in_use == 0


def test_an_address_of_the_sixth_version_stands_in_brackets():
    assert Origin.of("https://[fd00::1]:8443/v1").authority == "[fd00::1]:8443"
    assert Origin.of("https://[fd00::1]/v1").authority == "[fd00::1]"


@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_who_reads_each_piece_and_fails_hears_of_it(pause):
    def refuse(data):
        if b"choices" in seen + data:
            raise ZeroDivisionError
        seen.extend(data)

    seen = bytearray()
    async with server([HEAD + b"content-length: 15\r\n\r\n", BODY[:4], BODY[4:]], pause=pause) as pool:
        connection = await pool.take()
        connection.send(REQUEST)
        await connection.head()
        with pytest.raises(ZeroDivisionError):
            await connection.each(refuse)
        connection.abort()
        pool.give_back(connection)
        assert pool.in_use == 0


async def test_pieces_are_told_the_moment_they_come():
    """The other side sends each only when the one before was told."""
    pieces, told, heard = [BODY[:5], BODY[5:10], BODY[10:]], [], asyncio.Event()

    def note(data):
        told.append(data)
        heard.set()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"content-length: 15\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await heard.wait()
            heard.clear()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool(Origin.of(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"))
    async with asyncio.timeout(20):
        connection = await pool.take()
        connection.send(REQUEST)
        await connection.head()
        await connection.each(note)
    pool.give_back(connection)
    await pool.close()
    listening.close()
    assert told == pieces
