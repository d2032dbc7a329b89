"""
The gateway's second door: OpenAI's own interface, whose replies pass through as bytes.

The order of work is that of the first door. A stream is read once, whoever asks for it, and everybody who
asks for the same meanwhile listens to it from its beginning.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import lru_cache

from shared.budgets.base import Budgets, Payer
from shared.budgets.prices import PriceTable
from shared.caching.caches import Caches, Made
from shared.caching.keys import Key
from shared.errors import Unavailable
from shared.gateway.allowed import EMBEDDINGS, REMEMBERED, REMEMBERED_BYTES, Passing
from shared.gateway.paying import Purse
from shared.gateway.relaying import Listening, Relays
from shared.gateway.scanning import Passage, Seen, look
from shared.gateway.upstream import Call, Upstream

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
        self._relays: Relays[bytes] = Relays(caches)
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
    ) -> Listening[bytes] | bytes:
        """
        The reply to *request* as it comes; or all of it, if it is kept from before.

        Raises:
            InvalidRequest, Unavailable, BudgetSpent: as ``whole``; only before the first byte.
        """
        upstream = self._upstream_or_not()
        key = self._key(request, payer)
        if not fresh and (kept := await self._caches.get(key)) is not None:
            return kept
        listening = None if fresh else self._relays.join(key)
        if listening is None:
            listening = self._relays.begin(
                None if fresh else key,
                _Passed(request),
                upstream,
                lambda: self._call(request, fault),
                self._purse(request, payer),
                seconds=self._seconds,
            )
        try:
            await listening.begun()
        except BaseException:
            listening.abandon()
            raise
        return listening

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


class _Passed(Passage):
    """A stream as it passes: what is kept of it are the bytes that were told."""

    def kept(self, told: Sequence[bytes]) -> bytes:
        """All of it."""
        return b"".join(told)

    def recall(self, kept: bytes) -> bytes:
        """All of it."""
        return kept
