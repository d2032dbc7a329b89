"""
A small world of clients, processes and messages, in which everything that may go wrong does.

The processes are Lectern's own: what they run is what is deployed, wired as in production, on the
in-memory store that is held to the same contract as Firestore. A seed decides the rest: who answers
what and when, how long everything takes, what is lost, repeated, late or cut off, and who is killed.
"""

import asyncio
import contextlib
import gc
import gzip
import hashlib
import itertools
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from shared.documents.base import Create
from shared.documents.memory import MemoryDocuments
from shared.errors import Conflict, DeadlineExceeded, LecternError, Rejected, Unavailable
from shared.learning.answers import AnswerSubmitted, microseconds
from shared.learning.marks import mark
from shared.ledger.archive import SETTLED_AFTER
from shared.ledger.merging import MergeSettings
from shared.ledger.shards import BrokenChain
from shared.ledger.tombstones import KNOWN_FOR_SECONDS
from shared.topics.base import Message
from shared.wiring import Services
from tests.checker import Form, Told, Wrong, check
from tests.faults.faulty import FaultyDocuments
from tests.faults.services import FaultyServices, MemoryArchive, accept, merge_created, merge_message
from tests.mutants import SOUND, Variant
from tests.simulation import forms
from tests.simulation.loop import SimulatedLoop

EPOCH = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
_TRIES = 60
_CLIENT_DEADLINE = 10.0
_EVENT_DEADLINE = 60.0
_UPKEEP_DEADLINE = 540.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a seed decides in advance: sizes, times, and how likely each fault is at each step."""

    assignments: int
    questions: int
    students: int
    submissions: int
    span: float
    accepters: int
    workers: int
    page_bytes: int
    gather_seconds: float
    gather_events: int
    merge_seconds: float
    crowd_events: int
    rollup_seconds: float
    latency: float
    skew: float
    policy: int
    browsers: float
    nonsense: float
    resends: float
    lost_requests: float
    lost_replies: float
    late: float
    crashes: float
    cuts: float
    duplicates: float
    lost_messages: float
    affinity: bool
    upkeep: bool
    erased: int

    @property
    def faultless(self) -> bool:
        """Whether messages alone must bring every answer where it belongs."""
        return not (
            self.lost_requests
            or self.lost_replies
            or self.late
            or self.crashes
            or self.cuts
            or self.lost_messages
            or self.nonsense
        )


def draw(rng: Random) -> Plan:
    """A plan: one in eight without faults, the others with some or many of every kind."""
    weight = rng.choice([0.0, 0.3, 0.3, 1.0, 1.0, 1.0, 3.0, 3.0])

    def likely(most: float) -> float:
        return weight * most * rng.choice([0.0, 0.3, 1.0])

    students = rng.randint(1, 6)
    submissions = rng.randint(1, 4 * students)
    if rng.random() < 0.02:  # now and then a crowd, or a learner who answers without end
        students, submissions = rng.randint(1, 12), rng.randint(40, 120)
    return Plan(
        assignments=rng.choice([1, 1, 1, 2]),
        questions=rng.choice(forms.WIDTHS),
        students=students,
        submissions=submissions,
        span=rng.choice([0.05, 1.0, 5.0]),
        accepters=rng.randint(1, 2),
        workers=rng.randint(1, 3),
        page_bytes=rng.choice([300, 700, 400_000, 400_000]),
        gather_seconds=rng.choice([0.0, 0.02, 0.15]),
        gather_events=rng.choice([1, 3, 10]),
        merge_seconds=rng.choice([0.0, 0.0, 0.1, 1.0]),
        crowd_events=rng.choice([5, 500]),
        rollup_seconds=rng.choice([0.0, 0.2, 1.0]),
        latency=rng.choice([0.002, 0.02, 0.2]),
        skew=rng.choice([0.0, 0.0, 0.3]),
        policy=rng.randrange(len(forms.POLICIES)),
        browsers=rng.choice([0.0, 0.0, 0.4]),
        nonsense=rng.choice([0.0, 0.0, 0.0, 0.5]),
        resends=rng.choice([0.0, 0.2]),
        lost_requests=likely(0.03),
        lost_replies=likely(0.05),
        late=likely(0.02),
        crashes=likely(0.02),
        cuts=likely(0.1),
        duplicates=rng.choice([0.0, 0.2, 0.6]),
        lost_messages=likely(0.2),
        affinity=rng.random() < 0.5,
        upkeep=rng.random() < 0.4,
        erased=rng.choice([0, 0, 0, 0, 0, 1, 1, 2]),
    )


class Gone(Exception):
    """The process ended before it answered, or the caller stopped waiting."""


class _Topic:
    """The topic as one process reaches it."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def publish(self, message: Message) -> None:
        async def effect() -> None:
            self._process.world.send(message)

        await self._process.perform("publish", message.ordering_key, effect)


