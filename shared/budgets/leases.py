"""
Money over all instances, kept in Firestore: processes lease it before they spend it.

- ``spending/{digest}``: one scope in one period. ``scope``, ``scopeId``, ``period``, ``spentNanos``,
  ``unaccountedNanos``, ``leases`` (by process: ``nanos``, ``until`` in microseconds, ``number`` of its
  last write), ``byTask`` (``nanos``, ``calls``), ``expiresAt`` for Firestore's TTL policy.
- ``budgets/{scope}.{id}``: ``dayNanos``, ``monthNanos``, where they differ from the settings.
- ``budgets/killSwitch``: ``{"stopped": true}`` refuses everything, within half a minute everywhere.

spent + unaccounted + all leases ≤ ceiling in every document at every moment; a process reserves and
spends only within its leases. So no order of events passes a ceiling. What a killed process held is
never handed out again in its period: nobody can know whether the provider was paid with it (ADR 10).

Documents of courses and tenants are written every few seconds by each process, rarer the more
processes meet there, and never once per call.
"""

import asyncio
import contextlib
import hashlib
import itertools
import logging
import random
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from shared.budgets import alerts
from shared.budgets.base import BUDGETS, KILL_SWITCH, Charge, Figures, Payer, Reservation, Rung, Scope
from shared.budgets.entries import SpendEntry
from shared.budgets.ladder import Ceilings, Day, Override, calendar, rungs, scopes
from shared.budgets.prices import Usage
from shared.documents.base import Create, Documents, Replace, Version, Write
from shared.errors import BudgetSpent, Conflict, LecternError, PreconditionLost, Unavailable

log = logging.getLogger("lectern")

SPENDING = "spending"

RESERVATION = timedelta(minutes=15)
"""A reservation that nobody settles within this time is counted as spent."""
LEASE = timedelta(minutes=20)
"""A lease that was not renewed for so long belonged to a process that is gone."""

_FOLD_AFTER = timedelta(hours=1)
_KEPT = {
    Scope.LEARNER: timedelta(days=2),
    Scope.CLASS: timedelta(days=40),
    Scope.COURSE: timedelta(days=40),
    Scope.TENANT: timedelta(days=400),
}
_FRESH = timedelta(seconds=10)
_STALE = timedelta(seconds=30)
_REPORT_SECONDS = 2.0
_MOST_REPORT_SECONDS = 60.0
_REFUSED_SECONDS = 1.0
_BUSY_SECONDS = 10.0
_ATTEMPTS = 12
_MOST_KEPT = 20_000


@dataclass(slots=True)
class Lease:
    """What one process holds of an account."""

    nanos: int
    until: datetime
    number: int


@dataclass(slots=True)
class Account:
    """One scope in one period, as its document has it. Pure."""

    spent: int = 0
    unaccounted: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)
    by_task: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Account":
        """As it is stored."""
        return cls(
            spent=fields["spentNanos"],
            unaccounted=fields["unaccountedNanos"],
            leases={
                name: Lease(each["nanos"], each["until"], each["number"])
                for name, each in fields["leases"].items()
            },
            by_task={name: (each["nanos"], each["calls"]) for name, each in fields["byTask"].items()},
        )

    def stored(self) -> dict[str, Any]:
        """To be stored."""
        return {
            "spentNanos": self.spent,
            "unaccountedNanos": self.unaccounted,
            "leases": {
                name: {"nanos": each.nanos, "until": each.until, "number": each.number}
                for name, each in self.leases.items()
            },
            "byTask": {
                name: {"nanos": nanos, "calls": calls} for name, (nanos, calls) in self.by_task.items()
            },
        }

    def copy(self) -> "Account":
        """One to change."""
        return Account(self.spent, self.unaccounted, dict(self.leases), dict(self.by_task))

    @property
    def total(self) -> int:
        """All that is spent or could be."""
        return self.spent + self.unaccounted + sum(each.nanos for each in self.leases.values())

    def fold(self, now: datetime, mine: str) -> None:
        """Give up the leases of processes that are long gone, but *mine*: what they held counts as spent."""
        for name, lease in list(self.leases.items()):
            if name != mine and lease.until + _FOLD_AFTER < now:
                self.unaccounted += self.leases.pop(name).nanos

    def report(self, nanos: int, by_task: Mapping[str, tuple[int, int]]) -> None:
        """Count what a process spent."""
        self.spent += nanos
        for task, (more, calls) in by_task.items():
            before = self.by_task.get(task, (0, 0))
            self.by_task[task] = (before[0] + more, before[1] + calls)


