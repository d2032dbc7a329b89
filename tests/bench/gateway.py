"""
What `openai_proxy` costs beside asking the provider directly, and beside LiteLLM's and Portkey's gateways.

Everything is on: sign-in, rate limits, budgets, metering, logs. One core is the gateway's, the other the
tutor's and the client's. ``LECTERN_BENCH_PEERS`` names the folder that ``peers/gateways.sh`` has filled;
without it the rows of the peers are left out.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import uvloop

from local.processes import die_with_parent
from tests.bench import asking, material, serving
from tests.bench.report import Report

IN_FLIGHT = (1, 16, 64)
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

    def in_the_child() -> None:
        die_with_parent()
        os.sched_setaffinity(0, cores)

    running = subprocess.Popen(
        command,
        cwd=serving.ROOT,
        env=env or dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=in_the_child,
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
        "model_list:\n  - model_name: gpt-4.1-mini\n    litellm_params:\n"
        f"      {{model: openai/gpt-4.1-mini, api_base: 'http://127.0.0.1:{upstream}/v1', api_key: x}}\n"
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


class Bench:
    """All measurements of one run."""

    def __init__(self, emulators: dict[str, str], report: Report, *, quick: bool) -> None:
        self._emulators = emulators
        self._report = report
        self._seconds = 1.5 if quick else 5.0
        found = os.environ.get("LECTERN_BENCH_PEERS", "")
        self._peers = Path(found) if found else None

    async def rates(self) -> None:
        """An upstream that answers at once: how many requests a second one core passes on."""
        with ExitStack() as stack:
            upstream = stack.enter_context(tutor())
            direct = Place("direct", upstream, "/v1/chat/completions", {})
            found = {"direct": await self._at(direct)}
            with ours(self._emulators, upstream) as place:
                await self._warm(place)
                found["lectern"] = await self._at(place)
                hits = (await self._one(place.question(same=True), 16)).rate
                before = await _calls(upstream)
                again = place.question(same=True, number=1)
                await asyncio.gather(*(_ask_once(place, again()) for _ in range(500)))
                same = await _calls(upstream) - before
            with hello() as place:
                await self._warm(place)
                nothing = (await self._one(place.question(same=True), 16)).rate
            theirs = 0.0
            if self._peers is not None:
                with litellm(self._peers, upstream, cache=False) as place:
                    await self._warm(place)
                    found["litellm"] = await self._at(place)
                with portkey(self._peers, upstream) as place:
                    await self._warm(place)
                    found["portkey"] = await self._at(place)
                with litellm(self._peers, upstream, cache=True) as place:
                    await self._warm(place)
                    await self._one(place.question(same=True), 1)
                    theirs = (await self._one(place.question(same=True), 16)).rate
        for name, outcomes in found.items():
            told = "/".join(f"{outcomes[users].rate:,.0f}" for users in IN_FLIGHT)
            errors = sum(each.errors for each in outcomes.values())
            beside = "1/16/64 in flight" + (f", {errors} errors" if errors else "")
            self._report.row(f"gateway, {name}: requests/s", told, beside)
        beside = f"LiteLLM {theirs:,.0f}, a function that does nothing {nothing:,.0f}"
        self._report.row("gateway, cache hits/s, 16 in flight", f"{hits:,.0f}", beside)
        self._report.measured("gateway_hit_rate_16", hits)
        self._report.measured("gateway_hit_vs_hello", hits / nothing)
        self._report.row("gateway, 500 identical at once", f"{same} upstream calls", "goal 1")
        self._report.measured("gateway_rate_16", found["lectern"][16].rate)
        self._report.measured("gateway_identical_upstream_calls", same)
        for name in ("litellm", "portkey"):
            if name in found and found[name][16].rate:
                ratio = found["lectern"][16].rate / found[name][16].rate
                self._report.measured(f"gateway_vs_{name}_rate_16", ratio)
        if theirs:
            self._report.measured("gateway_hit_vs_litellm", hits / theirs)

    async def added(self) -> None:
        """An upstream that takes 50 ms, whole and in a paced stream: what is added to it."""
        for stream in (False, True):
            options = ["--delay-ms", str(DELAY_MS)] + (["--pace-ms", str(PACE_MS)] if stream else [])
            with tutor(*options) as upstream:
                found = {
                    "direct": await self._at(
                        Place("direct", upstream, "/v1/chat/completions", {}), stream=stream
                    )
                }
                with ours(self._emulators, upstream) as place:
                    await self._warm(place)
                    found["lectern"] = await self._at(place, stream=stream)
                if self._peers is not None:
                    with litellm(self._peers, upstream, cache=False) as place:
                        await self._warm(place)
                        found["litellm"] = await self._at(place, stream=stream)
                    with portkey(self._peers, upstream) as place:
                        await self._warm(place)
                        found["portkey"] = await self._at(place, stream=stream)
            self._tell(found, stream=stream)

    def _tell(self, found: dict[str, dict[int, asking.Outcome]], *, stream: bool) -> None:
        what = "first token" if stream else "p50"

        def value(outcome: asking.Outcome) -> float:
            return outcome.first_p50_ms if stream else outcome.p50_ms

        direct = found.pop("direct")
        for name, outcomes in found.items():
            more = {users: value(outcomes[users]) - value(direct[users]) for users in IN_FLIGHT}
            errors = sum(each.errors for each in outcomes.values())
            told = "/".join(f"{more[users]:.2f}" for users in IN_FLIGHT)
            beside = "1/16/64 in flight" + (f", {errors} errors" if errors else "")
            self._report.row(f"gateway, {name}: added {what}, ms", told, beside)
            if name == "lectern":
                measure = "gateway_added_ttft_ms" if stream else "gateway_added_p50_ms"
                for users in IN_FLIGHT:
                    self._report.measured(f"{measure}_{users}", more[users])

    async def _warm(self, place: Place) -> None:
        await asking.run(place.question(), users=4, seconds=0.5)

    async def _one(self, question: asking.Question, users: int) -> asking.Outcome:
        return await asking.run(question, users=users, seconds=self._seconds)

    async def _at(self, place: Place, *, stream: bool = False) -> dict[int, asking.Outcome]:
        return {users: await self._one(place.question(stream=stream), users) for users in IN_FLIGHT}


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
    """Fill *report*; the loop and the client are on the tutor's core."""
    os.sched_setaffinity(0, _OTHER_CORE)
    try:
        bench = Bench(emulators, report, quick=quick)
        await bench.rates()
        await bench.added()
    finally:
        os.sched_setaffinity(0, _CORES)


if __name__ == "__main__":
    uvloop.run(measure({}, Report(), quick=True))
