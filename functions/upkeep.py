"""What keeps assignment documents true: merging, sweeping, cleaning up."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.edge import endpoint
from shared.edge.logs import log
from shared.edge.registry import Capacity
from shared.errors import LecternError
from shared.learning.facts import Fact
from shared.topics import doorbell
from shared.topics.base import ANSWERS_WAITING, Message
from shared.wiring import Services

_MERGING = Capacity(concurrency=500)
"""Messages mostly wait for each other: the more of them one worker has, the fewer its merges and races."""


class SweepReport(Fact):
    """Answers that the sweep merged because no message had brought them, and documents set aside."""

    answers: int
    unreadable: int


class CleanUpReport(Fact):
    """What was tidied; ``expired`` documents are those of limits and budgets; ``discrepancies`` must be 0."""

    assignments: int
    joined: int
    archived: int
    dropped: int
    discrepancies: int
    expired: int = 0


@endpoint.topic(ANSWERS_WAITING, doorbell=True, capacity=_MERGING)
async def merge_answers(message: Message, services: Services) -> None:
    """Merge the answers in a message into their assignments."""
    events = doorbell.read(message.data, key=services.receipt_key)
    await services.merger.merge(events, by="message")


@endpoint.schedule("*/5 * * * *")
async def sweep_pending(services: Services) -> SweepReport:
    """Merge every pending answer that no message brought."""
    swept = await services.sweep.run()
    if swept.answers:
        log.warning("answers_swept", extra={"answers": swept.answers})
    return SweepReport(answers=swept.answers, unreadable=swept.unreadable)


@endpoint.schedule("0 2 * * *")
async def clean_up(services: Services) -> CleanUpReport:
    """
    Join and archive segments, count everything again, and remove what has expired.

    A part that fails does not keep the others from being done; then the whole fails, and is asked for again.
    """
    failures: list[LecternError] = []
    with _afterwards(failures):
        await services.sweep.run()
    with _afterwards(failures):
        tidied = await services.tidying.run()
    with _afterwards(failures):
        expired = await services.remove_expired()
    if failures:
        raise failures[0]
    return CleanUpReport(
        assignments=tidied.assignments,
        joined=tidied.joined,
        archived=tidied.archived,
        dropped=tidied.dropped,
        discrepancies=tidied.discrepancies,
        expired=expired,
    )


@contextmanager
def _afterwards(failures: list[LecternError]) -> Iterator[None]:
    """Go on where something fails, and keep why in *failures*."""
    try:
        yield
    except LecternError as error:
        log.error("clean_up_incomplete", exc_info=error)
        failures.append(error)