@dataclass(slots=True)
class _Sent:
    """
    A write on its way: the account as it should become, and what that means for the purse.

    ``given`` back is not available from the moment it is sent, ``granted`` once it is known to be done.
    It is done once at most, as it expects a version of the account; as long as the account has that
    version it may still be done, however late.
    """

    expected: Version | None
    account: Account
    number: int
    reported: int
    covered: int
    given: int
    granted: int
    by_task: dict[str, tuple[int, int]]


class _Purse:
    """What this process holds of one account."""

    def __init__(self, rung: Rung) -> None:
        self.rung = rung
        self.path = account_path(rung)
        self.held = 0  # the lease, as last written: it includes what is reserved or spent of it
        self.reserved = 0
        self.spent = 0  # and not reported yet
        self.by_task: dict[str, tuple[int, int]] = {}
        self.seen: tuple[Version | None, Account] | None = None
        self.sent: _Sent | None = None  # of an unknown outcome, unless it is under way
        self.waiting: dict[int, int] = {}  # amounts that calls wait for
        self.flight: asyncio.Task[None] | None = None
        self.handful = 0
        self.leased_at = -_BUSY_SECONDS
        self.refused_until = 0.0
        self.used = False  # since the last report
        self.report_at = 0.0
        self.report_seconds = _REPORT_SECONDS
        self.lock = asyncio.Lock()

    @property
    def available(self) -> int:
        return self.held - self.reserved - self.spent

    @property
    def most_spare(self) -> int:
        """What may stay here, while the account is used, though nobody has reserved it."""
        return self.rung.ceiling_nanos // 20

    def room(self, account: Account) -> int:
        """What *account* can still lease, once what was overdrawn here is reported."""
        return max(self.rung.ceiling_nanos - account.total - max(self.spent - self.held, 0), 0)

    def need(self, nanos: int) -> int:
        """What has to be leased so that *nanos* more can be reserved."""
        return max(nanos + self.reserved - max(self.held - self.spent, 0), 0)

    @property
    def is_idle(self) -> bool:
        return not (self.held or self.reserved or self.spent or self.sent or self.waiting)


class _Ladder(NamedTuple):
    """The ceilings of one payer on one *day*, as far as configuration was known in its *edition*."""

    day: Day
    edition: int
    rungs: tuple[Rung, ...]
    paths: tuple[str, ...]


