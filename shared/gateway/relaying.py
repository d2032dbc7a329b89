"""
Streams that are read once, whoever asks for them.

A stream is read by a task of its own, in one instance at a time. Everybody who asks for the same meanwhile
listens to it from its beginning; in another instance, once it is whole and kept. Who listens may leave: when
nobody is left, the provider need not go on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import AnyStr, Generic, Protocol

from shared import metrics
from shared.budgets.base import Payer
from shared.caching.caches import Caches, Turn
from shared.caching.keys import Key
from shared.gateway.connections import ConnectionLost
from shared.gateway.paying import Purse
from shared.gateway.scanning import Seen
from shared.gateway.upstream import Call, Improper, Incoming, Upstream


class Script(Protocol[AnyStr]):
    """How one stream is read, what listeners are told of it, and what is kept."""

    def feed(self, data: bytes) -> AnyStr:
        """
        What of *data*, the next piece, may be told now.

        Raises:
            Improper: something went wrong.
        """
        ...

    def seen(self) -> Seen:
        """
        What the stream said about itself, once it is over.

        Raises:
            Improper: it broke off before its end.
        """
        ...

    def broken(self) -> AnyStr:
        """What is told where it broke off."""
        ...

    def kept(self, told: Sequence[AnyStr]) -> bytes:
        """What is kept of it, all of which was *told*."""
        ...

    def recall(self, kept: bytes) -> AnyStr:
        """What is told of one that was *kept*."""
        ...


class Relays(Generic[AnyStr]):
    """The streams that are under way, by the names of their keys."""

    def __init__(self, caches: Caches) -> None:
        """Begin with none; what comes to its end is kept in *caches*."""
        self._caches = caches
        self._under_way: dict[str, Relay[AnyStr]] = {}

    def join(self, key: Key) -> "Listening[AnyStr] | None":
        """A reader of the stream of that key, if it is under way."""
        relay = self._under_way.get(key.name)
        if relay is None:
            return None
        metrics.cache_requests.labels(key.entry.name, "coalesced").inc()
        return Listening(relay)

    def begin(
        self,
        key: Key | None,
        script: Script[AnyStr],
        upstream: Upstream,
        call: Callable[[], Call],
        purse: Purse,
        *,
        seconds: float,
    ) -> "Listening[AnyStr]":
        """The first reader of a stream, which others may join by *key*; it takes *seconds* at most."""
        relay = Relay(self._caches, key, script, seconds=seconds)
        if key is not None:
            self._under_way[key.name] = relay
        relay.begin(upstream, call, purse, lambda: self._forget(relay))
        return Listening(relay)

    def _forget(self, relay: "Relay[AnyStr]") -> None:
        """Let nobody join *relay* any more."""
        if relay.key is not None and self._under_way.get(relay.key.name) is relay:
            del self._under_way[relay.key.name]


class Relay(Generic[AnyStr]):
    """One stream of the provider's, read by a task of its own, and what came of it."""

    def __init__(self, caches: Caches, key: Key | None, script: Script[AnyStr], *, seconds: float) -> None:
        """Keep what came under *key*, if it is whole; it takes *seconds* at most."""
        self.key = key
        self._caches = caches
        self.script: Script[AnyStr] = script
        self._seconds = seconds
        self._incoming: Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], object] = _nothing
        self.payer: Payer | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chunks: list[AnyStr] = []
        self.over = False
        self.listeners: set[Listening[AnyStr]] = set()

    def begin(
        self, upstream: Upstream, call: Callable[[], Call], purse: Purse, forget: Callable[[], object]
    ) -> None:
        """Ask *upstream* when it is this instance's turn; call *forget* when nobody may join any more."""
        self.payer = purse.payer
        self._forget = forget
        self._task = asyncio.create_task(self._run(upstream, call, purse))
        self._task.add_done_callback(lambda _: forget())
        self.started.add_done_callback(lambda started: started.cancelled() or started.exception())

    async def finished(self) -> None:
        """Return once everything is settled."""
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    def leave(self, listening: "Listening[AnyStr]") -> None:
        """*listening* does so no more; if nobody does, the provider need not go on."""
        self.listeners.discard(listening)
        if not self.listeners and not self.over:
            self._forget()  # who comes now must not be told that it was given up
            if self._incoming is not None:
                self._incoming.abandon()
            elif self._task is not None and not self.started.done():
                self._task.cancel()

    async def _run(self, upstream: Upstream, call: Callable[[], Call], purse: Purse) -> None:
        try:
            await self._taking_turns(upstream, call, purse)
        except BaseException as error:
            had_begun = self.started.done()
            self._failed(error)
            if had_begun or isinstance(error, asyncio.CancelledError):
                raise

    async def _taking_turns(self, upstream: Upstream, call: Callable[[], Call], purse: Purse) -> None:
        """Ask *upstream*, unless another instance does: then pass on what that one keeps."""
        turn = Turn(None, "", "")
        if self.key is not None:
            found = await self._caches.turn(self.key, within_seconds=self._seconds)
            if isinstance(found, bytes):
                self.started.set_result(None)
                self._tell(self.script.recall(found))
                self._end()
                return
            turn = found
        async with turn:
            await self._ask(upstream, call(), purse)

    async def _ask(self, upstream: Upstream, call: Call, purse: Purse) -> None:
        try:
            await purse.open(call)
            incoming = self._incoming = await upstream.stream(call)
        except BaseException:
            await purse.close(call, None, whole=False)
            raise
        self.started.set_result(None)
        seen: Seen | None = None
        try:
            seen = await self._passed(incoming)
        finally:
            if seen is None:
                call.unknown += 1
                incoming.abandon()
            incoming.close()
            self._end()
            await purse.close(call, seen.usage if seen else None, whole=seen is not None)
            if seen is not None and seen.keep and self.key is not None:
                await self._caches.put(self.key, self.script.kept(self.chunks), nanos=purse.paid)

    async def _passed(self, incoming: Incoming) -> Seen | None:
        """Pass on what comes; what it said about itself, if it came to its end."""
        script = self.script

        def pass_on(data: bytes) -> None:
            if told := script.feed(data):
                self._tell(told)

        try:
            await incoming.each(pass_on)
            return script.seen()
        except (ConnectionLost, Improper):
            incoming.close(failed=bool(self.listeners))
            self._tell(script.broken())
            return None

    def _failed(self, error: BaseException) -> None:
        """Tell those who wait that it will not begin."""
        self.over = True
        if self.started.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.started.cancel()
        else:
            self.started.set_exception(error)

    def _end(self) -> None:
        self.over = True
        self._wake()

    def _tell(self, told: AnyStr) -> None:
        if told:
            self.chunks.append(told)
        self._wake()

    def _wake(self) -> None:
        for each in self.listeners:
            each.wake()


