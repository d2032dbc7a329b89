"""Cold starts: from starting a process to its first answer, against a bare hello."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Container
from pathlib import Path

import main
from shared.edge.registry import deployments
from tests.bench import gateway, material, serving
from tests.bench.report import Report


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    project = material.project()
    store = material.documents(emulators, project)
    await material.assignment(store)
    env = serving.environment(emulators, project)
    [bearer] = material.tokens(env, project, ["student"])
    seconds: dict[str, list[float]] = {"hello": [], "submit_answer": []}
    memory: dict[str, list[float]] = {"hello": [], "submit_answer": []}
    for number in range(4 if quick else 8):
        second, mib = _first_answer("hello", "tests/bench/baseline/hello.py", env, b"{}", bearer)
        seconds["hello"].append(second)
        memory["hello"].append(mib)
        body = {
            "assignmentId": "exam",
            "questionId": "q0",
            "answer": {"optionId": "a"},
            "submissionId": f"cold-{number}",
        }
        second, mib = _first_answer("submit_answer", "main.py", env, json.dumps(body).encode(), bearer)
        seconds["submit_answer"].append(second)
        memory["submit_answer"].append(mib)
    hello, ours = (statistics.median(seconds[name]) for name in ("hello", "submit_answer"))
    report.row("cold start of submit_answer", f"{ours * 1000:.0f} ms", f"bare hello {hello * 1000:.0f} ms")
    report.measured("cold_start_ratio", ours / hello)
    most, least = (statistics.median(memory[name]) for name in ("submit_answer", "hello"))
    report.row("memory of an instance of submit_answer", f"{most:.0f} MiB", f"bare hello {least:.0f} MiB")
    report.measured("memory_mib_submit_answer", most)
    report.measured("gateway_cold_start_ms", _gateway(env, bearer, report, rounds=2 if quick else 5))
    _each(env, bearer, report, hello=hello, rounds=1 if quick else 3)
    _imports(env, report, rounds=1 if quick else 3)
    await store.close()


def _gateway(env: dict[str, str], bearer: str, report: Report, *, rounds: int) -> float:
    """Milliseconds until a fresh `openai_proxy` has passed on a first reply of the built-in tutor's."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 64}
    asked, path = json.dumps(body).encode(), "/v1/chat/completions"
    with gateway.tutor() as upstream:
        env = {**env, "LECTERN_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1"}
        seconds = [
            _first_answer("openai_proxy", "main.py", env, asked, bearer, path)[0] for _ in range(rounds)
        ]
    taken = statistics.median(seconds) * 1000
    report.row("cold start of openai_proxy, with its first reply", f"{taken:.0f} ms", "goal 1,000 ms")
    return taken


def _each(env: dict[str, str], bearer: str, report: Report, *, hello: float, rounds: int) -> None:
    """Of every function: seconds until a fresh process has replied to an empty request, and its memory then."""
    main.load_all()
    starts: dict[str, float] = {}
    for name in sorted(deployments()):
        found = [
            _first_answer(name, "main.py", env, b"{}", bearer, statuses=range(200, 500))
            for _ in range(rounds)
        ]
        starts[name] = min(second for second, _ in found)
        report.measured(f"cold_start_ms_{name}", starts[name] * 1000)
        report.measured(f"memory_mib_{name}_at_first", min(mib for _, mib in found))
    slowest = max(starts, key=starts.__getitem__)
    report.row(
        f"cold start of a function, the slowest ({slowest})",
        f"{starts[slowest] * 1000:.0f} ms to a first reply",
        f"bare hello {hello * 1000:.0f} ms",
    )


def _imports(env: dict[str, str], report: Report, *, rounds: int) -> None:
    """Seconds to import each function alone, in a fresh process, beside those of functions-framework."""
    main.load_all()
    hello = min(_imported(env, "functions_framework.aio") for _ in range(rounds))
    taken = {
        name: min(_imported(env, f"main.{name}") for _ in range(rounds)) for name in sorted(deployments())
    }
    slowest = max(taken, key=taken.__getitem__)
    report.row(
        f"import of a function, the slowest ({slowest})",
        f"{taken[slowest] * 1000:.0f} ms",
        f"functions-framework alone {hello * 1000:.0f} ms",
    )
    for name, second in taken.items():
        report.measured(f"import_ms_{name}", second * 1000)
    report.measured("import_ms_functions_framework", hello * 1000)


def _imported(env: dict[str, str], what: str) -> float:
    module, _, name = what.rpartition(".")
    work = f"import time; began = time.perf_counter(); from {module} import {name}"
    done = subprocess.run(
        [sys.executable, "-c", f"{work}; print(time.perf_counter() - began)"],
        cwd=serving.ROOT,
        env=env,
        capture_output=True,
        check=True,
        text=True,
    )
    return float(done.stdout)


def _mib(pid: int) -> float:
    """What of a process is in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _first_answer(
    target: str,
    source: str,
    env: dict[str, str],
    body: bytes,
    bearer: str,
    path: str = "/",
    *,
    statuses: Container[int] = (200, 202),
) -> tuple[float, float]:
    """Seconds to the first answer, and MiB in memory then."""
    pids: list[int] = []
    began = time.perf_counter()
    with serving.served(target, serving.ROOT / source, env, wait=False, pids=pids) as port:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
                connection.request("POST", path, body, headers)
                status = connection.getresponse().status
                assert status in statuses, (target, status)
                return time.perf_counter() - began, _mib(pids[0])
            except ConnectionRefusedError:
                assert time.perf_counter() - began < 30, "the process did not start"
                time.sleep(0.002)
            finally:
                connection.close()
