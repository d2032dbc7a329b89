"""
Identical work that is asked for at the same time is done once.

The work is a task of its own: whoever asked first may leave, and the others still get its result.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

ResultT = TypeVar("ResultT")


class Flights(Generic[ResultT]):
    """Work under way, by name."""

    def __init__(self) -> None:
        """Begin with none."""
        self._under_way: dict[str, asyncio.Task[ResultT]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    async def share(self, name: str, work: Callable[[], Awaitable[ResultT]]) -> tuple[ResultT, bool]:
        """
        The result of *work*, or of equal work that is under way; and whether it was the latter.

        What *work* raises, all who share it are told. That this caller is cancelled ends nothing but its
        own waiting.
        """
        task = self._under_way.get(name)
        joined = task is not None
        if task is None:
            task = asyncio.ensure_future(work())
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._over(name, done))
        return await asyncio.shield(task), joined

    def _over(self, name: str, task: asyncio.Task[ResultT]) -> None:
        if self._under_way.get(name) is task:
            del self._under_way[name]
        if not task.cancelled():
            task.exception()  # told to whoever still waits; if nobody does, it is nobody's
