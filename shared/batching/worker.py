"""
Works off the queue of evaluations: in batches where the provider takes them, else a few by themselves.

The order of a batch: money put aside, its record with its items in one commit, the money charged, the
file, the provider's work, and at last evaluations, the record's end and the money that was too much. A
worker may be killed between any two of these; the next one goes on from the record. What nobody knows
the outcome of stays charged at its worst (ADR 18).
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from shared.batching.items import (
    CLAIM,
    KEPT,
    MOST_ATTEMPTS,
    MOST_IN_BATCH,
    MOST_OPEN,
    MOST_TRIES,
    STUCK,
    TASK,
    Batch,
    BatchState,
    Item,
    ItemState,
    Reason,
    charge_id,
)
from shared.batching.outcomes import Replies, costs
from shared.batching.preparing import Prepared, Preparing
from shared.batching.queue import EvaluationQueue
from shared.budgets.base import Budgets, Reservation
from shared.budgets.entries import SpendLedger
from shared.budgets.prices import PriceTable
from shared.errors import BudgetSpent, InvalidRequest, LecternError, PreconditionLost, Unavailable
from shared.gateway.batches import MOST_BYTES, Batches, Line, ProviderBatch, file_of, read_lines
from shared.gateway.gateway import Gateway
from shared.gateway.reading import judged
from shared.gateway.upstream import Absent
from shared.tutoring.records import TutoringRecords

log = logging.getLogger("lectern")

_AT_ONCE = 10
_MOST_FAILURES = 3
_TRIES = 3
_CROWDED_PAUSE = timedelta(hours=1)
_CLOCKS_DIFFER = timedelta(days=1)
"""A provider tells when a batch began by its own clock."""

ItemT = TypeVar("ItemT")


class Mode(NamedTuple):
    """Whether batches may be used, how many items one has; how many a run evaluates without them."""

    batches: bool
    alone: int
    items: int = MOST_IN_BATCH


@dataclass(slots=True)
class Tally:
    """What a run did: items by what became of them, batches by how far they are."""

    way: str = "none"
    submitted: int = 0
    waiting: int = 0
    settled: int = 0
    evaluated: int = 0
    came_back: int = 0
    given_up: int = 0
    refused: int = 0


class _Paid(NamedTuple):
    """A request, and the money that was put aside for it."""

    prepared: Prepared
    reservation: Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What runs work with."""

    queue: EvaluationQueue
    preparing: Preparing
    batches: Batches
    gateway: Gateway
    budgets: Budgets
    ledger: SpendLedger
    prices: PriceTable
    records: TutoringRecords
    now: Callable[[], datetime]
    mode: Mode


