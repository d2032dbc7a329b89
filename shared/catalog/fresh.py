"""What was read lately, remembered for a while and as far as there is room."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

ValueT = TypeVar("ValueT")


@dataclass(eq=False, slots=True)
class _Read(Generic[ValueT]):
    """One value or its reading, until when it is fresh, and how much room it takes."""

    task: asyncio.Task[ValueT]
    until: float
    weight: int = 1


class Fresh(Generic[ValueT]):
    """
    Values read not longer than some seconds ago; concurrent readers of one key share the read.

    Each takes as much of the *room* as *weigh* says of it, but at least 1, as while it is being read or
    where there is nothing; what was asked for longest ago goes first.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        *,
        room: int = 2000,  # a few hundred bytes each
        weigh: Callable[[Any], int] = lambda _: 1,
    ) -> None:
        """Keep values for *seconds* by *clock*."""
        self._seconds = seconds
        self._clock = clock
        self._room = room
        self._weigh = weigh
        self._taken = 0
        self._reads: OrderedDict[Hashable, _Read[ValueT]] = OrderedDict()

    async def get(self, key: Hashable, read: Callable[[], Awaitable[ValueT]]) -> ValueT:
        """The value of *key*: as it is remembered, or as *read* reads it."""
        known = self._reads.get(key)
        if known is not None:
            task = known.task
            if not task.done():
                return await asyncio.shield(task)
            if self._clock() < known.until and _is_there(task):
                self._reads.move_to_end(key)
                return task.result()
            self.forget(key)
        reading = _Read(asyncio.ensure_future(_awaited(read)), self._clock() + self._seconds)
        self._reads[key] = reading
        self._take(reading.weight)
        reading.task.add_done_callback(lambda _: self._came(key, reading))
        return await asyncio.shield(reading.task)

    def knows(self, key: Hashable) -> bool:
        """Whether *key* is remembered, or being read."""
        return key in self._reads

    def forget(self, key: Hashable) -> None:
        """Read *key* anew next time."""
        known = self._reads.pop(key, None)
        if known is not None:
            self._taken -= known.weight

    def __len__(self) -> int:
        """How many are remembered, or being read."""
        return len(self._reads)

    def _came(self, key: Hashable, read: _Read[ValueT]) -> None:
        if self._reads.get(key) is read and _is_there(read.task):
            before, read.weight = read.weight, max(1, self._weigh(read.task.result()))
            self._take(read.weight - before)

    def _take(self, room: int) -> None:
        self._taken += room
        while self._taken > self._room:
            self.forget(next(iter(self._reads)))


def _is_there(task: "asyncio.Task[Any]") -> bool:
    # That something was missing is not remembered: it may have been created since.
    return not task.cancelled() and task.exception() is None and task.result() is not None


async def _awaited(read: Callable[[], Awaitable[ValueT]]) -> ValueT:
    return await read()
