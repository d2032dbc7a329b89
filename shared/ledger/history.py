"""The whole history of an assignment: verifies it, rebuilds from it, and goes back in it."""

import asyncio
import functools
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.documents.base import Document, Documents
from shared.errors import PreconditionLost, Unavailable
from shared.learning import item_analysis
from shared.learning.assignments import Grading
from shared.learning.item_analysis import Sums
from shared.learning.marks import mark
from shared.learning.registers import Registers
from shared.learning.segments import GENESIS, decompress, unpack
from shared.learning.sharding import WHOLE, Shard, named, position
from shared.ledger.archive import Archive, restore
from shared.ledger.base import head_path
from shared.ledger.shards import BrokenChain, Segment, Shards, split_body

_TRIES = 5
_AHEAD = 4
"""How many shards are read while the one before them is replayed."""


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


@dataclass(frozen=True, slots=True)
class _Replay:
    """Where the replay of a shard begins: what it was given by its parent, after segment *seq*."""

    shard: Shard
    registers: Registers
    digest: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReplayedShard:
    """A shard as its history has it, beside its head; *page_is_right* as of the page's own segment."""

    shard: Shard
    registers: Registers
    digest: str
    head: Document
    page: bytes
    page_is_right: bool


class _Read(NamedTuple):
    """A shard's head, None where there is none, and its own segments, as they were found."""

    head: Document | None
    segments: list[Segment]


