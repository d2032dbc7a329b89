"""Runs processes that share a limiter, kills some, and counts what they were allowed."""

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from local.processes import tethered

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Outcome:
    """Times at which calls were allowed; checks and round trips of processes that came to their end."""

    allowed: list[float] = field(default_factory=list)
    checks: int = 0
    trips: int = 0
    kills: int = 0

    def most_within(self, seconds: float) -> int:
        """The most calls that were allowed within so many seconds."""
        most = first = 0
        for last, at in enumerate(self.allowed):
            while self.allowed[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


class Asking:
    """Processes that ask *store* at *address* for the same key, *rate* times a second each."""

    def __init__(self, store, address, project, *, key, points, seconds, rate):
        self._command = [
            sys.executable, "-m", "tests.limits_worker", store, address, project,
            key, str(points), str(seconds), str(rate),
        ]  # fmt: skip

    def start(self):
        """A process, ready to begin."""
        process = subprocess.Popen(
            tethered(*self._command),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"ready\n"
        return process

    def run(self, number, *, lasts, kills=0, seed=0) -> Outcome:
        """
        Let *number* of them ask at once, for at least *lasts* seconds.

        On the way, kill -9 *kills* of them, each followed by another.
        """
        rng = random.Random(seed)
        outcome = Outcome()
        living = [self.start() for _ in range(number)]
        everyone = list(living)
        end = time.monotonic() + lasts
        try:
            for each in living:
                _begin(each)
            while outcome.kills < kills:
                time.sleep(rng.uniform(0.1, 0.8))
                living.pop(rng.randrange(len(living))).kill()
                outcome.kills += 1
                another = self.start()
                everyone.append(another)
                living.append(another)
                _begin(another)
            time.sleep(max(end - time.monotonic(), 0))
            for each in living:
                each.stdin.close()
            for each in everyone:
                _note(each, outcome)
        finally:
            for each in everyone:
                each.kill()
                each.wait()
                each.stdin.close()
                each.stdout.close()
        outcome.allowed.sort()
        return outcome


def _begin(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


def _note(process, outcome):
    for line in process.stdout.read().splitlines():
        words = line.split()
        if words and words[0] == b"done":
            outcome.checks += int(words[1])
            outcome.trips += int(words[2])
        elif words and len(line) == len("1700000000.000000"):
            outcome.allowed.append(float(line))
