"""
The gateway's first door: tasks, which the product composes and a model answers.

The order of work, after sign-in and rate limits at the border: cache, single flight, reserve, call, settle.
Where money is short the small model is asked, and what is kept of the large one is served.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from shared import metrics
from shared.budgets.base import Budgets, Payer
from shared.budgets.ladder import Degree, degree
from shared.budgets.prices import PriceTable, Usage
from shared.caching.base import CacheUse
from shared.caching.caches import Caches, Made
from shared.caching.keys import Key
from shared.caching.single_flight import Flights
from shared.errors import BudgetSpent, LecternError, Unavailable
from shared.gateway.allowed import NO_EFFORT, reasons
from shared.gateway.base import Ask, Quote, Reply
from shared.gateway.paying import Purse
from shared.gateway.reading import Streamed, checked, read_completion
from shared.gateway.relaying import Listening, Relays
from shared.gateway.scanning import Seen
from shared.gateway.upstream import ATTEMPTS, Call, Declined, Unsuited, Upstream

CHAT = "/chat/completions"
_NOT_SET_UP = "no model is set up here"


class Gateway:
    """Asks models on behalf of payers; one for a process."""

    def __init__(
        self,
        upstream: Upstream | None,
        budgets: Budgets,
        prices: PriceTable,
        caches: Caches,
        *,
        models: Mapping[str, str],
        effort: str = "",
        ceiling_nanos: int = 0,
    ) -> None:
        """
        Ask *upstream*, if there is one, for the *models* of each size, reasoning with *effort* at most.

        Money is short below a fifth of *ceiling_nanos*.
        """
        self._upstream = upstream
        self._budgets = budgets
        self._prices = prices
        self._caches = caches
        self._models = models
        self._effort = effort
        self._ceiling = ceiling_nanos
        self._looks: Flights[int] = Flights()
        self._relays: Relays[str] = Relays(caches)

    @property
    def is_set_up(self) -> bool:
        """Whether there is a model to ask."""
        return self._upstream is not None

    def model_of(self, ask: Ask) -> str:
        """The name of the model that *ask* goes to."""
        return self._models[ask.model_class]

    def quote(self, ask: Ask) -> Quote:
        """
        What *ask* would cost at most, every attempt of it; nobody is asked.

        Raises:
            NotAllowed: nobody knows the price of the model.
        """
        model, body = self.model_of(ask), self._call(ask, stream=False).body
        return Quote(model, body, ATTEMPTS * self._prices.worst(model, len(body), ask.max_tokens))

    async def complete(self, ask: Ask, payer: Payer) -> Reply:
        """
        The whole reply to *ask*.

        Raises:
            Unavailable: no good reply came within the deadline, or none can come now.
            BudgetSpent: a ceiling of *payer* would be passed, also by the small model.
        """
        kept, asks = await self._ladder(ask, payer)
        if kept is not None:
            return kept
        for each in asks[:-1]:
            with contextlib.suppress(BudgetSpent):
                return await self._completed(each, payer)
        return self._told_of(ask, asks[-1], await self._completed(asks[-1], payer))

    async def _completed(self, ask: Ask, payer: Payer) -> Reply:
        """The whole reply to *ask* and no other."""
        if ask.cache is None:
            reply, nanos = await self._asked(ask, payer)
            return replace(reply, nanos=nanos)
        key = await self._key(ask, ask.cache)
        paid = 0

        async def make() -> Made:
            nonlocal paid
            reply, nanos = await self._asked(ask, payer)
            paid = nanos
            return Made(_packed(reply), keep=reply.finish_reason == "stop", nanos=nanos)

        found = await self._caches.get_or_make(key, make, within_seconds=ask.deadline_seconds)
        known = found.cached or found.shared
        return replace(_unpacked(found.value, cached=known), nanos=0 if known else paid)

    async def _asked(self, ask: Ask, payer: Payer) -> tuple[Reply, int]:
        """A reply of the model's, and what it cost."""
        upstream = self._upstream_or_not()
        call = self._call(ask, stream=False)
        reply: Reply | None = None
        usage: Usage | None = None
        declines = False
        purse = self._purse(ask, payer)

        def check(body: bytes) -> None:
            nonlocal reply, usage, declines
            try:
                read, used = read_completion(body)
            except Declined as declined:
                usage, declines = declined.usage, True
                raise
            try:
                reply = checked(ask, read)
            except Unsuited:
                purse.rejected(call, used)
                raise
            usage = used

        await purse.open(call)
        try:
            await upstream.whole(call, check)
        finally:
            settling = purse.close(call, usage, whole=reply is not None or declines)
            await asyncio.shield(asyncio.ensure_future(settling))
        return cast("Reply", reply), purse.paid

    async def stream(self, ask: Ask, payer: Payer) -> AsyncGenerator[str | Reply, None]:
        """
        The reply to *ask* as it is written: pieces of text, at last the whole of it.

        Close the iterator (``contextlib.aclosing``) where it may not be read to its end.

        Raises:
            Unavailable: no reply came, or it broke off; what came before is not to be relied upon.
            BudgetSpent: a ceiling of *payer* would be passed, also by the small model; nothing came before.
        """
        kept, asks = await self._ladder(ask, payer)
        if kept is not None:
            yield kept.text
            yield kept
            return
        for each in asks:
            try:
                async with contextlib.aclosing(self._streamed(each, payer)) as pieces:
                    async for piece in pieces:
                        yield self._told_of(ask, each, piece) if isinstance(piece, Reply) else piece
            except BudgetSpent:
                if each is asks[-1]:
                    raise
            else:
                return

    async def _streamed(self, ask: Ask, payer: Payer) -> AsyncGenerator[str | Reply, None]:
        """The reply to *ask* and no other as it is written, by whoever asked for it first."""
        key = await self._key(ask, ask.cache) if ask.cache is not None else None
        while True:
            listening = self._relays.join(key) if key is not None else None
            if listening is None and key is not None:
                if (kept := await self._caches.get(key)) is not None:
                    cached = _unpacked(kept, cached=True)
                    yield cached.text
                    yield cached
                    return
                listening = self._relays.join(key)  # somebody may have begun meanwhile
            began = time.perf_counter() if listening is None else 0.0
            if listening is None:
                listening = self._begin(ask, key, payer)
            try:
                async with contextlib.aclosing(_heard(listening)) as pieces:
                    async for piece in pieces:
                        if began:
                            waited = time.perf_counter() - began
                            metrics.gateway_first_token_seconds.labels(ask.task).observe(waited)
                            began = 0.0
                        yield piece
            except BudgetSpent:
                if listening.payer == payer:
                    raise
                # Nobody fails because somebody else's money is spent.
            else:
                return

    def _begin(self, ask: Ask, key: Key | None, payer: Payer) -> Listening[str]:
        upstream, call = self._upstream_or_not(), self._call(ask, stream=True)
        return self._relays.begin(
            key, _Writing(ask), upstream, lambda: call, self._purse(ask, payer), seconds=ask.deadline_seconds
        )

    async def _ladder(self, ask: Ask, payer: Payer) -> tuple[Reply | None, Sequence[Ask]]:
        """
        What is asked for *ask*, the next where money for the one before is short; or what is kept of it.

        What is left is asked for as this instance knows it: reserving has the last word.
        """
        small = self._models["small"]
        if ask.one_model or ask.model_class == "small" or self.model_of(ask) == small:
            return None, (ask,)
        key = await self._key(ask, ask.cache) if ask.cache is not None else None
        near = None if key is None else self._caches.near(key)
        if near is not None:
            return _unpacked(near, cached=True), ()
        smaller = replace(ask, model_class="small")
        if await self._degree(ask, smaller, payer) is Degree.FULL:
            return None, (ask, smaller)
        if key is not None and (kept := await self._caches.get(key)) is not None:
            metrics.gateway_degraded.labels(ask.task, Degree.CACHED_ONLY).inc()
            return _unpacked(kept, cached=True), ()
        return None, (smaller,)

    async def _degree(self, ask: Ask, smaller: Ask, payer: Payer) -> Degree:
        """How far the money goes; equal questions at once are one, as the first may have to be read."""
        try:
            left, _ = await self._looks.share("\0".join(payer), lambda: self._budgets.remaining(payer))
        except Unavailable:
            return Degree.FULL  # nobody knows what is left, and reserving will say so
        full, small = self.quote(ask).worst_nanos, self.quote(smaller).worst_nanos
        return degree(left, ceiling=self._ceiling, full=full, small=small, cache=ask.cache is not None)

    def _told_of(self, ask: Ask, asked: Ask, reply: Reply) -> Reply:
        """*reply* to what was *asked*, which says so if that is not *ask* itself."""
        if asked is ask:
            return reply
        metrics.gateway_degraded.labels(ask.task, Degree.SMALL).inc()
        return replace(reply, smaller=True)

    def _upstream_or_not(self) -> Upstream:
        if self._upstream is None:
            raise Unavailable(_NOT_SET_UP, retry_after_seconds=60)
        return self._upstream

    async def _key(self, ask: Ask, use: CacheUse) -> Key:
        asked = {
            "model": self.model_of(ask),
            "messages": list(ask.messages),
            "maxTokens": ask.max_tokens,
            "temperature": ask.temperature,
            "effort": self._effort,
            "schema": ask.schema,
        }
        request = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
        parts: dict[str, str | bytes] = {**use.parts, "request": request}
        return await self._caches.key(use.entry, parts, uid=use.uid)

    def _purse(self, ask: Ask, payer: Payer) -> Purse:
        model = self.model_of(ask)
        return Purse(
            self._budgets, self._prices, payer, task=ask.task, model=model, most_tokens=ask.max_tokens
        )

    def _call(self, ask: Ask, *, stream: bool) -> Call:
        model = self.model_of(ask)
        body: dict[str, Any] = {
            "model": model,
            "messages": list(ask.messages),
            "max_completion_tokens": ask.max_tokens,
        }
        if reasons(model) and self._effort:
            body["reasoning_effort"] = self._effort
        if not reasons(model) or self._effort == NO_EFFORT:
            body["temperature"] = ask.temperature  # models that reason take none while they do
        if ask.schema is not None:
            form = {"name": ask.task, "strict": True, "schema": ask.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        deadline = asyncio.get_running_loop().time() + ask.deadline_seconds
        return Call(CHAT, orjson.dumps(body), deadline)


class _Writing:
    """The reply to a task as it is written: listeners are told texts, and what is kept is the whole reply."""

    def __init__(self, ask: Ask) -> None:
        """Read the reply to *ask*."""
        self._ask = ask
        self._streamed = Streamed()
        self.reply: Reply | None = None
        self._declined = self._unsuited = False

    def feed(self, data: bytes) -> str:
        """See ``Script``."""
        return "".join(self._streamed.feed(data))

    def seen(self) -> Seen:
        """See ``Script``."""
        try:
            self.reply = checked(self._ask, self._streamed.reply())
        except Declined:
            self._declined = True
        except Unsuited:
            self._unsuited = True
        whole = self.reply is not None and self.reply.finish_reason == "stop"
        return Seen(self._streamed.usage, keep=whole)

    def lacking(self) -> LecternError:
        """Why there is no reply in the end."""
        if self._declined:
            return Declined(self._streamed.usage)
        return Unavailable("the model's reply will not do" if self._unsuited else "the model broke off")

    def broken(self) -> str:
        """See ``Script``; that there is no reply says it."""
        return ""

    def kept(self, _told: Sequence[str]) -> bytes:
        """See ``Script``."""
        return _packed(cast("Reply", self.reply))

    def recall(self, kept: bytes) -> str:
        """See ``Script``."""
        self.reply = _unpacked(kept, cached=True)
        return self.reply.text


async def _heard(listening: Listening[str]) -> AsyncGenerator[str | Reply, None]:
    """What *listening* hears, and the whole reply; its end waits until that is paid for."""
    try:
        await listening.begun()
        async for text in listening:
            yield text
        script = cast("_Writing", listening.script)
        if script.reply is None:
            raise script.lacking()
        yield script.reply
    finally:
        await listening.end()


def _packed(reply: Reply) -> bytes:
    return orjson.dumps(
        {
            "text": reply.text,
            "model": reply.model,
            "usage": list(reply.usage),
            "canned": reply.canned,
            "finishReason": reply.finish_reason,
        }
    )


def _unpacked(value: bytes, *, cached: bool) -> Reply:
    fields = orjson.loads(value)
    return Reply(
        text=fields["text"],
        model=fields["model"],
        usage=Usage(*fields["usage"]),
        cached=cached,
        canned=fields["canned"],
        finish_reason=fields["finishReason"],
    )
