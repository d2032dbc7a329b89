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
        self._under_way: dict[str, _Flight[ResultT]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    async def share(self, name: str, work: Callable[[], Awaitable[ResultT]]) -> tuple[ResultT, bool]:
        """
        The result of *work*, or of equal work that is under way; and whether it was the latter.

        What *work* raises, all who share it are told. That this caller is cancelled ends nothing but its
        own waiting.
        """
        loop = asyncio.get_running_loop()
        flight = self._under_way.get(name)
        joined = flight is not None
        if flight is None:
            flight = self._under_way[name] = _Flight()
            flight.task = loop.create_task(self._do(name, flight, work))
        # A future for each who waits is what asyncio.shield() makes, too, at several times the cost.
        waiter: asyncio.Future[ResultT] = loop.create_future()
        flight.waiters.append(waiter)
        return await waiter, joined

    async def _do(
        self, name: str, flight: "_Flight[ResultT]", work: Callable[[], Awaitable[ResultT]]
    ) -> None:
        try:
            result = await work()
        except BaseException as error:
            del self._under_way[name]
            flight.failed(error)
            if not isinstance(error, Exception):
                raise
        else:
            del self._under_way[name]
            flight.landed(result)


class _Flight(Generic[ResultT]):
    """One work under way, and who waits for it."""

    __slots__ = ("task", "waiters")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.waiters: list[asyncio.Future[ResultT]] = []

    def landed(self, result: ResultT) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)

    def failed(self, error: BaseException) -> None:
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)
                waiter.exception()  # who is cancelled at this moment will not retrieve it
