"""
Merges answers into shards: gathers them for a moment, folds them, commits once.

Whatever happens between two steps, the next worker repeats them without effect: a commit is atomic
and fails as a whole when another was first, and registers know the answers that they hold.
"""

import asyncio
import contextlib
import functools
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared import metrics
from shared.documents.base import MAX_WRITES, Documents, Put
from shared.documents.joint import JointDocuments
from shared.documents.metering import Bill, current, divided
from shared.errors import Conflict, LecternError, NotFound, PreconditionLost, Unavailable
from shared.learning.answers import AnswerSubmitted, encode, utf8_bytes
from shared.learning.assignments import Grading
from shared.learning.registers import Folded, Refused
from shared.learning.sharding import LINE_BITS, WHOLE, Shard, position
from shared.ledger.base import REJECTED, pending_path
from shared.ledger.remembered import Remembered
from shared.ledger.rolling_up import RollUp, Totals
from shared.ledger.shards import HasSplit, Shards, ShardState
from shared.ledger.tombstones import Tombstones

By = Literal["message", "trigger", "sweep"]

_MOST_TOGETHER = 2000
_MOST_BYTES = 600_000
"""Of one segment, uncompressed: what no compressor makes smaller must fit a document as well."""

_BYTES_PER_EVENT = 64
_REFUSED_TOGETHER = 50
_TRIES = 10
_PAUSE_SECONDS = 0.02
_MOST_FINISHING = 4
_SPLIT_BITS = 2
_CROWD = 4 * _MOST_TOGETHER
_DEADLINE_SECONDS = 45.0
_LONGEST_STEP = 2
"""So many times its usual rest a shard of a split assignment has, where that is shown less often anyway."""

_EARLY = 0.25
"""How much of its rest a shard may lack, lest a slow commit make it miss every other step."""


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """
    How long answers gather, how large a page may grow, how often an assignment is rolled up.

    A shard's first merge waits *gather_seconds* or for *gather_events*; those that follow lie at least
    *merge_seconds* apart, for Firestore sustains about one write a second to one document, unless
    *crowd_events* wait.
    """

    gather_seconds: float = 0.15
    gather_events: int = 10
    merge_seconds: float = 1.0
    crowd_events: int = 500
    page_bytes: int = 384 * 1024
    rollup_seconds: float = 1.0


@dataclass(eq=False, slots=True)
class _Caller:
    """Whoever waits for a merge; *gone* once it was cut off, and will see to nothing any more."""

    gone: bool = False


