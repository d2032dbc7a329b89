"""
One fault at one place: a journey on a real store in which the n-th operation of one handler goes wrong.

The process is killed before or after the operation, or the operation's request or reply is lost. Then a
new process goes on as the platform would have it: clients resend, messages and events come again, the
sweep runs. The checker says whether anybody can tell.
"""

import asyncio
import contextlib
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from shared.documents.base import Create, Documents, Version, Write, Written
from shared.errors import Unavailable
from shared.learning.answers import AnswerSubmitted, canonical, microseconds
from shared.learning.assignments import GradingPolicy
from shared.learning.marks import mark
from shared.ledger.archive import SETTLED_AFTER
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from shared.wiring import Services
from tests.checker import Told, Wrong, check
from tests.faults import figures
from tests.faults.faulty import FaultyDocuments
from tests.faults.services import FaultyServices, MemoryArchive, accept, merge_created, merge_message
from tests.mutants import SOUND, Variant
from tests.simulation import forms


class Fault(Enum):
    """What happens to the operation."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"


class Killed(BaseException):
    """The process is no more: nothing that it tries has an effect."""


class Process:
    """A process in which the operation of number *at* meets *fault*; without *at*, none does."""

    def __init__(self, fault: Fault | None = None, at: int = -1) -> None:
        self._fault = fault
        self._at = at
        self.dead = False
        self.operations: list[str] = []
        self.services: Services | None = None
        self._successor: Process | None = None

    def successor(self) -> "Process":
        """The process that the platform starts when this one is dead."""
        if self._successor is None:
            self._successor = Process()
        return self._successor

    @property
    def met(self) -> bool:
        """Whether it got as far as the fault."""
        return len(self.operations) > self._at >= 0

    def divides(self) -> bool:
        return False

    async def perform(self, operation: str, detail: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise Killed
        number = len(self.operations)
        self.operations.append(f"{operation} {detail}")
        if number != self._at:
            return await effect()
        if self._fault is Fault.KILLED_BEFORE:
            self.dead = True
            raise Killed
        if self._fault is Fault.REQUEST_LOST:
            raise Unavailable(operation)
        await effect()
        if self._fault is Fault.KILLED_AFTER:
            self.dead = True
            raise Killed
        raise Unavailable(operation)


SEED = figures.number("LECTERN_FIRST_SEED", 0)
"""Another seed has other learners, who lie elsewhere on the line of shards."""


class Journey:
    """Answers of a few learners on their way; each step is one handler's work."""

    STEPS = ("accept", "merge", "trigger", "merge_late", "sweep", "clean_up", "erase", "rebuild")

    def __init__(self, documents: Documents, variant: Variant = SOUND) -> None:
        self._documents = documents
        self._variant = variant
        self._topic = MemoryTopic()
        self._archived: dict[str, bytes] = {}
        self._told = Told()
        self._form = forms.make("assignment", 3, GradingPolicy())
        self._began = datetime.now(UTC) - timedelta(minutes=10)
        self._number = 0
        self._ahead = timedelta(0)
        self._gone: set[str] = set()

    def services(self, process: Process) -> Services:
        """Lectern's parts in *process*; pages are so small that the late merge splits the shard."""
        if process.services is None:
            process.services = self._wired(process)
        return process.services

    def _wired(self, process: Process) -> Services:
        class Topic:
            async def publish(_, message: Any) -> None:  # noqa: N805  the journey is self
                await process.perform("publish", message.ordering_key, lambda: self._topic.publish(message))

        return FaultyServices(
            documents=FaultyDocuments(self._documents, process),
            topic=Topic(),
            archive=MemoryArchive(self._archived, process.perform),
            now=lambda: datetime.now(UTC) + self._ahead,
            clock=time.monotonic,
            jitter=lambda: 0.1,
            merging=MergeSettings(
                gather_seconds=0, gather_events=1, merge_seconds=0, page_bytes=450, rollup_seconds=0
            ),
            variant=self._variant,
            young=timedelta(0),
        )

    def on(self, documents: Documents) -> "Journey":
        """Another journey that is as far as this one, on *documents*."""
        other = copy.copy(self)
        other._documents = documents
        other._topic = MemoryTopic()
        other._topic.messages = list(self._topic.messages)
        other._archived = dict(self._archived)
        other._told = Told(dict(self._told.offered), set(self._told.acknowledged))
        return other

    async def begin(self) -> None:
        """Make the assignment."""
        await self._documents.commit(forms.documents_of(self._form, self._began))

    def _answer(self, student: str, question: str, which: int, source: str = "function") -> AnswerSubmitted:
        self._number += 1
        event = AnswerSubmitted(
            assignment_id="assignment",
            question_id=question,
            student_id=f"{student}{SEED or ''}",
            submission_id=f"submission-{self._number}",
            answer=canonical(forms.ANSWERS[question][which]),
            submitted_at=microseconds(self._began) + self._number,
            source=source,
        )
        if event.student_id not in self._gone:
            self._told.offer(event)
        return event

    async def step(self, name: str, process: Process) -> None:
        """Do the work of one step, and whatever a platform does when the process in it dies or fails."""
        await getattr(self, f"_{name}")(process)

    async def _until_done(self, process: Process, work: Callable[[Services], Awaitable[Any]]) -> Any:
        for _ in range(5):
            if process.dead:
                process = process.successor()
            try:
                return await work(self.services(process))
            except (Killed, Unavailable):
                continue
        wrong = "it does not get done, however often it is tried"
        raise Wrong([wrong])

    async def _submit(self, process: Process, events: list[AnswerSubmitted]) -> None:
        async def submit(event: AnswerSubmitted) -> None:
            recorded = await self._until_done(process, lambda services: accept(services, event))
            if event.student_id not in self._gone:
                self._told.acknowledge(recorded.event)

        await asyncio.gather(*map(submit, events))

    async def _accept(self, process: Process) -> None:
        first, second = self._answer("ann", "one", 0), self._answer("ann", "one", 1)
        await self._submit(process, [first])
        await self._submit(process, [second, self._answer("bob", "truth", 0)])

    async def _merge(self, process: Process) -> None:
        messages, self._topic.messages = self._topic.messages, []
        for message in [*reversed(messages), *messages]:  # out of order, and twice
            await self._until_done(
                process, lambda services, message=message: merge_message(services, message)
            )

    async def _trigger(self, process: Process) -> None:
        event = self._answer("cid", "number", 1, source="browser")
        fields = {
            "assignmentId": event.assignment_id,
            "questionId": event.question_id,
            "studentId": event.student_id,
            "submissionId": event.submission_id,
            "answer": forms.ANSWERS["number"][1],
            "submittedAt": self._began + timedelta(seconds=1),
        }
        await self._documents.commit([Create(f"browserAnswers/{event.event_id}", fields)])
        self._told.acknowledge(event)
        await self._until_done(process, lambda services: merge_created(services, event.event_id, fields))

    async def _merge_late(self, process: Process) -> None:
        students = ("ann", "bob", "dee", "eve")
        for question in ("one", "truth", "number"):
            await self._submit(Process(), [self._answer(student, question, 1) for student in students])
        await self._merge(process)

    async def _sweep(self, process: Process) -> None:
        await self._submit(
            Process(), [self._answer(student, "truth", 1) for student in ("ann", "fay", "gus")]
        )
        self._topic.messages = []  # lost
        await self._until_done(process, lambda services: services.sweep.run())

    async def _clean_up(self, process: Process) -> None:
        await self._until_done(process, lambda services: services.tidying.run())
        await self._until_done(Process(), lambda services: services.tidying.run())

    async def _erase(self, process: Process) -> None:
        """Erase a learner whose answers are in the archive, in segments and on their way."""
        await self._submit(Process(), [self._answer("ann", "truth", 0), self._answer("bob", "truth", 1)])
        student = f"ann{SEED or ''}"
        with contextlib.suppress(Killed, Unavailable):
            await self._erased(self.services(process), student)
        # However far that got, a replay comes to what is live.
        await self._rebuild(Process())
        for ahead in (timedelta(0), 2 * SETTLED_AFTER):  # the second sees that nothing is left
            self._ahead = ahead
            erased = await self._until_done(process, lambda services: self._erased(services, student))
            process = process.successor() if process.dead else process
        if erased.answers or not erased.settled:
            raise Wrong(["something was left of who was erased"])
        await self._merge(Process())  # what comes late is dropped
        self._gone = {student}
        self._told.forget(student)

    async def _erased(self, services: Services, student: str) -> Any:
        marks = [mark(services.receipt_key, student)]
        await services.tombstones.add(marks, now=services.now())
        return await services.erasing.erase(marks)

    async def _rebuild(self, process: Process) -> None:
        async def rebuild(services: Services) -> Any:
            return await services.history.rebuild(await services.catalog.grading("assignment"), replace=True)

        rebuilt = await self._until_done(process, rebuild)
        if not rebuilt.identical:
            raise Wrong(["rebuilding gives other registers than those that are live"])

    async def check(self) -> None:
        """
        Sweep once and compare.

        Raises:
            Wrong: the fault can be told.
        """
        services = self.services(Process())
        self._topic.messages = []
        await services.sweep.run()
        await check(self._documents, self._told, [self._form], archive=MemoryArchive(self._archived))


