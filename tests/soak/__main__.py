"""
The long run: the release column of the goals, as ``make soak``.

It can be interrupted at any time and goes on where it was; a table shows what is done, and each
failure with the one command that plays it again. ``--only G3`` runs one goal, ``--again`` forgets what
was done, ``--table`` only shows the table.
"""

import argparse
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from local.processes import tethered
from tests.faults.figures import VARIABLE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".local" / "soak"


@dataclass(frozen=True)
class Unit:
    """A part of a goal that is run as one process."""

    goal: str
    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    alone: bool = False
    """Whether it measures times, so that nothing may run beside it."""

    @property
    def command(self) -> str:
        """What plays it again, in a shell."""
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*assignments, "python", *map(shlex.quote, self.arguments)])


TITLES = {
    "G1": "deterministic simulation",
    "G2": "every operation x before, after, lost x handler",
    "G3": "kill -9",
    "G4": "wire faults, pauses, outages",
    "G5": "others' submissions beside killed workers",
    "G6": "Pub/Sub x5, reordered, poisoned",
    "G7": "golden ledgers replay to the same bytes",
    "G8": "in-memory store = Firestore",
    "G9": "generated requests, by the schema and against it",
    "G10": "who may do what, by the table and at random",
    "G11": "answer keys are nowhere",
    "G12": "a thousand learners and a deadline",
    "G13": "a provider that fails in every way",
    "G14": "money and limits under kill -9",
    "G15": "injections and a malicious model",
    "G16": "mutants of the core",
    "G17": "restore drill",
    "G19": "SIGTERM under load",
    "G20": "secrets, dependencies, scanners",
    "S47": "TLS idle: connections to the provider",
}


def units() -> list[Unit]:
    """Everything that a release runs, so ordered that an interrupted run has done some of each goal."""
    by_goal: dict[str, list[Unit]] = {}
    for unit in _units():
        by_goal.setdefault(unit.goal, []).append(unit)
    placed = [
        (number / len(mine), goal, unit) for goal, mine in by_goal.items() for number, unit in enumerate(mine)
    ]
    return [unit for _, _, unit in sorted(placed, key=lambda each: each[:2])]


def _units() -> Iterator[Unit]:
    for first in range(0, 100_000, 1000):
        yield Unit(
            "G1",
            f"seeds from {first}",
            ("-m", "tests.simulation", "--seed", str(first), "--count", "1000"),
        )
    for number in range(4):
        yield _pytest(
            "G2",
            f"seed {number}",
            "tests/emulator/test_faults_points.py",
            keyword="fault_at",
            LECTERN_FIRST_SEED=number,
        )
    for number in range(10):
        yield _pytest(
            "G3",
            f"seeds from {number * 2}",
            "tests/emulator/test_faults_kills.py",
            keyword="killed_processes or naive",
            LECTERN_KILLS=100,
            LECTERN_FIRST_SEED=number * 2,
        )
        yield _pytest(
            "G4",
            f"seeds from {number * 2}",
            "tests/emulator/test_faults_wire.py",
            "tests/emulator/test_faults_kills.py::test_stopped_and_resumed_processes_come_too_late_and_change_nothing",
            LECTERN_FIRST_SEED=number * 2,
        )
        yield _pytest(
            "G5",
            f"seeds from {number * 2}",
            "tests/emulator/test_faults_kills.py::test_a_killed_merger_holds_up_nobody_elses_submission",
            LECTERN_FIRST_SEED=number * 2,
        )
        yield _pytest(
            "G8",
            f"seed {number}",
            "tests/emulator/test_faults_twin.py",
            f"--hypothesis-seed={number}",
            LECTERN_TWIN_RUNS=200,
        )
        yield _pytest(
            "G9",
            f"seed {number + 1}",
            "tests/security/test_openapi_fuzz.py",
            LECTERN_FUZZ=10_000,
            LECTERN_FUZZ_SEED=number + 1,
        )
    for number in range(10):
        yield _pytest(
            "G10",
            f"rules, seed {number}",
            "tests/emulator/test_rules_random.py",
            LECTERN_ATTEMPTS=3000,
            LECTERN_FIRST_SEED=number,
        )
    matrix = ("tests/security/test_access.py", "tests/security/test_access_emulator.py")
    yield _pytest("G10", "the table", *matrix, "tests/emulator/test_rules.py")
    yield _pytest("G11", "all", "tests/security/test_answer_keys.py")
    yield _pytest("G13", "all", "tests/gateway/test_degrading.py")
    yield _pytest("G15", "all", "tests/security/test_injections.py")
    yield Unit("G16", "all", ("-m", "tooling.mutants"))
    yield _pytest("G20", "all", "tests/security/test_secrets.py", "tests/security/test_scanners.py")
    yield _pytest("G6", "all", "tests/emulator/test_faults_messages.py", LECTERN_MESSAGES=10_000)
    yield _pytest("G7", "all", "tests/simulation/test_golden.py")
    yield Unit("G12", "ten minutes", ("-m", "tests.load", "exam_day"), alone=True)
    for number in range(4):
        yield _pytest(
            "G14",
            f"kills {number}",
            "tests/emulator/test_budgets_store.py::test_killed_processes_never_pass_a_ceiling",
            "tests/emulator/test_limits_stores.py::test_windows_hold_while_processes_are_killed",
            LECTERN_KILLS=25,
            LECTERN_FIRST_SEED=number,
        )
    yield _pytest(
        "G14",
        "simulated towns",
        "tests/unit/budgets/test_leases.py",
        "tests/unit/limits/test_leases.py",
        LECTERN_TOWNS=300,
    )
    yield _pytest(
        "S47",
        "TLS idle, four minutes",
        "tests/gateway/test_tls.py",
        keyword="idleness",
        LECTERN_IDLE_SECONDS=240,
    )
    yield _pytest("G17", "all", "tests/emulator/test_faults_restore.py", LECTERN_RESTORE_EVENTS=100_000)
    yield _pytest(
        "G19",
        "all",
        "tests/emulator/test_faults_kills.py::test_processes_told_to_end_end_in_time_and_lose_nothing",
        LECTERN_TERMINATIONS=100,
    )


