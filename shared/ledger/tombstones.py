"""
Who was erased: kept as keyed digests, so that answers of theirs that come late are not merged.

A message may come again for as long as its topic keeps it, and a client may hold an answer back for as long
as its sign-in is worth anything. Both end long before a tombstone does.
"""

import asyncio
import functools
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from shared.documents.base import Create, Documents, Replace
from shared.errors import Conflict, PreconditionLost, Unavailable
from shared.learning.marks import MARK_BYTES, mark

PATH = "tombstones/learners"
KNOWN_FOR_SECONDS = 30.0
"""How old may be what a worker knows of tombstones: it costs one read in that time, whatever it merges."""

_KEPT = timedelta(days=400)
_DAY_BYTES = 4
_MOST = 45_000
"""What fits one document, and more learners than are erased in :data:`_KEPT`."""

_TRIES = 8
_MARKS_REMEMBERED = 10_000


class Tombstones:
    """The marks of all who were erased, in one document that is written when somebody is."""

    def __init__(self, documents: Documents, *, key: bytes, clock: Callable[[], float]) -> None:
        """Keep them in *documents*; *clock* counts seconds."""
        self._documents = documents
        self._clock = clock
        self._known: frozenset[bytes] = frozenset()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._mark = functools.lru_cache(_MARKS_REMEMBERED)(functools.partial(mark, key))

    async def add(self, marks: Collection[bytes], *, now: datetime) -> None:
        """
        Refuse answers of the learners with these *marks*: within ``KNOWN_FOR_SECONDS`` every worker does.

        Safe to repeat. Tombstones of more than 400 days are forgotten on the way.

        Raises:
            Unavailable: they may not be kept, or there are too many.
        """
        for _ in range(_TRIES):
            [document] = await self._documents.get([PATH])
            entries = _entries(document.fields["entries"]) if document is not None else {}
            today = now.toordinal()
            kept = {each: day for each, day in entries.items() if day >= today - _KEPT.days}
            kept |= {each: entries.get(each, today) for each in marks}
            if kept == entries:
                return
            if len(kept) > _MOST:
                message = "more learners were erased than tombstones are kept"
                raise Unavailable(message)
            fields = {
                "entries": b"".join(each + day.to_bytes(_DAY_BYTES) for each, day in sorted(kept.items()))
            }
            try:
                write = Create(PATH, fields) if document is None else Replace(PATH, fields, document.version)
                await self._documents.commit([write])
            except (Conflict, PreconditionLost):
                continue
            self._read_at = float("-inf")
            return
        message = "tombstones keep being added"
        raise Unavailable(message)

    async def known(self) -> frozenset[bytes]:
        """All marks, as of the last thirty seconds."""
        if self._clock() - self._read_at >= KNOWN_FOR_SECONDS:
            if self._reading is None:  # one reads for all who ask
                self._reading = asyncio.create_task(self._look())
            await asyncio.shield(self._reading)
        return self._known

    async def _look(self) -> None:
        try:
            now = self._clock()
            [document] = await self._documents.get([PATH])
            self._known = frozenset(_entries(document.fields["entries"]) if document is not None else ())
            self._read_at = now
        finally:
            self._reading = None

    async def among(self, learners: Collection[str]) -> set[str]:
        """Those of *learners* who were erased."""
        known = await self.known()
        return {learner for learner in learners if self._mark(learner) in known} if known else set()


def _entries(stored: bytes) -> dict[bytes, int]:
    """Marks, and the day (as ``date.toordinal``) on which each was set."""
    size = MARK_BYTES + _DAY_BYTES
    return {
        stored[at : at + MARK_BYTES]: int.from_bytes(stored[at + MARK_BYTES : at + size])
        for at in range(0, len(stored), size)
    }