class Process:
    """One process: it can be killed at any operation, and then does nothing any more."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.died = world.loop.create_future()
        self.skew = world.rng.uniform(-1, 1) * world.plan.skew
        self.services = FaultyServices(
            documents=FaultyDocuments(world.documents, self),
            topic=_Topic(self),
            archive=MemoryArchive(world.archived, self.perform),
            now=lambda: world.now(self.skew),
            clock=world.loop.time,
            jitter=world.rng.random,
            merging=MergeSettings(
                gather_seconds=world.plan.gather_seconds,
                gather_events=world.plan.gather_events,
                merge_seconds=world.plan.merge_seconds,
                crowd_events=world.plan.crowd_events,
                page_bytes=world.plan.page_bytes,
                rollup_seconds=world.plan.rollup_seconds,
            ),
            variant=world.variant,
            archive_after=timedelta(seconds=2),
            drop_after=timedelta(seconds=4),
        )

    async def request(self, work: Coroutine[Any, Any, Any], deadline: float) -> Any:
        """What *work* comes to; raises Gone if this process dies first or *deadline* (seconds) is over."""
        task = self.world.loop.create_task(work)
        await asyncio.wait([task, self.died], timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and self.alive:
            return task.result()
        if self.alive:
            task.cancel()
        raise Gone

    def kill(self) -> None:
        """End this process where it stands; nothing that it holds is tidied away."""
        self.alive = False
        if not self.died.done():
            self.died.set_result(None)

    def divides(self) -> bool:
        return not self.world.calm and self.world.rng.random() < 0.2

    async def perform(self, operation: str, detail: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Do one operation against the outside world, if it gets there, and hear of it, if it comes back."""
        world, plan, rng = self.world, self.world.plan, self.world.rng
        await self._travel(operation, detail, "before")
        if not world.calm:
            fate = rng.random()
            if fate < plan.lost_requests:
                world.note(self.name, operation, detail, "request lost")
                raise Unavailable(operation)
            if fate < plan.lost_requests + plan.late:
                world.note(self.name, operation, detail, "late")
                world.background(_later(rng.random() * 30, effect))
                raise DeadlineExceeded(operation)
        failure: LecternError | None = None
        result = None
        try:
            result = await effect()
        except LecternError as error:
            failure = error
        world.note(self.name, operation, detail, type(failure).__name__ if failure else "done")
        await self._travel(operation, detail, "after")
        if not world.calm and rng.random() < plan.lost_replies:
            world.note(self.name, operation, detail, "reply lost")
            raise Unavailable(operation)
        if failure is not None:
            raise failure
        return result

    async def _travel(self, operation: str, detail: str, when: str) -> None:
        world, plan, rng = self.world, self.world.plan, self.world.rng
        delay = rng.random() * plan.latency
        if rng.random() < 0.05:
            delay *= 20
        await asyncio.sleep(delay)
        if self.alive and not world.calm and rng.random() < plan.crashes:
            world.note(self.name, operation, detail, f"killed {when}")
            self.kill()
        if not self.alive:
            await world.loop.create_future()  # for ever


async def _later(seconds: float, effect: Callable[[], Awaitable[Any]]) -> None:
    await asyncio.sleep(seconds)
    with contextlib.suppress(LecternError):  # nobody is there to hear of it
        await effect()


