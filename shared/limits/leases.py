"""
Rate limits over all instances, kept in Firestore: points are leased before they are used.

- ``rateLimits/{digest}``: ``slots``, points by slot number (as text), and ``expiresAt``, an hour after
  nothing in it counts any more: Firestore's TTL policy removes it then, and so does the clean-up.

Time is divided into slots of a 64th of the window. A process takes points out of a limit for one slot:
it may hand them out until the slot ends, and they count until a window after that, whoever has them.
So a process that is killed keeps its points away for a window and no more; two processes never hand
out the same point; and none has to say what it used, though it gives back what it leased in vain.

A lone call leases its own points. Under load a process leases for what it has been asked lately, ahead
of need and off the request's path, and remembers until when there is nothing to be had. Between two
leases everything is decided in this process, in one step for all limits of a call.

Clocks of instances must agree within a quarter of a slot.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import metrics
from shared.documents.base import Create, Documents, Replace, Version, Write
from shared.errors import Conflict, LecternError, PreconditionLost, Unavailable
from shared.limits.base import MICROSECONDS, Limit, Standing, Verdict, verdict

log = logging.getLogger("lectern")

RATE_LIMITS = "rateLimits"
SLOTS = 64
_LEAST_SLOT = MICROSECONDS // 4
_MOST_KEYS = 50_000
_ATTEMPTS = 12
_KEPT = timedelta(hours=1)


def slot_length(seconds: int) -> int:
    """The slot of a window, in microseconds; windows below 16 s have fewer and coarser ones."""
    return max(seconds * MICROSECONDS // SLOTS, _LEAST_SLOT)


@dataclass(slots=True)
class Slots:
    """The points of one limit that are out, by slot: what the document holds. Pure."""

    points: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> "Slots":
        """As it is stored."""
        return cls({int(number): points for number, points in stored.items()})

    def stored(self) -> dict[str, int]:
        """To be stored."""
        return {str(number): points for number, points in sorted(self.points.items())}

    def counting(self, limit: Limit, now: int) -> int:
        """Points that count at *now*; what no longer does is dropped."""
        self.points = {n: p for n, p in self.points.items() if p and _free_at(n, limit.seconds) > now}
        return sum(self.points.values())

    def free_at(self, limit: Limit, cost: int) -> int:
        """When *cost* points will be free, in microseconds, if nobody takes or gives back any."""
        excess = sum(self.points.values()) + cost - limit.points
        at = 0
        for number, points in sorted(self.points.items()):
            if excess <= 0:
                break
            excess -= points
            at = _free_at(number, limit.seconds)
        return at

    def take_out(self, points: int, number: int) -> bool:
        """Take *points* out of a slot; False if there was nothing."""
        part = min(points, self.points.get(number, 0))
        if part:
            self.points[number] -= part
        return part > 0

    def all_free_at(self, limit: Limit) -> int:
        """When everything will be free; 0 if it is."""
        return _free_at(max(self.points), limit.seconds) if self.points else 0


def _free_at(number: int, seconds: int) -> int:
    """When points of a slot stop counting: a window, and what clocks may differ, after its end."""
    length = slot_length(seconds)
    return (number + 1) * length + seconds * MICROSECONDS + length // 4


def slot_at(now: int, seconds: int) -> int:
    """The slot for points leased at *now*: the next one if little is left of this one."""
    length = slot_length(seconds)
    return (now + length // 4) // length


class _Key:
    """What this process knows of one limit."""

    __slots__ = (
        "asked", "asked_before", "contended", "denied_until", "ends", "flight", "granted", "left", "length",
        "limit", "number", "returning", "seen", "waiting",
    )  # fmt: skip

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.length = slot_length(limit.seconds)
        self.left = 0  # points of the lease that may be handed out,
        self.number = 0  # until this slot
        self.ends = self.length  # ends
        self.granted = 0  # points of the last lease
        self.asked = 0  # points asked for in this slot,
        self.asked_before = 0  # and in the one before
        self.waiting = 0  # points that calls wait for
        self.denied_until = 0
        self.seen: _Seen | None = None
        self.flight: asyncio.Task[None] | None = None
        self.contended = False  # whether others have been at the document lately
        self.returning = 0  # the slot of which the rest will be given back

    @property
    def known(self) -> "_Seen":
        """The document as last seen; without any points as long as it was not."""
        return self.seen if self.seen is not None else _NOTHING

    @property
    def path(self) -> str:
        """Its document."""
        return f"{RATE_LIMITS}/{self.limit.digest}"


class _Seen:
    """A document as it was read or written; no version: there was none. Nothing is added to its *slots*."""

    __slots__ = ("_all_free_at", "_changes_at", "_counting", "slots", "version")

    def __init__(self, version: Version | None, slots: Slots) -> None:
        self.version = version
        self.slots = slots
        self._counting = 0
        self._all_free_at = 0
        self._changes_at = 0

    def standing(self, limit: Limit, now: int) -> tuple[int, int]:
        """Points that count at *now*, and when all will be free; every call asks, and it seldom changes."""
        if now >= self._changes_at:
            self._counting = self.slots.counting(limit, now)
            self._all_free_at = self.slots.all_free_at(limit)
            oldest = min(self.slots.points, default=None)
            self._changes_at = _NEVER if oldest is None else _free_at(oldest, limit.seconds)
        return self._counting, self._all_free_at


_NEVER = 2**63
_NOTHING = _Seen(None, Slots())


class LeaseLimiter:
    """Leases over any document store."""

    def __init__(self, documents: Documents, clock: Callable[[], float]) -> None:
        """Read the time of day from *clock*, in seconds since 1970."""
        self._documents = documents
        self._clock = clock
        self._keys: OrderedDict[str, _Key] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.trips = 0
        """Round trips to the store."""

    async def take(self, limits: Sequence[Limit]) -> Verdict:
        """See the port."""
        metrics.limiter_checks.inc()
        pairs = [(limit, self._key(limit)) for limit in limits]
        now = self._now()
        enough = True
        for limit, key in pairs:
            key.asked += limit.cost
            enough = enough and _has(key, limit, now)
        while not enough:
            now = self._now()
            lacking = [(limit, key) for limit, key in pairs if not _has(key, limit, now)]
            if not lacking:
                break
            if any(key.denied_until > now for _, key in lacking):
                for _, key in pairs:
                    self._return_later(key, now)
                return verdict([_standing(key, limit, now) for limit, key in pairs])
            await self._wait_for(lacking)
        for limit, key in pairs:
            key.left -= limit.cost
            self._lease_ahead(key, now)
        return verdict([_standing(key, limit, now, taken=True) for limit, key in pairs])

    async def give_back(self, limits: Sequence[Limit], taken: Sequence[int]) -> None:
        """See the port."""
        for limit, number in zip(limits, taken, strict=True):
            key, now = self._key(limit), self._now()
            key.denied_until = 0
            if key.number == number and key.ends > now:
                key.left += limit.cost
                self._return_later(key, now)
            else:
                await self._return(key, limit.cost, number)

    async def close(self) -> None:
        """Give back what was leased in vain, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        now = self._now()
        await asyncio.gather(
            *(
                self._return(key, key.left, key.number)
                for key in self._keys.values()
                if key.left and key.ends > now
            )
        )

    def _now(self) -> int:
        return round(self._clock() * MICROSECONDS)

    def _key(self, limit: Limit) -> _Key:
        digest = limit.digest
        key = self._keys.get(digest)
        if key is None:
            key = self._keys[digest] = _Key(limit)
            # What is forgotten here is still counted in its document.
            while len(self._keys) > _MOST_KEYS:
                self._keys.popitem(last=False)
        else:
            key.limit = limit
            self._keys.move_to_end(digest)
        return key

    async def _wait_for(self, lacking: Sequence[tuple[Limit, _Key]]) -> None:
        """Wait until each of *lacking* has been leased for once, together with others who wait."""
        for limit, key in lacking:
            key.waiting += limit.cost
        try:
            flights = [self._flight(key) for _, key in lacking]
            await asyncio.gather(*(asyncio.shield(flight) for flight in flights))
        finally:
            for limit, key in lacking:
                key.waiting -= limit.cost

    def _flight(self, key: _Key) -> "asyncio.Task[None]":
        if key.flight is None or key.flight.done():
            key.flight = asyncio.create_task(self._lease(key))
            key.flight.add_done_callback(_retrieved)
        return key.flight

    def _lease_ahead(self, key: _Key, now: int) -> None:
        """Lease again, in the background, when a busy lease is nearly used up or nearly over."""
        if key.granted <= key.limit.cost or key.denied_until > now:
            return
        if key.left <= key.granted // 4 or key.ends - now < key.length // 4:
            self._flight(key)

    async def _lease(self, key: _Key) -> None:
        """
        Take points out of the document: what is waited for, and what will be asked for in this slot.

        Raises:
            Unavailable: the store does not answer, or others were always faster.
        """
        await asyncio.sleep(0)  # calls that came together wait together
        limit = key.limit
        for attempt in range(_ATTEMPTS):
            known, fresh = key.seen, attempt > 0
            if known is None or (key.contended and not fresh):
                before, known, fresh = known, await self._read(key), True
                key.contended = before is not None and before.version != known.version
            now = self._now()
            number = slot_at(now, limit.seconds)
            slots = Slots(dict(known.slots.points))
            free = limit.points - slots.counting(limit, now)
            held = key.left if key.number == number else 0
            points = _wanted(key, held, free)
            if points <= 0:
                if held >= limit.cost:
                    return
                if not fresh:
                    await self._read(key)  # others may have given back what they did not need
                    continue
                key.denied_until = max(slots.free_at(limit, limit.cost), now + 1)
                return
            old, unused = key.number, 0
            if old != number and key.left:
                # What is left of the lease before goes back by the way, and is handed out no more.
                unused, key.left = key.left, 0
                slots.take_out(unused, old)
            slots.points[number] = slots.points.get(number, 0) + points
            if await self._write(key, known, slots):
                self._got(key, number, points)
                return
            if key.number == old:
                key.left += unused
            pause = min(0.02 * (1 << attempt), 0.1)
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311  # nosec B311  it need not be secret
        message = f"{RATE_LIMITS}: others are always faster"
        raise Unavailable(message)

    def _got(self, key: _Key, number: int, points: int) -> None:
        now, limit = self._now(), key.limit
        if key.number != number:
            key.asked_before = key.asked if number == key.number + 1 else 0
            key.number, key.ends = number, (number + 1) * key.length
            key.left, key.asked = 0, 0
        key.granted = points
        key.left += points
        key.denied_until = 0
        if key.ends <= now:
            # It took too long: nobody can have these points any more, so they go back.
            unused, key.left = key.left, 0
            self._keep(self._return(key, unused, number))
        elif key.left < key.waiting:
            # Who waits beyond the lease need not look again until something is free.
            key.denied_until = key.known.slots.free_at(limit, limit.cost)
        elif key.left > key.waiting:
            self._return_later(key, now)

    def _return_later(self, key: _Key, now: int) -> None:
        """A slot after the lease's end, give back what nobody asked for, unless another lease did it."""
        number = key.number
        if key.left <= 0 or key.returning == number or key.ends <= now:
            return
        key.returning = number
        pause = key.ends + key.length - now

        async def wait() -> None:
            await asyncio.sleep(pause / MICROSECONDS)
            if key.number == number and key.left > 0 and key.ends <= self._now():
                unused, key.left = key.left, 0
                await self._return(key, unused, number)

        self._keep(wait())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _return(self, key: _Key, points: int, number: int) -> None:
        """Take *points* out of a slot again; if that fails, they run out."""
        try:
            for _ in range(_ATTEMPTS):
                known = await self._read(key)
                slots = Slots(dict(known.slots.points))
                slots.counting(key.limit, self._now())
                if not slots.take_out(points, number) or await self._write(key, known, slots):
                    return
        except LecternError as error:
            log.warning("points_not_returned", extra={"count": points}, exc_info=error)

    async def _read(self, key: _Key) -> _Seen:
        self._trip("read")
        [found] = await self._documents.get([key.path])
        seen = (
            _Seen(None, Slots()) if found is None else _Seen(found.version, Slots.of(found.fields["slots"]))
        )
        key.seen = seen
        return seen

    async def _write(self, key: _Key, known: _Seen, slots: Slots) -> bool:
        """Write *slots* if the document is as it was *known*; otherwise forget what was known of it."""
        over = max(slots.all_free_at(key.limit), self._now()) // MICROSECONDS + 1
        fields = {"slots": slots.stored(), "expiresAt": datetime.fromtimestamp(over, UTC) + _KEPT}
        if known.version is None:
            write: Write = Create(key.path, fields)
        else:
            write = Replace(key.path, fields, known.version)
        key.seen = None  # if this ends badly, it may have been written: then its points run out
        try:
            self._trip("write")
            [version] = await self._documents.commit([write])
        except (Conflict, PreconditionLost):
            metrics.limiter_store_trips.labels("lost").inc()
            key.contended = True
            return False
        key.seen = _Seen(version, slots)
        return True

    def _trip(self, outcome: str) -> None:
        self.trips += 1
        metrics.limiter_store_trips.labels(outcome).inc()


