"""
Takes learners out of the ledger: out of registers and figures, segments and the archive, and what waits.

First a shard's registers are without them, by one commit that also puts a segment in its history which
says so; then their answers are taken out of the segments before it. Whoever replays the history meanwhile
comes to the same registers, whichever of its documents were rewritten already. Every step may be cut off and
repeated; what is left to do stands in the shard's head.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.base import Document, Documents, Fields, Replace
from shared.errors import Conflict, InvalidRequest, PreconditionLost, Unavailable
from shared.learning.assignments import Grading
from shared.learning.marks import mark
from shared.learning.segments import compress, content_digest, opened, without
from shared.learning.sharding import WHOLE, Shard
from shared.ledger.archive import Archive, export, object_name, remove_superseded, superseding
from shared.ledger.base import FROM_BROWSERS, PENDING, REJECTED, shards_path
from shared.ledger.dead_letters import DEAD_LETTERS
from shared.ledger.history import History
from shared.ledger.rolling_up import RollUp
from shared.ledger.shards import HasSplit, Shards, ShardState
from shared.ledger.sweeping import read_pending

_PAGE = 200
_MOST_AT_ONCE = 100
"""Learners in one segment that says who was erased."""

_TRIES = 20
_TOKEN = re.compile(rb"[A-Za-z0-9_.:@+|-]{1,128}")
"""Whatever might be a learner's id."""


@dataclass(frozen=True, slots=True)
class Erased:
    """
    What an erasure came to: how many answers it found.

    Unless it is ``settled``, copies in the archive are to be removed once more, when ten minutes have passed.
    """

    answers: int
    settled: bool