def _nothing() -> None:
    pass


class Listening(Generic[AnyStr]):
    """One reader of a relay, from its beginning."""

    def __init__(self, relay: Relay[AnyStr]) -> None:
        """Listen to *relay*."""
        self._relay: Relay[AnyStr] = relay
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        relay.listeners.add(self)

    @property
    def script(self) -> Script[AnyStr]:
        """How the stream is read."""
        return self._relay.script

    @property
    def payer(self) -> Payer | None:
        """Who pays for the stream."""
        return self._relay.payer

    async def begun(self) -> None:
        """
        Return once the reply has begun.

        Raises:
            InvalidRequest, Unavailable, BudgetSpent: it will not.
        """
        await asyncio.shield(self._relay.started)

    def wake(self) -> None:
        """There is more, or it is over."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abandon(self) -> None:
        """Nobody reads this any more."""
        if not self._gone:
            self._gone = True
            self._relay.leave(self)
            self.wake()

    async def settle(self) -> None:
        """Return once what was read is paid for."""
        await self._relay.finished()

    async def end(self) -> None:
        """Read no more; return once what was read is paid for, unless others read on."""
        self.abandon()
        if not self._relay.listeners:
            await self.settle()

    async def __aiter__(self) -> AsyncIterator[AnyStr]:
        """Everything from the beginning, as it comes."""
        relay, told = self._relay, 0
        while not self._gone:
            if told < len(relay.chunks):
                new, told = relay.chunks[told:], len(relay.chunks)
                yield new[0] if len(new) == 1 else new[0][:0].join(new)
            elif relay.over:
                break
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        relay.listeners.discard(self)
