"""Erasing a learner everywhere: asked for, carried on, proven, and done again after a restore."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.edge import cursors, endpoint
from shared.edge.logs import log
from shared.edge.registry import Role
from shared.erasures import receipts
from shared.erasures.receipts import Erased, ErasureId
from shared.erasures.record import Erasure
from shared.errors import InvalidRequest, LecternError, NotSignedIn
from shared.learning.answers import microseconds, to_text
from shared.learning.facts import Fact, LearnerId
from shared.wiring import Services

ERASE_SECONDS = 60
REAPPLY_SECONDS = 300
CONTINUE_SECONDS = 540

_MARGIN_SECONDS = 15.0
"""Kept for what a place may take that was begun in time."""
_RECENT = timedelta(minutes=15)
_SCOPE = "reapply_erasures"


class EraseLearner(Fact):
    """Who is to be erased; ``confirm`` is the same uid once more, as nothing brings them back."""

    learner_id: LearnerId
    confirm: Annotated[str, StringConstraints(max_length=128)]


class GetErasure(Fact):
    """Which erasure."""

    erasure_id: ErasureId


class ErasureReply(Fact):
    """
    How an erasure stands.

    ``erasing`` goes on within the hour, ``waiting`` goes through everything again after ``resumeAt``, until
    it finds nothing; ``closing`` and ``closed`` have a receipt. ``counts`` are what was removed so far, by
    collection. ``round`` is above 1 where a learner has come back and was erased again.
    """

    erasure_id: ErasureId
    state: Literal["erasing", "waiting", "closing", "closed"]
    round: int
    passes: int
    counts: dict[str, int]
    requested_at: str
    resume_at: str | None
    closed_at: str | None
    receipt: str | None


class VerifyErasure(Fact):
    """A receipt of an erasure."""

    receipt: Annotated[str, StringConstraints(max_length=8192)]


class ReapplyErasures(Fact):
    """Where to go on, from the reply before; without, from the beginning."""

    cursor: Annotated[str, Field(max_length=1024)] | None = None


class ReapplyReply(Fact):
    """
    Of ``erased`` learners ``met`` were there again, and are being erased; so are ``answers`` of theirs.

    ``answers`` is null and ``nextCursor`` given where time did not suffice: call again with it. When a call
    meets nobody and no answers, nobody is left.
    """

    erased: int
    met: int
    answers: int | None
    next_cursor: str | None


class ErasureReport(Fact):
    """Erasures that were closed, and those that are still open."""

    closed: int
    open: int


@endpoint.client_call(
    role=Role.ADMIN, status=202, deadline_seconds=ERASE_SECONDS, max_body_bytes=4 * endpoint.KIB
)
async def erase_learner(command: EraseLearner, call: endpoint.Call) -> ErasureReply:
    """
    Erase a learner in all courses, their account included; what is not done at once goes on by itself.

    For admins who signed in within the last 15 minutes. Safe to repeat, which tells how it stands; a learner
    who has come back since is erased again. It need not be anybody who is known.
    """
    if call.now - call.principal.signed_in_at > _RECENT:
        raise NotSignedIn("sign in again before you erase somebody")
    if command.confirm != command.learner_id:
        raise InvalidRequest("confirm is not the learner's id")
    erasures = call.services.erasures
    erasure = await erasures.open(command.learner_id, by=call.principal.uid)
    until = asyncio.get_running_loop().time() + call.left_of(ERASE_SECONDS - _MARGIN_SECONDS)
    try:
        erasure = await erasures.work(erasure.erasure_id, until=until)
    except LecternError as error:
        # It is on record, and goes on within the hour.
        log.warning("erasure_waits", extra={"erasure_id": erasure.erasure_id}, exc_info=error)
    return _reply(erasure)


@endpoint.client_call(role=Role.ADMIN, max_body_bytes=4 * endpoint.KIB)
async def get_erasure(command: GetErasure, call: endpoint.Call) -> ErasureReply:
    """Say how an erasure stands, and return its receipt when it is closed; for admins."""
    return _reply(await call.services.erasures.get(command.erasure_id))


@endpoint.client_call(max_body_bytes=16 * endpoint.KIB)
async def verify_erasure(command: VerifyErasure, call: endpoint.Call) -> Erased:
    """Say what a receipt of an erasure vouches for; for everybody who holds one."""
    return receipts.read(command.receipt, key=call.services.receipt_key)


@endpoint.client_call(role=Role.ADMIN, deadline_seconds=REAPPLY_SECONDS, max_body_bytes=4 * endpoint.KIB)
async def reapply_erasures(command: ReapplyErasures, call: endpoint.Call) -> ReapplyReply:
    """Erase once more, after a restore, whom the archive knows as erased; for admins."""
    key = call.services.receipt_key
    following = cursors.read(command.cursor, scope=_SCOPE, key=key) if command.cursor else ""
    now = asyncio.get_running_loop().time()
    done = await call.services.erasures.reapply(
        by=call.principal.uid,
        following=str(following),
        until=now + call.left_of(REAPPLY_SECONDS / 2),
    )
    if not done.following:
        until = now + call.left_of(REAPPLY_SECONDS - _MARGIN_SECONDS)
        try:
            await call.services.erasures.resume(until=until)
        except LecternError as error:
            log.warning("erasure_waits", exc_info=error)
    return ReapplyReply(
        erased=done.marks,
        met=done.met,
        answers=done.answers,
        next_cursor=cursors.write(done.following, scope=_SCOPE, key=key) if done.following else None,
    )


@endpoint.schedule("10 * * * *", deadline_seconds=CONTINUE_SECONDS)
async def continue_erasures(services: Services) -> ErasureReport:
    """Go on with every erasure that is open."""
    until = asyncio.get_running_loop().time() + CONTINUE_SECONDS - _MARGIN_SECONDS
    done = await services.erasures.resume(until=until)
    return ErasureReport(closed=done.closed, open=done.open)


def _reply(erasure: Erasure) -> ErasureReply:
    return ErasureReply(
        erasure_id=erasure.erasure_id,
        state=erasure.state.value,
        round=erasure.round,
        passes=erasure.passes,
        counts=dict(erasure.counts),
        requested_at=_text(erasure.requested_at),
        resume_at=_text(erasure.resume_at) if erasure.resume_at is not None else None,
        closed_at=_text(erasure.closed_at) if erasure.closed_at is not None else None,
        receipt=erasure.receipt or None,
    )


def _text(moment: datetime) -> str:
    return to_text(microseconds(moment))
