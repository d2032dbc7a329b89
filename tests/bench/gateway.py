"""
What `openai_proxy` costs beside asking the provider directly, and beside LiteLLM's and Portkey's gateways.

Everything is on: sign-in, rate limits, budgets, metering, logs. One core is the gateway's, the other the
tutor's, the client's and the emulators'. All ways stand side by side and are asked in turns, round after
round, so that a machine that gets slower meanwhile does so for all. ``LECTERN_BENCH_PEERS`` names the folder
that ``peers/gateways.sh`` has filled; without it the rows of the peers are left out.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import uvloop

from local.processes import tethered
from tests.bench import asking, material, serving
from tests.bench.report import Report

IN_FLIGHT = (1, 16, 64)
ROUNDS = 8
DELAY_MS = 50
PACE_MS = 5
_CORES = os.sched_getaffinity(0)
"""Asked before this process keeps to one of them: what it starts would inherit that."""
_CORE = {min(_CORES)}
_OTHER_CORE = _CORES - _CORE or _CORE


class Place:
    """One way to a model: where, and with which headers."""

    def __init__(self, name: str, port: int, path: str, headers: dict[str, str]) -> None:
        self.name, self.port, self.path, self.headers = name, port, path, headers

    def question(self, *, stream: bool = False, same: bool = False, number: int = 0) -> asking.Question:
        """Requests to it; all the *same* one, of that *number*, or each another."""
        return asking.Question(
            self.port, self.path, self.headers, stream=stream, same=number if same else None
        )


@contextmanager
def process(
    command: list[str], port: int, *, cores: set[int], env: dict[str, str] | None = None, wait: float = 60
) -> Iterator[int]:
    """Run *command* on *cores* until the block ends; it listens on *port*."""

    running = subprocess.Popen(
        tethered("taskset", "--cpu-list", ",".join(map(str, cores)), *command),
        cwd=serving.ROOT,
        env=env or dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        serving.wait_for(port, wait)
        yield running.pid
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


@contextmanager
def tutor(*options: str) -> Iterator[int]:
    """The built-in tutor on the client's core; gives its port."""
    port = serving.free_port()
    command = [sys.executable, "-m", "local.tutor", "--port", str(port), *options]
    with process(command, port, cores=_OTHER_CORE):
        yield port


@contextmanager
def ours(emulators: dict[str, str], upstream: int) -> Iterator[Place]:
    """`openai_proxy` as functions-framework serves it."""
    project = material.project()
    port = serving.free_port()
    env = {
        **serving.environment(emulators, project),
        "LECTERN_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
        "LECTERN_RATE_AI_POINTS": "100000000",
        "LECTERN_RATE_SHARED_IP_POINTS": "100000000",
        "LECTERN_RATE_IP_POINTS": "100000000",
        "LECTERN_GATEWAY_CONNECTIONS": "64",
        **{
            f"LECTERN_BUDGET_{each}_NANOS": str(10**18)
            for each in ("LEARNER_DAY", "COURSE_DAY", "TENANT_DAY", "TENANT_MONTH")
        },
    }
    with process(serving.command("openai_proxy", serving.ROOT / "main.py", port), port, cores=_CORE, env=env):
        [token] = material.tokens(env, project, ["bench"])
        yield Place("lectern", port, "/v1/chat/completions", {"authorization": f"Bearer {token}"})


@contextmanager
def hello() -> Iterator[Place]:
    """A function that does nothing: what the framework and its server can do at most."""
    port = serving.free_port()
    source = Path(__file__).parent / "baseline/hello.py"
    with process(serving.command("hello", source, port), port, cores=_CORE):
        yield Place("hello", port, "/v1/chat/completions", {})