def _pytest(goal: str, name: str, *what: str, keyword: str = "", **environment: int) -> Unit:
    chosen = ("-k", keyword) if keyword else ()
    return Unit(
        goal,
        name,
        ("-m", "pytest", "-q", "-x", *what, *chosen),
        {key: str(value) for key, value in environment.items()},
    )


class State:
    """What is done, on disk after every unit."""

    def __init__(self) -> None:
        self._path = FOLDER / "state.json"
        self.done: dict[str, dict[str, object]] = {}
        if self._path.exists():
            self.done = json.loads(self._path.read_text())

    def passed(self, unit: Unit) -> bool:
        """Whether *unit* has been run, with success."""
        return self.done.get(unit.command, {}).get("passed") is True

    def note(self, unit: Unit, result: dict[str, object]) -> None:
        """Keep *result*."""
        self.done[unit.command] = result
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self.done, indent=1))
        draft.replace(self._path)


def run(unit: Unit, number: int, running: set[subprocess.Popen[str]]) -> dict[str, object]:
    """Run *unit* in a process of its own; returns what there is to say about it."""
    figures = FOLDER / f"figures-{number}"
    figures.unlink(missing_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        tethered(sys.executable, *unit.arguments),
        cwd=ROOT,
        env={**os.environ, **unit.environment, VARIABLE: str(figures)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    running.add(process)
    output, _ = process.communicate()
    running.discard(process)
    measured: dict[str, float] = {}
    lines = figures.read_text().splitlines() if figures.exists() else []
    for line in lines:
        for name, value in json.loads(line).items():
            measured[name] = _joined(name, measured.get(name), value)
    seeds = re.search(r"^(\d+) seeds, (\d+) failed, (\d+) answers, (\d+) operations", output, re.MULTILINE)
    if seeds:
        measured |= dict(
            zip(("seeds", "failed", "answers", "operations"), map(int, seeds.groups()), strict=True)
        )
    figures.unlink(missing_ok=True)
    return {
        "goal": unit.goal,
        "name": unit.name,
        "passed": process.returncode == 0,
        "seconds": time.monotonic() - began,
        "figures": measured,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **({} if process.returncode == 0 else {"output": output[-4000:]}),
    }


def _joined(name: str, before: float | None, value: float) -> float:
    if before is None:
        return value
    return max(before, value) if name.startswith("worst") else before + value


def table(state: State) -> str:
    """What is done of each goal, in Markdown."""
    lines = ["| goal | what | done | failed | figures | minutes |", "|---|---|---|---|---|---|"]
    everything = units()
    for goal, title in TITLES.items():
        mine = [unit for unit in everything if unit.goal == goal]
        results = [state.done[unit.command] for unit in mine if unit.command in state.done]
        measured: dict[str, float] = {}
        for result in results:
            for name, value in result["figures"].items():  # type: ignore[attr-defined]  # read from JSON
                measured[name] = _joined(name, measured.get(name), value)
        shown = ", ".join(
            f"{name.replace('_', ' ')} {value:,.{_digits(value)}f}" for name, value in measured.items()
        )
        passed = sum(result["passed"] is True for result in results)
        minutes = sum(float(str(result["seconds"])) for result in results) / 60
        lines.append(
            f"| {goal} | {title} | {passed} of {len(mine)} | {len(results) - passed} | {shown} | {minutes:.1f} |"
        )
    lines.append("")
    lines.append(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    return "\n".join(lines)


def _digits(value: float) -> int:
    return 0 if float(value).is_integer() or value > 100 else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(TITLES), default=[])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        (FOLDER / "state.json").unlink(missing_ok=True)
    state = State()
    waiting = [
        unit
        for unit in units()
        if (not arguments.only or unit.goal in arguments.only) and not state.passed(unit)
    ]
    if not arguments.table:
        _work(state, [unit for unit in waiting if not unit.alone], arguments.jobs)
        _work(state, [unit for unit in waiting if unit.alone], 1)
    print(table(state))
    failed = [(command, each) for command, each in state.done.items() if not each["passed"]]
    for command, result in failed:
        print(f"\n{result['goal']} {result['name']} failed. Play it again with:\n    {command}")
        print(str(result.get("output", ""))[-1500:])
    return 1 if failed else 0


def _work(state: State, waiting: list[Unit], jobs: int) -> None:
    numbers = iter(range(len(waiting)))
    processes: set[subprocess.Popen[str]] = set()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    queue = iter(waiting)
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[dict[str, object]], Unit] = {}
        try:
            while True:
                while len(running) < jobs and (unit := next(queue, None)) is not None:
                    running[pool.submit(run, unit, next(numbers), processes)] = unit
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    unit = running.pop(future)
                    result = future.result()
                    state.note(unit, result)
                    word = "passed" if result["passed"] else "FAILED"
                    print(f"{unit.goal} {unit.name}: {word} in {result['seconds']:.0f} s", flush=True)
        except KeyboardInterrupt:
            for process in list(processes):
                process.terminate()
            pool.shutdown(cancel_futures=True)
            print("Interrupted; the same command goes on from here.")


if __name__ == "__main__":
    sys.exit(main())
