"""The whole history of an assignment: verifies it, rebuilds from it, and goes back in it."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from shared.documents.base import Document, Documents
from shared.errors import PreconditionLost, Unavailable
from shared.learning import item_analysis
from shared.learning.assignments import Grading
from shared.learning.item_analysis import Sums
from shared.learning.registers import Registers
from shared.learning.segments import GENESIS, chain, decompress, unpack
from shared.learning.sharding import Shard, named, position
from shared.ledger.archive import Archive, restore
from shared.ledger.base import head_path
from shared.ledger.shards import BrokenChain, HasSplit, Segment, Shards, split_body

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """
    What replaying found.

    ``identical``: the live registers and sums of every shard equal the rebuilt ones, byte for byte;
    ``digest`` is SHA-256 over the rebuilt pages of all shards, in the order of the line of learners.
    """

    identical: bool
    digest: str
    events: int
    sums: Sums


class History:
    """Replays segments, from Firestore or, where they have moved there, from the archive."""

    def __init__(self, documents: Documents, shards: Shards, archive: Archive | None) -> None:
        """Read from *documents*, and bodies that are not there any more from *archive*."""
        self._documents = documents
        self._shards = shards
        self._archive = archive

    async def rebuild(self, grading: Grading, *, replace: bool = False) -> Rebuilt:
        """
        Fold the history of every shard anew and compare it with what is live.

        With *replace*, the rebuilt registers take the place of the live ones.

        Raises:
            BrokenChain: a segment is missing or altered.
            PreconditionLost: answers kept being merged meanwhile; try again.
        """
        digest = hashlib.sha256()
        identical = True
        events = 0
        sums = Sums.zero(grading.questions)
        for head in await self._shards.heads(grading.assignment_id):
            same, rebuilt = await self._rebuild_shard(grading, head.shard, replace=replace)
            identical &= same
            page = rebuilt.encode()
            digest.update(hashlib.sha256(page).digest())
            events += rebuilt.events
            sums = item_analysis.add([sums, rebuilt.sums])
        return Rebuilt(identical, digest.hexdigest(), events, sums)

    async def _rebuild_shard(
        self, grading: Grading, shard: Shard, *, replace: bool
    ) -> tuple[bool, Registers]:
        for _ in range(_TRIES):
            [head] = await self._documents.get([head_path(grading.assignment_id, shard)])
            if head is None or head.fields.get("splitBits"):
                message = "the shard was split meanwhile"
                raise PreconditionLost(message)
            rebuilt = await self._replayed(grading, shard, head.fields["seq"])
            same = (
                rebuilt.sums.encode() == head.fields["sums"]
                and rebuilt.events == head.fields["events"]
                and await self._same_page(grading, shard, head, rebuilt)
            )
            if not replace or same:
                return same, rebuilt
            try:
                await self._shards.replace_page(grading, shard, head, rebuilt)
            except PreconditionLost:
                continue
            return same, rebuilt
        message = "answers keep being merged"
        raise PreconditionLost(message)

    async def _same_page(self, grading: Grading, shard: Shard, head: Document, rebuilt: Registers) -> bool:
        """Whether what a worker would load from *head* is what was *rebuilt*."""
        try:
            live = await self._shards.load(grading, shard)
        except BrokenChain:
            return False
        if isinstance(live, HasSplit) or live.version != head.version:
            # A merge since then; its own load compares what matters: the page as of its segment.
            as_of_page = await self._replayed(grading, shard, head.fields["pageSeq"])
            return as_of_page.encode() == bytes(head.fields["page"])
        return live.registers.encode() == rebuilt.encode()

    async def _replayed(self, grading: Grading, shard: Shard, last: int) -> Registers:
        registers = Registers(grading)
        async for segment in self.segments(grading.assignment_id, shard, last):
            registers.fold(
                event for event in unpack(segment.packed) if shard.holds(position(event.student_id))
            )
        return registers

    async def as_of(self, grading: Grading, at: datetime) -> Sums:
        """The sums of an assignment as they were after the merges up to *at*."""
        parts = [Sums.zero(grading.questions)]
        for head in await self._shards.heads(grading.assignment_id):
            registers = Registers(grading)
            async for segment in self.segments(grading.assignment_id, head.shard, head.seq):
                if segment.merged_at > at:
                    break
                registers.fold(
                    event for event in unpack(segment.packed) if head.shard.holds(position(event.student_id))
                )
            parts.append(registers.sums)
        return item_analysis.add(parts)

    async def segments(self, assignment_id: str, shard: Shard, last: int) -> AsyncIterator[Segment]:
        """
        The history of *shard* up to segment *last*: its ancestors' up to each split, then its own.

        Every digest is verified on the way.

        Raises:
            BrokenChain: a segment is missing or altered.
        """
        digest, seq = GENESIS, 0
        for ancestor, until in await self._line_of(assignment_id, shard, last):
            for attempt in range(_TRIES):
                try:
                    found = [each async for each in self._own_segments(assignment_id, ancestor, seq, until)]
                    break
                except _Gap:
                    # Compaction joins documents behind a reader's back; from the start, it looks whole.
                    if attempt == _TRIES - 1:
                        message = f"a segment of shard {ancestor.name} of {assignment_id} is missing"
                        raise BrokenChain(message) from None
            for segment in found:
                digest = chain(digest, segment.packed)
                if digest != segment.digest:
                    message = f"segment {segment.seq} of shard {ancestor.name} of {assignment_id} was altered"
                    raise BrokenChain(message)
                yield segment
            seq = until

    async def _own_segments(
        self, assignment_id: str, shard: Shard, after: int, last: int
    ) -> AsyncIterator[Segment]:
        expected = after + 1
        async for document in self._shards.segments(assignment_id, shard):
            if expected > last:
                return
            if document.fields["first"] != expected:
                raise _Gap
            for segment in split_body(document.fields, await self._body(document)):
                if segment.seq <= last:
                    yield segment
            expected = document.fields["last"] + 1
        if expected <= last:
            raise _Gap

    async def _body(self, document: Document) -> bytes:
        stored = document.fields.get("body")
        if stored:
            return decompress(stored)
        if self._archive is None:
            message = "segments are archived, and no archive is configured"
            raise Unavailable(message)
        return restore(await self._archive.get(document.fields["archive"]), document.fields["parts"])

    async def _line_of(self, assignment_id: str, shard: Shard, last: int) -> list[tuple[Shard, int]]:
        """The shards whose segments make up *shard*'s history, oldest first, each with its last segment."""
        line = [(shard, last)]
        while True:
            [head] = await self._documents.get(
                [head_path(assignment_id, line[0][0])], only=["parent", "splitAt"]
            )
            if head is None or not head.fields["parent"]:
                return line
            parent = named(head.fields["parent"])
            line.insert(0, (parent, head.fields["splitAt"]))


class _Gap(Exception):
    """A segment is not where it is expected."""
