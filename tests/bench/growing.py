"""Whether cost stays flat as an assignment grows, and as assignments become many."""

import asyncio
import statistics
import time
from itertools import pairwise

from shared.documents.metering import TOTAL
from shared.learning.answers import AnswerSubmitted
from tests.bench import material
from tests.bench.report import Report

_TOGETHER = 50
_IN_FLIGHT = 200


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    await _answers(emulators, report, 20_000 if quick else 100_000)
    await _assignments(emulators, report, 100 if quick else 1000)


async def _answers(emulators: dict[str, str], report: Report, most: int) -> None:
    """
    Billed operations and processor time per answer, while one assignment is answered without a pause.

    Compared are the second to the fourth tenth with the seventh to the ninth: the first warms up, and in
    the last there are fewer and fewer to merge together. The median of three assignments.
    """
    figures = [await _one(emulators, most) for _ in range(3)]
    billed, seconds = (statistics.median(each[i] for each in figures) for i in (0, 1))
    report.row(
        f"one assignment, from {most // 10:,} to {most:,} answers",
        f"billed operations × {billed:.2f}, processor time × {seconds:.2f}",
        "flat: 1.00",
    )
    report.measured("flatness_answers_100k", max(billed, seconds))
    report.measured("flatness_answers_100k_billed", billed)
    report.measured("flatness_answers_100k_time", seconds)


async def _one(emulators: dict[str, str], most: int) -> tuple[float, float]:
    store = material.documents(emulators, material.project())
    await material.assignment(store)
    worker = material.merger(store)
    events = material.answers(most)
    gate = asyncio.Semaphore(_IN_FLIGHT)
    marks = [(TOTAL.operations, time.process_time())]
    merged = 0

    async def offer(part: list[AnswerSubmitted]) -> None:
        nonlocal merged
        async with gate:
            await worker.merge(part, by="message")
        merged += len(part)
        if merged % (most // 10) == 0:
            marks.append((TOTAL.operations, time.process_time()))

    await asyncio.gather(*(offer(events[at : at + _TOGETHER]) for at in range(0, most, _TOGETHER)))
    await store.close()
    spent = [tuple(b - a for a, b in zip(before, after, strict=True)) for before, after in pairwise(marks)]
    early, late = spent[1:4], spent[6:9]
    billed, seconds = (sum(each[i] for each in late) / sum(each[i] for each in early) for i in (0, 1))
    return billed, seconds


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