class QueueRun:
    """One run of one worker; any number of them may work at once, in any processes."""

    def __init__(self, parts: Parts) -> None:
        """Work with *parts*."""
        self._queue = parts.queue
        self._preparing = parts.preparing
        self._batches = parts.batches
        self._gateway = parts.gateway
        self._budgets = parts.budgets
        self._ledger = parts.ledger
        self._prices = parts.prices
        self._records = parts.records
        self._now = parts.now
        self._mode = parts.mode
        self._name = uuid.uuid4().hex
        self.tally = Tally()

    async def work(self) -> Tally:
        """Go on with what was begun, then begin what is due; a part that fails is left for the next run."""
        try:
            under_way = await self._queue.open_batches()
            failures = 0
            for batch in under_way:
                failures += not await _carefully(self._go_on(batch))
                if failures >= _MOST_FAILURES:
                    return self.tally  # a provider that hangs would take all the time that there is
            if self._gateway.is_set_up:
                await _carefully(self._begin(len(under_way)))
        finally:
            await self._report()
        return self.tally

    async def _begin(self, under_way: int) -> None:
        if self._mode.batches and await self._batches.offered():
            self.tally.way = "batches"
            if under_way < MOST_OPEN:
                await self._submit()
        else:
            self.tally.way = "alone"
            await self._evaluate_alone()

    async def _report(self) -> None:
        """Have on record what was spent: this process may get no time to do it later."""
        try:
            await self._budgets.report()
            await self._ledger.flush()
        except LecternError as error:
            log.warning("spending_not_reported", exc_info=error)

    # A new batch

    async def _submit(self) -> None:
        now = self._now()
        due = await self._queue.due(now, limit=self._mode.items)
        ready = await self._prepared(due)
        paid = await self._paid(_that_fit(ready))
        if not paid:
            return
        batch_id, model = uuid.uuid4().hex, paid[0].prepared.model
        batch = Batch(
            batch_id=batch_id,
            model=model,
            items=tuple(each.prepared.item.evaluation_id for each in paid),
            created_at=now,
            expires_at=now + KEPT,
            claimed_by=self._name,
            claimed_until=now + CLAIM,
        )
        try:
            begun = await self._queue.begin(batch, [_batched(each, batch_id) for each in paid])
        except BaseException:
            # It may be on record all the same, and its money then has to be.
            await self._charge(paid, batch_id)
            raise
        if begun is None:
            for each in paid:
                await self._budgets.release(each.reservation)
            return
        await self._charge(paid, batch_id)
        await self._report()
        await self._send(begun, {each.prepared.item.evaluation_id: each.prepared.body for each in paid})

    async def _prepared(self, items: Sequence[Item]) -> list[Prepared]:
        """What can be asked for; the others are dealt with."""
        preparation = await self._preparing.prepare(items)
        await self._queue.remove([each.evaluation_id for each in preparation.evaluated])
        for item, reason in preparation.lost:
            await self._change(_lost(item, reason, self._now()))
        return preparation.ready

    async def _paid(self, ready: Sequence[Prepared]) -> list[_Paid]:
        """Those for which there is money, which is put aside; the others wait for it."""
        made: list[_Paid] = []

        async def reserve(each: Prepared) -> None:
            try:
                reservation = await self._budgets.reserve(
                    each.payer, task=TASK, model=each.model, worst_nanos=each.worst_nanos
                )
            except BudgetSpent as error:
                self.tally.refused += 1
                await self._change(each.item.refused(error.retry_after_seconds, self._now()))
            else:
                made.append(_Paid(each, reservation))

        try:
            await _each(reserve, ready)
        except BaseException:
            for each in made:
                await self._budgets.release(each.reservation)
            raise
        return made

    async def _charge(self, paid: Sequence[_Paid], batch_id: str) -> None:
        for each in paid:
            name = charge_id(batch_id, each.prepared.item.evaluation_id)
            await self._budgets.charge(each.reservation, name)

    async def _send(self, batch: Batch, requests: Mapping[str, bytes]) -> None:
        """Hand in *requests*, unless their file is there already, and have the provider begin."""
        handed_in: Batch | None = batch
        begun = None
        try:
            if not batch.file_id:
                file_id = await self._batches.upload(batch.batch_id, file_of(requests.items()))
                # From here on the provider may have been asked, whatever becomes of this process.
                known = replace(batch, state=BatchState.BEGINNING, file_id=file_id)
                handed_in = await self._queue.go_on(known)
            if handed_in is not None:
                begun = await self._batches.begin(batch.batch_id, handed_in.file_id)
        except (Absent, InvalidRequest) as error:
            log.warning("batch_refused", exc_info=error)
            # Where no batches are taken, that is nothing against what is in this one.
            await self._settle(
                handed_in or batch, _nothing_asked(batch), counts=isinstance(error, InvalidRequest)
            )
        if handed_in is not None and begun is not None:
            await self._begun(handed_in, begun)

    async def _begun(self, batch: Batch, begun: ProviderBatch) -> None:
        submitted = replace(
            batch,
            state=BatchState.SUBMITTED,
            provider_id=begun.id,
            submitted_at=self._now(),
            claimed_until=None,
        )
        if await self._queue.go_on(submitted) is not None:
            self.tally.submitted += 1

    # A batch that was begun

    async def _go_on(self, batch: Batch) -> None:
        if batch.state is BatchState.SUBMITTED:
            await self._look(batch)
        elif batch.claimed_until is not None and batch.claimed_until > self._now():
            self.tally.waiting += 1
        else:
            mine = replace(
                batch, claimed_by=self._name, claimed_until=self._now() + CLAIM, tries=batch.tries + 1
            )
            claimed = await self._queue.go_on(mine)
            if claimed is not None:
                await self._take_up(claimed)

    async def _take_up(self, batch: Batch) -> None:
        """Go on where another worker was killed, or was told nothing."""
        if batch.state is BatchState.BEGINNING:
            since = (batch.created_at - _CLOCKS_DIFFER).timestamp()
            found = await self._batches.named(batch.batch_id, since=since)
            if found:
                await self._adopt(batch, found)
                return
        if batch.tries > MOST_TRIES:
            log.error("batch_given_up", extra={"attempt": batch.tries})
            asked = batch.state is BatchState.BEGINNING
            await self._settle(batch, Replies({}) if asked else _nothing_asked(batch), counts=asked)
            return
        requests = {} if batch.file_id else await self._requests(batch)
        if requests or batch.file_id:
            await self._send(batch, requests)
        else:
            await self._settle(batch, _nothing_asked(batch), counts=False)

    async def _requests(self, batch: Batch) -> dict[str, bytes]:
        """What was not handed in yet, made anew; what would cost more by now than was charged stays out."""
        preparation = await self._preparing.prepare(await self._items(batch))
        return {
            each.item.evaluation_id: each.body
            for each in preparation.ready
            if each.worst_nanos <= each.item.nanos and each.model == batch.model
        }

    async def _adopt(self, batch: Batch, found: Sequence[ProviderBatch]) -> None:
        """*batch* is the first of those *found*; the provider took it once more for each of the others."""
        first, *others = found
        for other in others:
            log.error("batch_taken_twice", extra={"count": len(batch.items)})
            for item in await self._items(batch):
                charge = item.charge(batch.batch_id, batch.model)
                if charge is not None:
                    await self._budgets.add(charge._replace(id=charge_id(other.id, item.evaluation_id)))
            with contextlib.suppress(LecternError):
                await self._batches.cancel(other.id)
        await self._report()
        await self._begun(batch, first)

    async def _look(self, batch: Batch) -> None:
        try:
            told = await self._batches.look(batch.provider_id)
        except Absent:
            await self._settle(batch, Replies({}))
            return
        if told.crowded:
            log.error("batch_too_large", extra={"count": len(batch.items)})
            await self._settle(
                batch, _nothing_asked(batch), counts=False, pause=_CROWDED_PAUSE, files=told.files
            )
        elif told.failed:
            await self._settle(batch, _nothing_asked(batch), files=told.files)
        elif told.ended:
            await self._settle(batch, Replies.of(await self._lines(told), told.usage), files=told.files)
        elif batch.submitted_at is not None and self._now() - batch.submitted_at > STUCK:
            with contextlib.suppress(LecternError):
                await self._batches.cancel(batch.provider_id)
            await self._settle(batch, Replies({}), files=told.files)
        else:
            self.tally.waiting += 1

    async def _lines(self, told: ProviderBatch) -> list[Line]:
        found: list[Line] = []
        for file in (told.output_file, told.error_file):
            if not file:
                continue
            try:
                lines, unreadable = read_lines(await self._batches.content(file))
            except Absent:
                continue
            found += lines
            if unreadable:
                log.error("batch_lines_unreadable", extra={"count": unreadable})
        return found

    # The end of a batch

    async def _settle(
        self,
        batch: Batch,
        replies: Replies,
        *,
        counts: bool = True,
        pause: timedelta = timedelta(),
        files: Iterable[str] = (),
    ) -> None:
        """
        Keep what was replied, put the others back, and correct the money.

        What is put back has had an attempt, if this *counts*, and waits for a *pause* at least.
        """
        unknown = replies.answered.keys() - set(batch.items)
        if unknown:
            log.error("batch_lines_unknown", extra={"count": len(unknown)})
        evaluated: set[str] = set()
        for _ in range(_TRIES):
            items = await self._items(batch)
            back = await self._evaluate(items, replies, evaluated, counts=counts, pause=pause)
            gone = [each for each in items if each.evaluation_id in evaluated]
            ended = replace(batch, settled_by=self._name, evaluated=len(gone))
            try:
                won = await self._queue.settle(ended, gone, back)
            except PreconditionLost:
                continue  # an item has changed; where its learner was forgotten, it is gone
            if won:
                self.tally.settled += 1
                self._count(gone, back)
                await self._correct(batch, items, replies)
                await self._forget([*files, batch.file_id])
            return
        message = "the items of a batch keep changing"
        raise PreconditionLost(message)

    async def _evaluate(
        self, items: Sequence[Item], replies: Replies, evaluated: set[str], *, counts: bool, pause: timedelta
    ) -> list[Item]:
        """Store what *replies* come to, note it in *evaluated*, and return the others as they go back."""
        now = self._now()
        preparation = await self._preparing.prepare(
            [each for each in items if each.evaluation_id not in evaluated], paid=True
        )
        evaluated.update(each.evaluation_id for each in preparation.evaluated)
        back = [_lost(item, reason, now) for item, reason in preparation.lost]

        async def keep(each: Prepared) -> None:
            name = each.item.evaluation_id
            bodies = replies.answered.get(name, ())
            reply = next((told for body in bodies if (told := judged(each.ask, body)[0]) is not None), None)
            if reply is not None:
                made = each.concluded(reply, now)
                await self._records.add_evaluation(made, per_mille=made.per_mille)
                evaluated.add(name)
                return
            item = each.item.counted() if counts else each.item
            back.append(item.back(Reason.UNUSABLE if bodies else Reason.FAILED, now, pause=pause))

        await _each(keep, preparation.ready)
        return back

    async def _correct(self, batch: Batch, items: Sequence[Item], replies: Replies) -> None:
        found = {each.evaluation_id: each.charge(batch.batch_id, batch.model) for each in items}
        charges = {name: charge for name, charge in found.items() if charge is not None}
        for name, (nanos, usage) in costs(replies, charges, self._prices).items():
            await self._budgets.correct(charges[name], actual_nanos=nanos, usage=usage)

    async def _forget(self, files: Iterable[str]) -> None:
        """Have the provider forget what people wrote; if it does not hear that, it does so by itself."""
        with contextlib.suppress(LecternError):
            await self._batches.remove(list(dict.fromkeys(each for each in files if each)))

    async def _items(self, batch: Batch) -> list[Item]:
        """The items that are still in *batch*."""
        found = await self._queue.items(batch.items)
        return [each for each in found if each is not None and each.batch_id == batch.batch_id]

    # Without batches

    async def _evaluate_alone(self) -> None:
        failures = 0
        for item in await self._queue.due(self._now(), limit=self._mode.alone):
            if item.attempts >= MOST_ATTEMPTS:
                await self._change(item.given_up(Reason.FAILED))  # no worker survived it
                continue
            claimed = await self._queue.claim(item, self._now())
            if claimed is None:
                continue
            failures += await self._alone(item, claimed)
            if failures >= _MOST_FAILURES:
                return

    async def _alone(self, item: Item, claimed: Item) -> int:
        """Evaluate *claimed* by itself, at the normal price; returns whether the provider failed (1 or 0)."""
        ready = await self._prepared([claimed])
        if not ready:
            return 0
        [prepared] = ready
        try:
            reply = await self._gateway.complete(prepared.ask, prepared.payer)
        except BudgetSpent as error:
            self.tally.refused += 1
            waiting = replace(claimed, attempts=item.attempts)
            await self._change(waiting.refused(error.retry_after_seconds, self._now()))
            return 0
        except InvalidRequest:
            await self._change(claimed.back(Reason.UNUSABLE, self._now()))
            return 0
        except Unavailable:
            await self._change(claimed.back(Reason.FAILED, self._now()))
            return 1
        made = prepared.concluded(reply, self._now())
        await self._records.add_evaluation(made, per_mille=made.per_mille)
        await self._queue.remove([item.evaluation_id])
        self.tally.evaluated += 1
        return 0

    async def _change(self, item: Item) -> None:
        """Write *item*; that somebody else did is as good."""
        if await self._queue.change(item) and item.reason != Reason.BUDGET:
            self._count([], [item])

    def _count(self, gone: Sequence[Item], back: Sequence[Item]) -> None:
        given_up = sum(each.state is ItemState.GIVEN_UP for each in back)
        self.tally.evaluated += len(gone)
        self.tally.given_up += given_up
        self.tally.came_back += len(back) - given_up
        if given_up:
            log.error("evaluations_given_up", extra={"count": given_up})