class History:
    """Replays segments, from Firestore or, where they have moved there, from the archive."""

    def __init__(self, documents: Documents, shards: Shards, archive: Archive | None, *, key: bytes) -> None:
        """
        Read from *documents*, and bodies that are not there any more from *archive*.

        *key* is that of the marks of learners who were erased.
        """
        self._documents = documents
        self._mark_of = functools.partial(mark, key)
        self._shards = shards
        self._archive = archive

    async def rebuild(self, grading: Grading, *, replace: bool = False) -> Rebuilt:
        """
        Replay the whole history and compare every shard's page, sums, counts and digest with what is live.

        With *replace*, the rebuilt registers take the place of the live ones where these differ.

        Raises:
            BrokenChain: a segment is missing or altered.
            PreconditionLost: answers kept being merged meanwhile; try again.
        """
        for _ in range(_TRIES):
            try:
                return await self._rebuild(grading, replace=replace)
            except PreconditionLost:
                continue  # a shard was split, or merged while its replacement was made
        message = "answers keep being merged"
        raise PreconditionLost(message)

    async def _rebuild(self, grading: Grading, *, replace: bool) -> Rebuilt:
        digest = hashlib.sha256()
        result = Rebuilt(identical=True, digest="", events=0, sums=Sums.zero(grading.questions))
        begun = _Replay(WHOLE, Registers(grading), GENESIS, 0)
        async for shard in self._replayed(grading, begun, await self._read(grading.assignment_id, WHOLE, 0)):
            digest.update(hashlib.sha256(shard.page).digest())
            same = shard.page_is_right and (
                shard.registers.sums.encode() == shard.head.fields["sums"]
                and shard.registers.events == shard.head.fields["events"]
                and shard.digest == shard.head.fields["digest"]
            )
            if replace and not same:
                await self._shards.replace_page(grading, shard.shard, shard.head, shard.registers)
            elif not same:
                await self._is_still(shard.head)
            result = Rebuilt(
                identical=result.identical and same,
                digest="",
                events=result.events + shard.registers.events,
                sums=item_analysis.add([result.sums, shard.registers.sums]),
            )
        return Rebuilt(result.identical, digest.hexdigest(), result.events, result.sums)

    async def _is_still(self, head: Document) -> None:
        """
        See that *head* is as it was read: its segments may be those of another one.

        Raises:
            PreconditionLost: somebody was erased, or answers were merged, meanwhile.
        """
        [now] = await self._documents.get([head.path], only=["seq"])
        if now is None or now.version != head.version:
            message = "the shard changed while it was replayed"
            raise PreconditionLost(message)

    async def _replayed(
        self, grading: Grading, begun: "_Replay", read: "_Read"
    ) -> AsyncIterator["_ReplayedShard"]:
        """Every shard that holds answers now, replayed: each segment is read once, whatever was split."""
        head, registers, digest = read.head, begun.registers, begun.digest
        if head is None:
            if begun.shard == WHOLE:
                return  # nothing was ever merged
            message = "the shard appeared while it was replayed"
            raise PreconditionLost(message)
        fields = head.fields
        by_bits = fields.get("splitBits")
        # Encoding is dear: the page is compared as of its own segment, and used again where that is the last.
        page = registers.encode() if begun.seq == fields["pageSeq"] else None
        page_is_right = page is not None and page == fields["page"]
        for segment in _sealed(grading.assignment_id, begun.shard, digest, read.segments):
            registers.replay(segment.packed, self._mark_of)
            digest, page = segment.digest, None
            if segment.seq == fields["pageSeq"] and not by_bits:
                page = registers.encode()
                page_is_right = page == fields["page"]
        if not by_bits:
            registers.recount()
            yield _ReplayedShard(
                shard=begun.shard,
                registers=registers,
                digest=digest,
                head=head,
                page=page or registers.encode(),
                page_is_right=page_is_right,
            )
            return
        children = begun.shard.split(by_bits)
        parts = iter(registers.parts(children))
        async for child, found in self._ahead(grading.assignment_id, children, fields["seq"]):
            replay = _Replay(child, next(parts), digest, fields["seq"])
            async for shard in self._replayed(grading, replay, found):
                yield shard

    async def _ahead(
        self, assignment_id: str, shards: Sequence[Shard], after: int
    ) -> AsyncIterator[tuple[Shard, "_Read"]]:
        """Each of *shards* with what is read of it, in order; some are read while another is in use."""
        begun: deque[tuple[Shard, asyncio.Task[_Read]]] = deque()
        try:
            for shard in shards:
                begun.append((shard, asyncio.create_task(self._read(assignment_id, shard, after))))
                if len(begun) > _AHEAD:
                    first, read = begun.popleft()
                    yield first, await read
            while begun:
                first, read = begun.popleft()
                yield first, await read
        finally:
            # Nothing may be awaited here: whoever gives up a replay does not wait for its end either.
            for _, read in begun:
                read.add_done_callback(_unasked)
                read.cancel()

    async def _read(self, assignment_id: str, shard: Shard, after: int) -> "_Read":
        """What there is of *shard*, of its segments those behind *after*."""
        [head] = await self._documents.get([head_path(assignment_id, shard)])
        if head is None:
            return _Read(None, [])
        return _Read(head, await self._found(assignment_id, shard, after, head.fields["seq"]))

    async def as_of(self, grading: Grading, at: datetime) -> Sums:
        """
        The sums of an assignment as they were after the merges up to *at*.

        Who was erased since is not in them.
        """
        parts = [Sums.zero(grading.questions)]
        for head in await self._shards.heads(grading.assignment_id):
            registers, erasing = Registers(grading), frozenset(head.erasing)
            async for segment in self.segments(grading.assignment_id, head.shard, head.seq):
                if segment.merged_at > at:
                    break
                registers.fold(
                    event
                    for event in unpack(segment.packed)
                    if head.shard.holds(position(event.student_id)) and event.student_id not in erasing
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
        for ancestor, until in await self.line_of(assignment_id, shard, last):
            found = await self._found(assignment_id, ancestor, seq, until)
            for segment in _sealed(assignment_id, ancestor, digest, found):
                digest = segment.digest
                yield segment
            seq = until

    async def _found(self, assignment_id: str, shard: Shard, after: int, last: int) -> list[Segment]:
        """A shard's own segments behind *after*, up to *last*."""
        for _ in range(_TRIES):
            try:
                return [each async for each in self._own_segments(assignment_id, shard, after, last)]
            except _Gap:
                continue  # compaction joins documents behind a reader's back; from the start, it looks whole
        message = f"a segment of shard {shard.name} of {assignment_id} is missing"
        raise BrokenChain(message)

    async def _own_segments(
        self, assignment_id: str, shard: Shard, after: int, last: int
    ) -> AsyncIterator[Segment]:
        expected = after + 1
        async for document in self._shards.segments(assignment_id, shard):
            if expected > last:
                return
            if document.fields["first"] != expected:
                raise _Gap
            for segment in split_body(document.fields, await self.body(document)):
                if segment.seq <= last:
                    yield segment
            expected = document.fields["last"] + 1
        if expected <= last:
            raise _Gap

    async def body(self, document: Document) -> bytes:
        """
        The packed texts of the segments in *document*, one a line, from Firestore or the archive.

        Raises:
            Unavailable: they are archived, and there is no archive here.
        """
        stored = document.fields.get("body")
        if stored:
            return decompress(stored)
        if self._archive is None:
            message = "segments are archived, and no archive is configured"
            raise Unavailable(message)
        content = await self._archive.get(document.fields["archive"])
        return restore(content, document.fields["parts"], assignment_id=document.path.split("/")[1])

    async def line_of(self, assignment_id: str, shard: Shard, last: int) -> list[tuple[Shard, int]]:
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


def _sealed(assignment_id: str, shard: Shard, digest: str, found: Sequence[Segment]) -> Sequence[Segment]:
    """
    The segments in *found*, if they follow from *digest*.

    Raises:
        BrokenChain: one does not.
    """
    for segment in found:
        follows, digest = segment.follows(digest), segment.digest
        if not follows:
            message = f"segment {segment.seq} of shard {shard.name} of {assignment_id} was altered"
            raise BrokenChain(message)
    return found


def _unasked(read: "asyncio.Task[_Read]") -> None:
    """Look at how *read* ended, as nobody else will."""
    if not read.cancelled():
        read.exception()


class _Gap(Exception):
    """A segment is not where it is expected."""