@dataclass(eq=False, slots=True)
class _Offer:
    """Some answers on their way into one shard; the *done* future says whether to lead the roll-up."""

    events: list[AnswerSubmitted]
    size: int
    by: By
    forget: bool
    caller: _Caller
    payers: tuple[Bill, ...] = field(default_factory=current)
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(eq=False, slots=True)
class _Lane:
    """The queue in front of one shard, and the task that empties it."""

    offers: list[_Offer] = field(default_factory=list)
    events: int = 0
    merging: list[_Offer] = field(default_factory=list)
    wanted: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Merger:
    """One worker. Several may run at once, in one process or many: they cost each other time only."""

    def __init__(
        self,
        documents: Documents,
        *,
        grading_of: Callable[[str], Awaitable[Grading]],
        now: Callable[[], datetime],
        tombstones: Tombstones,
        settings: MergeSettings | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Merge into *documents*; *grading_of* gives the keys of an assignment, or raises NotFound.

        Answers of learners who have one of *tombstones* are dropped.
        """
        self._documents = JointDocuments(documents)
        self._grading_of = grading_of
        self._now = now
        self._tombstones = tombstones
        self._settings = settings or MergeSettings()
        self._jitter = jitter
        self._shards = Shards(self._documents)
        self._alone = Shards(documents)
        self._lanes: dict[tuple[str, Shard], _Lane] = {}
        self._states = Remembered()
        self._splits: dict[tuple[str, Shard], int] = {}
        self.figures = RollUp(
            self._documents,
            self._shards,
            grading_of=grading_of,
            known_totals=self._known_totals,
            waiting=self.waiting,
            now=now,
            interval_seconds=self._settings.rollup_seconds,
        )

    async def merge(self, events: Sequence[AnswerSubmitted], *, by: By, forget: bool = True) -> None:
        """
        Return when *events* are in their shards, and what must follow has followed.

        With *forget*, their pending documents are gone, and one caller of each batch waits for the
        assignment document: should it be cut off, its message comes again. Without (the sweep, whose
        pending documents are its only memory), they stay, and every caller waits.

        Raises:
            Unavailable: some may not be merged; offer them again.
        """
        by_assignment: dict[str, list[AnswerSubmitted]] = {}
        for event in await self._without_erased(events, forget=forget):
            by_assignment.setdefault(event.assignment_id, []).append(event)
        await asyncio.gather(
            *(
                self._merge_one(assignment_id, some, by, forget=forget)
                for assignment_id, some in by_assignment.items()
            )
        )

    async def _without_erased(
        self, events: Sequence[AnswerSubmitted], *, forget: bool
    ) -> Sequence[AnswerSubmitted]:
        """Drop what comes late of learners who were erased."""
        erased = await self._tombstones.among({event.student_id for event in events})
        if not erased:
            return events
        if forget:
            await self._forget([event for event in events if event.student_id in erased])
        return [event for event in events if event.student_id not in erased]

    async def _merge_one(
        self, assignment_id: str, events: list[AnswerSubmitted], by: By, *, forget: bool
    ) -> None:
        try:
            await self._grading_of(assignment_id)
        except NotFound:
            await self._record_refused([Refused(event, "there is no such assignment") for event in events])
            if forget:
                await self._forget(events)
            return
        caller = _Caller()
        offers = self._distribute(assignment_id, WHOLE, events, by, caller, forget=forget)
        try:
            leads = await asyncio.gather(*(asyncio.shield(offer.done) for offer in offers))
        except asyncio.CancelledError:
            caller.gone = True
            raise
        if any(leads) or not forget:
            await self.figures.roll_up(assignment_id)

    def waiting(self, assignment_id: str) -> int:
        """
        How many answers of an assignment this worker knows to wait.

        Those of a caller that was cut off are not among them: whoever has its message by now counts them.
        """
        return sum(
            len(offer.events)
            for (of, _), lane in self._lanes.items()
            if of == assignment_id
            for offer in (*lane.offers, *lane.merging)
            if not offer.caller.gone
        )

    def _distribute(
        self,
        assignment_id: str,
        start: Shard,
        events: Iterable[AnswerSubmitted],
        by: By,
        caller: _Caller,
        *,
        forget: bool,
    ) -> list[_Offer]:
        by_shard: dict[Shard, list[AnswerSubmitted]] = {}
        if (assignment_id, start) in self._splits:
            shard_of: dict[str, Shard] = {}
            for event in events:
                shard = shard_of.get(event.student_id)
                if shard is None:
                    shard = shard_of[event.student_id] = self._leaf(assignment_id, start, event.student_id)
                by_shard.setdefault(shard, []).append(event)
        else:
            by_shard[start] = list(events)
        offers = []
        for shard, some in by_shard.items():
            for part, size in _cut(some):
                offer = _Offer(part, size, by, forget, caller)
                self._enqueue(assignment_id, shard, offer)
                offers.append(offer)
        return offers

    def _leaf(self, assignment_id: str, start: Shard, student_id: str) -> Shard:
        """The shard beneath *start* where a learner's registers are, as far as this worker knows."""
        place = position(student_id)
        while bits := self._splits.get((assignment_id, start)):
            start = start.child(place, bits)
        return start

    def _enqueue(self, assignment_id: str, shard: Shard, offer: _Offer) -> None:
        lane = self._lanes.setdefault((assignment_id, shard), _Lane())
        lane.offers.append(offer)
        lane.events += len(offer.events)
        if lane.events >= lane.wanted:
            lane.enough.set()
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(assignment_id, shard, lane))

    async def _run(self, assignment_id: str, shard: Shard, lane: _Lane) -> None:
        """Empty one lane, batch by batch; what arrives during a commit is the next batch."""
        finishing: set[asyncio.Task[None]] = set()
        while lane.offers:
            await self._gather(lane, assignment_id, self._states.get((assignment_id, shard)))
            lane.merging = offers = _take(lane)
            batch = asyncio.create_task(self._merge_batch(assignment_id, shard, lane, offers))
            await asyncio.wait([batch])
            lane.merging = []
            failure = Unavailable("the merge was cut off") if batch.cancelled() else batch.exception()
            folded = None
            if failure is None:
                folded = batch.result()
            else:
                _fail(offers, failure)
            if folded is not None:
                # What follows a commit need not hold up the next one.
                finish = asyncio.create_task(self._finish(assignment_id, offers, folded))
                finishing.add(finish)
                finish.add_done_callback(finishing.discard)
                if len(finishing) >= _MOST_FINISHING:
                    await asyncio.wait(finishing, return_when=asyncio.FIRST_COMPLETED)
        del self._lanes[assignment_id, shard]
        if finishing:
            await asyncio.wait(finishing)

    async def _gather(self, lane: _Lane, assignment_id: str, state: ShardState | None) -> None:
        settings = self._settings
        now = asyncio.get_running_loop().time()
        due = self._next_merge(assignment_id, state, now) if state is not None else now
        lane.wanted = settings.crowd_events if due > now else settings.gather_events
        if lane.events >= lane.wanted:
            return
        lane.enough.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due if due > now else now + settings.gather_seconds):
                await lane.enough.wait()

    def _next_merge(self, assignment_id: str, state: ShardState, now: float) -> float:
        """
        When a shard should be written again, by the loop's time.

        The shards of an assignment that has been split keep step, so that they share round trips, and
        rest twice as long where their assignment is shown less often than that anyway.
        """
        seconds = self._settings.merge_seconds
        due = state.written_at + seconds
        if not state.shard.bits or not seconds:
            return due
        longest = _LONGEST_STEP * seconds
        step = longest if self.figures.interval_seconds(assignment_id) >= longest else seconds
        first = step * position(assignment_id) / (1 << LINE_BITS)
        return first + step * math.ceil((max(now, due - _EARLY * seconds) - first) / step)

    async def _merge_batch(
        self, assignment_id: str, shard: Shard, lane: _Lane, offers: list[_Offer]
    ) -> Folded | None:
        """Commit one batch; None: the shard has been split, and its children have the offers now."""
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                events = [event for offer in offers for event in offer.events]
                with divided(_payers(offers)):
                    folded = await self._fold_and_commit(assignment_id, shard, events)
                if folded is None:
                    self._hand_down(assignment_id, shard, offers)
                    return None
                await self._record_refused(folded.refused)
        except TimeoutError as error:
            message = "the merge took too long"
            raise Unavailable(message) from error
        _count(folded, offers)
        state = self._states.get((assignment_id, shard))
        if (
            state is not None
            and state.divisible
            and (state.page_bytes > self._settings.page_bytes or lane.events > _CROWD)
        ):
            await self._split(assignment_id, state)
        return folded

    async def _finish(self, assignment_id: str, offers: list[_Offer], folded: Folded) -> None:
        """Remove the pending documents of a committed batch, then let its callers go on."""
        with divided(_payers(offers)):
            forgotten = asyncio.create_task(
                self._forget([event for offer in offers if offer.forget for event in offer.events])
            )
        await asyncio.wait([forgotten])
        if forgotten.cancelled() or forgotten.exception() is not None:
            _fail(offers, Unavailable("pending answers may be left"))
            return
        leader = _leader(offers, folded)
        for offer in offers:
            offer.done.set_result(offer is leader)
        if leader is None:
            # Their messages may have come again elsewhere before these answers were shown as waiting here.
            with contextlib.suppress(LecternError):
                await self.figures.roll_up(assignment_id)

    async def _fold_and_commit(
        self, assignment_id: str, shard: Shard, events: list[AnswerSubmitted]
    ) -> Folded | None:
        """None: the shard has been split, and its children want the events."""
        key = (assignment_id, shard)
        state, folded = self._states.take(key), None
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * 2 ** min(attempt, 5) * self._jitter())
            ready = await self._folded(key, events, state, folded)
            if ready is None:
                return None
            state, folded = ready
            try:
                if folded.applied:
                    # Who failed once goes alone: it may be another whose commit cannot be made.
                    shards = self._alone if attempt else self._shards
                    await shards.append(state, folded.applied, now=self._now())
                    state.written_at = asyncio.get_running_loop().time()
            except (Conflict, PreconditionLost):
                metrics.merge_commits.labels("lost").inc()
                continue
            except Unavailable:
                # It may have happened. Loading the shard again tells, and folding again is harmless.
                metrics.merge_commits.labels("unknown").inc()
                state = folded = None
                if attempt == _TRIES - 1:
                    raise
                continue
            if folded.applied:
                metrics.merge_commits.labels("done").inc()
            self._states.keep(key, state)
            return folded
        message = "other workers kept being first"
        raise Unavailable(message)

    async def _folded(
        self,
        key: tuple[str, Shard],
        events: list[AnswerSubmitted],
        state: ShardState | None,
        folded: Folded | None,
    ) -> tuple[ShardState, Folded] | None:
        """
        A shard as it is now with *events* in it, and what of them is new; None: the shard has been split.

        *state* is what is known of it; *folded*, too, if that is from before a race was lost.
        """
        if state is not None and folded is not None:
            ours = await self._shards.advance(state, folded.applied)
            if ours is not None:
                known = len(folded.applied) - len(ours)
                return state, Folded(ours, folded.duplicates + known, folded.refused)
            state = None
        if state is None:
            assignment_id, shard = key
            loaded = await self._shards.load(await self._grading_of(assignment_id), shard)
            if isinstance(loaded, HasSplit):
                self._splits[key] = loaded.by_bits
                return None
            state = loaded
        return state, state.registers.fold(events)

    def _hand_down(self, assignment_id: str, shard: Shard, offers: list[_Offer]) -> None:
        for offer in offers:
            children = self._distribute(
                assignment_id, shard, offer.events, offer.by, offer.caller, forget=offer.forget
            )
            outcomes = asyncio.gather(*(child.done for child in children), return_exceptions=True)
            outcomes.add_done_callback(functools.partial(_settle, offer))

    async def _split(self, assignment_id: str, state: ShardState) -> None:
        key = (assignment_id, state.shard)
        self._states.take(key)
        try:
            children = await self._shards.split(state, _SPLIT_BITS)
        except (Conflict, PreconditionLost, Unavailable):
            return  # another worker wrote, or it is not known: the next merge loads the shard and sees
        self._splits[key] = _SPLIT_BITS
        for child in children:
            self._states.keep((assignment_id, child.shard), child)

    async def _forget(self, events: Sequence[AnswerSubmitted]) -> None:
        paths = list(dict.fromkeys(pending_path(event) for event in events))
        for start in range(0, len(paths), MAX_WRITES):
            await self._documents.delete_each(paths[start : start + MAX_WRITES])

    async def _record_refused(self, refused: Sequence[Refused]) -> None:
        documents = {
            f"{REJECTED}/{each.event.event_id}": {
                "event": encode(each.event),
                "reason": each.reason,
                "at": self._now(),
            }
            for each in refused
        }
        puts = [Put(path, fields) for path, fields in documents.items()]
        for start in range(0, len(puts), _REFUSED_TOGETHER):
            await self._documents.commit(puts[start : start + _REFUSED_TOGETHER])
        metrics.answers_refused.inc(len(puts))

    def _known_totals(self, assignment_id: str) -> Totals | None:
        state = self._states.get((assignment_id, WHOLE))
        if state is None or state.version is None:
            return None
        return Totals(state.registers.events, state.registers.sums, 0, state.erased)