def _lost(item: Item, reason: Reason, now: datetime) -> Item:
    if reason is Reason.CHANGED:
        return item.given_up(reason)
    # An answer that waits to be merged is there a minute later.
    return item.counted().back(reason, now)


def _batched(paid: _Paid, batch_id: str) -> Item:
    prepared = paid.prepared
    return replace(
        prepared.item,
        state=ItemState.BATCHED,
        batch_id=batch_id,
        class_id=prepared.payer.class_id,
        nanos=prepared.worst_nanos,
        charged_at=paid.reservation.made_at,
    )


def _nothing_asked(batch: Batch) -> Replies:
    return Replies({}, frozenset(batch.items))


def _that_fit(ready: Sequence[Prepared]) -> list[Prepared]:
    """As many as go into one file; one model is asked in it."""
    fitting: list[Prepared] = []
    size = 0
    for each in ready:
        size += len(each.body)
        if size > MOST_BYTES:
            break
        fitting.append(each)
    return fitting


async def _each(work: Callable[[ItemT], Awaitable[None]], items: Sequence[ItemT]) -> None:
    """Do *work* for each of *items*, ten at once; the first error is raised when all of them have ended."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def in_turn(item: ItemT) -> None:
        async with turns:
            await work(item)

    outcomes = await asyncio.gather(*map(in_turn, items), return_exceptions=True)
    for each in outcomes:
        if isinstance(each, BaseException):
            raise each


async def _carefully(part: Awaitable[None]) -> bool:
    """Do a part of the work, and tell whether it was done; what fails is left for the next run."""
    try:
        await part
    except LecternError as error:
        log.warning("evaluations_wait", exc_info=error)
        return False
    return True
