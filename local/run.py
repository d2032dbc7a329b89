"""`make run`: emulators, functions, relay, cron, demo course and page, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local import emulators, seed
from local.emulators import PROJECT, ROOT, WELL_KNOWN, Emulators, answers
from local.folder import RunFolder
from local.jars import Machine, Missing
from local.parent import interrupted
from local.ports import HOST, Ports, is_free
from local.processes import Child, ChildDied, Children, NotReady, children, die_with_parent

_PAGE_PORT = 8080
_NOT_FOR_CHILDREN = (
    "K_SERVICE",
    "K_REVISION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "FUNCTION_TARGET",
    "FIREBASE_CONFIG",
)


class NotStarted(Exception):
    """The run cannot begin; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be chosen; from the environment, so that `make run` needs no arguments."""

    source: Path
    pages: Path
    folder: Path
    project: str
    region: str
    port: int | None
    emulator_ports: dict[str, int]

    @staticmethod
    def read() -> "Options":
        """Read the environment."""
        environ = os.environ
        project = environ.get("GOOGLE_CLOUD_PROJECT", "")
        port = environ.get("LECTERN_PORT", "")
        return Options(
            source=Path(environ.get("LECTERN_SOURCE") or ROOT / "main.py").resolve(),
            pages=ROOT / "web" / "dist",
            folder=Path(environ.get("LECTERN_LOCAL") or ROOT / ".local").resolve(),
            project=project if project.startswith("demo-") else PROJECT,
            region=environ.get("FIREBASE_REGION") or "us-central1",
            port=_port("LECTERN_PORT", port) if port else None,
            emulator_ports={
                name: _port(
                    f"LECTERN_{name.upper()}_PORT",
                    environ.get(f"LECTERN_{name.upper()}_PORT") or str(default),
                )
                for name, default in WELL_KNOWN.items()
            },
        )


def _port(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:  # noqa: PLR2004  the last port
        message = f"{name} is {value!r}, which is no port number."
        raise NotStarted(message)
    return int(value)


def choose_page_port(ports: Ports, wanted: int | None) -> int:
    """
    *wanted*, or any free port if that is 0; with no wish 8080, or the next free ten.

    Raises:
        NotStarted: the port that was asked for is taken.
    """
    if wanted is None:
        free = (port for port in range(_PAGE_PORT, _PAGE_PORT + 100, 10) if is_free(port))
        return ports.choose(next(free, 0))
    port = ports.choose(wanted)
    if wanted not in {0, port}:
        message = f"Port {wanted} is taken. Choose another: LECTERN_PORT=8090 make run"
        raise NotStarted(message)
    return port


class Run:
    """One run, from nothing to the banner and back."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ports = Ports()
        self._port = choose_page_port(self._ports, options.port)
        self._folder = RunFolder(options.folder, self._port)
        self._url = f"http://{HOST}:{self._port}"
        self._tutor_url = ""

    async def live(self) -> None:
        """
        Start everything, show the banner, and go on until cancelled.

        Raises:
            ChildDied, NotReady, Missing, NotSeeded: it could not start, or did not last.
        """
        try:
            async with children(logs=self._folder.logs, remove=self._folder.temporary()) as started:
                await _first(started.watch(), self._start(started))
                await started.watch()
        finally:
            self._folder.close()
            self._ports.release()

    async def _start(self, started: Children) -> None:
        began = time.monotonic()
        say(f"Lectern is starting; its logs are in {_short(self._folder.logs)}")
        at = emulators.choose_ports(self._ports, self._options.emulator_ports)
        with step("Emulators: Firestore, Pub/Sub, Auth"):
            await self._start_tutor(started)
            functions, deliveries = await self._start_functions(started, at)
            await emulators.start(
                started,
                at,
                rules=_existing(ROOT / "firestore.rules"),
                functions=f"{HOST}:{self._port}",
                project=self._options.project,
            )
        with step("Functions"):
            names = await self._functions_ready(started, functions, deliveries)
        with step("Demo course"):
            questions = await self._seed(at, names)
        self._folder.publish(self._variables(at))
        say(self._banner(at, questions, time.monotonic() - began))

    async def _start_tutor(self, started: Children) -> None:
        """Start the built-in tutor, unless a provider or its key is configured."""
        if os.environ.get("LECTERN_OPENAI_API_KEY") or os.environ.get("LECTERN_OPENAI_BASE_URL"):
            return
        port = self._ports.choose()
        tutor = await started.start("tutor", [sys.executable, "-m", "local.tutor", "--port", str(port)])
        self._tutor_url = f"http://{HOST}:{port}/v1"
        async with httpx.AsyncClient(trust_env=False) as client:
            await started.ready(tutor, answers(client, f"http://{HOST}:{port}/healthz"))

    async def _start_functions(self, started: Children, at: Emulators) -> tuple[Child, Child]:
        options = self._options
        environment = {**self._children_environment(), **at.environment()}
        common: list[str | Path] = [
            "--source",
            options.source,
            "--project",
            options.project,
            "--region",
            options.region,
        ]
        common += ["--port", str(self._port)]
        config = json.dumps(self._page_config(at))
        command = [sys.executable, "-m", "local.host", *common, "--pages", options.pages, "--config", config]
        functions = await started.start("functions", command, env=environment)
        command = [sys.executable, "-m", "local.deliveries", *common, "--ready", self._folder.ready]
        deliveries = await started.start("deliveries", command, env=environment)
        return functions, deliveries

    async def _functions_ready(self, started: Children, functions: Child, deliveries: Child) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            await asyncio.gather(
                started.ready(functions, answers(client, f"{self._url}/healthz")),
                started.ready(deliveries, _exists(self._folder.ready)),
            )
            health = await client.get(f"{self._url}/healthz")
        count: int = health.json()["functions"]
        return count

    async def _seed(self, at: Emulators, functions: int) -> int:
        options = self._options
        base = f"{self._url}/{options.project}/{options.region}"
        async with httpx.AsyncClient(trust_env=False) as client:
            course = seed.DemoCourse(client, at, options.project, base)
            await course.create_accounts()
            await course.create_course()
            return await course.import_questions() if functions and seed.QUESTIONS.exists() else 0

    def _children_environment(self) -> dict[str, str]:
        options = self._options
        origins = [self._url, f"http://localhost:{self._port}"]
        return {
            **self._folder.keys(),
            "GOOGLE_CLOUD_PROJECT": options.project,
            "FIREBASE_REGION": options.region,
            **({"LECTERN_OPENAI_BASE_URL": self._tutor_url} if self._tutor_url else {}),
            "LECTERN_ARCHIVE_URL": self._folder.archive.as_uri(),
            "LECTERN_ALLOWED_ORIGINS": json.dumps(origins),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "PYTHONUNBUFFERED": "1",
        }

    def _page_config(self, at: Emulators) -> dict[str, object]:
        options = self._options
        return {
            "projectId": options.project,
            "region": options.region,
            "apiKey": seed.API_KEY,
            "functionsOrigin": self._url,
            "firestoreHost": at.firestore,
            "authHost": at.auth,
            "demoCourseId": seed.COURSE_ID,
            "accounts": [
                {
                    "email": account.email,
                    "password": seed.PASSWORD,
                    "name": account.name,
                    "role": account.role,
                }
                for account in seed.ACCOUNTS
            ],
        }

    def _variables(self, at: Emulators) -> dict[str, str]:
        return {
            "LECTERN_URL": self._url,
            "GOOGLE_CLOUD_PROJECT": self._options.project,
            "FIREBASE_REGION": self._options.region,
            **at.environment(),
            "FIREBASE_API_KEY": seed.API_KEY,
            "DEMO_COURSE_ID": seed.COURSE_ID,
            "DEMO_TEACHER_EMAIL": seed.TEACHER.email,
            "DEMO_STUDENT_EMAIL": seed.STUDENTS[0].email,
            "DEMO_PASSWORD": seed.PASSWORD,
        }

    def _banner(self, at: Emulators, questions: int, seconds: float) -> str:
        options = self._options
        students = f"{seed.STUDENTS[0].email} … student{len(seed.STUDENTS)}@example.com"
        rows = {
            "Page": f"{self._url}/",
            "Teacher": f"{seed.TEACHER.email}    password: {seed.PASSWORD}",
            "Students": f"{students}    password: {seed.PASSWORD}",
            "Course": f"{seed.COURSE_ID}, {questions} questions" if questions else seed.COURSE_ID,
            "Functions": f"{self._url}/{options.project}/{options.region}/<name>",
            "Health": f"{self._url}/healthz    {self._url}/metrics",
            "Emulators": f"Firestore {at.firestore}    Pub/Sub {at.pubsub}    Auth {at.auth}",
            "Tutor": f"built in, canned replies, {self._tutor_url}" if self._tutor_url else "as configured",
            "For a shell": f"source {_short(self._folder.env)}",
        }
        lines = [f"  {name:<12} {value}" for name, value in rows.items()]
        end = "  Ctrl-C ends everything. Data is kept in memory: each start is fresh."
        return "\n".join(["", f"Lectern is ready after {seconds:.0f} s.", "", *lines, "", end])


