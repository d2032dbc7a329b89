"""
The load tests without k6: the same users, the same questions, the same pass or fail.

``python -m tests.load [submit_answers] [view_courses] [exam_day] [--seconds N] [--running]``. Starts a local run of
its own, or, with ``--running``, uses the one that ``make run`` describes in ``.local/env``. Ends with 1 if
a threshold is crossed.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from tests.bench import load, material
from tests.faults import figures
from tests.running import ROOT, LocalRun, exports

_PEOPLE = 1000
_SOURCE = "\n\n".join(f"::q{number}:: Say {number}. {{={number}}}" for number in range(20))


@dataclass
class School:
    """An assignment of short answers in the demo course, and people who may answer it."""

    env: dict[str, str]
    course_id: str
    assignment_id: str
    questions: list[str]
    tokens: list[str]

    def path(self, function: str) -> str:
        """Where a function answers."""
        return f"/{self.env['GOOGLE_CLOUD_PROJECT']}/{self.env['FIREBASE_REGION']}/{function}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the functions."""
        host, _, port = self.env["LECTERN_URL"].removeprefix("http://").partition(":")
        return host, int(port)


@dataclass
class Threshold:
    """What must hold, and what was seen."""

    name: str
    seen: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the test passes by it."""
        return self.seen > self.limit if self.at_least else self.seen < self.limit


async def submit_answers(school: School, seconds: float) -> list[Threshold]:
    """S109: 100 users, a minute, an answer a second each."""
    before = await _counted(school)
    outcome = await load.run(
        *school.address, answering(school), users=100, seconds=seconds, think_seconds=1.0
    )
    after = await _counted(school)
    throttled = after["throttled"] - before["throttled"]
    return [
        *_durations(outcome, average=500),
        Threshold("http_req_failed: rate", _failed(outcome), 0.01),
        Threshold("throttled: count", throttled, 1),
    ]


async def view_courses(school: School, seconds: float) -> list[Threshold]:
    """S110: 1,000 users, two minutes; each lists a course's assignments or opens one, then thinks."""

    def make(number: int) -> bytes:
        listing = number % 2
        body = {"courseId": school.course_id} if listing else {"assignmentId": school.assignment_id}
        path = school.path("list_assignments" if listing else "get_assignment")
        return load.request_bytes(path, json.dumps(body).encode(), school.tokens[number % len(school.tokens)])

    before = await _counted(school)
    outcome = await load.run(*school.address, make, users=1000, seconds=seconds, think_seconds=5.0)
    after = await _counted(school)
    hits = 1 - (after["reads"] - before["reads"]) / max(1.0, after["needed"] - before["needed"])
    return [*_durations(outcome, average=200), Threshold("cache_hits: rate", hits, 0.4, at_least=True)]


async def exam_day(school: School, seconds: float) -> list[Threshold]:
    """G12: 1,000 learners, an answer each 10 s; then a deadline with 1,000 answers in 10 s; all merged in 60 s."""
    before = await _merged(school)
    make = answering(school)
    usual = await load.run(*school.address, make, users=1000, seconds=seconds, think_seconds=10.0)
    # Each of a thousand sends one answer, at some moment of these ten seconds.
    deadline = await load.run(*school.address, make, users=1000, requests=1000, think_seconds=10.0)
    accepted = len(usual.seconds) + len(deadline.seconds)
    ended = time.perf_counter()
    for _ in range(400):
        merged = await _merged(school) - before
        if merged >= accepted:
            break
        await asyncio.sleep(0.25)
    waited = time.perf_counter() - ended
    print(f"     answers................: {accepted} accepted, {merged} merged {waited:.1f}s after the last")
    figures.note(
        answers=accepted,
        errors=usual.errors + deadline.errors,
        worst_p99_ms=max(usual.percentile(0.99), deadline.percentile(0.99)),
        worst_seconds_until_merged=waited,
    )
    return [
        *_durations(usual, average=100),
        Threshold("http_req_duration: p(99) ms", usual.percentile(0.99), 250),
        Threshold("http_req_duration: p(99) ms at the deadline", deadline.percentile(0.99), 250),
        Threshold("http_req_failed: count", usual.errors + deadline.errors, 1),
        Threshold("answers not merged, or merged twice: count", abs(accepted - merged), 1),
        Threshold("merged after the last: s", waited, 60),
    ]


def answering(school: School) -> Callable[[int], bytes]:
    """Makes the n-th request: a new answer of one of the thousand."""
    numbers = itertools.count()
    run_id = uuid.uuid4().hex[:8]

    def make(_number: int) -> bytes:
        n = next(numbers)
        body = {
            "assignmentId": school.assignment_id,
            "questionId": school.questions[n % len(school.questions)],
            "answer": {"text": f"answer {n}"},
            "submissionId": f"load-{run_id}-{n:08}",
        }
        return load.request_bytes(
            school.path("submit_answer"), json.dumps(body).encode(), school.tokens[n % len(school.tokens)]
        )

    return make