def _wanted(key: _Key, held: int, free: int) -> int:
    """How many points to lease, of which some are *held* and as many as *free* are there."""
    cost = key.limit.cost
    need = max(key.waiting, cost) - held
    points = min(max(need, 0), free)
    asked = max(key.asked, key.asked_before)
    if asked > cost:
        # Ahead of need no more than an eighth of the limit, and half of what is left.
        ahead = min(asked, key.limit.points // 8) - held
        points += max(min(ahead, (free - points) // 2), 0)
    return points


def _has(key: _Key, limit: Limit, now: int) -> bool:
    return key.left >= limit.cost and key.ends > now


def _standing(key: _Key, limit: Limit, now: int, *, taken: bool = False) -> Standing:
    """How a limit stands, as far as this process knows; points that it holds are free."""
    known = key.known
    counting, all_free_at = known.standing(limit, now)
    used = max(counting - key.left, 0) if key.ends > now else counting
    reset = max(all_free_at - now, 0)
    if taken:
        return Standing(limit, used, 0, reset, key.number)
    wait = 0
    if not _has(key, limit, now):
        wait = max(known.slots.free_at(limit, limit.cost), key.denied_until, now + 1) - now
    return Standing(limit, used, wait, reset)


def _retrieved(flight: "asyncio.Task[None]") -> None:
    """A flight that nobody waits for may fail without a word: the next call flies again."""
    if not flight.cancelled():
        flight.exception()
