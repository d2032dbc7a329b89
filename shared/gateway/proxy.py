"""
The gateway's second door: OpenAI's own interface, whose replies pass through as bytes.

The order of work is that of the first door. A stream is read once, whoever asks for it, and everybody who
asks for the same meanwhile listens to it from its beginning.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache

from shared import metrics
from shared.budgets.base import Budgets, Payer
from shared.budgets.prices import PriceTable
from shared.caching.caches import Caches, Made, Turn
from shared.caching.keys import Key
from shared.errors import Unavailable
from shared.gateway.allowed import EMBEDDINGS, REMEMBERED, REMEMBERED_BYTES, Passing
from shared.gateway.connections import ConnectionLost
from shared.gateway.paying import Purse
from shared.gateway.scanning import Passage, Seen, look
from shared.gateway.upstream import Call, Improper, Incoming, Upstream

TASK = "openai_proxy"
_NOT_SET_UP = "no model is set up here"


class Proxy:
    """Passes requests on; one for a process."""

    def __init__(
        self,
        upstream: Upstream | None,
        budgets: Budgets,
        prices: PriceTable,
        caches: Caches,
        *,
        seconds: float,
    ) -> None:
        """Give each reply *seconds* until its end."""
        self._upstream = upstream
        self._budgets = budgets
        self._prices = prices
        self._caches = caches
        self._seconds = seconds
        self._relays: dict[str, Relay] = {}
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._sealed)

    async def whole(self, request: Passing, payer: Payer, *, fresh: bool = False, fault: str = "") -> bytes:
        """
        The reply to *request*, as the provider sent it; *fresh* asks for one that nobody got before.

        Raises:
            InvalidRequest: the provider refuses it.
            Unavailable: no good reply came in time.
            BudgetSpent: a ceiling of *payer* would be passed.
        """
        upstream = self._upstream_or_not()

        def make() -> Awaitable[Made]:
            return self._asked(upstream, request, payer, fault)

        if fresh:
            return (await make()).value
        key = self._key(request, payer)
        near = self._caches.near(key)
        if near is not None:
            return near
        return (await self._caches.get_or_make(key, make, within_seconds=self._seconds)).value

    async def _asked(self, upstream: Upstream, request: Passing, payer: Payer, fault: str) -> Made:
        call = self._call(request, fault)
        purse = self._purse(request, payer)
        seen: Seen | None = None

        def check(body: bytes) -> None:
            nonlocal seen
            seen = look(request, body)

        await purse.open(call)
        try:
            body = await upstream.whole(call, check)
        finally:
            await purse.close(call, seen.usage if seen else None, whole=seen is not None)
        return Made(body, keep=seen is not None and seen.keep, nanos=purse.paid)

    async def stream(
        self, request: Passing, payer: Payer, *, fresh: bool = False, fault: str = ""
    ) -> "Listening | bytes":
        """
        The reply to *request* as it comes; or all of it, if it is kept from before.

        Raises:
            InvalidRequest, Unavailable, BudgetSpent: as ``whole``; only before the first byte.
        """
        upstream = self._upstream_or_not()
        key = self._key(request, payer)
        if not fresh and (kept := await self._caches.get(key)) is not None:
            return kept
        relay = None if fresh else self._relays.get(key.name)
        if relay is None:
            purse = self._purse(request, payer)
            relay = Relay(self._caches, None if fresh else key, request, seconds=self._seconds)
            if not fresh:
                self._relays[key.name] = relay
            relay.begin(upstream, lambda: self._call(request, fault), purse, lambda: self._forget(relay))
        else:
            metrics.cache_requests.labels(key.entry.name, "coalesced").inc()
        listening = Listening(relay)
        try:
            await asyncio.shield(relay.started)
        except BaseException:
            listening.abandon()
            raise
        return listening

    def _forget(self, relay: "Relay") -> None:
        """Let nobody join *relay* any more."""
        if relay.key is not None and self._relays.get(relay.key.name) is relay:
            del self._relays[relay.key.name]

    def _upstream_or_not(self) -> Upstream:
        if self._upstream is None:
            raise Unavailable(_NOT_SET_UP, retry_after_seconds=60)
        return self._upstream

    def _call(self, request: Passing, fault: str) -> Call:
        deadline = asyncio.get_running_loop().time() + self._seconds
        return Call(request.path, request.body, deadline, fault)

    def _purse(self, request: Passing, payer: Payer) -> Purse:
        return Purse(
            self._budgets,
            self._prices,
            payer,
            task=TASK,
            model=request.model,
            most_tokens=request.most_tokens,
        )

    def _key(self, request: Passing, payer: Payer) -> Key:
        known = len(request.body) <= REMEMBERED_BYTES
        return self._remembered(request, payer) if known else self._sealed(request, payer)

    def _sealed(self, request: Passing, payer: Payer) -> Key:
        # One course's spent budget must not refuse what another, asked the same at once, would pay for.
        asked = f"{payer.course_id}\n".encode() + request.body if payer.course_id else request.body
        if request.path == EMBEDDINGS:
            return self._caches.lasting_key("embedding", {"request": asked}, uid=payer.uid)
        # What the client sees of usage is part of what is kept.
        path = request.path + ("+usage" if request.usage_wanted else "")
        return self._caches.lasting_key("proxy", {"path": path, "request": asked}, uid=payer.uid)


class Relay:
    """One stream of the provider's, read by a task of its own, and what came of it."""

    def __init__(self, caches: Caches, key: Key | None, request: Passing, *, seconds: float) -> None:
        """Keep what came under *key*, if it is whole; it takes *seconds* at most."""
        self.key = key
        self._caches = caches
        self._request = request
        self._seconds = seconds
        self._incoming: Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], object] = _nothing
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chunks: list[bytes] = []
        self.over = False
        self.listeners: set[Listening] = set()

    def begin(
        self, upstream: Upstream, call: Callable[[], Call], purse: Purse, forget: Callable[[], object]
    ) -> None:
        """Ask *upstream* when it is this instance's turn; call *forget* when nobody may join any more."""
        self._forget = forget
        self._task = asyncio.create_task(self._run(upstream, call, purse))
        self._task.add_done_callback(lambda _: forget())
        self.started.add_done_callback(lambda started: started.cancelled() or started.exception())

    async def finished(self) -> None:
        """Return once everything is settled."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def leave(self, listening: "Listening") -> None:
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
                self._tell(found)
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
                await self._caches.put(self.key, b"".join(self.chunks), nanos=purse.paid)

    async def _passed(self, incoming: Incoming) -> Seen | None:
        """Pass on what comes; what it said about itself, if it came to its end."""
        passage = Passage(self._request)

        def pass_on(data: bytes) -> None:
            if passed := passage.feed(data):
                self._tell(passed)

        try:
            await incoming.each(pass_on)
            return passage.seen()
        except (ConnectionLost, Improper):
            incoming.close(failed=bool(self.listeners))
            self._tell(passage.broken())
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
        self._tell(b"")

    def _tell(self, data: bytes) -> None:
        if data:
            self.chunks.append(data)
        for each in self.listeners:
            each.wake()


def _nothing() -> None:
    pass


class Listening:
    """One reader of a relay, from its beginning."""

    def __init__(self, relay: Relay) -> None:
        """Listen to *relay*."""
        self._relay = relay
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        relay.listeners.add(self)

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

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Everything from the beginning, as it comes."""
        relay, told = self._relay, 0
        while not self._gone:
            if told < len(relay.chunks):
                data = b"".join(relay.chunks[told:]) if told + 1 < len(relay.chunks) else relay.chunks[told]
                told = len(relay.chunks)
                yield data
            elif relay.over:
                break
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        relay.listeners.discard(self)