@contextmanager
def litellm(peers: Path, upstream: int, *, cache: bool) -> Iterator[Place]:
    """LiteLLM's proxy with its defaults, and a key."""
    port = serving.free_port()
    config = peers / f"litellm-{port}.yaml"
    kept = "litellm_settings: {cache: true, cache_params: {type: local}}\n" if cache else ""
    config.write_text(
        "model_list:\n  - model_name: gpt-6-luna\n    litellm_params:\n"
        f"      {{model: openai/gpt-6-luna, api_base: 'http://127.0.0.1:{upstream}/v1', api_key: x}}\n"
        f"general_settings: {{master_key: sk-bench}}\n{kept}"
    )
    command = [str(peers / "venv/bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    env = {
        **os.environ,
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONWARNINGS": "ignore",
    }
    env.pop("PYTHONPATH", None)
    try:
        with process(command, port, cores=_CORE, env=env, wait=120):
            yield Place("litellm", port, "/v1/chat/completions", {"authorization": "Bearer sk-bench"})
    finally:
        config.unlink()


@contextmanager
def portkey(peers: Path, upstream: int) -> Iterator[Place]:
    """Portkey's gateway."""
    port = serving.free_port()
    start = peers / "node_modules/@portkey-ai/gateway/build/start-server.js"
    headers = {
        "authorization": "Bearer x",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    env = {**os.environ, "TRUSTED_CUSTOM_HOSTS": f"127.0.0.1,127.0.0.1:{upstream}", "NODE_ENV": "production"}
    with process(["node", str(start), f"--port={port}", "--headless"], port, cores=_CORE, env=env):
        yield Place("portkey", port, "/v1/chat/completions", headers)


Outcomes = dict[tuple[str, int], asking.Outcome]
"""By way, and by how many were in flight."""


class Bench:
    """All measurements of one run."""

    def __init__(self, emulators: dict[str, str], report: Report, *, quick: bool) -> None:
        self._emulators = emulators
        self._report = report
        self._seconds = 0.3 if quick else 0.75
        found = os.environ.get("LECTERN_BENCH_PEERS", "")
        self._peers = Path(found) if found else None

    async def rates(self) -> None:
        """An upstream that answers at once: how many requests a second one core passes on, or has kept."""
        with ExitStack() as stack:
            upstream = stack.enter_context(tutor())
            places = await self._places(stack, upstream)
            kept = [places["lectern"], stack.enter_context(hello())]
            if self._peers is not None:
                kept.append(stack.enter_context(litellm(self._peers, upstream, cache=True)))
            for place in kept:
                await asking.run(place.question(same=True), users=1, seconds=0.5)
            found, hits = Outcomes(), Outcomes()
            for _ in range(ROUNDS):
                await self._round(places.values(), IN_FLIGHT, found)
                await self._round(kept, IN_FLIGHT[1:2], hits, same=True)
            before = await _calls(upstream)
            again = places["lectern"].question(same=True, number=1)
            await asyncio.gather(*(_ask_once(places["lectern"], again()) for _ in range(500)))
            same = await _calls(upstream) - before
        for name in places:
            told = "/".join(f"{found[name, users].rate:,.0f}" for users in IN_FLIGHT)
            self._report.row(f"gateway, {name}: requests/s", told, _beside(name, found))
        rate = {place.name: hits[place.name, 16].rate for place in kept}
        ours, nothing, theirs = rate["lectern"], rate["hello"], rate.get("litellm", 0.0)
        beside = f"LiteLLM {theirs:,.0f}, a function that does nothing {nothing:,.0f}"
        self._report.row("gateway, cache hits/s, 16 in flight", f"{ours:,.0f}", beside)
        self._report.measured("gateway_hit_rate_16", ours)
        self._report.measured("gateway_hit_vs_hello", ours / nothing)
        self._report.row("gateway, 500 identical at once", f"{same} upstream calls", "goal 1")
        self._report.measured("gateway_rate_16", found["lectern", 16].rate)
        self._report.measured("gateway_identical_upstream_calls", same)
        for name in ("litellm", "portkey"):
            if name in places and found[name, 16].rate:
                ratio = found["lectern", 16].rate / found[name, 16].rate
                self._report.measured(f"gateway_vs_{name}_rate_16", ratio)
        if theirs:
            self._report.measured("gateway_hit_vs_litellm", ours / theirs)

    async def added(self) -> None:
        """An upstream that takes 50 ms, whole and in a paced stream: what is added to it."""
        for stream in (False, True):
            options = ["--delay-ms", str(DELAY_MS)] + (["--pace-ms", str(PACE_MS)] if stream else [])
            with ExitStack() as stack:
                places = await self._places(stack, stack.enter_context(tutor(*options)))
                found = Outcomes()
                for _ in range(ROUNDS):
                    await self._round(places.values(), IN_FLIGHT, found, stream=stream)
            self._tell([name for name in places if name != "direct"], found, stream=stream)

    async def _places(self, stack: ExitStack, upstream: int) -> dict[str, Place]:
        """The ways to *upstream*, each warm."""
        places = [
            Place("direct", upstream, "/v1/chat/completions", {}),
            stack.enter_context(ours(self._emulators, upstream)),
        ]
        if self._peers is not None:
            places.append(stack.enter_context(litellm(self._peers, upstream, cache=False)))
            places.append(stack.enter_context(portkey(self._peers, upstream)))
        for place in places:
            await asking.run(place.question(), users=4, seconds=0.5)
        return {place.name: place for place in places}

    async def _round(
        self,
        places: Iterable[Place],
        in_flight: Iterable[int],
        found: Outcomes,
        *,
        stream: bool = False,
        same: bool = False,
    ) -> None:
        """Ask each of *places* for a while, and add to *found* what came of it."""
        for users in in_flight:
            for place in places:
                outcome = await asking.run(
                    place.question(stream=stream, same=same), users=users, seconds=self._seconds
                )
                found.setdefault((place.name, users), asking.Outcome()).add(outcome)

    def _tell(self, names: Iterable[str], found: Outcomes, *, stream: bool) -> None:
        what = "first token" if stream else "p50"

        def value(outcome: asking.Outcome) -> float:
            return outcome.first_p50_ms if stream else outcome.p50_ms

        for name in names:
            more = {users: value(found[name, users]) - value(found["direct", users]) for users in IN_FLIGHT}
            told = "/".join(f"{more[users]:.2f}" for users in IN_FLIGHT)
            self._report.row(f"gateway, {name}: added {what}, ms", told, _beside(name, found))
            if name == "lectern":
                measure = "gateway_added_ttft_ms" if stream else "gateway_added_p50_ms"
                for users in IN_FLIGHT:
                    self._report.measured(f"{measure}_{users}", more[users])


def _beside(name: str, found: Outcomes) -> str:
    errors = sum(outcome.errors for (whose, _), outcome in found.items() if whose == name)
    return "1/16/64 in flight" + (f", {errors} errors" if errors else "")


async def _ask_once(place: Place, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    writer.close()


async def _calls(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return int((await client.get(f"http://127.0.0.1:{port}/calls")).json()["total"])


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*; the loop, the client and what this process had started are on the tutor's core."""
    emulating = _children()
    _keep_to(_OTHER_CORE, [os.getpid(), *emulating])
    try:
        bench = Bench(emulators, report, quick=quick)
        await bench.rates()
        await bench.added()
    finally:
        _keep_to(_CORES, [os.getpid(), *emulating])


def _children() -> list[int]:
    """The processes that this one has started: the emulators."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text().split()]


def _keep_to(cores: set[int], processes: Iterable[int]) -> None:
    """Let every thread of *processes* run on *cores* only."""
    for pid in processes:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), cores)


if __name__ == "__main__":
    uvloop.run(measure({}, Report(), quick=True))
