"""
One fault at one operation of a worker of the evaluation queue: of the store's, or of the provider's.

The process is killed before or after it, or its request or its reply is lost. Then other workers go on.
Whatever happens, every answer has one evaluation in the end, the provider was asked once, and at no
moment do the accounts know of less than the provider may bill, or pass a ceiling.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from local.tutor import replies
from local.tutor.batches import BatchDesk
from shared.batching.items import MOST_TRIES
from shared.batching.queue import EvaluationQueue
from shared.batching.worker import QueueRun
from shared.budgets.leases import SPENDING, Account
from shared.budgets.prices import PriceTable, Usage
from shared.documents.base import Create
from shared.documents.memory import MemoryDocuments
from shared.errors import InvalidRequest, PreconditionLost, Unavailable
from shared.gateway.batches import Batches
from shared.gateway.upstream import Absent
from shared.wiring import Services
from tests.deployed import in_memory, settings_for_tests
from tests.faults.crashes import Fault, Killed, Process
from tests.faults.faulty import FaultyDocuments
from tests.simulation.loop import SimulatedLoop
from tests.tutoring import ANSWER, a_class

CLASS = ("ann", "bob", "cid")
MORNING = datetime(2026, 11, 12, 7, tzinfo=UTC)
PRICES = PriceTable()
MODEL = "gpt-6.1-terra"
STEPS = ("submit", "look", "settle", "take up", "take up early", "alone")
_APART = timedelta(minutes=16)


class Provider:
    """A provider's files, batches and replies, without a wire between; *bill* is all that it may ask for."""

    def __init__(self, *, batches=True):
        self.desk = BatchDesk()
        self.batches = batches
        self.alone = 0

    @property
    def bill(self):
        return self.alone + sum(
            PRICES.in_batch(PRICES.actual(MODEL, Usage(prompt, completion)))
            for _, prompt, completion in self.desk.billed
        )

    def answer(self, call):
        if call.path == "/chat/completions":
            asked = replies.asked(orjson.loads(call.body))
            told = replies.told(asked)
            self.alone += PRICES.actual(MODEL, Usage(told.prompt_tokens, told.completion_tokens))
            return orjson.dumps(replies.completion(asked, told))
        path, _, query = call.path.partition("?")
        if not self.batches:
            raise Absent("no such thing")
        status, _, body = self.desk.answer(call.method, f"/v1{path}", query, call.content_type, call.body, "")
        if status == 404:
            raise Absent("no such thing")
        if status >= 400:
            raise InvalidRequest("refused")
        return body


class Wire:
    """The provider as one process reaches it, in the place of ``Upstream``."""

    def __init__(self, provider, process):
        self._provider = provider
        self._process = process

    async def whole(self, call, check):
        async def effect():
            return self._provider.answer(call)

        call.sent += 1
        call.unknown += 1
        body = await self._process.perform("http", f"{call.method} {call.path}", effect)
        call.unknown -= 1
        check(body)
        return body


