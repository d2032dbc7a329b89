"""Cold start: from starting the process to its first answer, against a bare hello."""

import http.client
import json
import statistics
import time

from tests.bench import material, serving
from tests.bench.report import Report


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    project = material.project()
    store = material.documents(emulators, project)
    await material.assignment(store)
    env = serving.environment(emulators, project)
    [bearer] = material.tokens(env, project, ["student"])
    seconds: dict[str, list[float]] = {"hello": [], "submit_answer": []}
    for number in range(4 if quick else 8):
        seconds["hello"].append(_first_answer("hello", "tests/bench/baseline/main.py", env, b"{}", bearer))
        body = {
            "assignmentId": "exam",
            "questionId": "q0",
            "answer": {"optionId": "a"},
            "submissionId": f"cold-{number}",
        }
        seconds["submit_answer"].append(
            _first_answer("submit_answer", "main.py", env, json.dumps(body).encode(), bearer)
        )
    hello, ours = (statistics.median(seconds[name]) for name in ("hello", "submit_answer"))
    report.row("cold start of submit_answer", f"{ours * 1000:.0f} ms", f"bare hello {hello * 1000:.0f} ms")
    report.measured("cold_start_ratio", ours / hello)
    await store.close()


def _first_answer(target: str, source: str, env: dict[str, str], body: bytes, bearer: str) -> float:
    began = time.perf_counter()
    with serving.served(target, serving.ROOT / source, env, wait=False) as port:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
                connection.request("POST", "/", body, headers)
                status = connection.getresponse().status
                assert status in {200, 202}, status
                return time.perf_counter() - began
            except ConnectionRefusedError:
                time.sleep(0.002)
            finally:
                connection.close()
