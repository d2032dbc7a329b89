"""How fast answers are merged: alone, against the store's own ceiling, by two workers, under load."""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence

from google.cloud import firestore

from local.processes import tethered
from shared import metrics
from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from shared.documents.metering import TOTAL
from shared.errors import Unavailable
from shared.learning.answers import AnswerSubmitted, decode, encode
from shared.ledger.base import PENDING
from shared.ledger.history import History
from shared.ledger.merging import Merger
from shared.ledger.shards import Shards
from tests.bench import material, serving
from tests.bench.report import Report

_TOGETHER = 50


async def put_on_record(store: FirestoreDocuments, events: Sequence[AnswerSubmitted]) -> None:
    """Make *events* pending."""
    for start in range(0, len(events), 500):
        part = events[start : start + 500]
        await store.create_each(
            [Create(f"{PENDING}/{each.event_id}", {"event": encode(each)}) for each in part]
        )


async def merge_all(worker: Merger, events: Sequence[AnswerSubmitted], *, together: int = _TOGETHER) -> float:
    """Seconds to merge *events*, offered in messages of *together*, 200 messages at a time."""
    gate = asyncio.Semaphore(200)

    async def offer(part: Sequence[AnswerSubmitted]) -> None:
        async with gate:
            while True:
                try:
                    await worker.merge(part, by="message")
                except Unavailable:
                    continue  # its message comes again
                return

    began = time.perf_counter()
    await asyncio.gather(*(offer(events[at : at + together]) for at in range(0, len(events), together)))
    return time.perf_counter() - began


async def client_ceiling(emulators: dict[str, str], count: int) -> float:
    """Documents a second that the client library commits in batches of 500."""
    client = firestore.AsyncClient(project=material.project())
    collection = client.collection("ceiling")
    began = time.perf_counter()
    for start in range(0, count, 500):
        batch = client.batch()
        for number in range(start, start + 500):
            batch.create(collection.document(f"{number:032x}"), {"event": "x" * 300})
        await batch.commit()
    return count / (time.perf_counter() - began)


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    count = 10_000 if quick else 30_000
    await _warm(emulators)
    rates, ceilings = [], []
    for _ in range(1 if quick else 3):
        ceilings.append(await client_ceiling(emulators, 5000))
        rates.append(await _alone(emulators, count))
    rate, ceiling = max(rates), max(ceilings)
    report.row(
        "merge alone, one worker", f"{rate:,.0f} answers/s", f"client's commits of 500: {ceiling:,.0f} docs/s"
    )
    report.measured("merge_answers_per_s_alone", rate)
    report.measured("merge_vs_commit_ceiling", rate / ceiling)
    await _many_assignments(emulators, report, 100 if quick else 1000)
    await _billed(emulators, report)
    await _rebuilt(emulators, report, 20_000 if quick else 100_000, live=rate)
    await _two_workers(emulators, report, 10_000 if quick else 20_000)
    await _racing(emulators, report, 10_000 if quick else 20_000)
    await _under_load(emulators, report, 10_000 if quick else 40_000)


async def _warm(emulators: dict[str, str]) -> None:
    await _alone(emulators, 4000)


async def _alone(emulators: dict[str, str], count: int) -> float:
    store = material.documents(emulators, material.project())
    await material.assignment(store)
    events = material.answers(count)
    await put_on_record(store, events)
    # At its own pace: in service, merges into one shard lie a second apart unless hundreds of answers wait.
    seconds = await merge_all(material.merger(store, merge_seconds=0.0), events)
    await store.close()
    return count / seconds


async def _many_assignments(emulators: dict[str, str], report: Report, count: int) -> None:
    store = material.documents(emulators, material.project())
    names = [await material.assignment(store, f"exam-{n}") for n in range(count)]
    worker = material.merger(store, merge_seconds=0.0)
    rates = []
    for first in (0, 20, 40):
        events = [event for name in names for event in material.answers(20, name, first=first)]
        await put_on_record(store, events)
        rates.append(len(events) / await merge_all(worker, events, together=20))
    report.row(
        f"merge, {count:,} assignments × 20 answers",
        f"{max(rates[1:]):,.0f} answers/s",
        f"in the first of which it reads their forms and keys: {rates[0]:,.0f}",
    )
    report.measured("merge_answers_per_s_many_assignments", max(rates[1:]))
    report.measured("merge_answers_per_s_many_assignments_unknown", rates[0])
    await store.close()


async def _billed(emulators: dict[str, str], report: Report) -> None:
    """Operations per answer, from its creation to the assignment document, merged fifty at a time."""
    for together, name in (
        (10, "billed_ops_per_answer_10"),
        (50, "billed_ops_per_answer"),
        (500, "billed_ops_per_answer_500"),
    ):
        store = material.documents(emulators, material.project())
        await material.assignment(store)
        worker = material.merger(store, rollup_seconds=0.0, gather_seconds=0.0, merge_seconds=0.0)
        events = material.answers(together * 20)
        before = TOTAL.operations
        await put_on_record(store, events)
        for start in range(0, len(events), together):
            await worker.merge(events[start : start + together], by="message")
        figure = (TOTAL.operations - before) / len(events)
        report.row(
            f"billed operations per answer, {together} a merge", f"{figure:.3f}", "naive read-modify-write: 3"
        )
        report.measured(name, figure)
        await store.close()


async def _rebuilt(emulators: dict[str, str], report: Report, count: int, *, live: float) -> None:
    store = material.documents(emulators, material.project())
    await material.assignment(store)
    await merge_all(material.merger(store), material.answers(count))
    grading = await material.catalog(store).grading("exam")
    history = History(store, Shards(store), None, key=b"a key for the bench")
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        rebuilt = await history.rebuild(grading)
        best = min(best, time.perf_counter() - began)
    assert rebuilt.identical
    assert rebuilt.events == count
    beside = f"merging them live: {live:,.0f} answers/s"
    report.row(f"rebuild {count:,} answers and compare", f"{count / best:,.0f} answers/s", beside)
    report.measured("rebuild_events_per_s", count / best)
    began = time.perf_counter()
    await history.as_of(grading, material.now())
    as_of = count / (time.perf_counter() - began)
    report.row(f"as of now, {count:,} answers", f"{as_of:,.0f} answers/s", beside)
    await store.close()


async def _two_workers(emulators: dict[str, str], report: Report, count: int) -> None:
    """Processes, each with half of the assignments, as routing by shard gives them; against one with all."""
    one, _ = await _workers(emulators, count, 1)
    two, lost = await _workers(emulators, count, 2)
    report.row(
        "merge, two worker processes, 40 assignments",
        f"{count / two:,.0f} answers/s",
        f"one: {count / one:,.0f} answers/s",
    )
    report.measured("merge_two_workers_ratio", one / two)
    report.row("… of their commits lost to another", f"{lost:.1%}", "goal ≤ 2 %; racing on purpose: below")
    report.measured("merge_commits_lost", lost)


async def _racing(emulators: dict[str, str], report: Report, count: int) -> None:
    """Processes that all merge into the same 40 assignments, each with its part of the messages."""
    for workers in (1, 2, 4):
        seconds, lost = await _workers(emulators, count, workers, racing=True)
        report.row(
            f"merge, {workers} racing worker processes",
            f"{count / seconds:,.0f} answers/s",
            f"{lost:.1%} of their commits lost",
        )
        report.measured(f"merge_answers_per_s_racing_{workers}", count / seconds)
        report.measured(f"merge_commits_lost_racing_{workers}", lost)


async def _workers(
    emulators: dict[str, str], count: int, workers: int, *, racing: bool = False
) -> tuple[float, float]:
    """Seconds until all answers are merged, and which share of the commits lost a race."""
    project = material.project()
    store = material.documents(emulators, project)
    names = [await material.assignment(store, f"exam-{n}") for n in range(40)]
    for name in names:
        await put_on_record(store, material.answers(count // 40, name))
    env = serving.environment(emulators, project)
    processes = [
        await asyncio.create_subprocess_exec(
            *tethered(sys.executable, "-m", "tests.bench.merging", project, str(count // 40)),
            f"{number}:{workers}" if racing else "0:1",
            *(names if racing else names[number::workers]),
            cwd=serving.ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # ready
    began = time.perf_counter()
    told = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    seconds = time.perf_counter() - began
    assert await store.count(PENDING) == 0
    await store.close()
    commits = [json.loads(output) for output, _ in told]
    done, lost = (sum(each[name] for each in commits) for name in ("done", "lost"))
    return seconds, lost / (done + lost)


async def _under_load(emulators: dict[str, str], report: Report, count: int) -> None:
    """Answers are put on record, fifty to a commit, by a process of its own while this one merges them."""
    project = material.project()
    store = material.documents(emulators, project)
    names = [await material.assignment(store, f"exam-{n}") for n in range(10)]
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "tests.bench.offering", project, str(count // 10), *names),
        cwd=serving.ROOT,
        env=serving.environment(emulators, project),
        stdout=subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    worker = material.merger(store)
    assert process.stdout is not None
    began = time.perf_counter()
    merging: set[asyncio.Task[None]] = set()
    offered = 0
    while line := await process.stdout.readline():
        # As a message would: the events themselves, once they are on record.
        events = [decode(text) for text in json.loads(line)]
        offered += len(events)
        task = asyncio.create_task(worker.merge(events, by="message"))
        merging.add(task)
        task.add_done_callback(merging.discard)
        if len(merging) > 400:
            await asyncio.wait(merging, return_when=asyncio.FIRST_COMPLETED)
    accepted = time.perf_counter() - began
    while merging:
        await asyncio.wait(merging)
    seconds = time.perf_counter() - began
    await process.wait()
    assert offered == count
    assert await store.count(PENDING) == 0
    report.row(
        "merge while answers are put on record",
        f"{count / seconds:,.0f} answers/s, of {count / accepted:,.0f}/s offered",
        "firestore-counter: 100/s alone, 3/s of 100 offered (published)",
    )
    report.measured("merge_events_per_s_under_load", count / seconds)
    await store.close()


async def _worker(project: str, each: int, part: str, names: Sequence[str]) -> None:
    """One worker process: says that it is ready, waits for the word, merges its part of the messages."""
    import os

    gc.set_threshold(50_000, 20, 100)  # as shared/wiring.py sets it for every function
    store = material.documents(dict(os.environ), project)
    worker = material.merger(store)
    number, workers = map(int, part.split(":"))
    messages = [
        material.answers(min(_TOGETHER, each - first), name, first=first)
        for name in names
        for first in range(0, each, _TOGETHER)
    ][number::workers]
    events = [event for message in messages for event in message]
    print(json.dumps({"ready": len(events)}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await merge_all(worker, events)
    await store.close()
    commits = metrics.merge_commits
    counts = {outcome: commits.labels(outcome).value for outcome in ("done", "lost")}
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    asyncio.run(_worker(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
