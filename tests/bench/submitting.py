"""How fast answers are taken over HTTP, against one ``AsyncClient.create()`` per request."""

import asyncio
import itertools
import json

import httpx

from shared.topics.base import ANSWERS_WAITING
from tests.bench import load, material, serving
from tests.bench.report import Report

_PEOPLE = 1000
_ROUNDS = 3


class Submitting:
    """Submissions to a store and a topic of their own."""

    def __init__(self, emulators: dict[str, str], project: str) -> None:
        self.env = serving.environment(emulators, project)
        self._numbers = itertools.count()
        self._tokens = material.tokens(self.env, project, (f"student-{n}" for n in range(_PEOPLE)))

    def request(self, _number: int) -> bytes:
        """A new answer, of one of a thousand students."""
        n = next(self._numbers)
        body = {
            "assignmentId": "exam",
            "questionId": f"q{n % material.QUESTIONS}",
            "answer": {"optionId": material.OPTIONS[n % 4]},
            "submissionId": f"submission-{n:09}",
        }
        return load.request_bytes("/", json.dumps(body).encode(), self._tokens[n % _PEOPLE])

    async def rates(
        self, target: str, source: str, in_flight: list[int], seconds: float
    ) -> dict[int, load.Outcome]:
        """Outcomes by number of requests in flight."""
        found = {}
        with serving.served(target, serving.ROOT / source, self.env) as port:
            await load.run("127.0.0.1", port, self.request, users=16, requests=500)
            for users in in_flight:
                found[users] = await load.run("127.0.0.1", port, self.request, users=users, seconds=seconds)
        return found


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    project = material.project()
    store = material.documents(emulators, project)
    await material.assignment(store)
    async with httpx.AsyncClient() as client:
        host = emulators["PUBSUB_EMULATOR_HOST"]
        await client.put(f"http://{host}/v1/projects/{project}/topics/{ANSWERS_WAITING}", json={})
    submitting = Submitting(emulators, project)
    seconds = 2.0 if quick else 4.0
    in_flight = [1, 16, 64, 256]
    best: dict[str, dict[int, load.Outcome]] = {"baseline": {}, "lectern": {}}
    for _ in range(1 if quick else _ROUNDS):
        for name, target, source in (
            ("baseline", "create_answer", "tests/bench/baseline/main.py"),
            ("lectern", "submit_answer", "main.py"),
        ):
            for users, outcome in (await submitting.rates(target, source, in_flight, seconds)).items():
                known = best[name].get(users)
                if known is None or outcome.rate > known.rate:
                    best[name][users] = outcome
    for users in in_flight:
        ours, theirs = best["lectern"][users], best["baseline"][users]
        report.row(
            f"submit, {users} in flight",
            f"{ours.rate:,.0f}/s, p95 {ours.percentile(0.95):.0f} ms",
            f"AsyncClient.create() {theirs.rate:,.0f}/s, p95 {theirs.percentile(0.95):.0f} ms",
        )
        report.measured(f"submit_rate_ratio_{users}", ours.rate / theirs.rate)
    with serving.served("submit_answer", serving.ROOT / "main.py", submitting.env) as port:
        await load.run("127.0.0.1", port, submitting.request, users=16, requests=500)
        outcome = await load.run(
            "127.0.0.1", port, submitting.request, users=100, seconds=10 if quick else 60, think_seconds=1
        )
        report.row("submit, 100 users, 1 s think time", _told(outcome), "S109: p95 < 500 ms, errors < 1 %")
        report.measured("submit_p95_ms_100_users", outcome.percentile(0.95))
        report.measured("submit_errors_100_users", outcome.errors)
        outcome = await load.run(
            "127.0.0.1", port, submitting.request, users=1000, seconds=15 if quick else 60, think_seconds=10
        )
        report.row("submit, 1,000 users, 10 s think time", _told(outcome), "p99 < 250 ms, no error")
        report.measured("submit_p99_ms_1000_users", outcome.percentile(0.99))
        report.measured("submit_errors_1000_users", outcome.errors)
    await asyncio.sleep(0)
    await store.close()


def _told(outcome: load.Outcome) -> str:
    return (
        f"{outcome.rate:,.0f}/s, p95 {outcome.percentile(0.95):.0f} ms, "
        f"p99 {outcome.percentile(0.99):.0f} ms, {outcome.errors} errors"
    )