class World:
    """Answers in a queue, a provider, and processes that come and go."""

    def __init__(self, stored, *, batches=True):
        self.store = MemoryDocuments()
        self.stored = stored
        self.provider = Provider(batches=batches)
        self.later = timedelta(minutes=1)
        self.billed_at_most = 0
        self.worst = 0

    def now(self):
        return MORNING + self.later + timedelta(seconds=asyncio.get_running_loop().time())

    async def begin(self):
        self.provider.desk.now = lambda: self.now().timestamp()
        await self.store.commit([Create(path, fields) for path, fields in self.stored.items()])

    def services(self, process):
        perform = process.perform

        async def watched(operation, detail, effect):
            try:
                return await perform(operation, detail, effect)
            finally:
                self.check_money()

        process.perform = watched
        services = Services(settings_for_tests(openai_api_key="key", evaluations_alone=10))
        services.now = self.now
        services.__dict__["documents"] = FaultyDocuments(self.store, process)
        services.__dict__["upstream"] = Wire(self.provider, process)
        return services

    async def run(self, process=None):
        process = process or Process()
        services = self.services(process)
        try:
            await services.queue_run().work()
        except Killed:
            assert process.dead
        except Unavailable:
            assert process.met, "only a fault makes it fail as a whole"
        if not process.dead:
            await services.budgets.report()
        self.later += _APART

    def accounts(self):
        return {
            (fields["scope"], fields["scopeId"]): Account.of(fields)
            for path, fields in self.store.dump().items()
            if path.startswith(f"{SPENDING}/")
        }

    def check_money(self):
        """What the accounts know of, leases included, is never less than the bill."""
        bill = self.provider.bill
        for (scope, _), account in self.accounts().items():
            if scope in {"course", "tenant"}:
                assert bill <= account.total, (scope, bill, account)
        ceilings = {"learner": 250_000_000, "course": 10_000_000_000}
        for (scope, _), account in self.accounts().items():
            assert account.total <= ceilings.get(scope, 50_000_000_000 * 10)

    def part(self, name):
        return {path: each for path, each in self.store.dump().items() if f"/{name}/" in f"/{path}"}

    def check(self):
        evaluations = self.part("evaluations")
        assert sorted(each["studentId"] for each in evaluations.values()) == sorted(CLASS)
        assert len(self.part("waiting")) == len(CLASS)
        assert self.part("queuedEvaluations") == {}
        assert all(each["state"] == "settled" for each in self.part("evaluationBatches").values())
        self.check_money()

    async def until_done(self):
        for _ in range(MOST_TRIES + 20):
            if not self.part("queuedEvaluations") and not self.unsettled():
                return
            await self.run()
        message = f"never done: {self.part('queuedEvaluations')} {self.part('evaluationBatches')}"
        raise AssertionError(message)

    def unsettled(self):
        return [each for each in self.part("evaluationBatches").values() if each["open"]]


@pytest.fixture(scope="module")
def stored():
    """A class that has written, in the queue."""

    async def make():
        async with in_memory(firestore_emulator_host="unused", limiter="memory", budgets="memory") as app:
            app.services.now = lambda: MORNING
            vars(app.services)["upstream"] = Wire(Provider(), Process())
            lesson = await a_class(app)
            for uid in CLASS:
                await lesson.answers("Sky", {"text": f"{ANSWER} {uid}"}, uid=uid)
            await app.ok("queue_evaluations", lesson.about("Sky"), uid="teacher")
            return app.services.documents.dump()

    return asyncio.run(make())


async def before(world, step):
    """As it is before *step*."""
    await world.begin()
    if step in {"look", "settle"}:
        await world.run()
    if step == "settle":
        await world.run()
    if step in {"take up", "take up early"}:
        # The provider has begun, or has the file only, and nobody here was told.
        path = "/batches" if step == "take up" else "/files"
        await world.run(KilledAfter(f"POST {path}"))
        assert len(world.provider.desk.batches) == (step == "take up")
        assert world.unsettled()


class KilledAfter(Process):
    """A process that is killed once *detail* is done."""

    def __init__(self, detail):
        super().__init__()
        self._detail = detail

    async def perform(self, operation, detail, effect):
        done = await super().perform(operation, detail, effect)
        if detail == self._detail:
            self.dead = True
            raise Killed
        return done


def simulated(work):
    """What *work* comes to in simulated time; what else is under way then ends with it."""
    outcome = []

    async def main():
        outcome.append(await work)

    SimulatedLoop().run_alone(main())
    return outcome[0]


async def play(world, step, process):
    await before(world, step)
    await world.run(process)
    operations = len(process.operations)
    await world.until_done()
    world.check()
    return operations


def world_for(stored, step):
    return World(stored, batches=step != "alone")


@pytest.mark.parametrize("step", STEPS)
def test_without_faults_the_accounts_end_exact(stored, step):
    world = world_for(stored, step)
    simulated(play(world, step, Process()))
    course = next(each for (scope, _), each in world.accounts().items() if scope == "course")
    if step.startswith("take up"):
        assert world.provider.bill <= course.total
    else:
        assert course.spent == course.total == world.provider.bill
    assert len(world.provider.desk.batches) == (step != "alone")
    assert not world.provider.desk.files or step == "take up early"


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("step", STEPS)
def test_no_fault_at_any_operation_loses_an_answer_or_money(stored, step, fault):
    assert every_operation(stored, step, fault) >= 3


