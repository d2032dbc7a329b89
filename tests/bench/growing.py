"""Whether cost stays flat as an assignment grows, and as assignments become many."""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine

from shared.documents.metering import TOTAL
from shared.learning.answers import AnswerSubmitted
from tests.bench import material
from tests.bench.report import Report

_TOGETHER = 50
_IN_FLIGHT = 200
_FEW = 1000
_MESSAGES = 60
_ANSWERS_A_SECOND = 500
"""A twentieth of what one worker merges: nothing waits but for the second between two merges."""


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    await _answers(emulators, report, 20_000 if quick else 100_000, rounds=1 if quick else 3)
    await _assignments(emulators, report, 100 if quick else 1000)


async def _answers(emulators: dict[str, str], report: Report, most: int, *, rounds: int) -> None:
    """
    Billed operations and processor time of an answer to an assignment that has few, and to one that has many.

    Each time the same is offered at the same steady rate, to each in turn; the median of *rounds* pairs.
    """
    ratios: list[tuple[float, float]] = []
    for _ in range(rounds):
        few, many = [await _steadily(emulators, there) for there in (_FEW, most)]
        ratios.append((many[0] / few[0], many[1] / few[1]))
    billed, seconds = (statistics.median(each[i] for each in ratios) for i in (0, 1))
    report.row(
        f"one assignment, from {_FEW:,} to {most:,} answers",
        f"billed operations × {billed:.2f}, processor time × {seconds:.2f}",
        "flat: 1.00",
    )
    report.measured("flatness_answers_100k", max(billed, seconds))
    report.measured("flatness_answers_100k_billed", billed)
    report.measured("flatness_answers_100k_time", seconds)


async def _steadily(emulators: dict[str, str], there: int) -> tuple[float, float]:
    """What an answer costs in an assignment that has *there* answers: operations, and seconds of processor."""
    store = material.documents(emulators, material.project())
    for name in ("warm", "exam"):
        await material.assignment(store, name)
    worker = material.merger(store)
    new = _MESSAGES * _TOGETHER
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def offer(part: list[AnswerSubmitted]) -> None:
        async with gate:
            await worker.merge(part, by="message")

    def parts(events: list[AnswerSubmitted]) -> list[list[AnswerSubmitted]]:
        return [events[at : at + _TOGETHER] for at in range(0, len(events), _TOGETHER)]

    await asyncio.gather(*(offer(part) for part in parts(material.answers(there))))
    await _paced(offer, parts(material.answers(new, "warm")))
    operations, processor = TOTAL.operations, time.process_time()
    await _paced(offer, parts(material.answers(new, first=there)))
    spent = (TOTAL.operations - operations) / new, (time.process_time() - processor) / new
    await store.close()
    return spent


async def _paced(
    offer: Callable[[list[AnswerSubmitted]], Coroutine[None, None, None]], parts: list[list[AnswerSubmitted]]
) -> None:
    """Offer *parts*, so many answers a second; return when all are merged."""
    tasks = []
    for part in parts:
        tasks.append(asyncio.create_task(offer(part)))
        await asyncio.sleep(_TOGETHER / _ANSWERS_A_SECOND)
    await asyncio.gather(*tasks)


async def _assignments(emulators: dict[str, str], report: Report, most: int) -> None:
    """The same for messages of twenty answers, to one assignment and to many."""
    figures = {}
    for count in (1, most):
        store = material.documents(emulators, material.project())
        names = [await material.assignment(store, f"exam-{n}") for n in range(count)]
        worker = material.merger(store, gather_events=20, merge_seconds=0.0, rollup_seconds=0.0)
        # As many merges in either case: of one assignment again and again, or of each six times.
        rounds = 6 * most // count
        batches = [material.answers(20, name, first=20 * n) for n in range(rounds) for name in names]
        warm = batches[: len(batches) // 6]
        for batch in warm:
            await worker.merge(batch, by="message")
        operations, processor = TOTAL.operations, time.process_time()
        for batch in batches[len(warm) :]:
            await worker.merge(batch, by="message", forget=True)
        answered = 20 * (len(batches) - len(warm))
        figures[count] = (
            (TOTAL.operations - operations) / answered,
            (time.process_time() - processor) / answered,
        )
        await store.close()
    billed, seconds = (figures[most][i] / figures[1][i] for i in (0, 1))
    report.row(
        f"from 1 to {most:,} assignments",
        f"billed operations × {billed:.2f}, processor time × {seconds:.2f}",
        "flat: 1.00",
    )
    report.measured("flatness_assignments_1000", max(billed, seconds))