@dataclass
class Outcome:
    """What a run came to: the hash of everything that happened, and how much that was."""

    trace: str
    operations: int
    answers: int
    kills: int
    virtual_seconds: float
    splits: int
    faultless: bool
    swept: int


@dataclass
class World:
    """One run."""

    seed: int
    variant: Variant = SOUND
    log: list[str] | None = None
    rng: Random = field(init=False)
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.plan = draw(self.rng)
        self.loop = SimulatedLoop()
        self.documents = MemoryDocuments(_nothing, _nothing)
        self.archived: dict[str, bytes] = {}
        self.told = Told()
        self.nonsense: list[str] = []
        self.written: set[str] = set()
        self.calm = False
        self.forms: list[Form] = []
        self.operations = 0
        self.kills = 0
        self.erased: set[str] = set()
        self.swept = 0
        self._trace = hashlib.sha256()
        self._slots: dict[str, Process] = {}
        self._born = 0
        self._background: set[asyncio.Task[Any]] = set()
        self._problems: list[str] = []

    def now(self, skew: float = 0.0) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time() + skew)

    def note(self, process: str, operation: str, detail: str, outcome: str) -> None:
        """Put on the trace what happened."""
        line = f"{self.loop.time():.6f} {process} {operation} {detail} {outcome}"
        self.operations += 1
        self.kills += outcome.startswith("killed")
        self._trace.update(line.encode())
        if self.log is not None:
            self.log.append(line)

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have *work* done by nobody in particular, and to the end."""
        task = self.loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done_with)

    def _done_with(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._problems.append(f"{type(task.exception()).__name__}: {task.exception()}")

    def run(self) -> Outcome:
        """
        Play the plan to its end and check what is there then.

        Raises:
            Wrong: an answer was lost or counted twice, or figures are not those of the answers.
            Stuck: somebody waits for ever.
        """
        return self.loop.run(self._play())

    async def _play(self) -> Outcome:
        await self._prepare()
        upkeep = [self.loop.create_task(self._sweep_now_and_then())]
        if self.plan.upkeep:
            upkeep += [self.loop.create_task(self._tidy_now_and_then())]
            upkeep += [self.loop.create_task(self._audit_now_and_then())]
        erasing = self.loop.create_task(self._erase())
        clients = [self.loop.create_task(self._client(n)) for n in range(self.plan.submissions)]
        for client in clients:
            await client
        self.calm = True
        for task in upkeep:
            task.cancel()
        await erasing
        while self._background:  # noqa: ASYNC110  what is done there makes more of it
            await asyncio.sleep(1)
        await self._see_that_they_are_gone()
        if self.plan.faultless:
            await self._check("before any sweep")
        await asyncio.sleep(10)
        for _ in range(2):
            await self._last(lambda services: services.sweep.run())
        self._check_nonsense()
        await self._check("after the sweep")
        tidied = await self._last(lambda services: services.tidying.run())
        if tidied.discrepancies:
            self._problems.append("the clean-up counts something else than what is shown")
        await asyncio.sleep(10)
        await self._last(lambda services: services.tidying.run())
        for form in self.forms:
            await self._rebuild(form)
        await self._check("after the clean-up")
        heads = [path for path in self.documents.dump() if path.count("/") == 3 and "/shards/" in path]
        return Outcome(
            trace=self._trace.hexdigest(),
            operations=self.operations,
            answers=len(self.told.acknowledged),
            kills=self.kills,
            virtual_seconds=self.loop.time(),
            splits=max(0, len(heads) - len(self.forms)),
            faultless=self.plan.faultless,
            swept=self.swept,
        )

    def _check_nonsense(self) -> None:
        """All of it is where somebody will look, and nowhere else; it is all of one student's."""
        if "student-0" in self.erased:
            return
        stored = self.documents.dump()
        letters = [
            f"{fields['function']} {fields['body'].decode()}"
            for path, fields in stored.items()
            if path.startswith("deadLetters/")
        ]
        for event_id in self.nonsense:
            if event_id not in self.written:
                continue
            if f"browserAnswers/{event_id}" in stored:
                self._problems.append(f"nonsense {event_id[:12]} stays")
            kept = f"rejectedAnswers/{event_id}" in stored or any(event_id in letter for letter in letters)
            if not kept:
                self._problems.append(f"nonsense {event_id[:12]} is lost")

    async def _check(self, when: str) -> None:
        if self._problems:
            raise Wrong(self._problems)
        try:
            await check(self.documents, self.told, self.forms, archive=MemoryArchive(self.archived))
        except Wrong as wrong:
            raise Wrong([f"{when}:", *wrong.problems]) from None

    async def _prepare(self) -> None:
        for number in range(self.plan.assignments):
            form = _form(number, self.plan.questions, self.plan.policy)
            self.forms.append(form)
            await self.documents.commit(_stored(number, self.plan.questions, self.plan.policy))

    # Processes.

    async def ask(
        self, slot: str, work: Callable[[Services], Coroutine[Any, Any, Any]], deadline: float
    ) -> Any:
        """Have the process in *slot* do something; if there is none, one is started."""
        process = self._slots.get(slot)
        if process is None or not process.alive:
            self._born += 1
            process = self._slots[slot] = Process(self, f"{slot}.{self._born}")
        return await process.request(work(process.services), deadline)

    async def _last(self, work: Callable[[Services], Coroutine[Any, Any, Any]]) -> Any:
        """Have a fresh process do something now that nothing goes wrong any more."""
        self._slots.pop("last", None)
        return await self.ask("last", work, float("inf"))

    def _deadline(self, usual: float) -> float:
        if not self.calm and self.rng.random() < self.plan.cuts:
            return self.rng.random() * 10 * self.plan.latency
        return usual

    # Clients.

    async def _client(self, number: int) -> None:
        rng, plan = self.rng, self.plan
        await asyncio.sleep(rng.random() * plan.span)
        form = rng.choice(self.forms)
        question = rng.choice(form.questions).question_id
        from_browser_itself = rng.random() < plan.browsers

        def answered() -> AnswerSubmitted:
            return AnswerSubmitted(
                assignment_id=form.assignment.assignment_id,
                question_id=question,
                student_id=student,
                submission_id=f"submission-{number}",
                answer=answer,
                submitted_at=microseconds(self.now(skew)),
                source="browser" if from_browser_itself else "function",
            )

        if rng.random() < plan.nonsense:
            await self._write_nonsense(number, form)
        student = f"student-{rng.randrange(plan.students)}"
        answer = forms.some_answer(rng, question)
        while True:
            skew = rng.uniform(-1, 1) * plan.skew
            event = answered()
            self.told.offer(event)
            try:
                if from_browser_itself:
                    await self._write_as_browser(event)
                else:
                    await self._submit(event)
            except (Gone, Unavailable):
                await asyncio.sleep(rng.random() * 2)
                continue
            self.told.acknowledge(event)
            if rng.random() >= plan.resends:
                return
            await asyncio.sleep(rng.choice([0.0, 0.5, 20.0]))

    async def _submit(self, event: AnswerSubmitted) -> None:
        slot = f"accept-{self.rng.randrange(self.plan.accepters)}"
        await self.ask(slot, lambda services: accept(services, event), self._deadline(_CLIENT_DEADLINE))

    async def _write_as_browser(self, event: AnswerSubmitted) -> None:
        await self._create_as_browser(event.event_id, self._fields_of(event))

    async def _write_nonsense(self, number: int, form: Form) -> None:
        """What no rule can tell from an answer, and is none: it must not stay, nor hold up the others."""
        which, otherwise = self.rng.choice(
            [
                ({}, {"answer": {"optionIds": [7]}}),
                ({}, {"answer": {"pairs": {"no": "such"}, "text": "thing"}}),
                ({}, {"submissionId": "of another document"}),
                ({}, {"submittedAt": "yesterday"}),
                ({}, {"extra": 1}),
                ({"question_id": "unknown"}, {}),
                ({"assignment_id": "unknown"}, {}),
            ]
        )
        ids = {
            "assignment_id": form.assignment.assignment_id,
            "question_id": form.questions[0].question_id,
            "student_id": "student-0",
            "submission_id": f"nonsense-{number}",
            **which,
        }
        answer = forms.some_answer(self.rng, form.questions[0].question_id)
        event = AnswerSubmitted(**ids, answer=answer, submitted_at=microseconds(self.now()), source="browser")
        self.nonsense.append(event.event_id)
        with contextlib.suppress(Gone, Unavailable):
            await self._create_as_browser(event.event_id, {**self._fields_of(event), **otherwise})

    def _fields_of(self, event: AnswerSubmitted) -> dict[str, Any]:
        return {
            "assignmentId": event.assignment_id,
            "questionId": event.question_id,
            "studentId": event.student_id,
            "submissionId": event.submission_id,
            "answer": _parsed(event.answer),
            "submittedAt": self.now(),
        }

    async def _create_as_browser(self, event_id: str, fields: dict[str, Any]) -> None:
        path = f"browserAnswers/{event_id}"
        browser = Process(self, "browser")

        async def create() -> None:
            try:
                await self.documents.commit([Create(path, fields)])
            except Conflict:
                return
            self.written.add(event_id)
            self.background(self._carry(lambda services: merge_created(services, event_id, fields), ""))

        await browser.request(browser.perform("browser", path, create), self._deadline(_CLIENT_DEADLINE))

    # Messages.

    def send(self, message: Message) -> None:
        """Take a message: it arrives at least once, sooner or later, unless it is lost."""
        if not self.calm and self.rng.random() < self.plan.lost_messages:
            return
        copies = 1
        while copies < 5 and self.rng.random() < self.plan.duplicates:
            copies += 1
        for _ in range(copies):
            self.background(self._carry(lambda services: _merge(services, message), message.ordering_key))

    async def _carry(self, work: Callable[[Services], Coroutine[Any, Any, Any]], key: str) -> None:
        rng = self.rng
        await asyncio.sleep(rng.random() * rng.choice([0.0, 0.05, 2.0]))
        calm_tries = 0
        for attempt in itertools.count():
            if calm_tries == _TRIES:
                self._problems.append(f"a message was delivered {_TRIES} times in vain")
                return
            calm_tries += self.calm
            if key and self.plan.affinity:
                worker = int(hashlib.sha256(key.encode()).hexdigest(), 16) % self.plan.workers
            else:
                worker = rng.randrange(self.plan.workers)
            try:
                await self.ask(f"merge-{worker}", work, self._deadline(_EVENT_DEADLINE))
            except (Gone, Unavailable):
                await asyncio.sleep(rng.random() * min(10.0, 0.1 * 2 ** min(attempt, 10)))
            else:
                return

    # Upkeep.

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(1, 15))
            try:
                swept = await self.ask(
                    "sweep", lambda services: services.sweep.run(), self._deadline(_UPKEEP_DEADLINE)
                )
            except (Gone, Unavailable):
                continue
            self.swept += swept.answers

    async def _tidy_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(1, 10))
            slot = f"tidy-{self.rng.randrange(2)}"
            try:
                await self.ask(
                    slot, lambda services: services.tidying.run(), self._deadline(_UPKEEP_DEADLINE)
                )
            except (Gone, Unavailable):
                continue
            except BrokenChain as broken:
                self._problems.append(f"clean-up: {broken}")

    async def _audit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(1, 10))
            try:
                await self._rebuild(self.rng.choice(self.forms))
            except (Gone, Unavailable):
                continue

    async def _erase(self) -> None:
        """Erase some students while they answer, however often that is cut off."""
        students = [f"student-{number}" for number in range(self.plan.students)]
        for student in self.rng.sample(students, min(self.plan.erased, len(students))):
            await asyncio.sleep(self.rng.random() * 2 * self.plan.span)
            self.erased.add(student)
            slot = f"erase-{self.rng.randrange(2)}"
            for _ in range(_TRIES):
                try:
                    await self.ask(slot, self._erased_by, self._deadline(_UPKEEP_DEADLINE))
                except (Gone, Unavailable):
                    with contextlib.suppress(Gone, Unavailable):  # a replay half-way comes to what is live
                        await self._rebuild(self.rng.choice(self.forms))
                except BrokenChain as broken:
                    self._problems.append(f"erasing: {broken}")
                    return
                else:
                    break

    async def _erased_by(self, services: Services) -> int:
        marks = [mark(services.receipt_key, student) for student in self.erased]
        await services.tombstones.add(marks, now=services.now())
        erased = await services.erasing.erase(marks)
        return erased.answers + (not erased.settled)

    async def _see_that_they_are_gone(self) -> None:
        """A second pass, when no worker is left that does not know; then nobody knows of them any more."""
        if not self.erased:
            return
        settled = SETTLED_AFTER.total_seconds() + 60  # clocks differ
        await asyncio.sleep(KNOWN_FOR_SECONDS + settled)
        await self._last(self._erased_by)
        await asyncio.sleep(settled)
        if await self._last(self._erased_by):
            self._problems.append("something of those who were erased was left")
        # Days later, all their messages come once more.
        late = [event for event in self.told.offered.values() if event.student_id in self.erased]
        await self._last(lambda services: services.merger.merge(late, by="message"))
        kept = [(path, _plain_bytes(fields)) for path, fields in self.documents.dump().items()]
        kept += [(name, gzip.decompress(content)) for name, content in self.archived.items()]
        for student in self.erased:
            name = re.compile(rb"%s(?![0-9])" % student.encode())
            self._problems += [
                f"{student} was erased and is in {path}" for path, text in kept if name.search(text)
            ]
            self.told.forget(student)

    async def _rebuild(self, form: Form) -> None:
        replace = self.rng.random() < 0.5

        async def rebuild(services: Services) -> Any:
            grading = await services.catalog.grading(form.assignment.assignment_id)
            return await services.history.rebuild(grading, replace=replace)

        try:
            rebuilt = await self.ask("audit", rebuild, _UPKEEP_DEADLINE)
        except BrokenChain as broken:
            self._problems.append(f"rebuilding: {broken}")
        else:
            if not rebuilt.identical:
                self._problems.append("rebuilding gives other registers than those that are live")