def every_operation(stored, step, fault):
    """Meet *fault* at each operation of *step*; how many those are."""
    count = simulated(play(world_for(stored, step), step, Process()))
    for number in range(count):
        world, process = world_for(stored, step), Process(fault, number)
        try:
            simulated(play(world, step, process))
            if step != "alone":
                assert len(world.provider.desk.batches) == 1
                assert len(world.provider.desk.billed) == len(CLASS)
        except AssertionError as wrong:
            wrong.add_note(f"{fault.value} {process.operations[number]}, operation {number} of {step}")
            raise
        assert process.met
    return count


async def _begun_before_it_was_looked_for(_batches, _name, *, since):
    return []


async def _not_charged(run, paid, _batch_id):
    for each in paid:
        await run._budgets.release(each.reservation)


async def _settled_by_everybody(queue, batch, gone, back):
    with contextlib.suppress(PreconditionLost):
        await _SETTLE(queue, batch, gone, back)
    return True


async def _corrected_before_it_ends(run, batch, replies, **more):
    await run._correct(batch, await run._items(batch), replies)
    await _END(run, batch, replies, **more)


_SETTLE, _END = EvaluationQueue.settle, QueueRun._settle
MUTANTS = {
    "a batch is begun without a look for it": (Batches, "named", _begun_before_it_was_looked_for, "take up"),
    "a batch is not charged before it leaves": (QueueRun, "_charge", _not_charged, "submit"),
    "a batch is settled by all who try": (EvaluationQueue, "settle", _settled_by_everybody, ""),
    "money is corrected before the record ends": (QueueRun, "_settle", _corrected_before_it_ends, "settle"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_worker_without_one_of_its_safeguards_is_caught(stored, monkeypatch, name):
    place, method, mutant, step = MUTANTS[name]
    monkeypatch.setattr(place, method, mutant)
    with pytest.raises(AssertionError):
        _ = (
            every_operation(stored, step, Fault.KILLED_AFTER)
            if step
            else simulated(three_at_once(World(stored)))
        )


async def three_at_once(world):
    """Three workers at a time, until all is done; the accounts then are exact."""
    await world.begin()
    for _ in range(4):
        await asyncio.gather(*(world.run() for _ in range(3)))
    await world.until_done()
    world.check()
    assert len(world.provider.desk.batches) == 1
    assert len(world.provider.desk.billed) == len(CLASS)
    course = next(each for (scope, _), each in world.accounts().items() if scope == "course")
    assert course.total == world.provider.bill


def test_three_workers_at_once_do_as_one_does(stored):
    simulated(three_at_once(World(stored)))


def test_a_batch_that_cannot_be_handed_in_for_hours_goes_back_to_the_queue_and_is_paid_once(stored):
    async def hours(world):
        await world.begin()
        for _ in range(MOST_TRIES + 2):
            await world.run(Deaf("POST /files"))
        assert {each["state"] for each in world.part("queuedEvaluations").values()} <= {"queued", "batched"}
        assert {each["attempts"] for each in world.part("queuedEvaluations").values()} == {0}
        await world.until_done()

    world = World(stored)
    simulated(hours(world))
    world.check()
    course = next(each for (scope, _), each in world.accounts().items() if scope == "course")
    assert course.total == world.provider.bill, "of what was never handed in nothing stays charged"


def test_a_batch_of_which_nobody_knows_whether_it_began_stays_charged_at_its_worst(stored):
    async def hours(world):
        await world.begin()
        for _ in range(MOST_TRIES + 2):
            await world.run(Deaf("POST /batches"))
        charged = sum(each["nanos"] for each in world.part("queuedEvaluations").values())
        await world.until_done()
        return charged

    world = World(stored)
    charged = simulated(hours(world))
    world.check()
    course = next(each for (scope, _), each in world.accounts().items() if scope == "course")
    assert course.total >= charged + world.provider.bill


class Deaf(Process):
    """A process whose requests of one kind never arrive."""

    def __init__(self, detail):
        super().__init__()
        self._detail = detail

    async def perform(self, operation, detail, effect):
        if detail == self._detail:
            self.operations.append(detail)
            raise Unavailable(detail)
        return await super().perform(operation, detail, effect)
