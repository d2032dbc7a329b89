"""The tiers together: this process's memory, then the store that instances share, if there is one."""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from struct import Struct
from typing import NamedTuple, Self

from shared import metrics
from shared.caching.base import Kept, SharedStore
from shared.caching.keys import Key, Keys
from shared.caching.memory import MemoryCache
from shared.caching.registry import ENTRIES, counter
from shared.caching.single_flight import Flights
from shared.counting import Count
from shared.errors import BudgetSpent, LecternError, Unavailable

log = logging.getLogger("lectern")

_COST = Struct("!Q")
"""Before each value stands what it cost in nano-dollars."""
_LEASE_MORE_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.5
_GENERATION_SECONDS = 5.0
"""How long another instance may go on serving what an event has ended."""
_ERASED_SECONDS = 30.0
"""How often an instance asks who was erased."""

Erased = Callable[[], Awaitable[Callable[[str], bool]]]
"""Tells, when it is asked, how to tell whether the learner with a uid was erased."""


class Made(NamedTuple):
    """A value that was just made; *keep* says whether it may be served again."""

    value: bytes
    keep: bool
    nanos: int = 0
    cached: bool = False


class Found(NamedTuple):
    """A value, and whether it was there before (*cached*) or came from equal work (*shared*)."""

    value: bytes
    cached: bool
    shared: bool = False


class Caches:
    """What the rest asks of caches."""

    def __init__(
        self,
        keys: Keys,
        *,
        entries: int = 1000,
        store: SharedStore | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        lives: Mapping[str, int] | None = None,
        erased: Erased | None = None,
    ) -> None:
        """
        Keep *entries* values in memory, and all in *store*, if there is one.

        *lives* are seconds by entry, in the place of the registry's. What belongs to whom *erased* tells of
        leaves this process's memory within half a minute of work that asks for something.
        """
        self._lives = {name: entry.life_seconds for name, entry in ENTRIES.items()} | dict(lives or {})
        self._keys = keys
        self._memory = MemoryCache(entries=entries, clock=clock)
        self._store = store
        self._clock = clock
        self._chance = chance
        self._flights: Flights[Made] = Flights()
        self._generations: dict[str, tuple[float, int]] = {}
        self._erased = erased
        self._asked_who_at = float("-inf")

    async def close(self) -> None:
        """End the store's connections."""
        close = getattr(self._store, "close", None)
        if close is not None:
            await close()

    async def key(self, entry: str, parts: Mapping[str, str | bytes], *, uid: str = "") -> Key:
        """
        The key under which a thing is kept now.

        Raises:
            ValueError: it cannot have such a key; see ``Keys.key``.
        """
        ended_by = ENTRIES[entry].ended_by
        generations = [await self._generation(counter(event, uid)) for event in ended_by]
        return self._keys.key(entry, parts, uid=uid, generations=generations)

    def lasting_key(self, entry: str, parts: Mapping[str, str | bytes], *, uid: str = "") -> Key:
        """
        The key of a thing that no event ends; it never becomes another.

        Raises:
            ValueError: it cannot have such a key, or there is such an event.
        """
        if ENTRIES[entry].ended_by:
            message = f"a key of {entry} does not last"
            raise ValueError(message)
        return self._keys.key(entry, parts, uid=uid)

    async def ended(self, event: str, *, uid: str = "") -> None:
        """Serve nothing again that *event* ends, of *uid* or of everybody."""
        name = counter(event, uid)
        if self._store is None:
            _, number = self._generations.get(name, (0.0, 0))
            self._generations[name] = (self._clock(), number + 1)
            return
        await self._store.count_up(name)
        self._generations.pop(name, None)

    async def get(self, key: Key) -> bytes | None:
        """What is kept under *key*, if its owner is the key's."""
        near = self.near(key)
        if near is not None:
            return near
        far = await self._far(key)
        return None if far is None else far.value

    def near(self, key: Key) -> bytes | None:
        """What this process itself keeps under *key*, if its owner is the key's; without waiting."""
        kept = self._memory.get(key.name)
        if kept is None or kept.owner != key.owner:
            return None
        _asked(key.entry.name, "hit").inc()
        return _served(kept)

    async def _far(self, key: Key) -> Made | None:
        """What the instances share."""
        await self._forget_the_erased()
        kept = None
        if self._store is not None:
            try:
                kept = await self._store.get(key.name)
            except Unavailable as error:
                log.warning("cache_unavailable", exc_info=error)
        if kept is None or kept.owner != key.owner:
            _asked(key.entry.name, "miss").inc()
            return None
        self._memory.put(key.name, kept)
        _asked(key.entry.name, "hit").inc()
        return Made(_served(kept), keep=True, cached=True)

    async def put(self, key: Key, value: bytes, *, nanos: int = 0) -> None:
        """Keep *value*, which did cost *nanos*, for the life of its kind, less a random part."""
        life = self._lives[key.entry.name] * (1 - key.entry.jitter * self._chance())
        kept = Kept(_COST.pack(nanos) + value, key.owner, self._clock() + life)
        self._memory.put(key.name, kept)
        if self._store is not None:
            try:
                await self._store.put(key.name, kept)
            except Unavailable as error:
                log.warning("cache_unavailable", exc_info=error)

    async def get_or_make(
        self, key: Key, make: Callable[[], Awaitable[Made]], *, within_seconds: float
    ) -> Found:
        """
        What is kept under *key*; if there is nothing, what *make* makes, once for all who ask meanwhile.

        *make* takes *within_seconds* at most; that long the others wait for it.

        What must not be kept is given to those who wait for it in this process, and made anew elsewhere.

        Raises:
            whatever *make* raises; but nobody fails because somebody else's money is spent.
        """
        while True:
            if (near := self.near(key)) is not None:
                return Found(near, cached=True)
            try:
                made, joined = await self._flights.share(
                    key.name, lambda: self._made(key, make, within_seconds)
                )
            except _NotMine as error:
                if error.by is make:
                    raise error.cause from None
                continue
            if joined and not made.cached:
                _asked(key.entry.name, "coalesced").inc()
                metrics.cache_saved_nanos.inc(made.nanos)
            return Found(made.value, cached=made.cached, shared=joined)

    async def _made(self, key: Key, make: Callable[[], Awaitable[Made]], seconds: float) -> Made:
        try:
            if (far := await self._far(key)) is not None:
                return far
            turn = await self.turn(key, within_seconds=seconds)
            if isinstance(turn, bytes):
                return Made(turn, keep=True, cached=True)
            async with turn:
                made = await make()
                if made.keep:
                    await self.put(key, made.value, nanos=made.nanos)
                return made
        except BudgetSpent as error:
            raise _NotMine(make, error) from error

    async def turn(self, key: Key, *, within_seconds: float) -> "Turn | bytes":
        """
        The turn to make what *key* names; or what another instance, whose turn it was, has kept meanwhile.

        Whoever has the turn needs no longer than *within_seconds*, and the others wait no longer for it.

        Raises:
            Unavailable: another instance took longer.
        """
        store = self._store
        if store is None:
            return Turn(None, key.name, "")
        holder = uuid.uuid4().hex
        try:
            kept = await self._others(key, store, holder, within_seconds)
        except _NotInTime:
            message = "others wait for the same reply, and it does not come"
            raise Unavailable(message) from None
        except Unavailable as error:
            log.warning("cache_unavailable", exc_info=error)
            return Turn(None, key.name, "")
        return Turn(store, key.name, holder) if kept is None else kept

    async def _others(self, key: Key, store: SharedStore, holder: str, seconds: float) -> bytes | None:
        """What another instance keeps under *key*; if nothing, *holder* has the lease of it."""
        look = _FIRST_LOOK_SECONDS
        until = time.monotonic() + seconds
        while not await _leased(store, key.name, holder, seconds + _LEASE_MORE_SECONDS):
            await asyncio.sleep(look * (0.5 + self._chance() / 2))
            look = min(look * 1.5, _LONGEST_LOOK_SECONDS)
            if (theirs := await self._theirs(key, store)) is not None:
                return theirs
            _check_time(until)
        # Who held the lease before may have kept it between our look and our lease.
        turn = Turn(store, key.name, holder)
        try:
            theirs = await self._theirs(key, store)
        except BaseException:
            await turn.end()
            raise
        if theirs is not None:
            await turn.end()
        return theirs

    async def _theirs(self, key: Key, store: SharedStore) -> bytes | None:
        kept = await store.get(key.name)
        if kept is None or kept.owner != key.owner:
            return None
        self._memory.put(key.name, kept)
        _asked(key.entry.name, "coalesced").inc()
        return _served(kept)

    async def _forget_the_erased(self) -> None:
        now = self._clock()
        if self._erased is None or abs(now - self._asked_who_at) < _ERASED_SECONDS:
            return
        self._asked_who_at = now
        try:
            is_erased = await self._erased()
        except Unavailable:
            return  # they are asked after again soon, and nobody who was erased can sign in
        self._memory.forget(is_erased)

    async def _generation(self, name: str) -> int:
        read_at, number = self._generations.get(name, (0.0, 0))
        if self._store is None or self._clock() - read_at < _GENERATION_SECONDS:
            return number
        try:
            number = await self._store.generation(name)
        except Unavailable as error:
            log.warning("cache_unavailable", exc_info=error)
            return number
        self._generations[name] = (self._clock(), number)
        return number


