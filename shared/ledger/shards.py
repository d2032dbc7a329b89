"""Loads, advances and splits the shards of an assignment: each step one atomic commit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.base import Create, Document, Documents, Fields, Find, Replace, Version, Write
from shared.errors import LecternError, PreconditionLost
from shared.learning import segments
from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Grading
from shared.learning.item_analysis import Sums
from shared.learning.registers import Registers
from shared.learning.sharding import Shard, named, position
from shared.ledger.base import HEAD_FIELDS, head_path, segment_path, segments_path, shards_path

_SMALL_PAGE_EVENTS = 1000
_MOST_BEHIND = 32
"""A page larger than a few dozen KiB is written with every 32nd segment only; in between, whoever
loads the shard folds the segments since."""

_FEW_SEGMENTS = 8
"""Whoever has missed more than these loads the shard again rather than what was appended to it."""

_HEAD_AND_PAGE = (*HEAD_FIELDS, "pageSeq")
_FINEST_BITS = 24
"""Sixteen million intervals: what is still too large then is a few learners' who lie side by side."""

_BYTES_PER_ATTEMPT = 38
_BYTES_PER_STUDENT = 32
_SCAN = 200

# What Python 3.11 takes, measured with tracemalloc over shards of 20 to 8,000 attempts.
_MEMORY_PER_QUESTION = 250
_MEMORY_PER_STUDENT = 700
_MEMORY_PER_ATTEMPT = 320


class BrokenChain(LecternError):
    """What is stored does not follow from what was stored before it: somebody must look."""


@dataclass(slots=True)
class ShardState:
    """
    A shard as one worker knows it: current until a precondition says otherwise.

    *written_at* is the loop's time at which this worker last wrote its head. *erased* attempts of learners
    are not in it any more; *erasing* are learners whose answers may still be in its segments.
    """

    shard: Shard
    registers: Registers
    seq: int
    digest: str
    page_seq: int
    version: Version | None
    written_at: float = float("-inf")
    erased: int = 0
    erasing: tuple[str, ...] = ()

    @property
    def divisible(self) -> bool:
        """Whether a split could part its learners; one learner's registers stay together."""
        return len(self.registers.rows) > 1 and self.shard.bits < _FINEST_BITS

    @property
    def page_bytes(self) -> int:
        """About how large its page is."""
        return _BYTES_PER_ATTEMPT * self.registers.events + _BYTES_PER_STUDENT * len(self.registers.rows)

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        registers = self.registers
        return (
            _MEMORY_PER_QUESTION * len(registers.grading.questions)
            + _MEMORY_PER_STUDENT * len(registers.rows)
            + _MEMORY_PER_ATTEMPT * registers.events
        )


