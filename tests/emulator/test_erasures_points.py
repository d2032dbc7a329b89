"""An erasure is interrupted at every operation, and carried on: nobody can tell. So when two work at once."""

import asyncio
import copy
from collections import Counter

import pytest

from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from shared.documents.memory import MemoryDocuments
from shared.erasures import receipts
from shared.erasures.base import State
from shared.erasures.record import QUIET
from shared.errors import InvalidRequest, Unavailable
from shared.learning.answers import AnswerSubmitted, canonical, encode
from shared.learning.marks import mark
from tests.deployed import RECEIPT_KEY, in_memory, settings_for_tests
from tests.dumping import dump, says
from tests.erasing import UID, WORDS, World, life
from tests.faults.crashes import Fault, Killed, Process
from tests.tutoring import a_class

ANSWERS = 5
ERASURE = mark(RECEIPT_KEY.encode(), UID).hex()
ACT_THEMSELVES = {"accounts", "answers"}
"""What is removed outside the store is not counted when whoever removed it dies before they say so."""


@pytest.fixture
async def lived(tutor):
    """What two learners have left, as documents."""
    settings = {"cache": "firestore", "limiter": "memory", "rate_ai_points": 10_000}
    async with in_memory(firestore_emulator_host="unused", openai_base_url=tutor.url, **settings) as app:
        lesson = await a_class(app)
        await life(lesson, "ben", "quartz")
        await life(lesson, UID, WORDS)
        await app.services.close()
        return app.services.documents.dump()


async def fill(documents, lived):
    creations = [Create(path, copy.deepcopy(fields)) for path, fields in lived.items()]
    for start in range(0, len(creations), 100):
        await documents.commit(creations[start : start + 100])


async def in_twin(lived):
    documents = MemoryDocuments()
    await fill(documents, lived)
    return World(documents, settings_for_tests())


async def erased(world, process):
    """Ask for the erasure in *process*, and go on in others, as an admin and the scheduler would."""
    for _ in range(12):
        try:
            if process.dead:
                process = process.successor()
            erasures = world.services(process).erasures
            now = asyncio.get_running_loop().time()
            erasure = await erasures.open(UID, by="ada") if world.clock.ahead == QUIET * 0 else None
            if erasure is None:
                await erasures.resume(until=now + 60)
                erasure = await erasures.get(ERASURE)
            else:
                erasure = await erasures.work(erasure.erasure_id, until=now + 60)
        except (Killed, Unavailable):
            continue
        if erasure.state is State.CLOSED:
            return erasure
        world.clock.ahead += QUIET
    raise AssertionError("it does not get done, however often it is tried")


def told(documents):
    """Documents without what differs from run to run: when it was, and how often somebody had to pass."""
    found = {}
    for path, fields in documents.items():
        told = fields
        if path.startswith("erasures/"):
            told = {name: fields[name] for name in ("learnerId", "state", "round")}
        elif path.startswith("auditRecords/"):
            told = {name: value for name, value in fields.items() if name != "at"}
        elif path.startswith("assignments/") and "asOf" in fields:
            told = {**fields, "asOf": {**fields["asOf"], "at": None}}
        elif path.startswith(("ledgers/", "tombstones/")):
            told = None  # how these come to what they are has tests of its own
        found[path] = told
    return found


def check(world, erasure, undisturbed, documents):
    before, expected = undisturbed
    assert told(documents) == told(expected)
    assert not any(
        text in path or says(each, text) for path, each in documents.items() for text in (UID, WORDS)
    )
    for collection in before.counts.keys() - ACT_THEMSELVES:
        assert erasure.counts[collection] == before.counts[collection], collection
    assert erasure.counts.keys() <= before.counts.keys()
    vouched = receipts.read(erasure.receipt, key=RECEIPT_KEY.encode())
    assert (vouched.erasure_id, vouched.counts) == (ERASURE, dict(erasure.counts))
    assert sum(path.startswith("auditRecords/") for path in documents) == 1
    assert Counter(name.split("/")[0] for name in world.archived) == {"erasures": 1, "erasureReceipts": 1}
    assert world.accounts == {"ben", "ada"}


@pytest.fixture
async def undisturbed(lived):
    world = await in_twin(lived)
    process = Process()
    erasure = await erased(world, process)
    documents = world.documents.dump()
    assert erasure.passes == 2
    assert erasure.counts["answers"] == ANSWERS
    assert len(process.operations) > 90
    return erasure, documents, process.operations


async def test_an_erasure_that_is_cut_off_anywhere_comes_to_the_same(lived, undisturbed):
    erasure, documents, operations = undisturbed
    for fault in Fault:
        for number in range(len(operations)):
            world = await in_twin(lived)
            process = Process(fault, number)
            found = await erased(world, process)
            assert process.met, (fault, number)
            check(world, found, (erasure, documents), world.documents.dump())


