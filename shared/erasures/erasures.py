"""
Erasures: from the request, over passes that go through all places, to a receipt.

A pass goes from place to place and commits what it removes together with how far it has come. So it may be
cut off anywhere, repeated, and worked on by two at once. What was under way when it passed may still be
written behind it: another pass follows when that is over, and an erasure is closed by one that finds nothing.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from shared.documents.base import Create, Documents, Find, Replace, Version, Write
from shared.documents.erasing import Named, Place, Step, counted
from shared.erasures.base import AUDIT_RECORDS, ERASURES, State
from shared.erasures.record import Erasure
from shared.errors import (
    Conflict,
    InvalidRequest,
    LecternError,
    NotFound,
    PreconditionLost,
    Unavailable,
)
from shared.learning.marks import mark
from shared.ledger.archive import Archive
from shared.ledger.erasing import Erased, Erasing
from shared.ledger.tombstones import Tombstones

log = logging.getLogger("lectern")

_KEPT = "erasures/"
_RECEIPTS = "erasureReceipts/"
_TRIES = 20
_UNNOTED_STEPS = 25
"""So many steps that met nothing may be gone through again after a crash."""
_PAGE = 100


class Resumed(NamedTuple):
    """How many erasures were closed, and how many are still open."""

    closed: int
    open: int


class Reapplied(NamedTuple):
    """
    How many marks there are, how many learners with one were met, and answers of theirs (None: not yet).

    *following* is where to go on; empty: all was gone through.
    """

    marks: int
    met: int
    answers: int | None
    following: str


@dataclass(frozen=True, slots=True)
class _At:
    """Where an erasure is: as its document has it in *version*, or some *unnoted* steps further."""

    erasure: Erasure
    version: Version
    unnoted: int = 0
    may_act: bool = False


class Erasures:
    """All erasures of a deployment."""

    def __init__(
        self,
        documents: Documents,
        places: Sequence[Place],
        *,
        answers: Erasing,
        tombstones: Tombstones,
        archive: Archive | None,
        key: bytes,
        now: Callable[[], datetime],
    ) -> None:
        """Go through *places*, then through *answers*; *key* is the receipt key."""
        self._documents = documents
        self._refused = _Refused(tombstones, key, now)
        self._answers = _Recorded(answers, key)
        self._places = (self._refused, *places, self._answers)
        self._numbers = {place.name: number for number, place in enumerate(self._places)}
        self._archive = archive
        self._key = key
        self._now = now

    async def open(self, learner_id: str, *, by: str, action: str = "erase") -> Erasure:
        """
        Put on record that *learner_id* is to be erased, and that *by* asked for it; once, whoever repeats it.

        One that is closed is opened anew: whoever asks has seen the learner again.

        Raises:
            Unavailable: it may not be on record.
        """
        erasure_id = mark(self._key, learner_id).hex()
        if self._archive is not None:
            await self._archive.put(f"{_KEPT}{erasure_id}", erasure_id.encode())
        for _ in range(_TRIES):
            [found] = await self._documents.get([f"{ERASURES}/{erasure_id}"])
            if found is None:
                begun = Erasure(erasure_id, learner_id, self._now())
                write: Write = Create(begun.path, begun.stored())
            else:
                known = Erasure.of(found)
                if known.state is not State.CLOSED:
                    return known
                begun = known.again(learner_id, self._now())
                write = Replace(begun.path, begun.stored(), found.version)
            try:
                await self._documents.commit([write, self._audit(begun, by=by, action=action)])
            except (Conflict, PreconditionLost):
                continue
            return begun
        message = "this erasure keeps changing"
        raise Unavailable(message)

    def _audit(self, begun: Erasure, *, by: str, action: str) -> Create:
        """The record of who began *begun*: a mark for a uid, as admins can be erased as well."""
        name = hashlib.sha256(f"{begun.erasure_id}\n{begun.round}".encode()).hexdigest()[:32]
        fields = {
            "action": action,
            "actor": mark(self._key, by).hex(),
            "at": begun.requested_at,
            "erasureId": begun.erasure_id,
            "round": begun.round,
        }
        return Create(f"{AUDIT_RECORDS}/{name}", fields)

    async def get(self, erasure_id: str) -> Erasure:
        """
        The erasure of that id.

        Raises:
            NotFound: there is none.
        """
        return (await self._read(erasure_id)).erasure

    async def work(self, erasure_id: str, *, until: float) -> Erasure:
        """
        Go on with an erasure until it waits, is closed, or the event loop's time is *until*; how it stands.

        Raises:
            NotFound: there is none.
            Unavailable: a place cannot be reached; all that was done before is done.
        """
        try:
            async with asyncio.timeout_at(until):
                await self._work(erasure_id)
        except TimeoutError:
            pass  # wherever that was, it is repeated
        return await self.get(erasure_id)

    async def resume(self, *, until: float) -> Resumed:
        """
        Go on with every erasure that is open until the event loop's time is *until*.

        Raises:
            Unavailable: some could not go on; the others did.
        """
        loop = asyncio.get_running_loop()
        closed = left = 0
        failures: list[LecternError] = []
        waiting = await self._open_ones()
        for number, erasure_id in enumerate(waiting):
            # An even part of what is left: one that is long does not keep others from being begun.
            part = (until - loop.time()) / (len(waiting) - number)
            try:
                erasure = await self.work(erasure_id, until=loop.time() + part)
            except LecternError as error:
                log.exception("erasure_incomplete", extra={"erasure_id": erasure_id})
                failures.append(error)
                continue
            closed += erasure.state is State.CLOSED
            left += erasure.state is not State.CLOSED
        if failures:
            raise failures[0]
        return Resumed(closed, left)

    async def reapply(self, *, by: str, following: str = "", until: float) -> Reapplied:
        """
        Open the erasures anew of all whom the archive knows as erased, and who are met in any place.

        For after a restore. *following* is from the call before, if it did not come to the end.

        Raises:
            InvalidRequest: there is no archive that could know anybody, or *following* is none of ours.
        """
        if self._archive is None:
            message = "no archive is set up, in which it would stand who was erased"
            raise InvalidRequest(message)
        names = await self._archive.names(_KEPT)
        marks = {bytes.fromhex(name.removeprefix(_KEPT)) for name in names}
        await self._refused.add(marks)
        name, _, last = following.partition("\n")
        if name and name not in self._numbers:
            message = "there is no such place to go on from"
            raise InvalidRequest(message)
        number, after = self._numbers.get(name, 0), last or None
        met: set[str] = set()
        while number < len(self._places):
            named = await self._places[number].learners(after)
            for learner_id in sorted(named.learners):
                if mark(self._key, learner_id) in marks:
                    met.add((await self.open(learner_id, by=by, action="reapply")).erasure_id)
            number, after = (number, named.after) if named.after is not None else (number + 1, None)
            if number < len(self._places) and asyncio.get_running_loop().time() >= until:
                return Reapplied(len(marks), len(met), None, f"{self._places[number].name}\n{after or ''}")
        # Those of whom nothing but answers came back are told there by their marks.
        return Reapplied(len(marks), len(met), (await self._answers.erase(marks)).answers, "")

    async def _open_ones(self) -> list[str]:
        found: list[str] = []
        for state in (State.CLOSING, State.ERASING, State.WAITING):
            query = Find(ERASURES, where={"state": state.value}, only=["state"], limit=_PAGE)
            page = await self._documents.find(query)
            while page:
                found += [each.id for each in page]
                query = Find(ERASURES, where=query.where, only=query.only, after=page[-1], limit=_PAGE)
                page = await self._documents.find(query)
        return list(dict.fromkeys(found))

    async def _read(self, erasure_id: str) -> _At:
        [found] = await self._documents.get([f"{ERASURES}/{erasure_id}"])
        if found is None:
            message = "there is no such erasure"
            raise NotFound(message)
        return _At(Erasure.of(found), found.version)

    async def _work(self, erasure_id: str) -> None:
        at: _At | None = await self._read(erasure_id)
        while at is not None:
            try:
                at = await self._advanced(at)
            except PreconditionLost:
                # Somebody else works on it as well, and has come further: so this ends, however often.
                at = await self._read(erasure_id)

    async def _advanced(self, at: _At) -> _At | None:
        """One step further; None where there is nothing to do, or nothing yet."""
        erasure = at.erasure
        if erasure.state is State.CLOSED:
            return None
        if erasure.state is State.WAITING:
            due = erasure.resume_at is None or erasure.resume_at <= self._now()
            return await self._noted(at, erasure.next_pass()) if due else None
        if erasure.state is State.CLOSING:
            await self._keep(erasure)
            return await self._noted(at, erasure.closed())
        return await self._step(at)

    async def _step(self, at: _At) -> _At | None:
        erasure = at.erasure
        learner_id = erasure.learner_id
        if learner_id is None:
            message = "an open erasure without a learner"
            raise LecternError(message)
        # A place that another version knew is no more: then from the beginning, which harms nothing.
        number = self._numbers.get(erasure.place, 0)
        place = self._places[number]
        if place.acts and not at.may_act:
            now = self._now()
            if erasure.acting_until is not None and erasure.acting_until > now:
                return None  # somebody else is at it, and goes on from there
            return replace(await self._noted(at, erasure.about_to_act(now)), may_act=True)
        try:
            step = await place.step(learner_id, erasure.after if place.name == erasure.place else None)
        except LecternError:
            if place.acts:
                with contextlib.suppress(LecternError):  # that is then believed in a while
                    await self._noted(at, erasure.cut_off())
            raise
        met = functools.partial(erasure.met, step.counts, settled=step.settled)
        if step.after is not None:
            moved = met(place=place.name, after=step.after)
        elif number + 1 < len(self._places):
            moved = met(place=self._places[number + 1].name, after=None)
        else:
            moved = met(place="", after=None).passed(self._now(), key=self._key)
        if step.writes or place.acts or moved.state is not State.ERASING or at.unnoted >= _UNNOTED_STEPS:
            return await self._noted(at, moved, step.writes)
        return _At(moved, at.version, at.unnoted + 1)

    async def _noted(self, at: _At, erasure: Erasure, writes: Sequence[Write] = ()) -> _At:
        """Commit *writes* and how far that brings the erasure, if nobody else has brought it further."""
        note = Replace(erasure.path, erasure.stored(), at.version)
        versions = await self._documents.commit([*writes, note])
        return _At(erasure, versions[-1])

    async def _keep(self, erasure: Erasure) -> None:
        """Keep the receipt outside the database, under a name that follows from its content."""
        if self._archive is None:
            log.warning("erasure_kept_nowhere_else", extra={"erasure_id": erasure.erasure_id})
            return
        content = erasure.receipt.encode()
        name = hashlib.sha256(content).hexdigest()[:16]
        await self._archive.put(f"{_RECEIPTS}{erasure.erasure_id}-{name}", content)


class _Refused:
    """The first place of a pass: from here on, late answers of the learner are refused."""

    name = "tombstones"
    acts = False

    def __init__(self, tombstones: Tombstones, key: bytes, now: Callable[[], datetime]) -> None:
        self._tombstones = tombstones
        self._key = key
        self._now = now

    async def add(self, marks: Collection[bytes]) -> None:
        """Refuse answers of the learners with these *marks*."""
        if marks:
            await self._tombstones.add(marks, now=self._now())

    async def step(self, learner_id: str, after: str | None) -> Step:  # noqa: ARG002  one step is all
        """See the port."""
        await self.add([mark(self._key, learner_id)])
        return Step()

    async def learners(self, after: str | None) -> Named:  # noqa: ARG002  marks tell nobody's uid
        """See the port."""
        return Named()


class _Recorded:
    """The last place of a pass: the ledger of answers, which knows learners by their marks."""

    name = "answers"
    acts = True

    def __init__(self, answers: Erasing, key: bytes) -> None:
        self._answers = answers
        self._key = key

    async def erase(self, marks: Collection[bytes]) -> Erased:
        """Remove the answers of the learners with these *marks*: how many that were, and if it is all."""
        return await self._answers.erase(marks) if marks else Erased(0, settled=True)

    async def step(self, learner_id: str, after: str | None) -> Step:  # noqa: ARG002  one step is all
        """See the port."""
        erased = await self.erase([mark(self._key, learner_id)])
        return Step((), counted(self.name, erased.answers), settled=erased.settled)

    async def learners(self, after: str | None) -> Named:  # noqa: ARG002  marks tell nobody's uid
        """See the port."""
        return Named()