@dataclass(frozen=True, slots=True)
class HasSplit:
    """The shard was split in ``2**by_bits``; its children hold what it held."""

    by_bits: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a roll-up needs of a shard that has not been split."""

    shard: Shard
    seq: int
    digest: str
    events: int
    sums: Sums
    erased: int
    erasing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """
    One merge's answers, as stored: their packed text, and when they were merged.

    Once somebody was erased from it, *content* is the digest of the text that it had in the beginning, which
    the chain goes on with, and *kept* the digest of the text that is left.
    """

    seq: int
    packed: bytes
    digest: str
    merged_at: datetime
    content: str = ""
    kept: str = ""

    def follows(self, digest: str) -> bool:
        """Whether it is as it was when it was put behind a segment of *digest*, but for who was erased."""
        content = segments.content_digest(self.packed)
        if self.kept:
            return content == self.kept and segments.link(digest, self.content) == self.digest
        return segments.link(digest, content) == self.digest


class Shards:
    """The shards of all assignments, in the document store."""

    def __init__(self, documents: Documents) -> None:
        """Keep them in *documents*."""
        self._documents = documents

    async def load(self, grading: Grading, shard: Shard) -> ShardState | HasSplit:
        """
        Read *shard*: its page, and the segments since.

        Raises:
            BrokenChain: they do not lead to the digest in its head.
        """
        broken: Version | None = None
        for _ in range(6):
            [head] = await self._documents.get([head_path(grading.assignment_id, shard)])
            if head is None:
                return ShardState(shard, Registers(grading), 0, segments.GENESIS, 0, None)
            fields = head.fields
            if fields.get("splitBits"):
                return HasSplit(fields["splitBits"])
            tail = await self._tail(grading.assignment_id, shard, fields["pageSeq"], fields["seq"])
            if tail is None:
                continue  # compacted while we read
            registers = Registers.decode(fields["page"], grading)
            digest = tail[-1].digest if tail else fields["digest"]
            for segment in tail:
                registers.fold(segments.unpack(segment.packed))  # erasures are never behind a page
            if digest != fields["digest"] or registers.events != fields["events"]:
                if broken == head.version:
                    message = (
                        f"shard {shard.name} of {grading.assignment_id} does not follow from its segments"
                    )
                    raise BrokenChain(message)
                broken = head.version  # unless somebody was erased while we read
                continue
            return ShardState(
                shard,
                registers,
                fields["seq"],
                digest,
                fields["pageSeq"],
                head.version,
                erased=fields.get("erased", 0),
                erasing=tuple(fields.get("erasing", ())),
            )
        message = "the shard keeps changing"
        raise PreconditionLost(message)

    async def _tail(self, assignment_id: str, shard: Shard, after: int, last: int) -> list[Segment] | None:
        if after == last:
            return []
        paths = [segment_path(assignment_id, shard, seq) for seq in range(after + 1, last + 1)]
        found = await self._documents.get(paths)
        if any(document is None or not document.fields.get("body") for document in found):
            return None  # joined with others, or in the archive, by now
        return [segment for document in found if document is not None for segment in read_segments(document)]

    async def append(self, state: ShardState, applied: Sequence[AnswerSubmitted], *, now: datetime) -> None:
        """
        Commit one merge: the next segment and the head, both or neither.

        *applied* are in ``state.registers`` already, in canonical order here. *state* moves on with
        the commit; after any error it is of no use and must be loaded again.

        Raises:
            Conflict, PreconditionLost: another worker was first; nothing was written.
            Unavailable: whether it was written is not known.
        """
        assignment_id = state.registers.grading.assignment_id
        seq = state.seq + 1
        packed = segments.pack(assignment_id, applied)
        digest = segments.chain(state.digest, packed)
        segment = _segment(state, packed, {"count": len(applied), "digest": digest, "mergedAt": now})
        fields: dict[str, Any] = {
            "seq": seq,
            "digest": digest,
            "events": state.registers.events,
            "sums": state.registers.sums.encode(),
        }
        page_seq = state.page_seq
        if (
            (seq + state.shard.index) % _MOST_BEHIND == 0  # shards that keep step write theirs in turn
            or state.registers.events <= _SMALL_PAGE_EVENTS
            or state.version is None
        ):
            page_seq = seq
            fields |= {"page": state.registers.encode(), "pageSeq": seq}
        path = head_path(assignment_id, state.shard)
        head: Write = (
            Create(path, {"parent": "", "splitAt": 0, **fields})
            if state.version is None
            else Replace(path, fields, state.version)
        )
        versions = await self._documents.commit([segment, head])
        state.seq, state.digest, state.page_seq, state.version = seq, digest, page_seq, versions[-1]

    async def erase(self, state: ShardState, learners: Mapping[str, bytes], *, now: datetime) -> int:
        """
        Commit that *learners* (with their marks) are in the shard no more; returns how many attempts were.

        A segment says so, for those who replay, and the head remembers whose answers are still to be
        taken out of the segments before it. *state* moves on, and is of no use after any error.

        Raises:
            Conflict, PreconditionLost: another worker was first; nothing was written.
            Unavailable: whether it was written is not known.
        """
        if state.version is None:
            message = "nobody is in an empty shard"
            raise ValueError(message)
        assignment_id, registers = state.registers.grading.assignment_id, state.registers
        attempts = registers.erase(learners)
        registers.recount()
        seq, erased = state.seq + 1, state.erased + attempts
        erasing = tuple(sorted({*state.erasing, *learners}))
        marks = sorted(each.hex() for each in learners.values())
        packed = segments.pack_erasure(assignment_id, marks)
        digest = segments.chain(state.digest, packed)
        part = {"count": 0, "digest": digest, "mergedAt": now, "erased": marks}
        fields = {
            "seq": seq,
            "digest": digest,
            "events": registers.events,
            "sums": registers.sums.encode(),
            "page": registers.encode(),
            "pageSeq": seq,
            "erased": erased,
            "erasing": list(erasing),
        }
        writes: list[Write] = [
            _segment(state, packed, part),
            Replace(head_path(assignment_id, state.shard), fields, state.version),
        ]
        versions = await self._documents.commit(writes)
        state.seq, state.digest, state.page_seq, state.version = seq, digest, seq, versions[-1]
        state.erased, state.erasing = erased, erasing
        return attempts

    async def erased(self, state: ShardState) -> None:
        """
        Note that nothing is left of those that were being erased.

        Raises:
            PreconditionLost: another worker was first; nothing was written.
        """
        if state.version is None:
            return
        path = head_path(state.registers.grading.assignment_id, state.shard)
        [state.version] = await self._documents.commit([Replace(path, {"erasing": []}, state.version)])
        state.erasing = ()

    async def advance(
        self, state: ShardState, applied: Sequence[AnswerSubmitted]
    ) -> list[AnswerSubmitted] | None:
        """
        Bring *state* up to date after a lost race, and return which of *applied* are still new.

        *applied* are in ``state.registers``, though nobody has committed them. Reads the head without its
        page, and what others have appended, instead of the whole shard. None: *state* is of no use and must
        be loaded again, because more has happened than a few segments.
        """
        grading = state.registers.grading
        [head] = await self._documents.get(
            [head_path(grading.assignment_id, state.shard)], only=_HEAD_AND_PAGE
        )
        if head is None or head.fields.get("splitBits"):
            return None
        seq = head.fields["seq"]
        if not state.seq < seq <= state.seq + _FEW_SEGMENTS:
            return None
        tail = await self._tail(grading.assignment_id, state.shard, state.seq, seq)
        if tail is None:
            return None
        if head.fields.get("erased", 0) != state.erased:
            return None
        digest = state.digest
        ours = {event.event_id: event for event in applied}
        for segment in tail:
            if not segment.follows(digest):
                return None
            digest = segment.digest
            events = segments.unpack(segment.packed)
            state.registers.fold(events)
            for event in events:
                if ours.pop(event.event_id, event) != event:
                    return None  # of two that claim to be the same, the register has the one not on record
        if digest != head.fields["digest"] or state.registers.events != head.fields["events"] + len(ours):
            return None
        state.seq, state.digest, state.version = seq, digest, head.version
        state.page_seq = head.fields["pageSeq"]
        state.erasing = tuple(head.fields.get("erasing", ()))
        return list(ours.values())

    async def split(self, state: ShardState, by_bits: int) -> list[ShardState]:
        """
        Give what *state* holds to ``2**by_bits`` children, in one commit; *state* is of no use after.

        Segments stay where they are: a child's history is its parent's up to here, then its own.

        Raises:
            Conflict, PreconditionLost: another worker changed the shard first; nothing was written.
        """
        if state.version is None:
            message = "an empty shard has nothing to split"
            raise ValueError(message)
        assignment_id = state.registers.grading.assignment_id
        children = state.shard.split(by_bits)
        parts = list(state.registers.parts(children))
        for part in parts:
            part.recount()
        # What was erased is counted once, wherever; who is being erased is taken out of their own line.
        counts = [state.erased, *(0 for _ in children[1:])]
        leaving = [
            tuple(learner for learner in state.erasing if child.holds(position(learner)))
            for child in children
        ]
        creations: list[Write] = [
            Create(
                head_path(assignment_id, child),
                {
                    "parent": state.shard.name,
                    "splitAt": state.seq,
                    "seq": state.seq,
                    "digest": state.digest,
                    "events": registers.events,
                    "sums": registers.sums.encode(),
                    "page": registers.encode(),
                    "pageSeq": state.seq,
                    "erased": erased,
                    "erasing": list(erasing),
                },
            )
            for child, registers, erased, erasing in zip(children, parts, counts, leaving, strict=True)
        ]
        emptied = Replace(
            head_path(assignment_id, state.shard),
            {"splitBits": by_bits, "page": b"", "sums": "", "pageSeq": state.seq, "erasing": []},
            state.version,
        )
        versions = await self._documents.commit([*creations, emptied])
        return [
            ShardState(
                child,
                registers,
                state.seq,
                state.digest,
                state.seq,
                version,
                erased=erased,
                erasing=erasing,
            )
            for child, registers, version, erased, erasing in zip(
                children, parts, versions[:-1], counts, leaving, strict=True
            )
        ]

    async def replace_page(self, grading: Grading, shard: Shard, head: Document, rebuilt: Registers) -> None:
        """
        Put *rebuilt* registers in the place of those in *head*.

        Raises:
            PreconditionLost: an answer was merged since *head* was read.
        """
        fields = {
            "events": rebuilt.events,
            "sums": rebuilt.sums.encode(),
            "page": rebuilt.encode(),
            "pageSeq": head.fields["seq"],
        }
        await self._documents.commit([Replace(head_path(grading.assignment_id, shard), fields, head.version)])

    async def heads(self, assignment_id: str) -> list[Head]:
        """The shards that hold an assignment's answers now, in the order of the line of learners."""
        found = await scan_all(self._documents, shards_path(assignment_id), only=HEAD_FIELDS)
        return sorted(
            (
                Head(
                    named(document.id),
                    document.fields["seq"],
                    document.fields["digest"],
                    document.fields["events"],
                    Sums.decode(document.fields["sums"]),
                    document.fields.get("erased", 0),
                    tuple(document.fields.get("erasing", ())),
                )
                for document in found
                if not document.fields.get("splitBits")
            ),
            key=lambda head: head.shard.first,
        )

    async def segments(self, assignment_id: str, shard: Shard) -> AsyncIterator[Document]:
        """The documents of a shard's own segments, in order (not those it has from its parent)."""
        last: str | None = None
        while True:
            page = await self._documents.scan(segments_path(assignment_id, shard), after=last, limit=_SCAN)
            for document in page:
                yield document
            if len(page) < _SCAN:
                return
            last = page[-1].id


