"""Whether cost stays flat as an assignment grows, and as assignments become many."""

import time

from shared.documents.metering import TOTAL
from tests.bench import material
from tests.bench.merging import merge_all
from tests.bench.report import Report

_STEP = 2000
_ROUNDS = 5


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    await _answers(emulators, report, 20_000 if quick else 100_000)
    await _assignments(emulators, report, 100 if quick else 1000)


async def _answers(emulators: dict[str, str], report: Report, most: int) -> None:
    """Billed operations and processor time per answer, for the first answers and for the last."""
    store = material.documents(emulators, material.project())
    await material.assignment(store)
    worker = material.merger(store)
    events = material.answers(most)
    figures = []
    for start in range(0, most, _STEP):
        part = events[start : start + _STEP]
        operations, processor = TOTAL.operations, time.process_time()
        await merge_all(worker, part)
        figures.append(((TOTAL.operations - operations) / _STEP, (time.process_time() - processor) / _STEP))
    await store.close()
    # The very first steps warm up; compare medians of the early and of the last.
    early, late = figures[1 : 1 + _ROUNDS], figures[-_ROUNDS:]
    billed, seconds = (_ratio([f[i] for f in early], [f[i] for f in late]) for i in (0, 1))
    report.row(
        f"one assignment, from {_STEP:,} to {most:,} answers",
        f"billed operations × {billed:.2f}, processor time × {seconds:.2f}",
        "flat: 1.00",
    )
    report.measured("flatness_answers_100k", max(billed, seconds))
    report.measured("flatness_answers_100k_billed", billed)
    report.measured("flatness_answers_100k_time", seconds)


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


def _ratio(early: list[float], late: list[float]) -> float:
    return sorted(late)[len(late) // 2] / sorted(early)[len(early) // 2]
