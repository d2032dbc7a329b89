"""Cut, delayed, swallowed and half-open connections between real processes and real Firestore."""

import asyncio
import contextlib
import uuid
from collections import Counter

import pytest

from shared.documents.firestore import FirestoreDocuments
from shared.learning.segments import decompress, unpack
from tests.checker import Wrong, check
from tests.faults import figures
from tests.faults.fleet import Failed, Fleet, Gone
from tests.faults.proxy import Proxy, Weather
from tests.simulation import forms
from tests.simulation.world import EPOCH

FIRST_SEED = figures.number("LECTERN_FIRST_SEED", 0)
SEEDS = range(FIRST_SEED, FIRST_SEED + 2)
ANSWERS = 150
CUT = Weather(cut_responses=0.15)
STORM = Weather(
    cut_responses=0.05, cut_requests=0.05, delays=0.05, black_holes=0.01, half_open=0.01, longest=2.0
)


class Weathered:
    """A run of a fleet behind a proxy, on a project of its own."""

    def __init__(self, tmp_path, emulators, weather, seed, variant="sound"):
        self.project = f"demo-{uuid.uuid4().hex[:12]}"
        self.documents = FirestoreDocuments(
            project=self.project, database="(default)", emulator_host=emulators.firestore
        )
        self.proxy = Proxy(emulators.firestore, weather, seed)
        self._make = lambda: Fleet(
            tmp_path,
            project=self.project,
            firestore=self.proxy.address,
            seed=seed,
            size=3,
            variant=variant,
            page_bytes=400_000,
        )

    async def run(self, *, outage=False, patience=90.0):
        """Submit, settle under a clear sky, and check."""
        async with self.proxy:
            fleet = self._make()
            await self.documents.commit(forms.documents_of(fleet.form, EPOCH))
            async with fleet:

                async def sweep():
                    while True:
                        await asyncio.sleep(0.7)
                        with contextlib.suppress(Gone, Failed):
                            await fleet.ask(fleet.rng.choice(fleet.mergers), do="sweep")

                fleet.background(sweep())
                interruption = asyncio.create_task(self._interrupt() if outage else asyncio.sleep(0))
                await fleet.load(10, lambda made: made < ANSWERS or not interruption.done())
                await interruption
                self.proxy.weather = Weather()
                await fleet.settle(patience)
                found = await check(self.documents, fleet.told, [fleet.form])
                figures.note(answers=found.merged, wire_faults=sum(self.proxy.faults.values()))
                return found

    async def _interrupt(self):
        for _ in range(3):
            await asyncio.sleep(0.5)
            await self.proxy.outage(1.0)

    async def repeated(self):
        """How often answers were counted that had been counted before."""
        counts = Counter()
        for shard in await self.documents.scan("ledgers/assignment/shards"):
            for document in await self.documents.scan(f"{shard.path}/segments"):
                for packed in decompress(document.fields["body"]).split(b"\n"):
                    counts.update(event.event_id for event in unpack(packed))
        return sum(times - 1 for times in counts.values())


@pytest.fixture
async def weathered(tmp_path, emulators):
    made = []

    def make(*arguments, **options):
        made.append(Weathered(tmp_path, emulators, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        await each.documents.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_cut_responses_neither_lose_nor_repeat(weathered, seed):
    run = weathered(CUT, seed)
    found = await run.run()
    assert found.merged == found.acknowledged >= ANSWERS
    assert run.proxy.faults["cut_responses"] > 5


@pytest.mark.parametrize("seed", SEEDS)
async def test_cuts_delays_black_holes_and_half_open_connections_neither_lose_nor_repeat(weathered, seed):
    run = weathered(STORM, 10_000 + seed)
    found = await run.run()
    assert found.merged == found.acknowledged >= ANSWERS
    assert len(run.proxy.faults) >= 3


async def test_outages_of_the_store_in_the_middle_of_merging_neither_lose_nor_repeat(weathered):
    run = weathered(Weather(), 200)
    found = await run.run(outage=True)
    assert found.merged == found.acknowledged >= ANSWERS
    assert run.proxy.faults["outage"] == 3


async def test_a_transaction_that_its_caller_repeats_counts_more_than_one_answer_in_twenty_twice(weathered):
    run = weathered(CUT, 300, "transaction-with-caller-retry")
    with pytest.raises(Wrong):
        await run.run(patience=10)
    repeated = await run.repeated()
    figures.note(naive_answers=ANSWERS, naive_repeated=repeated)
    assert repeated > ANSWERS / 20