def _segment(state: ShardState, packed: bytes, part: Fields) -> Create:
    """The document of the segment behind *state*."""
    seq = state.seq + 1
    return Create(
        segment_path(state.registers.grading.assignment_id, state.shard, seq),
        {"first": seq, "last": seq, "parts": [part], "body": segments.compress(packed)},
    )


async def scan_all(
    documents: Documents, collection: str, *, only: Sequence[str] | None = None
) -> list[Document]:
    """Every document of a *collection* that is known to be small."""
    found: list[Document] = []
    while True:
        page = await documents.find(
            Find(collection, after=found[-1] if found else None, only=only, limit=_SCAN)
        )
        found += page
        if len(page) < _SCAN:
            return found


def read_segments(document: Document) -> list[Segment]:
    """The segments in a document of ``…/segments``, which must still have its body."""
    return split_body(document.fields, segments.decompress(document.fields["body"]))


def split_body(fields: Any, body: bytes) -> list[Segment]:
    """The segments whose packed texts are the lines of *body*."""
    return [
        Segment(
            fields["first"] + number,
            packed,
            part["digest"],
            part["mergedAt"],
            part.get("content", ""),
            part.get("kept", ""),
        )
        for number, (packed, part) in enumerate(zip(body.split(b"\n"), fields["parts"], strict=True))
    ]
