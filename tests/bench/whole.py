"""The whole stack under load: merging while submissions come in, and how soon a listener sees an answer."""

import asyncio
import json
import os
import random
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from tests.bench import load, material
from tests.bench.report import Report
from tests.running import LocalRun


async def measure(_emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    with TemporaryDirectory() as folder:
        run = LocalRun(Path(folder) / "run", LECTERN_LOG_LEVEL="warning")
        try:
            env = await asyncio.to_thread(run.ready)
            await _listen(env, report, 20 if quick else 60)
            await _under_load(env, report, 5 if quick else 15)
        finally:
            await asyncio.to_thread(run.stop)


async def _listen(env: dict[str, str], report: Report, rounds: int) -> None:
    """Submit in bursts of a dozen, and wait until the assignment document shows them."""
    from google.cloud import firestore

    os.environ["FIRESTORE_EMULATOR_HOST"] = env["FIRESTORE_EMULATOR_HOST"]
    client = firestore.Client(project=env["GOOGLE_CLOUD_PROJECT"])
    assignment, questions = await _assignment(env)
    shown: list[tuple[float, int]] = []
    watch = client.document(f"assignments/{assignment}").on_snapshot(
        lambda documents, _changes, _time: shown.append(
            (time.perf_counter(), ((documents[0].to_dict() or {}).get("asOf") or {}).get("events", 0))
        )
    )
    project = env["GOOGLE_CLOUD_PROJECT"]
    bearers = material.tokens(env, project, (f"listener-{number}" for number in range(rounds)))
    waits = []
    total = 0
    async with httpx.AsyncClient(timeout=30) as http:
        for number, bearer in enumerate(bearers):
            sent = time.perf_counter()
            await asyncio.gather(
                *(
                    http.post(
                        _url(env, "submit_answer"),
                        json={
                            "assignmentId": assignment,
                            "questionId": question,
                            "answer": {"number": number},
                            "submissionId": f"visible-{number}-{place}",
                        },
                        headers={"authorization": f"Bearer {bearer}"},
                    )
                    for place, question in enumerate(questions[:12])
                )
            )
            total += min(12, len(questions))
            while not any(events >= total for _, events in shown):
                await asyncio.sleep(0.01)
                assert time.perf_counter() - sent < 30, "the listener never saw the answers"
            waits.append(next(at for at, events in shown if events >= total) - sent)
            await asyncio.sleep(random.random() * 0.5)
    watch.unsubscribe()
    waits.sort()
    p95 = waits[int(0.95 * len(waits))]
    report.row(
        "answers visible to a listener", f"p95 {p95:.2f} s, p50 {waits[len(waits) // 2]:.2f} s", "≤ 2 s"
    )
    report.measured("visible_p95_s", p95)


async def _under_load(env: dict[str, str], report: Report, seconds: float) -> None:
    """Batches of fifty from many students, as fast as they are taken; how many are merged meanwhile."""
    assignment, questions = await _assignment(env)
    project = env["GOOGLE_CLOUD_PROJECT"]
    tokens = material.tokens(env, project, (f"load-{n}" for n in range(500)))
    batch = 50
    path = _url(env, "submit_answers")
    host, port = re.fullmatch(r"http://([^:]+):(\d+)", env["LECTERN_URL"]).groups()

    def make(number: int) -> bytes:
        answers = [
            {
                "assignmentId": assignment,
                "questionId": questions[place % len(questions)],
                "answer": {"number": place},
                "submissionId": f"load-{number}-{place}",
            }
            for place in range(batch)
        ]
        body = json.dumps({"answers": answers}).encode()
        return load.request_bytes(path.removeprefix(env["LECTERN_URL"]), body, tokens[number % 500])

    before = await _merged(env)
    began = time.perf_counter()
    outcome = await load.run(host, int(port), make, users=8, seconds=seconds)
    during = await _merged(env)
    elapsed = time.perf_counter() - began
    offered = len(outcome.seconds) * batch
    while (await _merged(env))["all"] - before["all"] < offered:
        await asyncio.sleep(0.1)
        assert time.perf_counter() - began < seconds + 120, "answers were not merged"
    behind = time.perf_counter() - began - elapsed
    after = await _merged(env)
    rate = (during["all"] - before["all"]) / elapsed
    swept = (after["sweep"] - before["sweep"]) / max(1.0, after["all"] - before["all"])
    report.row(
        "merge under load, whole stack in one process",
        f"{rate:,.0f} answers/s merged of {offered / elapsed:,.0f} offered; done {behind:.1f} s after",
        "firestore-counter: 3/s of 100 offered (published)",
    )
    report.measured("merge_events_per_s_under_load_one_process", rate)
    report.measured("swept_fraction", swept)
    report.row("swept fraction", f"{swept:.4f}", "≤ 0.01")


async def _assignment(env: dict[str, str]) -> tuple[str, list[str]]:
    source = "\n\n".join(f"::q{n}:: Number {n}? {{#{n}}}" for n in range(20))
    async with httpx.AsyncClient(timeout=30) as http:
        signed_in = await http.post(
            f"http://{env['FIREBASE_AUTH_EMULATOR_HOST']}/identitytoolkit.googleapis.com/v1/accounts:signInWithPassword",
            params={"key": env["FIREBASE_API_KEY"]},
            json={
                "email": env["DEMO_TEACHER_EMAIL"],
                "password": env["DEMO_PASSWORD"],
                "returnSecureToken": True,
            },
        )
        bearer = signed_in.json()["idToken"]
        response = await http.post(
            _url(env, "import_assignment"),
            json={"courseId": env["DEMO_COURSE_ID"], "title": "Bench", "format": "gift", "source": source},
            headers={"authorization": f"Bearer {bearer}"},
        )
    imported = response.json()
    return imported["assignmentId"], [each["questionId"] for each in imported["questions"]]


async def _merged(env: dict[str, str]) -> dict[str, float]:
    async with httpx.AsyncClient(timeout=30) as http:
        text = (await http.get(f"{env['LECTERN_URL']}/metrics")).text
    found = {
        by: float(n) for by, n in re.findall(r'lectern_answers_merged_total\{by="(\w+)"\} ([\d.e+]+)', text)
    }
    return {"all": sum(found.values()), "sweep": found.get("sweep", 0.0)}


def _url(env: dict[str, str], name: str) -> str:
    return f"{env['LECTERN_URL']}/{env['GOOGLE_CLOUD_PROJECT']}/{env['FIREBASE_REGION']}/{name}"
