"""The daily clean-up: joins small segments, archives old ones, and counts everything again."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import metrics
from shared.documents.base import Delete, Document, Documents, Fields, Replace, Write
from shared.errors import PreconditionLost, Unavailable
from shared.learning.segments import compress, decompress
from shared.learning.sharding import Shard, named
from shared.ledger.archive import Archive, export, object_name, remove_superseded, restore, superseding
from shared.ledger.base import shards_path
from shared.ledger.rolling_up import RollUp
from shared.ledger.shards import BrokenChain, Shards, scan_all

log = logging.getLogger("lectern")

_PAGE = 200
_MOST_JOINED = 200
_JOINED_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a clean-up did: documents joined and archived, bodies dropped, and counts that did not agree."""

    assignments: int = 0
    joined: int = 0
    archived: int = 0
    dropped: int = 0
    discrepancies: int = 0

    def __add__(self, other: "Tidied") -> "Tidied":
        """Both together."""
        return Tidied(
            self.assignments + other.assignments,
            self.joined + other.joined,
            self.archived + other.archived,
            self.dropped + other.dropped,
            self.discrepancies + other.discrepancies,
        )


class Tidying:
    """Every step may be cut off and repeated; nothing is removed before it is where it goes."""

    def __init__(
        self,
        documents: Documents,
        shards: Shards,
        figures: RollUp,
        *,
        archive: Archive | None,
        archive_after: timedelta,
        drop_after: timedelta | None,
        now: Callable[[], datetime],
    ) -> None:
        """
        Archive what is older than *archive_after*, if there is an *archive*.

        Archived bodies older than *drop_after* leave Firestore; None keeps them.
        """
        self._documents = documents
        self._shards = shards
        self._figures = figures
        self._archive = archive
        self._archive_after = archive_after
        self._drop_after = drop_after
        self._now = now

    async def run(self) -> Tidied:
        """
        Tidy every assignment that has answers.

        One that cannot be tidied does not hold up the others; it is logged.

        Raises:
            Unavailable: there was one.
        """
        result = Tidied()
        failures: list[BaseException] = []
        last: str | None = None
        while True:
            page = await self._documents.scan("assignments", after=last, limit=_PAGE)
            for document in page:
                if not document.fields.get("asOf"):
                    continue
                [outcome] = await asyncio.gather(self.tidy(document.id), return_exceptions=True)
                if isinstance(outcome, Tidied):
                    result += outcome
                    continue
                failures.append(outcome)
                log.error("assignment_not_tidied", extra={"assignment_id": document.id}, exc_info=outcome)
            if len(page) < _PAGE:
                break
            last = page[-1].id
        if failures:
            message = f"assignments that could not be tidied: {len(failures)}"
            raise Unavailable(message) from failures[0]
        return result

    async def tidy(self, assignment_id: str) -> Tidied:
        """Tidy one assignment."""
        result = Tidied(assignments=1)
        heads = await scan_all(
            self._documents, shards_path(assignment_id), only=["pageSeq", "events", "splitBits"]
        )
        for head in heads:
            result += await self._tidy_shard(assignment_id, named(head.id), head.fields["pageSeq"])
        return result + await self._recount(assignment_id, [named(head.id) for head in heads])

    async def _tidy_shard(self, assignment_id: str, shard: Shard, page_seq: int) -> Tidied:
        joined = await self._join(assignment_id, shard, page_seq)
        archived = dropped = 0
        if self._archive is not None:
            async for document in self._shards.segments(assignment_id, shard):
                if document.fields.get("superseded"):
                    await self._forget(document, self._archive)
                    continue
                newest = document.fields["parts"][-1]["mergedAt"]
                if not document.fields.get("archive"):
                    if document.fields["last"] <= page_seq and newest <= self._now() - self._archive_after:
                        archived += await self._move(assignment_id, shard, document, self._archive)
                elif (
                    document.fields.get("body")
                    and self._drop_after is not None
                    and newest <= self._now() - self._drop_after
                ):
                    dropped += await self._mark(document, {"body": b""})
        return Tidied(joined=joined, archived=archived, dropped=dropped)

    async def _forget(self, document: Document, archive: Archive) -> None:
        """Remove objects of the archive from which somebody was erased, if that is still to be done."""
        try:
            await remove_superseded(self._documents, archive, document, now=self._now())
        except PreconditionLost:
            return  # another clean-up was here

    async def _join(self, assignment_id: str, shard: Shard, page_seq: int) -> int:
        """Join neighbouring documents up to *page_seq*: those behind it, a loading worker reads by number."""
        joined = size = 0
        group: list[Document] = []
        async for document in self._shards.segments(assignment_id, shard):
            weight = len(document.fields.get("body") or b"")
            fits = document.fields["last"] <= page_seq and not document.fields.get("archive")
            if group and (not fits or len(group) == _MOST_JOINED or size + weight > _JOINED_BYTES):
                joined += await self._join_group(group)
                group, size = [], 0
            if fits:
                group.append(document)
                size += weight
        return joined + await self._join_group(group)

    async def _join_group(self, group: Sequence[Document]) -> int:
        if len(group) < 2:  # noqa: PLR2004  one is joined with nothing
            return 0
        first, *rest = group
        body = b"\n".join(decompress(document.fields["body"]) for document in group)
        parts = [part for document in group for part in document.fields["parts"]]
        fields: dict[str, Any] = {"last": group[-1].fields["last"], "parts": parts, "body": compress(body)}
        obsolete = [document.fields["archiving"] for document in group if document.fields.get("archiving")]
        obsolete += [name for document in rest for name in document.fields.get("superseded", ())]
        fields |= superseding(first, obsolete, now=self._now())
        writes: list[Write] = [Replace(first.path, fields, first.version)]
        writes += [Delete(document.path, document.version) for document in rest]
        try:
            await self._documents.commit(writes)
        except PreconditionLost:
            return 0  # another clean-up was here
        return len(rest)

    async def _move(self, assignment_id: str, shard: Shard, document: Document, archive: Archive) -> int:
        fields = document.fields
        body = decompress(fields["body"])
        texts = body.split(b"\n")
        name = object_name(assignment_id, shard.name, fields, texts)
        # First the document says where its body is going: no object is left that no document knows of.
        try:
            [version] = await self._documents.commit(
                [Replace(document.path, {"archiving": name}, document.version)]
            )
        except PreconditionLost:
            return 0  # another clean-up was here, or somebody is being erased
        await archive.put(name, export(texts))
        if restore(await archive.get(name), fields["parts"], assignment_id=assignment_id) != body:
            message = f"{name} does not read back as it was written"
            raise BrokenChain(message)
        moved = Document(document.path, fields, version)
        if await self._mark(moved, {"archive": name, "archiving": ""}):
            return 1
        [found] = await self._documents.get([document.path], only=["archive", "archiving"])
        if found is None or name not in (found.fields.get("archive"), found.fields.get("archiving")):
            await archive.delete(name)  # meanwhile it was joined with others, or somebody was erased from it
        return 0

    async def _mark(self, document: Document, fields: Fields) -> int:
        """Note something in a segment's document; 1 if it was still as it was read."""
        try:
            await self._documents.commit([Replace(document.path, fields, document.version)])
        except PreconditionLost:
            return 0  # another clean-up was here, or what is left of one; the next sees to the rest
        return 1

    async def _recount(self, assignment_id: str, shards: Sequence[Shard]) -> Tidied:
        """Every answer is in exactly one segment and one head, and the assignment document says so."""
        for _ in range(2):
            heads = await self._shards.heads(assignment_id)
            merged = sum(head.events for head in heads)
            stored = 0
            for shard in shards:
                async for document in self._shards.segments(assignment_id, shard):
                    stored += sum(part["count"] for part in document.fields["parts"])
            if stored == merged:
                break
            # Answers may have been merged while we counted; a second look tells.
        await self._figures.roll_up(assignment_id)
        [assignment] = await self._documents.get([f"assignments/{assignment_id}"], only=["asOf"])
        shown = assignment.fields["asOf"]["events"] if assignment is not None else 0
        if stored != merged or shown < merged:
            metrics.discrepancies.inc()
            log.error(
                "recount_differs",
                extra={"assignment_id": assignment_id, "count": stored, "expected": merged},
            )
            return Tidied(discrepancies=1)
        return Tidied()