def account_path(rung: Rung) -> str:
    """The document of one scope in one period."""
    text = f"{rung.scope}\0{rung.id}\0{rung.period}"
    return f"{SPENDING}/{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class LeasedBudgets:
    """Budgets over any document store."""

    def __init__(
        self,
        documents: Documents,
        ceilings: Ceilings,
        *,
        now: Callable[[], datetime],
        zone: tzinfo = UTC,
        enter: Callable[[SpendEntry], None] | None = None,
    ) -> None:
        """Use *ceilings* where no document says otherwise; *enter* keeps ledger entries."""
        self._documents = documents
        self._ceilings = ceilings
        self._now = now
        self._zone = zone
        self._enter = enter
        self._name = uuid.uuid4().hex[:16]
        self._numbers = itertools.count()
        self._purses: dict[str, _Purse] = {}
        self._open: dict[str, tuple[Reservation, list[_Purse]]] = {}
        self._config: OrderedDict[str, tuple[datetime, Mapping[str, Any]]] = OrderedDict()
        self._edition = 0  # of the configuration: counted up with whatever is read
        self._ladders: dict[Payer, _Ladder] = {}
        self._reporting: asyncio.Task[None] | None = None
        self._refreshing: set[asyncio.Task[None]] = set()
        self._tickets = 0

    async def reserve(self, payer: Payer, *, task: str, model: str, worst_nanos: int) -> Reservation:
        """See the port."""
        if worst_nanos < 0:
            message = "a call cannot cost less than nothing"
            raise ValueError(message)
        await self._configure(payer)
        now = self._now()
        ladder = self._ladder(payer, now)
        purses = [self._purse(path, rung) for path, rung in zip(ladder.paths, ladder.rungs, strict=True)]
        for each in purses:
            if each.available < worst_nanos:
                await self._reserve_slowly(purses, worst_nanos)
                break
        else:
            for each in purses:
                each.reserved += worst_nanos
        name = f"{self._name}{next(self._numbers):016x}"
        reservation = Reservation(name, payer, task, model, worst_nanos, ladder.rungs, now)
        self._open[name] = (reservation, purses)
        for each in purses:
            each.used = True
        self._report_soon()
        return reservation

    async def settle(self, reservation: Reservation, *, actual_nanos: int, usage: Usage) -> None:
        """See the port."""
        found = self._open.pop(reservation.id, None)
        if found is None:
            return
        self._settle(*found, actual_nanos)
        if self._enter is not None:
            self._enter(SpendEntry.of(reservation, actual_nanos, usage, at=self._now()))
        self._report_soon()

    async def release(self, reservation: Reservation) -> None:
        """See the port."""
        _, purses = self._open.pop(reservation.id, (None, []))
        for each in purses:
            each.reserved -= reservation.nanos
        self._report_soon()

    async def charge(self, reservation: Reservation, charge_id: str) -> Charge:
        """See the port."""
        found = self._open.pop(reservation.id, None)
        if found is not None:
            _, purses = found
            for purse in purses:
                purse.reserved -= reservation.nanos
                _count(purse, reservation.task, reservation.nanos, 1)
            self._report_soon()
        return Charge(
            charge_id,
            reservation.payer,
            reservation.task,
            reservation.model,
            reservation.nanos,
            reservation.made_at,
        )

    async def correct(self, charge: Charge, *, actual_nanos: int, usage: Usage | None) -> None:
        """See the port."""
        now = self._now()
        ladder = self._rungs_of(charge.payer, charge.at)
        calls = 0 if usage is not None else -1
        for rung in ladder:
            # A purse below zero has as much more to hand out as the account has too much on record.
            if rung.ends_at > now:
                _count(self._known(rung), charge.task, actual_nanos - charge.nanos, calls)
        alerts.spent_nanos(charge.task, charge.model).inc(actual_nanos)
        if self._enter is not None and usage is not None:
            self._enter(SpendEntry.of_charge(charge, ladder[0].period, actual_nanos, usage, at=now))
        self._report_soon()

    async def add(self, charge: Charge) -> None:
        """See the port."""
        ladder = self._rungs_of(charge.payer, charge.at)
        for rung in ladder:
            _count(self._known(rung), charge.task, charge.nanos, 1)
        if self._enter is not None:
            entry = SpendEntry.of_charge(charge, ladder[0].period, charge.nanos, Usage(), at=self._now())
            self._enter(entry)
        self._report_soon()

    async def remaining(self, payer: Payer) -> int:
        """See the port."""
        try:
            await self._configure(payer)
        except BudgetSpent:
            return 0
        least: int | None = None
        ladder = self._ladder(payer, self._now())
        for path, rung in zip(ladder.paths, ladder.rungs, strict=True):
            purse = self._purse(path, rung)
            if purse.seen is None:
                async with purse.lock:
                    await self._read(purse)
            left = purse.available + purse.room(purse.seen[1] if purse.seen else Account())
            least = left if least is None else min(least, left)
        return max(least or 0, 0)

    async def spent(self, scope: Scope, scope_id: str) -> list[Figures]:
        """See the port."""
        await self._refresh([f"{BUDGETS}/{scope}.{scope_id}"], self._now())
        now = self._now()
        ladder = self._rungs(scope, scope_id, now)
        found = await self._documents.get([account_path(rung) for rung in ladder])
        figures = []
        for rung, document in zip(ladder, found, strict=True):
            account = Account.of(document.fields) if document is not None else Account()
            purse = self._purses.get(account_path(rung)) or _Purse(rung)
            account.report(purse.spent, purse.by_task)
            gone = sum(each.nanos for each in account.leases.values() if each.until < now)
            live = sum(each.nanos for each in account.leases.values() if each.until >= now)
            figures.append(
                Figures(
                    rung.scope,
                    rung.id,
                    rung.period,
                    rung.ceiling_nanos,
                    # What another process was corrected by, before it told what it had spent.
                    max(account.spent + account.unaccounted + gone, 0),
                    max(live - purse.spent, 0),
                    account.unaccounted + gone,
                    {task: (max(nanos, 0), calls) for task, (nanos, calls) in account.by_task.items()},
                )
            )
        return figures

    async def report(self) -> None:
        """
        Write what was spent, and give back what nobody has reserved.

        Raises:
            Unavailable: the store does not answer; nothing is lost by it.
        """
        self._count_orphans()
        for purse in list(self._purses.values()):
            if not purse.is_idle:
                await self._sync(purse, returning=True)

    async def close(self) -> None:
        """Report, and end."""
        for task in (self._reporting, *self._refreshing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, LecternError):
                    await task
        with contextlib.suppress(LecternError):
            await self.report()

    # What is put aside

    async def _reserve_slowly(self, purses: Sequence[_Purse], nanos: int) -> None:
        """Reserve from the innermost ceiling outwards, leasing where need be; in the end all or none."""
        taken: list[_Purse] = []
        try:
            for purse in purses:
                while purse.available < nanos:
                    self._refuse(purse, nanos)
                    await self._wait_for(purse, nanos)
                purse.reserved += nanos
                taken.append(purse)
        except BaseException:
            for purse in taken:
                purse.reserved -= nanos
            self._report_soon()
            raise

    def _refuse(self, purse: _Purse, nanos: int) -> None:
        """
        Say no if the account was seen, just now, not to have so much.

        Raises:
            BudgetSpent: it has not.
        """
        if purse.seen is None or asyncio.get_running_loop().time() >= purse.refused_until:
            return
        if purse.room(purse.seen[1]) < purse.need(nanos):
            raise alerts.refused(purse.rung, self._now())

    async def _wait_for(self, purse: _Purse, nanos: int) -> None:
        self._tickets += 1
        ticket = self._tickets
        purse.waiting[ticket] = nanos
        try:
            if purse.flight is None or purse.flight.done():
                purse.flight = asyncio.create_task(self._lease(purse))
                purse.flight.add_done_callback(_retrieved)
            await asyncio.shield(purse.flight)
        finally:
            del purse.waiting[ticket]

    async def _lease(self, purse: _Purse) -> None:
        await asyncio.sleep(0)  # calls that came together wait together
        clock = asyncio.get_running_loop().time()
        busy = clock - purse.leased_at < _BUSY_SECONDS
        purse.handful = min(purse.handful * 2, purse.most_spare) if busy else 0
        purse.leased_at = clock
        await self._sync(purse, returning=False)

    def _settle(self, reservation: Reservation, purses: Sequence[_Purse], actual: int) -> None:
        for purse in purses:
            purse.reserved -= reservation.nanos
            purse.spent += actual
            nanos, calls = purse.by_task.get(reservation.task, (0, 0))
            purse.by_task[reservation.task] = (nanos + actual, calls + 1)
        alerts.spent_nanos(reservation.task, reservation.model).inc(actual)

    def _count_orphans(self) -> None:
        now = self._now()
        for reservation, purses in list(self._open.values()):
            if now - reservation.made_at >= RESERVATION:
                del self._open[reservation.id]
                self._settle(reservation, purses, reservation.nanos)
                log.error("reservation_orphaned", extra={"nanos": reservation.nanos})

    # What is in the store

    async def _sync(self, purse: _Purse, *, returning: bool) -> None:
        """
        Bring the account and the purse together: report, lease what is waited for, or return what is not.

        Raises:
            Unavailable: the store does not answer, or others were always faster.
        """
        async with purse.lock:
            fresh = False
            for attempt in range(_ATTEMPTS):
                if purse.seen is None or purse.sent is not None:
                    await self._read(purse)
                    fresh = True
                # What may still be done is sent again as it is: otherwise it might take away, later, what
                # is reserved here meanwhile.
                if purse.sent is None or await self._send(purse, purse.sent):
                    change = self._change(purse, returning=returning)
                    needs_more = not returning and change.short
                    if needs_more and not fresh:
                        purse.seen = None  # others may have given some back
                        continue
                    if needs_more:
                        purse.refused_until = asyncio.get_running_loop().time() + _REFUSED_SECONDS
                    if change.nothing or await self._write(purse, change.sent):
                        return
                fresh = False
                purse.report_seconds = min(purse.report_seconds * 2, _MOST_REPORT_SECONDS)
                pause = min(0.002 * (1 << attempt), 0.1) * (0.5 + random.random())  # noqa: S311  # nosec B311  no secret
                await asyncio.sleep(pause)
        message = f"{SPENDING}: others are always faster"
        raise Unavailable(message)

    def _change(self, purse: _Purse, *, returning: bool) -> "_Change":
        version, seen = purse.seen or (None, Account())
        account = seen.copy()
        account.fold(self._now(), self._name)
        covered = min(purse.spent, purse.held)
        given = granted = 0
        short = False
        if returning:
            given = max(purse.available, 0)
        else:
            room, wanted = purse.room(account), sum(purse.waiting.values())
            need = purse.need(wanted)
            least = purse.need(min(purse.waiting.values(), default=0))
            granted = min(need, room) if least <= room else 0
            short = granted < need
            spare = max(purse.available + granted - wanted, 0)
            ahead = min(min(purse.handful, purse.most_spare) - spare, (room - granted) // 4)
            purse.handful = max(purse.handful, granted)
            granted += max(ahead, 0)
            given = max(spare - purse.most_spare, 0)
        lease = purse.held - covered - given + granted
        mine = account.leases.get(self._name)
        renew = lease > 0 and mine is not None and mine.until < self._now() + LEASE / 2
        nothing = not (purse.spent or purse.by_task or given or granted or renew)
        number = next(self._numbers)
        account.report(purse.spent, purse.by_task)
        # Also an empty lease stays: its number tells whether a write was done whose reply was lost.
        account.leases[self._name] = Lease(lease, self._now() + LEASE, number)
        sent = _Sent(version, account, number, purse.spent, covered, given, granted, dict(purse.by_task))
        return _Change(sent, short=short, nothing=nothing)

    async def _read(self, purse: _Purse) -> None:
        [found] = await self._documents.get([purse.path])
        account = Account() if found is None else Account.of(found.fields)
        purse.seen = (None if found is None else found.version, account)
        mine = account.leases.get(self._name)
        if purse.sent is not None and purse.sent.expected != purse.seen[0]:
            sent, purse.sent = purse.sent, None
            if mine is not None and mine.number == sent.number:
                self._done(purse, sent)
            else:
                purse.held += sent.given
        given = purse.sent.given if purse.sent is not None else 0
        if purse.held + given and mine is None:
            # This process slept for so long that it was given up: all it held there counts as spent.
            self._purses[purse.path] = _Purse(purse.rung)
            purse.held = purse.reserved + purse.spent
            message = "this process was given up for gone"
            raise Unavailable(message)

    async def _write(self, purse: _Purse, sent: _Sent) -> bool:
        purse.sent = sent
        purse.held -= sent.given
        return await self._send(purse, sent)

    async def _send(self, purse: _Purse, sent: _Sent) -> bool:
        """Send a write, for the first time or again; False if the account has another version."""
        fields = sent.account.stored()
        if sent.expected is None:
            rung = purse.rung
            fields |= {
                "scope": rung.scope.value,
                "scopeId": rung.id,
                "period": rung.period,
                "expiresAt": rung.ends_at.astimezone(UTC) + _KEPT[rung.scope],
            }
            write: Write = Create(purse.path, fields)
        else:
            write = Replace(purse.path, fields, sent.expected)
        purse.seen = None
        try:
            [written] = await self._documents.commit([write])
        except (Conflict, PreconditionLost):
            return False
        purse.seen, purse.sent = (written, sent.account), None
        self._done(purse, sent)
        if purse.report_seconds > _REPORT_SECONDS:
            purse.report_seconds = max(purse.report_seconds * 0.9, _REPORT_SECONDS)
        return True

    def _done(self, purse: _Purse, sent: _Sent) -> None:
        purse.held += sent.granted - sent.covered
        purse.spent -= sent.reported
        alerts.note(purse.rung, sent.account.spent - sent.reported, sent.account.spent)
        for task, (nanos, calls) in sent.by_task.items():
            before = purse.by_task[task]
            left = (before[0] - nanos, before[1] - calls)
            if left == (0, 0):
                del purse.by_task[task]
            else:
                purse.by_task[task] = left

    def _report_soon(self) -> None:
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.create_task(self._keep_reporting())

    async def _keep_reporting(self) -> None:
        """Report every few seconds until there is nothing left to tell or to give back."""
        loop = asyncio.get_running_loop()
        for purse in self._purses.values():
            if purse.report_at <= loop.time():
                purse.report_at = loop.time() + purse.report_seconds
        while any(not each.is_idle for each in self._purses.values()):
            await asyncio.sleep(_REPORT_SECONDS * (0.75 + random.random() / 2))  # noqa: S311  # nosec B311  no secret
            self._count_orphans()
            due = [each for each in self._purses.values() if each.report_at <= loop.time()]
            for purse in due:
                purse.report_at = loop.time() + purse.report_seconds
                if purse.is_idle:
                    continue
                used, purse.used = purse.used, False
                try:
                    await self._sync(purse, returning=not used)
                except LecternError as error:
                    log.warning("spending_not_reported", extra={"scope": purse.rung.scope}, exc_info=error)
            self._forget()

    def _forget(self) -> None:
        """Drop purses of periods that are over, and the idle ones if they are many."""
        now = self._now()
        many = len(self._purses) > _MOST_KEPT
        for path, purse in list(self._purses.items()):
            if purse.is_idle and (many or purse.rung.ends_at < now - timedelta(days=1)):
                del self._purses[path]

    # Ceilings and the kill switch

    async def _configure(self, payer: Payer) -> None:
        """
        Know the ceilings of *payer* and the kill switch as they were within half a minute.

        Raises:
            BudgetSpent: the switch is set.
            Unavailable: they cannot be read: nothing may be spent.
        """
        now = self._now()
        paths = _configuration(payer)
        oldest = max([self._age(path, now) for path in paths])
        if oldest > _STALE:
            await self._refresh(self._old(paths, now), now)
        elif oldest > _FRESH and not self._refreshing:
            task = asyncio.create_task(self._refresh(self._old(paths, now), now))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshed)
        if self._config[KILL_SWITCH][1].get("stopped"):
            raise alerts.stopped()

    def _old(self, paths: Sequence[str], now: datetime) -> list[str]:
        """Those of *paths* that have to be read again: what others share was mostly read with theirs."""
        return [path for path in paths if self._age(path, now) > _FRESH]

    def _age(self, path: str, now: datetime) -> timedelta:
        found = self._config.get(path)
        return _STALE * 2 if found is None else abs(now - found[0])

    def _refreshed(self, task: "asyncio.Task[None]") -> None:
        self._refreshing.discard(task)
        _retrieved(task)

    async def _refresh(self, paths: Sequence[str], now: datetime) -> None:
        found = await self._documents.get(paths)
        self._edition += 1
        for path, document in zip(paths, found, strict=True):
            self._config[path] = (now, {} if document is None else document.fields)
            self._config.move_to_end(path)
        while len(self._config) > _MOST_KEPT:
            self._config.popitem(last=False)

    def _ladder(self, payer: Payer, now: datetime) -> _Ladder:
        known = self._ladders.get(payer)
        if known is not None and known.edition == self._edition and now in known.day:
            return known
        if len(self._ladders) >= _MOST_KEPT:
            self._ladders.clear()
        steps = self._rungs_of(payer, now)
        known = _Ladder(calendar(self._zone).day(now), self._edition, steps, tuple(map(account_path, steps)))
        self._ladders[payer] = known
        return known

    def _rungs_of(self, payer: Payer, now: datetime) -> tuple[Rung, ...]:
        return tuple(rung for scope, scope_id in scopes(payer) for rung in self._rungs(scope, scope_id, now))

    def _rungs(self, scope: Scope, scope_id: str, now: datetime) -> list[Rung]:
        _, fields = self._config.get(f"{BUDGETS}/{scope}.{scope_id}", (now, {}))
        override = Override(_nanos(fields.get("dayNanos")), _nanos(fields.get("monthNanos")))
        return list(rungs(scope, scope_id, now, self._zone, self._ceilings, override))

    def _known(self, rung: Rung) -> _Purse:
        """The purse of *rung*, whose ceiling may not have been read: nothing is reserved by it."""
        path = account_path(rung)
        return self._purses.get(path) or self._purse(path, rung)

    def _purse(self, path: str, rung: Rung) -> _Purse:
        purse = self._purses.get(path)
        if purse is None:
            purse = self._purses[path] = _Purse(rung)
        purse.rung = rung  # its ceiling may have changed
        return purse


def _count(purse: _Purse, task: str, nanos: int, calls: int) -> None:
    """Count *nanos* and *calls* more than before, or less."""
    if not nanos and not calls:
        return
    purse.spent += nanos
    before = purse.by_task.get(task, (0, 0))
    purse.by_task[task] = (before[0] + nanos, before[1] + calls)


@lru_cache(maxsize=_MOST_KEPT)
def _configuration(payer: Payer) -> tuple[str, ...]:
    """The documents that say what *payer* may spend."""
    return (KILL_SWITCH, *(f"{BUDGETS}/{scope}.{scope_id}" for scope, scope_id in scopes(payer)))


@dataclass(slots=True)
class _Change:
    """What to write, whether that falls *short* of need, and whether there is nothing to write."""

    sent: _Sent
    short: bool
    nothing: bool


def _nanos(value: object) -> int | None:
    """A ceiling from a document: what is no whole number of nano-dollars is none at all, and so nothing."""
    if value is None:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _retrieved(task: "asyncio.Task[None]") -> None:
    """A task that nobody waits for may fail without a word: whoever needs it tries again."""
    if not task.cancelled():
        task.exception()
