"""
Real processes under attack: clients, messages and their repetition around them, as the platform has it.

Whoever waits for a process that dies tries again, with the same submission id or the same message.
"""

import asyncio
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from shared.learning.answers import AnswerSubmitted, encode
from shared.learning.assignments import GradingPolicy
from tests.checker import Told, Wrong
from tests.faults import worker
from tests.simulation import forms

_LINE_BYTES = 8 * 1024 * 1024
_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["tests.faults.worker"])


class Gone(Exception):
    """The process died, or did not answer in time."""


class Failed(Exception):
    """The process says that it could not do it."""


@dataclass
class _Slot:
    process: Any = None
    writer: asyncio.StreamWriter | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    asked: dict[int, asyncio.Future[None]] = field(default_factory=dict)


class Fleet:
    """Some processes; use it as a context."""

    def __init__(
        self,
        folder: Path,
        *,
        project: str,
        firestore: str,
        size: int,
        seed: int,
        variant: str = "sound",
        page_bytes: int = 2000,
    ) -> None:
        self.rng = random.Random(seed)
        self.told = Told()
        self.form = forms.make("assignment", 4, GradingPolicy())
        self.latencies: list[float] = []
        self.kills = 0
        self.deliveries = 0
        self._path = str(folder / f"fleet-{seed}")
        self._config = {
            "project": project,
            "firestore": firestore,
            "variant": variant,
            "page_bytes": page_bytes,
        }
        self._slots = [_Slot() for _ in range(size)]
        self._ids = itertools.count()
        self._background: set[asyncio.Task[Any]] = set()
        self._carried: set[asyncio.Task[Any]] = set()
        self.accepters = range(size)
        self.mergers = range(size)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connected, self._path, limit=_LINE_BYTES)
        for slot in range(len(self._slots)):
            self._start(slot)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._background | self._carried:
            task.cancel()
        for slot in self._slots:
            if slot.process is not None and slot.process.is_alive():
                slot.process.kill()
            if slot.process is not None:
                slot.process.join()
                slot.process.close()
            if slot.writer is not None:
                slot.writer.close()
        await asyncio.sleep(0)

    def _start(self, slot: int) -> None:
        place = self._slots[slot]
        place.ready.clear()
        place.process = _forking.Process(
            target=worker.main, args=(self._path, slot, self._config), daemon=True
        )
        place.process.start()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = json.loads(await reader.readline() or b"{}")
        except (ValueError, ConnectionError):
            hello = {}
        if "slot" not in hello:
            writer.close()
            return
        slot = self._slots[hello["slot"]]
        slot.writer = writer
        slot.ready.set()
        try:
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    break  # killed in the middle of a word
                self._heard(slot, json.loads(line))
        except ConnectionError:
            pass
        writer.close()
        if slot.writer is writer:
            self._lose(slot)

    def _heard(self, slot: _Slot, said: dict[str, Any]) -> None:
        if "publish" in said:
            self._carry_often(said["publish"])
            return
        future = slot.asked.pop(said["id"], None)
        if future is not None and not future.done():
            if "error" in said:
                future.set_exception(Failed(said["error"]))
            else:
                future.set_result(None)

    def _lose(self, slot: _Slot) -> None:
        slot.writer = None
        slot.ready.clear()
        asked, slot.asked = slot.asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Gone())

    async def ask(self, slot: int, patience: float = 60.0, **request: Any) -> None:
        """Have the process in *slot* do something."""
        place = self._slots[slot]
        try:
            async with asyncio.timeout(patience):
                await place.ready.wait()
                number = next(self._ids)
                future = place.asked[number] = asyncio.get_running_loop().create_future()
                assert place.writer is not None
                place.writer.write(json.dumps({**request, "id": number}).encode() + b"\n")
                await future
        except (TimeoutError, ConnectionError) as error:
            raise Gone from error

    # What is done to the processes.

    def kill(self, slot: int) -> None:
        """End a process as the kernel does, and start another."""
        place = self._slots[slot]
        place.process.kill()
        place.process.join()
        place.process.close()
        self.kills += 1
        if place.writer is not None:
            # What it had said before it died still arrives; who waits for it hears when that is read.
            place.ready.clear()
        self._start(slot)

    async def terminate(self, slot: int) -> float:
        """End a process politely, start another, and say how long that took."""
        place = self._slots[slot]
        began = time.monotonic()
        process = place.process
        os.kill(process.pid, signal.SIGTERM)
        place.ready.clear()
        await asyncio.to_thread(process.join, 10)
        took = time.monotonic() - began
        assert process.exitcode == 0, process.exitcode
        process.close()
        self._start(slot)
        return took

    async def pause(self, slot: int, seconds: float) -> None:
        """Stop a process for a while, as a throttled processor does."""
        pid = self._slots[slot].process.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    # Clients and messages.

    async def submit(self, number: int) -> None:
        """One learner's answer, until it is acknowledged."""
        question = self.rng.choice(self.form.questions).question_id
        event = AnswerSubmitted(
            assignment_id="assignment",
            question_id=question,
            student_id=f"student-{self.rng.randrange(40)}",
            submission_id=f"submission-{number}",
            answer=forms.some_answer(self.rng, question),
            submitted_at=1_000_000,
            source="function",
        )
        self.told.offer(event)
        began = time.monotonic()
        while True:
            try:
                await self.ask(self.rng.choice(self.accepters), 15.0, do="accept", event=encode(event))
            except (Gone, Failed):
                await asyncio.sleep(self.rng.random() * 0.1)
                continue
            self.latencies.append(time.monotonic() - began)
            self.told.acknowledge(event)
            return

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have *work* done beside the rest, until the fleet settles."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _carry_often(self, data: str) -> None:
        if self.rng.random() < 0.05:
            return  # lost: the sweep's to find
        for _ in range(self.rng.choice([1, 1, 1, 2, 5])):
            task = asyncio.create_task(self._carry(data))
            self._carried.add(task)
            task.add_done_callback(self._carried.discard)

    async def _carry(self, data: str) -> None:
        await asyncio.sleep(self.rng.random() * self.rng.choice([0.0, 0.05, 0.3]))
        while True:
            self.deliveries += 1
            try:
                await self.ask(self.rng.choice(self.mergers), do="merge", data=data)
            except (Gone, Failed):
                await asyncio.sleep(0.02 + self.rng.random() * 0.2)
            else:
                return

    async def load(self, clients: int, go_on: Callable[[int], bool]) -> int:
        """Have *clients* submit one answer after another while *go_on*; returns how many."""
        numbers = itertools.count()
        made = 0

        async def client() -> None:
            nonlocal made
            while go_on(made):
                made += 1
                await self.submit(next(numbers))
                await asyncio.sleep(self.rng.random() * 0.05)

        await asyncio.gather(*(client() for _ in range(clients)))
        return made

    async def settle(self, patience: float = 90.0) -> None:
        """
        Let all messages arrive, and sweep.

        Raises:
            Wrong: that has no end.
        """
        for task in self._background:
            task.cancel()
        try:
            async with asyncio.timeout(patience):
                while self._carried:
                    await asyncio.wait(self._carried)
        except TimeoutError:
            never = f"{len(self._carried)} messages are still refused after {patience:.0f} s of quiet"
            raise Wrong([never]) from None
        await asyncio.sleep(0.3)
        for _ in range(10):
            try:
                await self.ask(self.mergers[0], do="sweep")
            except (Gone, Failed):
                continue
            return
        never = "the sweep does not get done"
        raise Wrong([never])
