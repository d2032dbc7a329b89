"""
A real process that spends from shared budgets, for tests that run and kill several.

``python -m tests.budgets_worker ADDRESS PROJECT UID COURSE …``, then the ceilings of learner, course and tenant:
begins with a line on its standard input and ends with that. It prints ``paid NANOS`` before each call of
the provider (who is paid whatever becomes of this process) and ``refused`` for each refusal.
"""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime

from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.leases import LeasedBudgets
from shared.budgets.prices import Usage
from shared.documents.firestore import FirestoreDocuments
from shared.errors import BudgetSpent, Unavailable

WORST = 100


async def main(address, project, uid, course_id, learner, course, tenant):
    documents = FirestoreDocuments(project=project, database="(default)", emulator_host=address)
    ceilings = Ceilings(int(learner), 1, int(course), int(tenant), int(tenant))
    budgets = LeasedBudgets(documents, ceilings, now=lambda: datetime.now(UTC))
    payer = Payer(uid, course_id)

    async def call():
        try:
            reservation = await budgets.reserve(payer, task="chat", model="canned", worst_nanos=WORST)
        except BudgetSpent:
            os.write(1, b"refused\n")
            return
        except Unavailable:
            return
        actual = random.randint(WORST // 2, WORST)
        os.write(1, f"paid {actual}\n".encode())
        await asyncio.sleep(random.uniform(0.01, 0.3))
        await budgets.settle(reservation, actual_nanos=actual, usage=Usage(1, 1))

    os.write(1, b"ready\n")
    await asyncio.to_thread(sys.stdin.readline)
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    calls = set()
    while not ending.done():
        task = asyncio.create_task(call())
        calls.add(task)
        task.add_done_callback(calls.discard)
        await asyncio.sleep(random.uniform(0.005, 0.03))
    if calls:
        await asyncio.wait(calls)
    await budgets.close()
    await documents.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
