"""Money within one process; what every other backend is compared with."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from shared.budgets import alerts
from shared.budgets.base import Charge, Figures, Payer, Reservation, Rung, Scope
from shared.budgets.entries import SpendEntry
from shared.budgets.ladder import Book, Ceilings, Override, by_scope, rungs, scopes
from shared.budgets.prices import Usage

_KEPT = timedelta(days=40)
RESERVATION = timedelta(minutes=15)
"""A reservation that nobody settles within this time is counted as spent."""


class MemoryBudgets:
    """Books in a dict, one for each scope and period."""

    def __init__(
        self,
        ceilings: Ceilings,
        *,
        now: Callable[[], datetime],
        zone: tzinfo = UTC,
        overrides: Mapping[str, Override] | None = None,
        enter: Callable[[SpendEntry], None] | None = None,
    ) -> None:
        """Use *ceilings* unless *overrides* (by ``{scope}.{id}``) differ; *enter* keeps ledger entries."""
        self._ceilings = ceilings
        self._now = now
        self._zone = zone
        self._overrides = overrides or {}
        self._enter = enter
        self._books: dict[tuple[Scope, str, str], tuple[datetime, Book]] = {}
        self._open: dict[str, Reservation] = {}
        self.stopped = False
        """The kill switch."""

    async def reserve(self, payer: Payer, *, task: str, model: str, worst_nanos: int) -> Reservation:
        """See the port."""
        now = self._now()
        if self.stopped:
            raise alerts.stopped()
        self._count_orphans(now)
        ladder = self._ladder(payer, now)
        for rung in ladder:
            if self._book(rung).room(rung.ceiling_nanos) < worst_nanos:
                raise alerts.refused(rung, now)
        for rung in ladder:
            self._book(rung).reserve(worst_nanos)
        reservation = Reservation(uuid.uuid4().hex, payer, task, model, worst_nanos, ladder, now)
        self._open[reservation.id] = reservation
        return reservation

    async def settle(self, reservation: Reservation, *, actual_nanos: int, usage: Usage) -> None:
        """See the port."""
        if self._open.pop(reservation.id, None) is None:
            return
        for rung in reservation.rungs:
            book = self._book(rung)
            before = book.spent
            book.settle(reservation.task, reservation.nanos, actual_nanos)
            alerts.note(rung, before, book.spent)
        alerts.spent_nanos(reservation.task, reservation.model).inc(actual_nanos)
        if self._enter is not None:
            self._enter(SpendEntry.of(reservation, actual_nanos, usage, at=self._now()))

    async def release(self, reservation: Reservation) -> None:
        """See the port."""
        if self._open.pop(reservation.id, None) is not None:
            for rung in reservation.rungs:
                self._book(rung).release(reservation.nanos)

    async def charge(self, reservation: Reservation, charge_id: str) -> Charge:
        """See the port."""
        made = Charge(
            charge_id,
            reservation.payer,
            reservation.task,
            reservation.model,
            reservation.nanos,
            reservation.made_at,
        )
        if self._open.pop(reservation.id, None) is not None:
            for rung in reservation.rungs:
                book = self._book(rung)
                before = book.spent
                book.settle(reservation.task, reservation.nanos, reservation.nanos)
                alerts.note(rung, before, book.spent)
        return made

    async def correct(self, charge: Charge, *, actual_nanos: int, usage: Usage | None) -> None:
        """See the port."""
        now, ladder = self._now(), self._ladder(charge.payer, charge.at)
        for rung in ladder:
            if rung.ends_at > now:
                calls = 0 if usage is not None else -1
                self._book(rung).count(charge.task, actual_nanos - charge.nanos, calls)
        alerts.spent_nanos(charge.task, charge.model).inc(actual_nanos)
        if self._enter is not None and usage is not None:
            self._enter(SpendEntry.of_charge(charge, ladder[0].period, actual_nanos, usage, at=now))

    async def add(self, charge: Charge) -> None:
        """See the port."""
        ladder = self._ladder(charge.payer, charge.at)
        for rung in ladder:
            self._book(rung).count(charge.task, charge.nanos, 1)
        if self._enter is not None:
            entry = SpendEntry.of_charge(charge, ladder[0].period, charge.nanos, Usage(), at=self._now())
            self._enter(entry)

    async def report(self) -> None:
        """See the port; a process that keeps its books in memory has nowhere to report to."""

    async def remaining(self, payer: Payer) -> int:
        """See the port."""
        if self.stopped:
            return 0
        ladder = self._ladder(payer, self._now())
        return max(min(self._book(rung).room(rung.ceiling_nanos) for rung in ladder), 0)

    async def spent(self, scope: Scope, scope_id: str) -> list[Figures]:
        """See the port."""
        return [self._book(rung).figures(rung) for rung in self._rungs(scope, scope_id, self._now())]

    def _ladder(self, payer: Payer, now: datetime) -> tuple[Rung, ...]:
        return tuple(rung for scope, scope_id in scopes(payer) for rung in self._rungs(scope, scope_id, now))

    def _rungs(self, scope: Scope, scope_id: str, now: datetime) -> list[Rung]:
        override = by_scope(self._overrides, scope, scope_id)
        return list(rungs(scope, scope_id, now, self._zone, self._ceilings, override))

    def _book(self, rung: Rung) -> Book:
        key = (rung.scope, rung.id, rung.period)
        found = self._books.get(key)
        if found is None:
            over = [each for each, (ends_at, _) in self._books.items() if ends_at + _KEPT < self._now()]
            for each in over:
                del self._books[each]
            found = self._books[key] = (rung.ends_at, Book())
        return found[1]

    def _count_orphans(self, now: datetime) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.made_at < RESERVATION:
                return
            del self._open[oldest.id]
            for rung in oldest.rungs:
                self._book(rung).settle(oldest.task, oldest.nanos, oldest.nanos)
