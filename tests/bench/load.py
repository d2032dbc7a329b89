"""A small closed-loop HTTP/1.1 client: cheap enough not to be what is measured."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a load run saw: seconds per answered request, and how many were not answered with 2xx."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    duration: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.seconds) / self.duration if self.duration else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds within which *share* of the requests were answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else float("nan")


def request_bytes(path: str, body: bytes, token: str) -> bytes:
    """A whole POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(
    host: str,
    port: int,
    make: Callable[[int], bytes],
    *,
    users: int,
    requests: int | None = None,
    seconds: float | None = None,
    think_seconds: float = 0.0,
) -> Outcome:
    """
    Let *users* connections each send a request, wait for its answer, think, and so on.

    *make(n)* gives the n-th request. Ends after *requests* or *seconds*, whichever is set.
    """
    outcome = Outcome()
    counter = iter(range(requests if requests is not None else 10**12))
    began = time.perf_counter()
    until = began + seconds if seconds is not None else float("inf")

    async def user() -> None:
        connection = _Connection(host, port)
        await asyncio.sleep(random.random() * think_seconds)
        while time.perf_counter() < until and (n := next(counter, None)) is not None:
            request = make(n)
            sent = time.perf_counter()
            if 200 <= await connection.ask(request) < 300:
                outcome.seconds.append(time.perf_counter() - sent)
            else:
                outcome.errors += 1
            if think_seconds:
                await asyncio.sleep(think_seconds * (0.5 + random.random()))
        await connection.close()

    await asyncio.gather(*(user() for _ in range(users)))
    outcome.duration = time.perf_counter() - began
    return outcome


class _Connection(asyncio.Protocol):
    """One user's connection; a server closes those that idle, and then it connects again, as any client."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._reply: asyncio.Future[int] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the response; 0 if there was none."""
        loop = asyncio.get_running_loop()
        while True:
            reused = self._transport is not None
            self._data = b""
            self._reply = reply = loop.create_future()
            if self._transport is None:
                try:
                    await loop.create_connection(lambda: self, *self._where)
                except OSError:
                    return 0
            self._transport.write(request)
            status = await reply
            if status or not reused:
                return status

    async def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        status = _status(self._data)
        if status and not self._reply.done():
            self._reply.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(0)


def _status(data: bytes) -> int:
    """The status of the response that *data* is the whole of; 0 if it has not ended."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    head = data[:end].lower()
    place = head.find(b"content-length:")
    if place >= 0:
        whole = len(data) >= end + int(head[place + 15 : head.index(b"\r\n", place)])
    elif b"transfer-encoding: chunked" in head:
        whole = data.endswith(b"0\r\n\r\n")
    else:
        whole = True
    return int(head[9:12]) if whole else 0
