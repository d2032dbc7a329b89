"""kill -9, SIGSTOP and SIGTERM on real processes at work on real Firestore."""

import asyncio
import contextlib
import statistics
import uuid

import pytest

from shared.documents.firestore import FirestoreDocuments
from tests.checker import Wrong, check
from tests.faults import figures
from tests.faults.fleet import Failed, Fleet, Gone
from tests.simulation import forms
from tests.simulation.world import EPOCH

KILLS = figures.number("LECTERN_KILLS", 50)
TERMINATIONS = figures.number("LECTERN_TERMINATIONS", 10)
FIRST_SEED = figures.number("LECTERN_FIRST_SEED", 0)
PARTS = 2
ANSWERS_PER_KILL = 6


@pytest.fixture
async def documents(project_id, emulators):
    documents = FirestoreDocuments(
        project=project_id, database="(default)", emulator_host=emulators.firestore
    )
    yield documents
    await documents.close()


@pytest.fixture
def fleet(tmp_path, project_id, emulators):
    def make(seed, **parts):
        return Fleet(tmp_path, project=project_id, firestore=emulators.firestore, seed=seed, **parts)

    return make


async def killed(fleet, documents, kills, victims, patience=90.0):
    """Attack *fleet* with so many *kills*, let it settle, and check."""
    await documents.commit(forms.documents_of(fleet.form, EPOCH))
    async with fleet:

        async def killer():
            while fleet.kills < kills:
                await asyncio.sleep(0.03 + fleet.rng.random() * 0.25)
                fleet.kill(fleet.rng.choice(victims))

        async def sweeper():
            while True:
                await asyncio.sleep(0.5)
                with contextlib.suppress(Gone, Failed):
                    await fleet.ask(fleet.rng.choice(fleet.mergers), do="sweep")

        fleet.background(sweeper())
        killing = asyncio.create_task(killer())
        await fleet.load(16, lambda made: made < kills * ANSWERS_PER_KILL or not killing.done())
        await killing
        await fleet.settle(patience)
        return await check(documents, fleet.told, [fleet.form])


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + PARTS))
async def test_killed_processes_lose_nothing_and_count_nothing_twice(fleet, documents, seed):
    attacked = fleet(seed, size=3)
    found = await killed(attacked, documents, KILLS // PARTS, range(3))
    assert attacked.kills == KILLS // PARTS
    figures.note(kills=attacked.kills, answers=found.merged, deliveries=attacked.deliveries)
    assert found.acknowledged == found.merged >= KILLS // PARTS * ANSWERS_PER_KILL


async def test_a_killed_merger_holds_up_nobody_elses_submission(fleet, documents):
    attacked = fleet(FIRST_SEED + 1007, size=4)
    attacked.accepters, attacked.mergers = range(2), range(2, 4)
    await killed(attacked, documents, 15, range(2, 4))
    slow = statistics.quantiles(attacked.latencies, n=100)[98]
    figures.note(submissions=len(attacked.latencies), worst_p99_ms=slow * 1000)
    assert slow < 2.0, f"p99 of submissions beside killed workers: {slow:.3f} s"


async def test_stopped_and_resumed_processes_come_too_late_and_change_nothing(fleet, documents):
    attacked = fleet(FIRST_SEED + 1011, size=3)
    await documents.commit(forms.documents_of(attacked.form, EPOCH))
    async with attacked:

        async def stop_and_go():
            for _ in range(10):
                await attacked.pause(attacked.rng.randrange(3), 0.1 + attacked.rng.random())

        pausing = asyncio.create_task(stop_and_go())
        await attacked.load(12, lambda made: made < 150 or not pausing.done())
        await pausing
        await attacked.settle()
        await check(documents, attacked.told, [attacked.form])


async def test_processes_told_to_end_end_in_time_and_lose_nothing(fleet, documents):
    attacked = fleet(FIRST_SEED + 1013, size=3)
    await documents.commit(forms.documents_of(attacked.form, EPOCH))
    took = []
    async with attacked:

        async def rolling_restart():
            for number in range(TERMINATIONS):
                await asyncio.sleep(0.2)
                took.append(await attacked.terminate(number % 3))

        restarting = asyncio.create_task(rolling_restart())
        await attacked.load(12, lambda made: made < 100 or not restarting.done())
        await restarting
        await attacked.settle()
        await check(documents, attacked.told, [attacked.form])
    figures.note(terminations=len(took), worst_exit_s=max(took))
    assert max(took) < 10


@pytest.mark.parametrize("name", ["marker-in-a-second-commit", "no-register", "deleted-before-the-segment"])
async def test_the_naive_variant_is_caught(tmp_path, emulators, name):
    async def search():
        for seed in range(20):  # one or two show it mostly; of one in ten searches, eight did not
            project = f"demo-{uuid.uuid4().hex[:12]}"
            documents = FirestoreDocuments(
                project=project, database="(default)", emulator_host=emulators.firestore
            )
            attacked = Fleet(
                tmp_path, project=project, firestore=emulators.firestore, seed=seed, size=3, variant=name
            )
            try:
                await killed(attacked, documents, 20, range(3), patience=5.0)
            finally:
                await documents.close()

    with pytest.raises(Wrong):
        await search()
