"""
A pool of HTTP/1.1 connections to one upstream, and replies as bytes.

One pool serves a whole process. It opens no more than *most* connections, keeps them for five minutes of
idleness (the *kept* newest; what a burst needed beyond those goes after seconds), and hands out no
connection on which a reply was not read to its end: a cancelled or timed-out call closes its own.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

from shared.errors import Unavailable

_CONNECT_SECONDS = 5.0
_SPARE_SECONDS = 15.0
_MOST_HEADERS = 64 * 1024
_MOST_BODY = 16 * 1024 * 1024
_PAUSE_BYTES = 256 * 1024
_CLOCK_SECONDS = 0.002
"""As much earlier than it should a loop's timer may come."""
_CONTINUE_STATUSES = 200
"""Below this a response is only a sign of life."""


class ConnectionLost(Unavailable):
    """The connection failed or broke; *sent* says whether the request may have been seen."""

    def __init__(self, message: str, *, sent: bool) -> None:
        """Say what happened in *message*."""
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is: ``https://api.openai.com/v1`` gives host, port and the path before each path."""

    host: str
    port: int
    secure: bool
    prefix: str

    @staticmethod
    def of(url: str) -> "Origin":
        """
        Read a base URL.

        Raises:
            ValueError: it is not an http or https URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            message = "the base URL is not an http or https URL"
            raise ValueError(message)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return Origin(parts.hostname, port, secure, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """What the Host header says."""
        usual = 443 if self.secure else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"


class Connection(asyncio.Protocol):
    """One connection; it carries one exchange at a time."""

    def __init__(self) -> None:
        """Wait for the transport."""
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._for_end = False
        self._busy = False
        self._done = False
        self._paused = False
        self._surplus = False
        self._failure: str | None = None
        self._size = 0
        self._chunks: list[bytes] = []
        self._consume: Callable[[bytes], None] | None = None
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.idle_since = 0.0
        self.used = False

    @property
    def reusable(self) -> bool:
        """Whether its last exchange ended as it should, and the other side keeps it."""
        return self._done and not self._surplus and self._failure is None and not self._transport.is_closing()

    @property
    def alive(self) -> bool:
        """Whether it could carry an exchange now."""
        return self._failure is None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Begin an exchange: *request* is a whole HTTP/1.1 request."""
        self._busy, self._done, self._surplus = True, False, False
        self._size = 0
        self._chunks = []
        self.status, self.fields = 0, []
        if self.used:
            self._parser = httptools.HttpResponseParser(self)
        self.used = True
        self._transport.write(request)

    async def head(self) -> int:
        """
        The status, once all headers are there.

        Raises:
            ConnectionLost: it broke before.
        """
        while not self.status:
            await self._wait()
        return self.status

    def header(self, name: bytes) -> str:
        """The header of the lower-case *name*; nothing if there is none, the last if there are several."""
        found = [value for each, value in self.fields if each.lower() == name]
        return found[-1].decode("latin-1") if found else ""

    async def whole(self) -> bytes:
        """
        The whole body, and the status before it.

        Raises:
            ConnectionLost: it broke before the end, or the body is larger than 16 MiB.
        """
        self._for_end = True
        try:
            while not self._done:
                await self._wait()
        finally:
            self._for_end = False
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def piece(self) -> bytes:
        """
        What came of the body since the last piece; nothing once it is over.

        Raises:
            ConnectionLost: it broke before the end.
        """
        while not self._chunks:
            if self._done:
                return b""
            await self._wait()
        return self._taken()

    async def each(self, consume: Callable[[bytes], None]) -> None:
        """
        Give *consume* each piece of the body the moment it comes; return once it is over.

        Raises:
            ConnectionLost: it broke before the end; or whatever *consume* raises.
        """
        if self._chunks:
            consume(self._taken())
        self._consume = consume
        try:
            while not self._done:
                await self._wait()
        finally:
            self._consume = None

    def _taken(self) -> bytes:
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Close it at once, whatever is on it; who waits for a reply is told that it broke."""
        self._fail("the connection was given up")
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise ConnectionLost(self._failure, sent=True)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = why
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(self._failure, sent=True))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse *data*; anything that was not asked for ends the connection."""
        if not self._busy:
            self.abort()
            return
        if not self._parse(data):
            self.abort()
            return
        if self._consume is not None:
            self._hand_over(self._consume)
            return
        if self._size > (_MOST_BODY if self._for_end else _PAUSE_BYTES):
            if self._for_end:
                self.abort()
            elif not self._paused and not self._done:
                self._paused = True
                self._transport.pause_reading()
        if self._done or (not self._for_end and self.status):
            self._wake()

    def _parse(self, data: bytes) -> bool:
        """Whether *data* is, as far as it was asked for, a part of a reply."""
        if not self.status:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._surplus = True
            return self._done  # then the reply was whole before
        return bool(self.status) or self._size <= _MOST_HEADERS

    def _hand_over(self, consume: Callable[[bytes], None]) -> None:
        try:
            if self._chunks:
                consume(self._taken())
        except Exception as error:  # noqa: BLE001  whoever waits in each() is told
            self._consume = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
        if self._done:
            self._wake()

    def eof_received(self) -> None:
        """The other side has said everything: of a body without a length, that is the end."""
        names = {name.lower() for name, _ in self.fields}
        if self._busy and self.status and not names & {b"content-length", b"transfer-encoding"}:
            self._done, self._busy = True, False
            self._wake()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell whoever waits."""
        self._fail("the connection broke")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notice a reply that nobody asked for: it is not read, and no other exchange follows."""
        self._surplus = self._surplus or self._done

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, unless it stands behind the body."""
        if not self.status:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Know the status, unless it is only a sign of life."""
        if self._surplus:
            return
        status = self._parser.get_status_code()
        if status >= _CONTINUE_STATUSES:
            self.status = status
            self._size = 0
        else:
            self.fields = []

    def on_body(self, body: bytes) -> None:
        """Keep a piece."""
        if self._surplus:
            return
        self._size += len(body)
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """End the exchange."""
        if not self.status or self._surplus:
            return
        self._done, self._busy = True, False
        if not self._parser.should_keep_alive():
            self._transport.close()


