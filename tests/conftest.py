"""Fixtures that need a real emulator; the folder a test lies in is its marker."""

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_socket
from xdist.scheduler import LoadScopeScheduling

from local.emulators import Emulators
from local.tutor.server import Tutor, serving
from shared.settings import get_settings
from tests import emulators as test_run
from tests.redis_server import redis_server
from tests.running import LocalRun

HERE = Path(__file__).parent
WITHOUT_NETWORK = ("unit", "faults", "simulation")
FOLDERS = ("unit", "faults", "simulation", "security", "emulator", "browser", "gateway", "bench", "soak")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; in the run's first process, open the run."""
    for folder in FOLDERS:
        config.addinivalue_line("markers", f"{folder}: lies in tests/{folder}/")
    if not hasattr(config, "workerinput"):
        test_run.open_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """In the run's first process, close the run."""
    if not hasattr(config, "workerinput"):
        test_run.close_run()


class ByFile(LoadScopeScheduling):
    """
    Keeps the tests of one file in one worker, and all browser tests, which share one stack.

    Files whose tests take long and share nothing are spread over the workers, test by test.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file.startswith("tests/browser/"):
            return "tests/browser"
        return nodeid if file.removeprefix("tests/") in SPREAD else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """Schedule by file; xdist's groups are lost on pytest 9.2, which ignores the ids that they change."""
    return ByFile(config, log)


LONGEST = (
    "emulator/test_exam_day.py",
    "security/test_access_emulator.py",
    "emulator/test_local_run.py",
    "gateway/test_degrading.py",
    "security/test_answer_keys.py",
)
"""What takes longest goes first, or one worker would be left with it at the end."""

SPREAD = ("emulator/test_faults_points.py", "simulation/test_simulation.py")
"""What comes in small pieces goes last: every worker takes of it until nothing is left."""


def _when(item: pytest.Item) -> int:
    name = str(item.path.relative_to(HERE))
    if name in SPREAD:
        return len(LONGEST) + 1
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder, let the longest begin, and what can be spread end."""
    items.sort(key=_when)
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def _closed_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of rules and functions by themselves reach nobody; a Unix socket is the event loop's own."""
    closed = any(request.node.get_closest_marker(folder) for folder in WITHOUT_NETWORK)
    if closed:
        pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    if closed:
        pytest_socket.enable_socket()


@pytest.fixture(scope="session")
def emulators() -> Emulators:
    """Firestore, Pub/Sub and Auth, shared by the whole run; tell tests apart by `project_id`."""
    return test_run.running()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis of this worker's; tell tests apart by their keys, or empty it."""
    with redis_server() as url:
        yield url


@pytest.fixture
async def tutor() -> AsyncIterator[Tutor]:
    """A built-in tutor of this test's own, in its loop: what it was asked, and how it fails, is at hand."""
    async with serving() as tutor:
        yield tutor


@pytest.fixture
def project_id(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A project nobody else uses; the environment points this test at it and at the emulators."""
    project = f"demo-{uuid.uuid4().hex[:12]}"
    for name, value in {**emulators.environment(), "GOOGLE_CLOUD_PROJECT": project}.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield project
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A whole `make run` on ports of its own: what its `.local/env` exports."""
    run = LocalRun(tmp_path_factory.mktemp("stack") / "local")
    try:
        yield run.ready()
        assert run.stop() == 0, run.output
    finally:
        run.kill_everything()


@pytest.fixture
def id_token(project_id: str) -> Callable[..., str]:
    """
    Make ID tokens as the Auth emulator does: unsigned, which only emulators and clients of them accept.

    ``id_token("uid", role="teacher")``: keywords become claims.
    """

    def make(uid: str, **claims: object) -> str:
        now = int(time.time())
        standard = {
            "iss": f"https://securetoken.google.com/{project_id}",
            "aud": project_id,
            "sub": uid,
            "user_id": uid,
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "firebase": {"identities": {}, "sign_in_provider": "password"},
        }
        return ".".join([_segment({"alg": "none", "typ": "JWT"}), _segment({**standard, **claims}), ""])

    return make


def _segment(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