class _Noted:
    """A store that remembers what was written to it."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.paths: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        self.paths.update(write.path for write in writes)
        return await self._documents.commit(writes)

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        self.paths.update(each.path for each in creations)
        return await self._documents.create_each(creations)


@dataclass(frozen=True)
class Begun:
    """A journey as it is before one of its steps, and what is stored then; to be gone on with at will."""

    step: str
    stored: Sequence[Create]
    journey: Journey

    async def elsewhere(self, documents: Documents) -> Journey:
        """The same journey on a store that nobody has used."""
        await documents.commit(self.stored)
        return self.journey.on(documents)


async def begun(documents: Documents, step: str, variant: Variant = SOUND) -> Begun:
    """The journey up to *step*, in which nothing goes wrong."""
    noted = _Noted(documents)
    journey = Journey(noted, variant)
    await journey.begin()
    for each in Journey.STEPS[: Journey.STEPS.index(step)]:
        await journey.step(each, Process())
    found = await documents.get(sorted(noted.paths))
    return Begun(step, [Create(each.path, each.fields) for each in found if each is not None], journey)


async def count_operations(documents: Documents, beginning: Begun) -> int:
    """How many operations the step takes if nothing goes wrong."""
    process = Process()
    await play(documents, beginning, process)
    return len(process.operations)


async def play(documents: Documents, beginning: Begun, process: Process) -> None:
    """
    The step with *process*, what comes after it, and the checks.

    Raises:
        Wrong: an answer was lost or counted twice, or something did not come to its end.
    """
    journey = await beginning.elsewhere(documents)
    await journey.step(beginning.step, process)
    await journey.check()
    # Work goes on from there, with whatever the fault has left behind.
    await journey.step("accept", Process())
    await journey.step("merge", Process())
    await journey.check()