class Erasing:
    """Every answer of some learners, wherever the ledger has it."""

    def __init__(
        self,
        documents: Documents,
        shards: Shards,
        history: History,
        figures: RollUp,
        *,
        archive: Archive | None,
        grading_of: Callable[[str], Awaitable[Grading]],
        key: bytes,
        now: Callable[[], datetime],
    ) -> None:
        """Erase from *documents* and *archive*; *key* is that of the learners' marks."""
        self._documents = documents
        self._shards = shards
        self._history = history
        self._figures = figures
        self._archive = archive
        self._grading_of = grading_of
        self._key = key
        self._now = now

    async def erase(self, marks: Collection[bytes]) -> Erased:
        """
        Remove every answer of the learners with these *marks*.

        Their tombstones must have been set. A worker that did not know of them may have merged an answer
        since: only a call some minutes later that finds none tells that nothing is left.

        Raises:
            Unavailable: something may be left; erase again.
        """
        wanted = frozenset(marks)
        found, settled = 0, True
        for collection in (PENDING, FROM_BROWSERS, REJECTED, DEAD_LETTERS):
            found += await self._from_collection(collection, wanted)
        async for page in self._pages("assignments"):
            for document in page:
                if await self._documents.scan(shards_path(document.id), limit=1):
                    erased = await self._from_assignment(await self._grading_of(document.id), wanted)
                    found, settled = found + erased.answers, settled and erased.settled
        return Erased(found, settled)

    async def _pages(self, collection: str) -> AsyncIterator[list[Document]]:
        last: str | None = None
        while True:
            page = await self._documents.scan(collection, after=last, limit=_PAGE)
            yield page
            if len(page) < _PAGE:
                return
            last = page[-1].id

    async def _from_collection(self, collection: str, marks: frozenset[bytes]) -> int:
        """Remove the documents of *collection* that are about any of them."""
        found = 0
        async for page in self._pages(collection):
            gone = [document.path for document in page if self._is_about(document, marks)]
            if gone:
                await self._documents.delete_each(gone)
            found += len(gone)
        return found

    def _is_about(self, document: Document, marks: frozenset[bytes]) -> bool:
        """
        Whether a *document* is one of theirs.

        What is an answer, or says whose it is, is taken at its word: somebody else's may name them.
        """
        learner: object
        try:
            learner = read_pending(document).student_id
        except InvalidRequest:
            learner = document.fields.get("studentId")
        if isinstance(learner, str):
            return self._marked(learner, marks)
        return any(
            self._marked(token.decode(), marks) for token in set(_TOKEN.findall(_text(document.fields)))
        )

    def _marked(self, learner: str, marks: frozenset[bytes]) -> bool:
        return mark(self._key, learner) in marks

    async def _from_assignment(self, grading: Grading, marks: frozenset[bytes]) -> Erased:
        found, lost, settled = 0, 0, True
        shards = [WHOLE]
        while shards:
            state = await self._shards.load(grading, shards[-1])
            if isinstance(state, HasSplit):
                shards += shards.pop().split(state.by_bits)
                continue
            try:
                learners = [each for each in state.registers.rows if self._marked(each, marks)]
                for start in range(0, len(learners), _MOST_AT_ONCE):
                    some = {each: mark(self._key, each) for each in learners[start : start + _MOST_AT_ONCE]}
                    found += await self._shards.erase(state, some, now=self._now())
                if state.erasing:
                    gone = await self._from_segments(grading.assignment_id, state)
                    # Figures first: once the head says that nothing is left to do, nobody looks again.
                    await self._figures.roll_up(grading.assignment_id, anew=True)
                    if gone:
                        await self._shards.erased(state)
                    settled = settled and gone
            except (Conflict, PreconditionLost) as error:
                lost += 1
                if lost == _TRIES:
                    message = "the ledger keeps changing"
                    raise Unavailable(message) from error
                continue  # another was here first: the shard as it is now tells what is left
            shards.pop()
        return Erased(found, settled)

    async def _from_segments(self, assignment_id: str, state: ShardState) -> bool:
        """
        Take those who are being erased out of all segments that the shard's history is made of.

        Returns whether that is all: not while an object that was removed from the archive may come back.
        """
        after, settled = 0, True
        for shard, last in await self._history.line_of(assignment_id, state.shard, state.seq):
            async for document in self._own_documents(assignment_id, shard, after, last):
                settled &= await self._from_document(assignment_id, document, state.erasing)
            after = last
        return settled

    async def _own_documents(
        self, assignment_id: str, shard: Shard, after: int, last: int
    ) -> AsyncIterator[Document]:
        """
        A shard's own segments behind *after*, to *last* at least.

        Raises:
            PreconditionLost: some were joined with others that had been read before.
        """
        expected = after + 1
        async for document in self._shards.segments(assignment_id, shard):
            if document.fields["first"] != expected:
                break
            yield document
            expected = document.fields["last"] + 1
        if expected <= last:
            message = "segments were joined meanwhile"
            raise PreconditionLost(message)

    async def _from_document(self, assignment_id: str, document: Document, learners: Sequence[str]) -> bool:
        before = (await self._history.body(document)).split(b"\n")
        texts = [without(text, learners) for text in before]
        if texts != before:
            parts = [
                part if text == old else _rewritten(part, old, text)
                for part, old, text in zip(document.fields["parts"], before, texts, strict=True)
            ]
            document = await self._rewrite(assignment_id, document, parts, texts)
        return await remove_superseded(self._documents, self._archive, document, now=self._now())

    async def _rewrite(
        self, assignment_id: str, document: Document, parts: Sequence[Fields], texts: Sequence[bytes]
    ) -> Document:
        """The document with other *texts*, and where its body is archived, another object in the archive."""
        old = document.fields
        fields: dict[str, Any] = {"parts": parts}
        # Whoever was moving the old body finds another version, and takes back what it moved.
        obsolete = [name for name in (old.get("archive"), old.get("archiving")) if name]
        fields |= superseding(document, obsolete, now=self._now())
        if old.get("body"):
            fields["body"] = compress(b"\n".join(texts))
        if old.get("archive") and self._archive is not None:
            shard = document.path.split("/")[3]
            fields["archive"] = object_name(assignment_id, shard, {**old, "parts": parts}, texts)
            await self._archive.put(fields["archive"], export(texts))
        [version] = await self._documents.commit([Replace(document.path, fields, document.version)])
        return Document(document.path, {**old, **fields}, version)


def _rewritten(part: Fields, before: bytes, after: bytes) -> Fields:
    """What is said of a segment that somebody was taken out of; the chain goes on with what it once was."""
    return {
        **part,
        "count": len(opened(after).rows),
        "content": part.get("content") or content_digest(before),
        "kept": content_digest(after),
    }


def _text(value: Any) -> bytes:
    """All that is text or bytes in the fields of a document."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping):
        return b"\n".join(_text(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return b"\n".join(map(_text, value))
    return b""
