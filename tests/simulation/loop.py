"""An event loop without a clock, a thread or a socket: time is what the next timer says it is."""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import Any


class Stuck(AssertionError):
    """Nothing is left that could happen, and the work is not done: somebody waits for ever."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """
    Runs callbacks in the order asyncio promises, and timers in the order of their time.

    What happens when is decided by whoever sets the timers, so a seeded simulation runs alike every time.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._now = 0.0
        self._number = 0
        self._running = False
        self.turns = 0
        self.complaints: list[dict[str, Any]] = []

    def time(self) -> float:
        return self._now

    def run(self, main: Coroutine[Any, Any, Any], *, most_turns: int = 2_000_000) -> Any:
        """Run *main* to its end; what else is under way then is left where it stands."""
        events._set_running_loop(self)
        self._running = True
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
                if self.turns > most_turns:
                    message = f"{most_turns} turns, and no end of it"
                    raise Stuck(message)
            return task.result()
        finally:
            self._running = False
            events._set_running_loop(None)

    def run_alone(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run *work* to its end, then end whatever else is under way."""

        async def main() -> None:
            await work
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(main())

    def _turn(self) -> None:
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers:
                message = "everybody waits, and nothing will happen"
                raise Stuck(message)
            self._now = max(self._now, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now:
                self._ready.append(heapq.heappop(self._timers)[2])
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                self.turns += 1
                handle._run()

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        handle._scheduled = True
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # thrown away when its time comes

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "simulated", context=context)
        task._log_destroy_pending = False  # a crash leaves its tasks where they stand
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False
