"""A TCP proxy that treats connections as badly as networks do."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_CHUNK = 65_536
_QUIET_CHUNKS = 3
"""A new connection is left alone until it is established: what is tested is not gRPC's connecting."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How likely each fault is, per chunk of bytes."""

    cut_responses: float = 0.0
    cut_requests: float = 0.0
    delays: float = 0.0
    black_holes: float = 0.0
    half_open: float = 0.0
    longest: float = 2.0


class Proxy:
    """Forwards connections to *target* (``host:port``) through *weather*; use it as a context."""

    def __init__(self, target: str, weather: Weather, seed: int) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.weather = weather
        self._rng = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._down = False
        self.faults: dict[str, int] = {}

    @property
    def address(self) -> str:
        """Where to connect."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._drop(list(self._writers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def outage(self, seconds: float) -> None:
        """End every connection, and take none for a while: what a restart of the store looks like."""
        self._down = True
        self._note("outage")
        self._drop(list(self._writers))
        await asyncio.sleep(seconds)
        self._down = False

    def _note(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def _drop(self, writers: Sequence[asyncio.StreamWriter]) -> None:
        for writer in writers:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        both = (writer, far_writer)
        self._writers.update(both)
        for source, into, cuts in (
            (reader, far_writer, "cut_requests"),
            (far_reader, writer, "cut_responses"),
        ):
            task = asyncio.create_task(self._forward(source, into, both, cuts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self,
        source: asyncio.StreamReader,
        into: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        cuts: str,
    ) -> None:
        seen = 0
        try:
            while chunk := await source.read(_CHUNK):
                seen += 1
                if seen > _QUIET_CHUNKS and not await self._survives(both, cuts):
                    return
                into.write(chunk)
                await into.drain()
        except ConnectionError:
            pass
        self._drop(both)

    async def _survives(self, both: tuple[asyncio.StreamWriter, asyncio.StreamWriter], cuts: str) -> bool:
        rng, weather = self._rng, self.weather
        if rng.random() < getattr(weather, cuts):
            self._note(cuts)
            self._drop(both)
            return False
        if rng.random() < weather.black_holes:
            self._note("black_holes")
            await asyncio.sleep(rng.random() * weather.longest)
            self._drop(both)
            return False
        if rng.random() < weather.half_open:
            self._note("half_open")
            self._drop(both[1:])  # the far side is gone, and the near side is not told
            await asyncio.sleep(rng.random() * weather.longest)
            self._drop(both)
            return False
        if rng.random() < weather.delays:
            self._note("delays")
            await asyncio.sleep(rng.random() * weather.longest / 4)
        return True
