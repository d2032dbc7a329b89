"""Round trips to the store that several callers share: each waits for its own outcome only."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.documents.metering import Bill, current, divided
from shared.errors import Unavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    paths: Sequence[str]
    size: int
    payers: tuple[Bill, ...] = field(default_factory=current)
    outcome: "asyncio.Future[Outcome]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class RoundTrips(Generic[Item, Outcome]):
    """
    Sends items, many to a round trip.

    There is no timer. What arrives while the round trips allowed are under way goes with the next: a
    lone item waits for nobody, and the busier it gets, the more share. Two items that name one
    document never share. A caller that gives up does not take the others' round trip along.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Outcome | BaseException]]],
        *,
        in_flight: int,
        most_documents: int,
        most_bytes: int,
    ) -> None:
        """
        Make round trips by *send*, which returns what became of each item, or raises what became of all.

        At most *in_flight* are under way at once, with *most_documents* and *most_bytes* each, unless
        a single item is larger.
        """
        self._send = send
        self._in_flight = in_flight
        self._most_documents = most_documents
        self._most_bytes = most_bytes
        self._waiting: deque[_Waiting[Item, Outcome]] = deque()
        self._flying: set[asyncio.Task[Sequence[Outcome | BaseException]]] = set()

    async def take(self, item: Item, *, paths: Sequence[str], size: int) -> Outcome:
        """
        What became of *item*, which concerns the documents at *paths* and is about *size* bytes long.

        Raises:
            Unavailable: the process is ending, and it is not known.
        """
        waiting: _Waiting[Item, Outcome] = _Waiting(item, paths, size)
        self._waiting.append(waiting)
        self._take_off()
        return await waiting.outcome

    def _take_off(self) -> None:
        if self._waiting and len(self._flying) < self._in_flight:
            batch: list[_Waiting[Item, Outcome]] = []
            task = asyncio.create_task(self._fly(batch))
            self._flying.add(task)
            task.add_done_callback(lambda done: self._landed(done, batch))

    def _landed(
        self, task: "asyncio.Task[Sequence[Outcome | BaseException]]", batch: list[_Waiting[Item, Outcome]]
    ) -> None:
        self._flying.discard(task)
        failure = Unavailable("the process is ending") if task.cancelled() else task.exception()
        outcomes = [failure] * len(batch) if failure else task.result()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.outcome.done():
                continue
            if isinstance(outcome, BaseException):
                waiting.outcome.set_exception(outcome)
                waiting.outcome.exception()  # a caller that gave up must not leave a warning behind
            else:
                waiting.outcome.set_result(outcome)
        self._take_off()

    async def _fly(self, batch: list[_Waiting[Item, Outcome]]) -> Sequence[Outcome | BaseException]:
        await asyncio.sleep(0)  # let what arrived in the same turn of the loop get in
        self._board(batch)
        if not batch:
            return []
        with divided(_payers(batch)):
            return await self._send([waiting.item for waiting in batch])

    def _board(self, batch: list[_Waiting[Item, Outcome]]) -> None:
        """Fill *batch* with the first that wait, as many as fit."""
        paths: set[str] = set()
        size = 0
        left: list[_Waiting[Item, Outcome]] = []
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.outcome.done():
                continue  # whoever asked has given up
            full = (
                len(paths) + len(waiting.paths) > self._most_documents
                or size + waiting.size > self._most_bytes
            )
            if batch and full:
                left.append(waiting)
                break
            if not paths.isdisjoint(waiting.paths):
                left.append(waiting)
                continue
            batch.append(waiting)
            paths |= set(waiting.paths)
            size += waiting.size
        self._waiting.extendleft(reversed(left))


def _payers(batch: Sequence[_Waiting[Item, Outcome]]) -> list[Bill]:
    """Who pays for each document of *batch*."""
    return [
        waiting.payers[place % len(waiting.payers)]
        for waiting in batch
        if waiting.payers
        for place in range(len(waiting.paths))
    ]
