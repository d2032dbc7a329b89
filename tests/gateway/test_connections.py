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