async def test_so_it_does_on_the_emulator(lived, undisturbed, emulators, project_id):
    """Killed after each operation that changes something, which is where it matters what the store has done."""
    erasure, documents, operations = undisturbed
    changes = ("commit", "delete_each", "accounts.delete", "archive.put")
    tried = 0
    for number, operation in enumerate(operations):
        if not operation.startswith(changes):
            continue
        project = f"{project_id}-{number}"
        store = FirestoreDocuments(project=project, database="(default)", emulator_host=emulators.firestore)
        try:
            await fill(store, lived)
            world = World(store, settings_for_tests())
            process = Process(Fault.KILLED_AFTER, number)
            found = await erased(world, process)
            assert process.met, operation
            everything = await dump(emulators.firestore, project)
            read = await store.get(sorted(everything.documents))
            check(world, found, (erasure, documents), {each.path: each.fields for each in read})
            assert everything.naming(UID) == everything.naming(WORDS) == set()
        finally:
            await store.close()
        tried += 1
    assert tried > 25


async def test_three_that_work_at_once_count_everything_once(lived, undisturbed):
    erasure, documents, _ = undisturbed
    world = await in_twin(lived)
    for _ in range(8):
        several = [world.services(Process()).erasures for _ in range(3)]
        now = asyncio.get_running_loop().time()
        if world.clock.ahead == QUIET * 0:
            opened = await asyncio.gather(*(each.open(UID, by="ada") for each in several))
            assert {each.erasure_id for each in opened} == {ERASURE}
        stand = await asyncio.gather(*(each.work(ERASURE, until=now + 60) for each in several))
        if all(each.state is State.CLOSED for each in stand):
            break
        world.clock.ahead += QUIET
    check(world, stand[0], (erasure, documents), world.documents.dump())


async def test_what_is_written_while_it_passes_is_found_by_the_next_pass(lived):
    world = await in_twin(lived)
    erasures = world.services(Process()).erasures
    now = asyncio.get_running_loop().time()
    await erasures.open(UID, by="ada")
    first = await erasures.work(ERASURE, until=now + 60)
    late = {path: fields for path, fields in lived.items() if f"users/{UID}/" in path or "/waiting/" in path}
    theirs = {path: fields for path, fields in late.items() if UID in path or fields.get("studentId") == UID}
    [assignment] = {path.split("/")[1] for path in lived if path.startswith("answerKeys/")}
    event = AnswerSubmitted(
        assignment, "question", UID, "submission", canonical({"text": WORDS}), 1, "function"
    )
    pending = {f"pendingAnswers/{event.event_id}": {"event": encode(event)}}
    await fill(world.documents, theirs | pending)
    passes = []
    for _ in range(2):
        world.clock.ahead += QUIET
        passes.append(await erasures.work(ERASURE, until=now + 60))
    assert [each.state for each in (first, *passes)] == [State.WAITING, State.WAITING, State.CLOSED]
    assert passes[-1].counts["answers"] == ANSWERS + 1
    assert not any(UID in path or says(each, UID) for path, each in world.documents.dump().items())


async def test_it_waits_for_what_was_under_way_before_it_passes_again(lived):
    world = await in_twin(lived)
    erasures = world.services(Process()).erasures
    now = asyncio.get_running_loop().time()
    await erasures.open(UID, by="ada")
    first = await erasures.work(ERASURE, until=now + 60)
    world.clock.ahead += QUIET - (world.clock() - first.resume_at + QUIET) - QUIET / 100
    assert (await erasures.work(ERASURE, until=now + 60)).passes == 1
    world.clock.ahead += QUIET / 50
    assert (await erasures.work(ERASURE, until=now + 60)).passes == 2


async def test_time_that_is_over_leaves_the_rest_to_the_next(lived):
    world = await in_twin(lived)
    erasures = world.services(Process()).erasures
    now = asyncio.get_running_loop().time()
    await erasures.open(UID, by="ada")
    assert (await erasures.work(ERASURE, until=now)).state is State.ERASING
    assert await erasures.resume(until=now + 60) == (0, 1)
    assert (await erasures.get(ERASURE)).state is State.WAITING


async def test_reapplying_goes_on_where_the_time_was_over(lived):
    world = await in_twin(lived)
    await erased(world, Process())
    await fill(world.documents, {path: each for path, each in lived.items() if UID in path})
    world.accounts.add(UID)
    erasures = world.services(Process()).erasures
    calls, met, following = 0, 0, ""
    while calls == 0 or following:
        done = await erasures.reapply(by="ada", following=following, until=0)  # over before it has begun
        calls, met, following = calls + 1, met + done.met, done.following
    assert calls > 15
    assert met > 1  # in several places
    assert done.answers == 0
    assert (await erasures.get(ERASURE)).round == 2
    with pytest.raises(InvalidRequest):
        await erasures.reapply(by="ada", following="nowhere\n", until=0)
