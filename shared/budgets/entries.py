"""
The ledger of spending: one entry for each call that was paid for, never changed.

- ``spendEntries/{id}``: ``courseId``, ``tenant``, ``day``, ``nanos``, and ``entries``, a list of maps:
  up to 200 entries of one course and day that one process made within a few seconds. The ``uid`` of a
  learner who was erased is empty.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from shared.budgets.base import Charge, Reservation
from shared.budgets.prices import Usage
from shared.documents.base import Create, Documents, Find
from shared.errors import LecternError

log = logging.getLogger("lectern")

SPEND_ENTRIES = "spendEntries"
_MOST_IN_ONE = 200
_MOST_WAITING = 10_000
_GATHER_SECONDS = 2.0
_PAGE = 100


class SpendEntry(NamedTuple):
    """One call that was paid for."""

    id: str
    at: datetime
    uid: str
    course_id: str
    tenant: str
    day: str
    task: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    nanos: int
    reserved_nanos: int

    @classmethod
    def of(cls, reservation: Reservation, nanos: int, usage: Usage, *, at: datetime) -> "SpendEntry":
        """The entry of a settled *reservation*."""
        payer = reservation.payer
        return cls(
            reservation.id,
            at,
            payer.uid,
            payer.course_id,
            payer.tenant,
            reservation.rungs[0].period,
            reservation.task,
            reservation.model,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.completion_tokens,
            nanos,
            reservation.nanos,
        )

    @classmethod
    def of_charge(cls, charge: Charge, day: str, nanos: int, usage: Usage, *, at: datetime) -> "SpendEntry":
        """The entry of a corrected *charge*, in the ledger of the *day* on which it was made."""
        payer = charge.payer
        return cls(
            charge.id,
            at,
            payer.uid,
            payer.course_id,
            payer.tenant,
            day,
            charge.task,
            charge.model,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.completion_tokens,
            nanos,
            charge.nanos,
        )

    def fields(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "id": self.id,
            "at": self.at,
            "uid": self.uid,
            "task": self.task,
            "model": self.model,
            "promptTokens": self.prompt_tokens,
            "cachedTokens": self.cached_tokens,
            "cacheWriteTokens": self.cache_write_tokens,
            "completionTokens": self.completion_tokens,
            "nanos": self.nanos,
            "reservedNanos": self.reserved_nanos,
        }


class SpendLedger:
    """Writes entries together, a few seconds after they were made, and reads them by course and day."""

    def __init__(self, documents: Documents, *, gather_seconds: float = _GATHER_SECONDS) -> None:
        """Gather entries for *gather_seconds*."""
        self._documents = documents
        self._gather_seconds = gather_seconds
        self._waiting: list[SpendEntry] = []
        self._enough = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def enter(self, entry: SpendEntry) -> None:
        """Keep *entry*; it is written soon, or as soon as there is a document full of them."""
        self._waiting.append(entry)
        if len(self._waiting) >= _MOST_IN_ONE:
            self._enough.set()
            self._lose_what_is_too_much()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon())

    def _lose_what_is_too_much(self) -> None:
        if len(self._waiting) > _MOST_WAITING:
            # The store has been away for long; the sums are still right, this detail is lost.
            self._waiting.pop(0)
            log.error("spend_entry_lost")

    async def flush(self) -> None:
        """
        Write what waits.

        Raises:
            Unavailable: the store does not answer; what was not written is kept.
        """
        taken, self._waiting = self._waiting, []
        self._enough.clear()
        groups: dict[tuple[str, str, str], list[SpendEntry]] = {}
        for entry in taken:
            groups.setdefault((entry.tenant, entry.course_id, entry.day), []).append(entry)
        creations = [
            _creation(group[start : start + _MOST_IN_ONE])
            for group in groups.values()
            for start in range(0, len(group), _MOST_IN_ONE)
        ]
        try:
            for start in range(0, len(creations), 20):
                await self._documents.create_each(creations[start : start + 20])
        except BaseException:
            # Readers count an id once, should a part be written again beside others.
            self._waiting = taken + self._waiting
            raise

    async def close(self) -> None:
        """Write what waits, and end."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        with contextlib.suppress(LecternError):
            await self.flush()

    async def read(self, course_id: str, day: str) -> AsyncIterator[Mapping[str, Any]]:
        """The entries of a course and day (``2026-11-20``), as they are stored, in no order; each once."""
        seen: set[str] = set()
        query = Find(SPEND_ENTRIES, where={"courseId": course_id, "day": day}, limit=_PAGE)
        while True:
            page = await self._documents.find(query)
            for document in page:
                for entry in document.fields["entries"]:
                    if entry["id"] not in seen:
                        seen.add(entry["id"])
                        yield entry
            if len(page) < _PAGE:
                return
            query = Find(SPEND_ENTRIES, where=query.where, after=page[-1], limit=_PAGE)

    async def _write_soon(self) -> None:
        delay, failed = self._gather_seconds, False
        while self._waiting:
            await (asyncio.sleep(delay) if failed else self._gathered())
            try:
                await self.flush()
                failed = False
            except LecternError as error:
                log.warning("spend_entries_wait", extra={"count": len(self._waiting)}, exc_info=error)
                delay, failed = min(delay * 2, 60.0), True

    async def _gathered(self) -> None:
        """Return when a document is full, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                await self._enough.wait()


def _creation(entries: list[SpendEntry]) -> Create:
    first = entries[0]
    name = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(each.id for each in entries)).hex
    fields = {
        "courseId": first.course_id,
        "tenant": first.tenant,
        "day": first.day,
        "nanos": sum(each.nanos for each in entries),
        "entries": [each.fields() for each in entries],
    }
    return Create(f"{SPEND_ENTRIES}/{name}", fields)