def _payers(offers: Iterable[_Offer]) -> list[Bill]:
    return [payer for offer in offers for payer in offer.payers]


def _cut(events: Iterable[AnswerSubmitted]) -> Iterator[tuple[list[AnswerSubmitted], int]]:
    """*events*, one at least, in parts that fit a segment each, and about how many bytes they are there."""
    part: list[AnswerSubmitted] = []
    size = 0
    for event in events:
        weight = (
            utf8_bytes(event.answer) + len(event.student_id) + len(event.submission_id) + _BYTES_PER_EVENT
        )
        if part and (len(part) == _MOST_TOGETHER or size + weight > _MOST_BYTES):
            yield part, size
            part, size = [], 0
        part.append(event)
        size += weight
    yield part, size


def _take(lane: _Lane) -> list[_Offer]:
    """As many whole offers as fit one segment; each does."""
    taken: list[_Offer] = []
    events = size = 0
    while lane.offers:
        offer = lane.offers[0]
        if taken and (events + len(offer.events) > _MOST_TOGETHER or size + offer.size > _MOST_BYTES):
            break
        taken.append(lane.offers.pop(0))
        events, size = events + len(offer.events), size + offer.size
    lane.events -= events
    return taken


def _leader(offers: Iterable[_Offer], folded: Folded) -> _Offer | None:
    """
    Which caller sees to the roll-up.

    Should that fail, its message comes again: so it is one who is still there and, if there is any, one
    who brought something new. An old answer would tell another worker nothing that it does not believe
    to know.
    """
    there = [offer for offer in offers if not offer.caller.gone]
    applied = {event.event_id for event in folded.applied}
    news = (offer for offer in there if any(event.event_id in applied for event in offer.events))
    return next(news, None) or next(iter(there), None)


def _settle(offer: _Offer, children: "asyncio.Future[list[bool | BaseException]]") -> None:
    outcomes = children.result()
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        offer.done.set_exception(failures[0])
        offer.done.exception()
    else:
        offer.done.set_result(any(outcomes))


def _fail(offers: Iterable[_Offer], failure: BaseException) -> None:
    for offer in offers:
        offer.done.set_exception(failure)
        offer.done.exception()  # nobody may be waiting any more


def _count(folded: Folded, offers: list[_Offer]) -> None:
    brought_by = {event.event_id: offer.by for offer in offers for event in offer.events}
    for by, count in Counter(brought_by[event.event_id] for event in folded.applied).items():
        metrics.answers_merged.labels(by).inc(count)
    metrics.answers_repeated.inc(folded.duplicates)
