"""Concurrent creations share a round trip; each still learns its own outcome, after it is durable."""

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.documents.base import Create, Documents, Fields, Written
from shared.documents.metering import Bill, current, divided
from shared.errors import Unavailable

_MOST_TOGETHER = 200
_MOST_BYTES = 1_000_000
_IN_FLIGHT = 2
_TRIES = 3
_PAUSE_SECONDS = 0.05


class Creation(NamedTuple):
    """Whether there was a document already, and whether an unanswered attempt before may have made it."""

    existed: bool
    repeated: bool


@dataclass(slots=True)
class _Waiting:
    creation: Create
    size: int
    payers: tuple[Bill, ...] = field(default_factory=current)
    outcome: asyncio.Future[Creation] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class GroupCommit:
    """
    Creates documents, many to a round trip.

    There is no timer. What arrives while the round trips allowed are under way goes with the next:
    a lone creation waits for nobody, and the busier it gets, the more share. Nobody hears of success
    before the store has confirmed it. A caller that gives up does not take the others' round trip along.
    """

    def __init__(self, documents: Documents) -> None:
        """Write to *documents*."""
        self._documents = documents
        self._waiting: dict[str, _Waiting] = {}
        self._later: list[_Waiting] = []
        self._flying: set[asyncio.Task[list[Creation]]] = set()

    async def create(self, path: str, fields: Fields, *, size: int) -> Creation:
        """
        Create the document at *path*, about *size* bytes long.

        Raises:
            Unavailable: it is not known whether the document was created.
        """
        waiting = _Waiting(Create(path, fields), size)
        if path in self._waiting:
            # The same document twice in one batch would fail it: the second goes with the next.
            self._later.append(waiting)
        else:
            self._waiting[path] = waiting
        self._take_off()
        return await waiting.outcome

    def _take_off(self) -> None:
        if (self._waiting or self._later) and len(self._flying) < _IN_FLIGHT:
            batch: list[_Waiting] = []
            task = asyncio.create_task(self._fly(batch))
            self._flying.add(task)
            task.add_done_callback(lambda done: self._landed(done, batch))

    def _landed(self, task: asyncio.Task[list[Creation]], batch: list[_Waiting]) -> None:
        self._flying.discard(task)
        failure = Unavailable("the process is ending") if task.cancelled() else task.exception()
        outcomes = [] if failure else task.result()
        for number, waiting in enumerate(batch):
            if waiting.outcome.done():
                continue
            if failure is None:
                waiting.outcome.set_result(outcomes[number])
            else:
                waiting.outcome.set_exception(failure)
                waiting.outcome.exception()  # a caller that gave up must not leave a warning behind
        self._take_off()

    async def _fly(self, batch: list[_Waiting]) -> list[Creation]:
        await asyncio.sleep(0)  # let what arrived in the same turn of the loop get in
        size = 0
        later, self._later = self._later, []
        for waiting in later:
            if self._waiting.setdefault(waiting.creation.path, waiting) is not waiting:
                self._later.append(waiting)
        while self._waiting and len(batch) < _MOST_TOGETHER:
            path = next(iter(self._waiting))
            size += self._waiting[path].size
            if batch and size > _MOST_BYTES:
                break
            batch.append(self._waiting.pop(path))
        if not batch:
            return []
        with divided([payer for waiting in batch for payer in waiting.payers]):
            return await self._create([waiting.creation for waiting in batch])

    async def _create(self, creations: list[Create]) -> list[Creation]:
        for attempt in range(1, _TRIES + 1):
            try:
                outcomes = await self._documents.create_each(creations)
                return [Creation(outcome is Written.EXISTS, attempt > 1) for outcome in outcomes]
            except Unavailable:
                # Creating again is safe; what the lost attempt did shows as a document that exists.
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError
