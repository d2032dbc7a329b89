"""
What one would build first, against what is here: one assignment, answered by 1, 100 and 1,000 users.

``python -m tests.bench.naive [transaction] [increments] [lectern] [--seconds N]`` measures, writes ``bench/naive.json`` and draws
``docs/performance-naive.svg``; ``--draw`` only draws what was measured last.

- *transaction*: each answer reads the assignment document, adds itself to its figures and writes it back,
  in a transaction.
- *increments*: each answer is created, and a counter of ten shards is incremented with it, in one
  commit: the distributed counter of Firestore's documentation. It knows how many answers there are and
  how many were right, nothing per student: no duplicates, no second attempt, no item analysis.
- *lectern*: put on record, then merged by one worker, as ``submit_answer`` and ``merge_answers`` do.

Nothing but the store is on the way, in one process each: no HTTP, no Pub/Sub.
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import firestore

from local.emulators import choose_ports, start
from local.ports import Ports
from local.processes import children, tethered
from shared.ledger.accepting import PendingAnswers
from tests.bench import material
from tests.bench.report import ROOT

RESULTS = ROOT / "bench" / "naive.json"
PLOT = ROOT / "docs" / "performance-naive.svg"
USERS = (1, 100, 1000)
_COUNTERS = 10


@dataclass
class Seen:
    """What a design did in the time it had."""

    answers: int = 0
    failed: int = 0
    waits: list[float] = field(default_factory=list)
    seconds: float = 0.0
    merged: int = 0


Answer = Callable[[int], Awaitable[None]]


async def drive(answer: Answer, users: int, seconds: float) -> Seen:
    """Let *users* answer one after the other; whoever is still waiting when time is up has failed."""
    seen = Seen()
    numbers = itertools.count()
    start_at = time.perf_counter()
    until = start_at + seconds

    async def user() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            try:
                # What takes so long is an error to whoever waits for it.
                async with asyncio.timeout(max(1.0, until + 2 - began)):
                    await answer(next(numbers))
            except (TimeoutError, GoogleAPICallError, ValueError):
                seen.failed += 1
            else:
                seen.answers += 1
                seen.waits.append(time.perf_counter() - began)

    await asyncio.gather(*(user() for _ in range(users)))
    seen.seconds = time.perf_counter() - start_at
    return seen


async def transaction(emulators: dict[str, str], users: int, seconds: float) -> Seen:
    """Read, change and write the assignment document for each answer."""
    client = firestore.AsyncClient(project=material.project())
    document = client.document("assignments/exam")
    await document.set({"answers": 0, "correct": 0, "questions": {}})

    async def answer(number: int) -> None:
        @firestore.async_transactional
        async def change(transaction: firestore.AsyncTransaction) -> None:
            found = (await document.get(transaction=transaction)).to_dict() or {}
            question = f"q{number % material.QUESTIONS}"
            count = found["questions"].get(question, 0)
            transaction.set(
                document,
                {
                    "answers": found["answers"] + 1,
                    "correct": found["correct"] + number % 2,
                    "questions": {**found["questions"], question: count + 1},
                },
            )

        await change(client.transaction())

    seen = await drive(answer, users, seconds)
    try:
        async with asyncio.timeout(15):
            seen.merged = ((await document.get()).to_dict() or {})["answers"]
    except TimeoutError:
        seen.merged = seen.answers  # locks of those who gave up are still held
    client.close()
    return seen


async def increments(emulators: dict[str, str], users: int, seconds: float) -> Seen:
    """Create the answer and increment one of ten counters, in one commit."""
    client = firestore.AsyncClient(project=material.project())
    answers = client.collection("answers")
    counters = [client.document(f"assignments/exam/counters/{number}") for number in range(_COUNTERS)]

    async def answer(number: int) -> None:
        batch = client.batch()
        batch.create(answers.document(), {"question": number % material.QUESTIONS, "answer": "a"})
        added = {"answers": firestore.Increment(1), "correct": firestore.Increment(number % 2)}
        batch.set(random.choice(counters), added, merge=True)
        await batch.commit()

    seen = await drive(answer, users, seconds)
    found = [each async for each in client.collection("assignments/exam/counters").stream()]
    seen.merged = sum((each.to_dict() or {}).get("answers", 0) for each in found)
    client.close()
    return seen


async def lectern(emulators: dict[str, str], users: int, seconds: float) -> Seen:
    """Put the answer on record; one worker merges meanwhile."""
    store = material.documents(emulators, material.project())
    await material.assignment(store)
    pending = PendingAnswers(store)
    worker = material.merger(store)
    events = iter(material.answers(100_000))
    merging: set[asyncio.Task[None]] = set()

    async def answer(_number: int) -> None:
        event = next(events)
        await pending.record(event)
        task = asyncio.create_task(worker.merge([event], by="message"))
        merging.add(task)
        task.add_done_callback(merging.discard)

    began = time.perf_counter()
    seen = await drive(answer, users, seconds)
    while merging:
        await asyncio.wait(merging)
    seen.seconds = time.perf_counter() - began
    [document] = await store.get(["assignments/exam"])
    assert document is not None
    seen.merged = document.fields["asOf"]["events"]
    assert seen.merged == seen.answers
    await store.close()
    return seen


DESIGNS = {"transaction": transaction, "increments": increments, "lectern": lectern}


async def measure(designs: list[str], seconds: float) -> None:
    """Each design under each number of users, on emulators and in a process of its own; into the file."""
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = {(row["design"], row["users"]): row for row in known}
    for name, users in itertools.product(designs, USERS):
        # Locks that a transaction left behind would stand in the next one's way.
        with TemporaryDirectory() as folder:
            async with children(logs=Path(folder)) as started:
                at = choose_ports(Ports())
                await start(started, at)
                process = await asyncio.create_subprocess_exec(
                    *tethered(sys.executable, "-m", "tests.bench.naive"),
                    *("--one", name, str(users), "--seconds", str(seconds)),
                    cwd=ROOT,
                    env={**os.environ, **at.environment()},
                    stdout=asyncio.subprocess.PIPE,
                )
                printed, _ = await process.communicate()
        row = json.loads(printed.splitlines()[-1])
        print(json.dumps(row), flush=True)
        rows[name, users] = row
        results = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores, emulators, Python {platform.python_version()}",
            "load_average": round(os.getloadavg()[0], 1),
            "rows": list(rows.values()),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


async def one(name: str, users: int, seconds: float) -> dict:
    """A row of the results."""
    seen = await DESIGNS[name](dict(os.environ), users, seconds)
    waits = sorted(seen.waits)
    return {
        "design": name,
        "users": users,
        "answers_per_s": round(seen.answers / seen.seconds, 1),
        "p50_ms": round(statistics.median(waits) * 1000, 1) if waits else None,
        "p95_ms": round(waits[min(len(waits) - 1, int(0.95 * len(waits)))] * 1000, 1) if waits else None,
        "failed": seen.failed,
        "failed_share": round(seen.failed / max(1, seen.failed + seen.answers), 4),
        "counted": seen.merged,
        "seconds": round(seen.seconds, 1),
    }


_COLOURS = {"transaction": "#b3402f", "increments": "#c78a1b", "lectern": "#1f6f5c"}
_TITLES = {
    "transaction": "read, change, write in a transaction",
    "increments": "increments on ten counters",
    "lectern": "Lectern: on record, and merged",
}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BASE = 760, 330, 60, 70, 270


def draw(results: dict) -> str:
    """Two groups of bars: answers a second, and the time that 95 of 100 users waited at most; as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<style>text { font-family: sans-serif; font-size: 12px }</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT - 40}" y="22">One assignment, answered by 1, 100 and 1,000 users at once</text>',
    ]
    for number, name in enumerate(DESIGNS):
        left = _LEFT - 40 + number * 250
        parts.append(f'<rect x="{left}" y="34" width="12" height="12" fill="{_COLOURS[name]}"/>')
        parts.append(f'<text x="{left + 18}" y="45">{_TITLES[name]}</text>')
    parts += _bars(results, "answers_per_s", "answers a second, log scale", _LEFT)
    parts += _bars(results, "p95_ms", "p95 of an answer in ms, log scale", _LEFT + 360)
    parts.append(
        f'<text x="{_LEFT - 40}" y="{_HEIGHT - 10}" fill="#555">'
        f"Measured {results['date']}: {results['machine']}, other work on the machine.</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _bars(results: dict, figure: str, title: str, left: int) -> list[str]:
    most = 5.0  # decades: 0.1 to 10,000
    parts = [f'<text x="{left}" y="{_TOP - 4}" fill="#333">{title}</text>']
    for decade in range(6):
        y = _BASE - (_BASE - _TOP - 10) * decade / most
        parts.append(f'<line x1="{left}" x2="{left + 310}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#777">{10.0 ** (decade - 1):g}</text>'
        )
    found = {(row["design"], row["users"]): row for row in results["rows"]}
    for group, users in enumerate(USERS):
        for place, name in enumerate(DESIGNS):
            row = found.get((name, users))
            value = row[figure] if row else None
            x = left + 12 + group * 102 + place * 30
            if not value:
                parts.append(f'<text x="{x + 13}" y="{_BASE - 4}" text-anchor="middle">none</text>')
                continue
            height = (_BASE - _TOP - 10) * (math.log10(max(value, 0.1)) + 1) / most
            parts.append(
                f'<rect x="{x}" y="{_BASE - height:.1f}" width="26" height="{height:.1f}" '
                f'fill="{_COLOURS[name]}"/>'
            )
            label = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
            parts.append(
                f'<text x="{x + 13}" y="{_BASE - height - 3:.1f}" text-anchor="middle" font-size="10">{label}</text>'
            )
        parts.append(
            f'<text x="{left + 55 + group * 102}" y="{_BASE + 16}" text-anchor="middle">{users:,} {"user" if users == 1 else "users"}</text>'
        )
    return parts


def main() -> None:
    """Measure, unless it is only to be drawn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("designs", nargs="*", choices=[*DESIGNS, []], default=[], help="all, unless named")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--draw", action="store_true", help="draw what was measured last")
    parser.add_argument(
        "--one", nargs=2, metavar=("DESIGN", "USERS"), help="print a row, on emulators at hand"
    )
    arguments = parser.parse_args()
    if arguments.one:
        name, users = arguments.one
        print(json.dumps(asyncio.run(one(name, int(users), arguments.seconds))))
        return
    if not arguments.draw:
        asyncio.run(measure(arguments.designs or list(DESIGNS), arguments.seconds))
    PLOT.write_text(draw(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
