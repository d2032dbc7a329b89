"""
The built-in tutor: an OpenAI-compatible server that needs no key and knows nothing.

It answers over real HTTP, streams, counts tokens and keeps to JSON schemas; and on demand it fails in the
ways in which providers fail (header ``X-Tutor-Fault``), so that everything around it can be tried. Files and
batches are in ``batches``. ``GET /calls`` tells how often it was asked.
"""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson

from local.ports import HOST
from local.tutor import replies
from local.tutor.batches import BatchDesk

FAULTS = (
    "429",
    "500",
    "slow",
    "dripping",
    "truncated",
    "malformed",
    "wrong-schema",
    "malicious",
    "hang",
    "reset",
    "empty",
    "no-usage",
)
_DONE = 200
CANARY = "upstream-says-canary-0123456789"
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    429: b"Too Many Requests",
    500: b"Oops",
}


@dataclass
class Tutor:
    """
    One server's manner and memory.

    *delay_seconds* before each reply, *pace_seconds* between the pieces of a stream, *fault* where a
    request names none; *slow_seconds* and *drip_seconds* are what those faults take.
    """

    delay_seconds: float = 0.0
    pace_seconds: float = 0.0
    fault: str = ""
    url: str = ""
    slow_seconds: float = 30.0
    drip_seconds: float = 0.2
    calls: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    most_open: int = 0
    requests: deque[tuple[str, dict[str, str], Any]] = field(default_factory=lambda: deque(maxlen=1000))
    """The last requests: path, headers, parsed body."""
    transports: set[Any] = field(default_factory=set)
    """The connections that are open now."""
    batches: BatchDesk = field(default_factory=BatchDesk)
    """The files and batches that were handed in."""

    @property
    def total(self) -> int:
        """How often anything was asked of a model."""
        return sum(self.calls.values())


