"""
The child processes of a run: started together, watched together, ended together.

Three things end them, each enough by itself: :meth:`Children.stop` on the way out; the kernel, which
kills each child when its parent dies (`PR_SET_PDEATHSIG`); and the guard (``guard.py``), which kills
the whole process group, grandchildren included, when the parent's pipe to it closes.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE, run

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5.0
_TAIL_LINES = 25
_WATCH_SECONDS = 0.2

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildDied(Exception):
    """A child ended that should have gone on; the message ends with the tail of its log."""


class NotReady(Exception):
    """A child did not get ready in time; the message ends with the tail of its log."""


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process *signal_number* when its parent ends, however that comes."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def tethered(*command: str | Path) -> list[str]:
    """
    Return *command* so that the kernel kills it when the process that starts it ends, however that comes.

    `setpriv` of util-linux sees to it; where there is none, *command* is returned as it is. To do it
    between fork and exec (`preexec_fn`) is no way: a fork while gRPC is at work in other threads ended
    212 of 1,000 children in a crash before their program began.
    """
    return [*_tether(), *map(str, command)]


@cache
def _tether() -> list[str]:
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    tether = [program or "", "--pdeathsig", "KILL", "--"]
    # That of busybox does not know the option.
    tried = program is not None and run([*tether, program, "--version"], capture_output=True, check=False)
    return tether if tried and tried.returncode == 0 else []


class Child:
    """One process, its log and its name in messages."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def died(self) -> ChildDied:
        """Say that it ended, with which status, and what it said last."""
        code = self.process.returncode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        return ChildDied(f"{self.name} {how}.\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
            return "\n".join([f"The end of {self.log}:", *(f"    {line}" for line in lines)])
        return f"It left no log at {self.log}."


class Children:
    """The child processes of one run, in one process group; made by :func:`children`."""

    def __init__(self, guard: asyncio.subprocess.Process, logs: Path) -> None:
        self._guard = guard
        self._logs = logs
        self._children: list[Child] = []

    async def start(
        self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None
    ) -> Child:
        """Start *command*; what it prints goes to ``{name}.log``. *env* is added to this process's own."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *tethered(*command),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                process_group=self._guard.pid,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    async def ready(
        self, child: Child, probe: Callable[[], Awaitable[bool]], *, timeout_seconds: float = 120.0
    ) -> None:
        """
        Return as soon as *probe* says yes.

        Raises:
            ChildDied: *child* ended instead.
            NotReady: *timeout_seconds* went by.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while not await probe():
            if child.process.returncode is not None:
                raise child.died()
            if asyncio.get_running_loop().time() > deadline:
                message = f"{child.name} was not ready within {timeout_seconds:.0f} s.\n{child.tail()}"
                raise NotReady(message)
            await asyncio.sleep(0.05)

    async def watch(self) -> None:
        """
        Return never.

        Raises:
            ChildDied: one of the children, started before or meanwhile, or the guard, ended.
        """
        guard = Child("guard", self._guard, self._logs / "guard.log")
        while True:
            for child in [guard, *self._children]:
                if child.process.returncode is not None:
                    raise child.died()
            await asyncio.sleep(_WATCH_SECONDS)

    async def stop(self) -> None:
        """End every child: politely, the last one started first; after a few seconds by force."""
        living = [child for child in reversed(self._children) if child.process.returncode is None]
        for child in living:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await asyncio.gather(*(child.process.wait() for child in living))
        except TimeoutError:
            for child in living:
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
            await asyncio.gather(*(child.process.wait() for child in living))


@asynccontextmanager
async def children(*, logs: Path, remove: Sequence[Path] = ()) -> AsyncIterator[Children]:
    """
    Give a place to start processes from; when it is left, none of them remains.

    *logs* is made if need be. *remove* names files and folders that must go with the processes even
    when this process is killed.
    """
    logs.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  once, at the start
    script = Path(__file__).with_name("guard.py")
    guard = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(script),
        *map(str, remove),
        stdin=PIPE,
        stdout=DEVNULL,
        process_group=0,
    )
    started = Children(guard, logs)
    try:
        yield started
    finally:
        await asyncio.shield(_end(started, guard))


async def _end(started: Children, guard: asyncio.subprocess.Process) -> None:
    await started.stop()
    if guard.stdin is not None:
        guard.stdin.close()
    await guard.wait()