async def _merged(school: School) -> int:
    """How many answers the assignment document shows."""
    store = material.documents(school.env, school.env["GOOGLE_CLOUD_PROJECT"])
    [found] = await store.get([f"assignments/{school.assignment_id}"], only=["asOf"])
    await store.close()
    return int((found.fields.get("asOf") or {}).get("events", 0)) if found is not None else 0


SCENARIOS: dict[str, tuple[Callable, float]] = {
    "submit_answers": (submit_answers, 60.0),
    "view_courses": (view_courses, 120.0),
    "exam_day": (exam_day, 600.0),
}


def _durations(outcome: load.Outcome, *, average: float) -> list[Threshold]:
    mean = sum(outcome.seconds) / max(1, len(outcome.seconds)) * 1000
    told = " ".join(f"p({share})={outcome.percentile(share / 100):.1f}ms" for share in (50, 90, 95, 99))
    most = max(outcome.seconds, default=float("nan")) * 1000
    print(f"     http_req_duration......: avg={mean:.1f}ms {told} max={most:.1f}ms")
    print(f"     http_req_failed........: {_failed(outcome):.2%}  {outcome.errors} of {_all(outcome)}")
    print(f"     http_reqs..............: {_all(outcome)}  {outcome.rate:.1f}/s")
    return [
        Threshold("http_req_duration: avg ms", mean if outcome.seconds else float("inf"), average),
        Threshold("http_req_duration: p(95) ms", outcome.percentile(0.95), 1000),
    ]


def _all(outcome: load.Outcome) -> int:
    return len(outcome.seconds) + outcome.errors


def _failed(outcome: load.Outcome) -> float:
    return outcome.errors / max(1, _all(outcome))


async def _counted(school: School) -> dict[str, float]:
    """What ``/metrics`` says: requests refused for their number, reads, and reads if nothing were kept."""
    async with httpx.AsyncClient(timeout=30) as http:
        text = (await http.get(f"{school.env['LECTERN_URL']}/metrics")).text

    def total(name: str, labels: str) -> float:
        found = re.findall(rf"^{name}_total\{{{labels}\}} (\S+)", text, re.MULTILINE)
        return sum(map(float, found))

    lists = total("lectern_requests", 'function="list_assignments",status="200"')
    views = total("lectern_requests", 'function="get_assignment",status="200"')
    return {
        "throttled": total("lectern_requests", 'function="[a-z_]+",status="429"'),
        "reads": total(
            "lectern_billed_operations", 'function="(?:list_assignments|get_assignment)",kind="reads"'
        ),
        # At least: the course and the query for a list; the course, the header and the form for an assignment.
        "needed": 2 * lists + 3 * views,
    }


async def prepare(env: dict[str, str]) -> School:
    """Sign in as the demo course's teacher, and make the assignment."""
    async with httpx.AsyncClient(timeout=30) as http:
        signed_in = await http.post(
            f"http://{env['FIREBASE_AUTH_EMULATOR_HOST']}"
            "/identitytoolkit.googleapis.com/v1/accounts:signInWithPassword",
            params={"key": env["FIREBASE_API_KEY"]},
            json={
                "email": env["DEMO_TEACHER_EMAIL"],
                "password": env["DEMO_PASSWORD"],
                "returnSecureToken": True,
            },
        )
        signed_in.raise_for_status()
        tokens = material.tokens(env, env["GOOGLE_CLOUD_PROJECT"], (f"load-{n}" for n in range(_PEOPLE)))
        school = School(env, env["DEMO_COURSE_ID"], "", [], tokens)
        imported = await http.post(
            env["LECTERN_URL"] + school.path("import_assignment"),
            json={"courseId": school.course_id, "title": "Load", "format": "gift", "source": _SOURCE},
            headers={"authorization": f"Bearer {signed_in.json()['idToken']}"},
        )
        imported.raise_for_status()
    school.assignment_id = imported.json()["assignmentId"]
    school.questions = [question["questionId"] for question in imported.json()["questions"]]
    return school


async def run(names: list[str], env: dict[str, str], seconds: float | None) -> int:
    """Run these scenarios, print their summaries; the exit status."""
    school = await prepare(env)
    crossed = 0
    for name in names:
        scenario, standard = SCENARIOS[name]
        print(f"\n  {name}: {scenario.__doc__}")
        for threshold in await scenario(school, seconds or standard):
            sign = ">" if threshold.at_least else "<"
            mark = "✓" if threshold.holds else "✗"
            print(f"   {mark} {threshold.name} {threshold.seen:.4g} {sign} {threshold.limit:g}")
            crossed += not threshold.holds
    return int(crossed > 0)


def main() -> int:
    """The exit status of what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], default=[])
    parser.add_argument("--seconds", type=float, help="instead of a scenario's own duration")
    parser.add_argument("--running", action="store_true", help="against the run in .local/env")
    arguments = parser.parse_args()
    names = arguments.scenarios or list(SCENARIOS)
    if arguments.running:
        return asyncio.run(run(names, exports(ROOT / ".local" / "env"), arguments.seconds))
    with TemporaryDirectory() as folder:
        local = LocalRun(Path(folder) / "run")
        try:
            return asyncio.run(run(names, local.ready(), arguments.seconds))
        finally:
            local.stop()


if __name__ == "__main__":
    sys.exit(main())
