"""Every operation of every handler, killed before and after, its request lost and its reply: on Firestore."""

import uuid

import pytest

from shared.documents.firestore import FirestoreDocuments
from tests.checker import Wrong
from tests.faults import figures
from tests.faults.crashes import Fault, Journey, Process, begun, count_operations, play
from tests.mutants import MUTANTS

VISIBLE = (
    "increment-without-marker",
    "marker-in-a-second-commit",
    "transaction-with-caller-retry",
    "no-register",
    "deleted-before-the-segment",
    "arrival-order",
)
"""
The others show only where several workers race or a client hears too early: in the simulation; those of
erasing, which take longer, in memory.
"""


@pytest.fixture
async def fresh(emulators):
    """Make stores that nobody has used."""
    made = []

    def make():
        project = f"demo-{uuid.uuid4().hex[:12]}"
        made.append(
            FirestoreDocuments(project=project, database="(default)", emulator_host=emulators.firestore)
        )
        return made[-1]

    yield make
    for documents in made:
        await documents.close()


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("step", Journey.STEPS)
async def test_no_fault_at_any_operation_can_be_told_afterwards(fresh, step, fault):
    beginning = await begun(fresh(), step)

    async def fails_at(number):
        process = Process(fault, number)
        try:
            await play(fresh(), beginning, process)
        except Wrong as wrong:
            wrong.add_note(f"{fault.value} {process.operations[number]}, operation {number} of {step}")
            raise
        return process.met

    operations = 0
    # Commits of the same moment are one operation, so that now and then there is one fewer.
    while await fails_at(operations) or await fails_at(operations) or await fails_at(operations):
        operations += 1
    assert operations >= 3
    figures.note(points=operations)


@pytest.mark.parametrize("name", VISIBLE)
async def test_the_naive_variant_is_caught(fresh, name):
    async def search():
        for step in ("merge", "sweep"):
            beginning = await begun(fresh(), step, MUTANTS[name])
            for fault in (Fault.KILLED_AFTER, Fault.REPLY_LOST):
                for number in range(await count_operations(fresh(), beginning)):
                    await play(fresh(), beginning, Process(fault, number))

    with pytest.raises(Wrong):
        await search()