class Deadlines:
    """
    Aborts what its deadline finds unfinished, with one timer for all connections.

    A timer of each call's own is made and cancelled in vain, as nearly all calls end in time.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._ends: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0

    def begin(self, connection: Connection, ends: float) -> None:
        """Abort *connection* when the loop's clock says *ends*, unless it is said to be over before."""
        self._ends[connection] = ends
        if self._timer is None or ends < self._looks_at:
            self._wake_at(ends)

    def over(self, connection: Connection) -> None:
        """What is on *connection* came to its end."""
        self._ends.pop(connection, None)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = moment
        self._timer = asyncio.get_running_loop().call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + _CLOCK_SECONDS
        for connection in [each for each, ends in self._ends.items() if ends <= now]:
            del self._ends[connection]
            connection.abort()
        if self._ends:
            self._wake_at(min(self._ends.values()))


class Pool:
    """The connections of one process to one upstream."""

    def __init__(
        self,
        origin: Origin,
        *,
        most: int = 50,
        kept: int = 10,
        idle_seconds: float = 300.0,
        ca_file: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Open *most* connections at most; keep *kept* of them through *idle_seconds* without work.

        *ca_file* names the authorities to trust, in PEM, in the place of the system's.
        """
        self._origin = origin
        self._most = most
        self._kept = kept
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._tls = ssl.create_default_context(cafile=ca_file or None) if origin.secure else None
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._open = 0
        self.deadlines = Deadlines()
        self.opened = 0
        """How many connections were ever made."""

    @property
    def in_use(self) -> int:
        """How many connections carry an exchange now."""
        return self._open - len(self._idle)

    def take_idle(self) -> Connection | None:
        """A connection that is there already, unless others wait for one; give it back in every case."""
        if self._waiting:
            return None
        self._drop_stale()
        return self._idle.pop() if self._idle else None  # the newest: the oldest get their rest, and go

    async def take(self) -> Connection:
        """
        A connection of one's own; give it back in every case.

        Raises:
            ConnectionLost: none could be made.
        """
        if (idle := self.take_idle()) is not None:
            return idle
        given = None
        if not self._waiting and self._open < self._most:
            self._open += 1
        else:
            given = await self._turn()
        if given is not None:
            if given.alive:
                return given
            given.abort()
        return await self._connect()

    async def _turn(self) -> Connection | None:
        """What was given back to whoever has waited longest: a connection, or only the room for one."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on(turn.result())  # it came too late, and is somebody else's
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def give_back(self, connection: Connection) -> None:
        """Keep *connection* for the next call if its reply was read to the end; close it if not."""
        if connection.reusable:
            self._pass_on(connection)
        else:
            connection.abort()
            self._pass_on(None)

    def _pass_on(self, connection: Connection | None) -> None:
        """Hand *connection*, or its room, to whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is None:
            self._open -= 1
        else:
            connection.idle_since = self._clock()
            self._idle.append(connection)

    async def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        while self._idle:
            self._idle.pop().abort()
            self._open -= 1
        self._idle_seconds = 0.0
        await asyncio.sleep(0)

    def _drop_stale(self) -> None:
        now = self._clock()
        while self._idle:
            oldest = self._idle[0]
            idle = now - oldest.idle_since
            spare = len(self._idle) > self._kept and idle > _SPARE_SECONDS
            if oldest.alive and idle <= self._idle_seconds and not spare:
                break
            self._idle.popleft().abort()
            self._open -= 1
        while self._idle and not self._idle[-1].alive:
            self._idle.pop()
            self._open -= 1

    async def _connect(self) -> Connection:
        """Make one; there is room for it already."""
        loop = asyncio.get_running_loop()
        origin = self._origin
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    Connection,
                    origin.host,
                    origin.port,
                    ssl=self._tls,
                    server_hostname=origin.host if origin.secure else None,
                )
        except BaseException as error:
            self._pass_on(None)
            if isinstance(error, OSError | TimeoutError):
                message = "the upstream cannot be reached"
                raise ConnectionLost(message, sent=False) from error
            raise
        self.opened += 1
        return connection
