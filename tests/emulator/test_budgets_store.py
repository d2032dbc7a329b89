"""Money on real Firestore keeps the contract, also while real processes are killed with it in hand (G14)."""

import asyncio
import random
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from local.processes import tethered
from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import Ceilings
from shared.budgets.leases import LeasedBudgets
from shared.documents.firestore import FirestoreDocuments
from shared.errors import BudgetSpent
from tests.budgets_contract import CEILINGS, BudgetsContract, Clock, reserve
from tests.deployed import ROOT
from tests.faults import figures

KILLS = figures.number("LECTERN_KILLS", 5)
FIRST_SEED = figures.number("LECTERN_FIRST_SEED", 0)


@pytest.fixture
async def documents(project_id, emulators):
    documents = FirestoreDocuments(
        project=project_id, database="(default)", emulator_host=emulators.firestore
    )
    yield documents
    await documents.close()


class TestOnFirestore(BudgetsContract):
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    async def make(self, documents, clock):
        made = []

        def make():
            made.append(LeasedBudgets(documents, CEILINGS, now=clock))
            return made[-1]

        yield make
        for each in made:
            await each.close()

    async def test_200_calls_over_four_instances_make_exactly_n(self, make):
        """Whatever each of them leased ahead, ten calls of a hundred nano-dollars are a thousand."""
        instances = [make() for _ in range(4)]
        outcomes = await asyncio.gather(
            *(reserve(instances[number % 4]) for number in range(200)), return_exceptions=True
        )
        assert sum(not isinstance(each, BudgetSpent) for each in outcomes) == 10


class Spender:
    """A process that spends on *uid*'s behalf."""

    def __init__(self, address, project, uid, ceilings):
        numbers = [ceilings.learner_day, ceilings.course_day, ceilings.tenant_day]
        self._command = [sys.executable, "-m", "tests.budgets_worker", address, project, uid, "algebra"]
        self._command += map(str, numbers)
        # A fork of a process in which gRPC's threads are at work may end before it becomes another program.
        for _ in range(3):
            self.process = self._started()
            if self.process.stdout.readline() == b"ready\n":
                break
            self.close()
        else:
            raise AssertionError("it does not start")
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def _started(self):
        return subprocess.Popen(
            tethered(*self._command),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self):
        """End it, however far it got."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def paid(self):
        """What the provider was paid by this process, which ends, and how often it was refused."""
        self.process.stdin.close()
        lines = self.process.stdout.read().split(b"\n")[:-1]
        self.process.wait()
        self.process.stdout.close()
        return sum(int(line.split()[1]) for line in lines if line.startswith(b"paid ")), lines.count(
            b"refused"
        )


async def test_killed_processes_never_pass_a_ceiling(documents, project_id, emulators):
    ceilings = Ceilings(10**9, 1, KILLS * 8_000 + 20_000, 10**12, 10**12)
    await documents.scan("spending")  # the emulator's first operation may take seconds
    rng = random.Random(KILLS + 1000 * FIRST_SEED)
    spenders, paid, refused = [], 0, 0

    def start():
        spenders.append(Spender(emulators.firestore, project_id, f"learner-{len(spenders)}", ceilings))
        return spenders[-1]

    living = [start() for _ in range(3)]
    try:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.2, 1.0))
            victim = living.pop(rng.randrange(len(living)))
            victim.process.kill()
            living.append(start())
        await asyncio.sleep(3)
        for each in spenders:
            nanos, refusals = each.paid()
            paid, refused = paid + nanos, refused + refusals
    finally:
        for each in spenders:
            each.close()
    budgets = LeasedBudgets(documents, ceilings, now=lambda: datetime.now(UTC))
    [day] = await budgets.spent(Scope.COURSE, "algebra")
    figures.note(kills=KILLS, paid=paid, ceiling=ceilings.course_day)
    assert 0 < paid <= day.spent_nanos + day.reserved_nanos <= ceilings.course_day
    # What is left over is what killed processes held, and no more than that can be had.
    late = [reserve(budgets, Payer("late", "algebra")) for _ in range(ceilings.course_day // 100)]
    got = 100 * sum(
        not isinstance(each, BaseException) for each in await asyncio.gather(*late, return_exceptions=True)
    )
    assert paid + got <= ceilings.course_day
    await budgets.close()