async def _first(*coroutines: Coroutine[None, None, None]) -> None:
    """Await whichever returns or raises first, and drop the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await done.pop()


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


class _exists:  # noqa: N801  reads as the sentence it is: ready(child, exists(path))
    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self) -> bool:
        return self._path.exists()


def say(text: str) -> None:
    """Print *text* at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, then how long it took."""
    began = time.monotonic()
    terminal = sys.stdout.isatty()
    if terminal:
        sys.stdout.write(f"  … {title}")
        sys.stdout.flush()
    try:
        yield
    except BaseException:
        if terminal:
            sys.stdout.write("\n")
        raise
    start_of_line = "\r" if terminal else ""
    say(f"{start_of_line}  ✓ {title}, {time.monotonic() - began:.1f} s")


async def until_told_to_stop(run: Run, *, under_make: bool) -> int:
    """Live until a signal comes or a child dies; return the exit status."""
    loop = asyncio.get_running_loop()
    living = asyncio.create_task(run.live())
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, living.cancel)
    watching = asyncio.create_task(interrupted()) if under_make else None
    if watching is not None:
        watching.add_done_callback(lambda task: task.cancelled() or living.cancel())
    try:
        await living
    except asyncio.CancelledError:
        say("\nStopped; nothing is left running.")
        return 0
    finally:
        if watching is not None:
            watching.cancel()
    return 1


def main() -> int:
    """Run Lectern on this machine."""
    parser = argparse.ArgumentParser(prog="python -m local", description=main.__doc__)
    parser.add_argument(
        "--under-make", action="store_true", help="end when the parent process ends or is interrupted"
    )
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if arguments.under_make:
        die_with_parent(signal.SIGTERM)
    for name in _NOT_FOR_CHILDREN:
        os.environ.pop(name, None)
    local = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost")))
    os.environ.update({"NO_PROXY": local, "no_proxy": local})
    try:
        Machine().jars()
        return asyncio.run(until_told_to_stop(Run(Options.read()), under_make=arguments.under_make))
    except (ChildDied, Missing, NotReady, NotStarted, seed.NotSeeded) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