async def _nothing(_operation: str) -> None:
    pass


async def _merge(services: Services, message: Message) -> None:
    try:
        await merge_message(services, message)
    except Rejected as error:
        wrong = f"a message was set aside: {error}"
        raise Wrong([wrong]) from error


def _plain_bytes(fields: Any) -> bytes:
    """All that stands in the fields of a document, what is packed in there included."""
    body = fields.get("body")
    packed = b""
    if isinstance(body, bytes) and body:
        with contextlib.suppress(zlib.error):
            packed = zlib.decompress(body)
    return repr(fields).encode() + packed


def _parsed(answer: str) -> Any:
    import orjson

    return orjson.loads(answer)


_made: dict[Any, Any] = {}


def _form(number: int, questions: int, policy: int) -> Form:
    key = (number, questions, policy)
    if key not in _made:
        form = forms.make(f"assignment-{number}", questions, forms.POLICIES[policy])
        _made[key] = (form, forms.documents_of(form, EPOCH))
    return _made[key][0]


def _stored(number: int, questions: int, policy: int) -> Any:
    _form(number, questions, policy)
    return _made[number, questions, policy][1]


def simulate(seed: int, variant: Variant = SOUND, log: list[str] | None = None) -> Outcome:
    """
    Run one seed; the same seed is the same run, in every process.

    Raises:
        Wrong: with the seed and the one command that plays it again.
    """
    logger = logging.getLogger("lectern")
    was_disabled, logger.disabled = logger.disabled, True
    collecting = gc.isenabled()
    gc.disable()  # when it runs would be the one thing that no seed decides
    try:
        return World(seed, variant, log).run()
    except (AssertionError, LecternError) as failure:
        again = f"python -m tests.simulation --seed {seed}"
        if variant is not SOUND:
            again += f" --variant {variant.name}"
        raise Wrong([f"seed {seed} fails; play it again with: {again}", str(failure)]) from failure
    finally:
        logger.disabled = was_disabled
        if collecting:
            gc.enable()