@dataclass(frozen=True)
class _Asked:
    """A request without its body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


class _Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other."""

    def __init__(self, tutor: Tutor) -> None:
        self._tutor = tutor
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._queue: deque[tuple[_Asked, bytes]] = deque()
        self._busy: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        tutor = self._tutor
        tutor.connections += 1
        tutor.transports.add(transport)
        tutor.most_open = max(tutor.most_open, len(tutor.transports))

    def connection_lost(self, _error: Exception | None) -> None:
        self._tutor.transports.discard(self._transport)
        if self._busy is not None:
            self._busy.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        asked = _Asked(self._parser.get_method().decode(), path, query, self._headers)
        self._queue.append((asked, b"".join(self._body)))
        if self._busy is None:
            self._next()

    def _next(self) -> None:
        while self._queue and self._busy is None:
            asked, body = self._queue.popleft()
            patient = self._answer(asked, body)
            if patient is not None:
                self._busy = asyncio.get_running_loop().create_task(self._patiently(patient))

    async def _patiently(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            async for piece in pieces:
                self._transport.write(piece)
        finally:
            self._busy = None
        self._next()

    def _answer(self, asked: "_Asked", raw: bytes) -> AsyncIterator[bytes] | None:
        """Write the reply, or return it if it takes time."""
        tutor, path, headers = self._tutor, asked.path, asked.headers
        if path == "/calls":
            counts = {"total": tutor.total, "byPath": dict(tutor.calls), "connections": tutor.connections}
            self._transport.write(_whole(200, counts))
            return None
        if path == "/healthz":
            self._transport.write(_whole(200, {"status": "ok"}))
            return None
        if path == "/v1/models":
            self._transport.write(_whole(200, replies.models()))
            return None
        if path.startswith(("/v1/files", "/v1/batches")):
            return self._handed_in(asked, raw)
        try:
            body = orjson.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict) or path not in _DOORS:
            status = 404 if path not in _DOORS else 400
            self._transport.write(_whole(status, _error("there is no such thing here", "invalid_request")))
            return None
        tutor.calls[path] += 1
        tutor.requests.append((path, headers, body))
        fault = headers.get("x-tutor-fault") or tutor.fault
        if not fault and not tutor.delay_seconds and body.get("stream") is not True:
            self._transport.write(_DOORS[path](body, ""))
            return None
        return self._in_time(path, body, fault)

    async def _handed_in(self, asked: "_Asked", raw: bytes) -> AsyncIterator[bytes]:
        """The reply about files and batches, which a fault may keep from being sent, though it is done."""
        tutor = self._tutor
        fault = asked.headers.get("x-tutor-fault") or tutor.fault
        tutor.batches.requests.append((asked.method, asked.path))
        if fault in {"404", "405"}:
            yield _whole(int(fault), _error("there is no such thing here", "invalid_request"))
            return
        if fault in {"429", "500", "hang", "slow", "malformed"}:
            async for piece in self._in_time("", {}, fault):
                yield piece
            if fault != "slow":
                return
        status, kind, content = tutor.batches.answer(
            asked.method, asked.path, asked.query, asked.headers.get("content-type", ""), raw, fault
        )
        if asked.method == "POST" and asked.path == "/v1/batches" and status == _DONE:
            tutor.calls["/v1/chat/completions"] += tutor.batches.newest.asked
        if fault == "reset":
            self._transport.abort()
            return
        yield _raw(status, kind, content)

    async def _in_time(self, path: str, body: Mapping[str, Any], fault: str) -> AsyncIterator[bytes]:
        tutor = self._tutor
        if tutor.delay_seconds:
            await asyncio.sleep(tutor.delay_seconds)
        match fault:
            case "429":
                more = b"retry-after: 1\r\n"
                yield _whole(429, _error(f"Rate limit reached: {CANARY}", "rate_limit_exceeded"), more)
                return
            case "500":
                yield _whole(500, _error(f"The server had an error: {CANARY}", "server_error"))
                return
            case "hang":
                await asyncio.Event().wait()
            case "slow":
                await asyncio.sleep(tutor.slow_seconds)
            case "malformed":
                yield _raw(200, b"text/html", f"<html><body>Bad gateway {CANARY}</body></html>".encode())
                return
        if not path:
            return
        streams = body.get("stream") is True and path != "/v1/embeddings"
        pieces = self._stream(path, body, fault) if streams else self._one(path, body, fault)
        async for piece in pieces:
            yield piece

    async def _one(self, path: str, body: Mapping[str, Any], fault: str) -> AsyncIterator[bytes]:
        whole: bytes = _DOORS[path](body, fault)
        head, _, content = whole.partition(b"\r\n\r\n")
        match fault:
            case "truncated":
                yield _raw(200, b"application/json", content[: len(content) // 2])
            case "reset":
                yield head + b"\r\n\r\n" + content[: len(content) // 2]
                await asyncio.sleep(0.01)
                self._transport.abort()
            case "dripping":
                yield head + b"\r\n\r\n"
                for byte in content:
                    yield bytes([byte])
                    await asyncio.sleep(self._tutor.drip_seconds)
            case _:
                yield whole

    async def _stream(self, path: str, body: Mapping[str, Any], fault: str) -> AsyncIterator[bytes]:
        tutor = self._tutor
        question = replies.asked(body)
        reply = replies.told(question, fault)
        make = replies.chunks if path == "/v1/chat/completions" else replies.events
        parts = list(make(question, reply, usage=fault != "no-usage"))
        if path == "/v1/chat/completions":
            parts.append(b"data: [DONE]\n\n")
        if fault in {"truncated", "reset"}:
            parts = parts[: len(parts) // 2]
        if fault == "empty":
            parts = []
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        pause = tutor.drip_seconds if fault == "dripping" else tutor.pace_seconds
        for number, part in enumerate(parts):
            if number and pause:
                await asyncio.sleep(pause)
            yield b"%x\r\n%b\r\n" % (len(part), part)
        if fault == "reset":
            await asyncio.sleep(0.01)
            self._transport.abort()
            return
        yield b"0\r\n\r\n"


def _chat(body: Mapping[str, Any], fault: str) -> bytes:
    question = replies.asked(body)
    value = replies.completion(question, replies.told(question, fault), usage=fault != "no-usage")
    if fault == "empty":
        value["choices"] = []
    if fault == "malicious":
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "exec", "arguments": '{"rm": "-rf"}'},
        }
        value["choices"][0]["message"]["tool_calls"] = [call]
    return _whole(200, value)


def _response(body: Mapping[str, Any], fault: str) -> bytes:
    question = replies.asked(body)
    value = replies.response(question, replies.told(question, fault), usage=fault != "no-usage")
    if fault == "empty":
        value["output"] = []
    return _whole(200, value)


def _embeddings(body: Mapping[str, Any], fault: str) -> bytes:
    value = replies.embeddings(body)
    if fault == "empty":
        value["data"] = []
    if fault == "no-usage":
        del value["usage"]
    return _whole(200, value)


_DOORS = {"/v1/chat/completions": _chat, "/v1/responses": _response, "/v1/embeddings": _embeddings}


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def _whole(status: int, value: object, more: bytes = b"") -> bytes:
    return _raw(status, b"application/json", orjson.dumps(value), more)


def _raw(status: int, kind: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
    return head % (status, _REASONS[status], kind, len(body), more) + body


@asynccontextmanager
async def serving(
    tutor: Tutor | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Tutor]:
    """Serve *tutor* in this loop; its ``url`` is the base URL that OpenAI's clients want."""
    mine = tutor or Tutor()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(mine), HOST, port, ssl=tls)
    try:
        mine.url = f"{'https' if tls else 'http'}://{HOST}:{server.sockets[0].getsockname()[1]}/v1"
        yield mine
    finally:
        server.close()
        for transport in tuple(mine.transports):
            transport.abort()  # else a hanging request would live on