class Turn:
    """The turn of one instance to make a thing, for which all others wait; as a context, it ends with it."""

    def __init__(self, store: SharedStore | None, name: str, holder: str) -> None:
        """Hold the lease of *name* in *store*; without one, nobody waits."""
        self._store = store
        self._name = name
        self._holder = holder

    async def __aenter__(self) -> Self:
        """Have the turn."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End it."""
        await self.end()

    async def end(self) -> None:
        """Let others make it, if it is not there yet; a second time changes nothing."""
        store, self._store = self._store, None
        if store is None:
            return
        try:
            # Whoever ends it may be cancelled; the others must not wait for that until the lease is over.
            await asyncio.shield(asyncio.ensure_future(store.release(self._name, self._holder)))
        except LecternError as error:
            log.warning("cache_unavailable", exc_info=error)


async def _leased(store: SharedStore, name: str, holder: str, seconds: float) -> bool:
    """Whether *holder* has the lease now; who is cancelled meanwhile leaves none behind."""
    attempt = asyncio.ensure_future(store.lease(name, holder, seconds))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait([attempt])
        if not attempt.cancelled() and attempt.exception() is None and attempt.result():
            await Turn(store, name, holder).end()
        raise


@lru_cache(maxsize=1024)
def _asked(entry: str, outcome: str) -> Count:
    """What counts the questions for *entry* that ended so."""
    return metrics.cache_requests.labels(entry, outcome)


def _served(kept: Kept) -> bytes:
    """A kept value without its cost, which is saved."""
    (nanos,) = _COST.unpack_from(kept.value)
    metrics.cache_saved_nanos.inc(nanos)
    return kept.value[_COST.size :]


def _check_time(until: float) -> None:
    if time.monotonic() > until:
        raise _NotInTime


class _NotInTime(Exception):
    """Another instance took too long."""


class _NotMine(Exception):
    """The work was not done for want of money of whoever began it."""

    def __init__(self, by: object, cause: BudgetSpent) -> None:
        self.by = by
        self.cause = cause
