"""An event loop without a clock, a thread or a socket: time is what the next timer says it is."""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any


class Stuck(AssertionError):
    """Nothing is left that could happen, and the work is not done: somebody waits for ever."""


class _Callback:
    """What asyncio's handles are, without their looks for debuggers: most of what a simulation makes."""

    __slots__ = ("_args", "_callback", "_context", "_when", "dropped")

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self.dropped = False

    def run(self) -> None:
        self._context.run(self._callback, *self._args)

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.dropped = True
        self._args = ()  # what it would have been given may go

    def cancelled(self) -> bool:
        return self.dropped


class SimulatedLoop(asyncio.AbstractEventLoop):
    """
    Runs callbacks in the order asyncio promises, and timers in the order of their time.

    What happens when is decided by whoever sets the timers, so a seeded simulation runs alike every time.
    """

    def __init__(self) -> None:
        self._ready: deque[_Callback] = deque()
        self._timers: list[tuple[float, int, _Callback]] = []
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
        ready = self._ready
        if not ready:
            ready.append(self._next_timer())
        for _ in range(len(ready)):
            callback = ready.popleft()
            if not callback.dropped:
                self.turns += 1
                callback.run()

    def _next_timer(self) -> _Callback:
        timers = self._timers
        while timers:
            when, _, callback = heapq.heappop(timers)
            if not callback.dropped:
                self._now = max(self._now, when)
                return callback
        message = "everybody waits, and nothing will happen"
        raise Stuck(message)

    # What is typed as asyncio's handles can do all that asyncio itself asks of them.

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = _Callback(self._now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = _Callback(when, callback, args, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

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
