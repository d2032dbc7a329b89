"""firebase-tools, at the version we pin, reads our functions.yaml and serves our functions from it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import main
from local.ports import HOST, Ports
from local.processes import tethered
from shared.edge import registry
from shared.edge.registry import ClientCall, DocumentTrigger, PassThrough, ScheduleTrigger, TopicTrigger
from tests.running import ROOT

KINDS = {
    ClientCall: {"httpsTrigger", "callableTrigger"},
    PassThrough: {"httpsTrigger"},
    TopicTrigger: {"eventTrigger", "httpsTrigger"},
    DocumentTrigger: {"eventTrigger"},
    ScheduleTrigger: {"scheduleTrigger"},
}


def test_functions_yaml_is_read_as_the_registry_says() -> None:
    read = subprocess.run(
        ["node", "tests/emulator/load_functions_yaml.cjs", str(ROOT)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    endpoints = json.loads(read.stdout)["endpoints"]
    main.load_all()
    deployments = registry.deployments()
    assert set(endpoints) == set(deployments)
    for name, endpoint in endpoints.items():
        deployment = deployments[name]
        assert endpoint["entryPoint"] == name
        assert endpoint["platform"] == "gcfv2"
        assert endpoint["runtime"] == "python311"
        assert endpoint["concurrency"] == deployment.capacity.concurrency
        assert KINDS[type(deployment.trigger)] & set(endpoint), name


def stage(folder: Path) -> None:
    """Make *folder* the project as firebase-tools sees it, on ports of its own; its debug logs stay there."""
    for name in (
        "main.py",
        "functions",
        "shared",
        "functions.yaml",
        "requirements.txt",
        "venv",
        ".secret.local",
        ".env",
    ):
        (folder / name).symlink_to(ROOT / name)
    config = json.loads((ROOT / "firebase.json").read_text())
    chosen = Ports()
    for name in ("auth", "functions", "hub", "logging"):
        config["emulators"][name] = {"host": HOST, "port": chosen.choose()}
    chosen.release()
    (folder / "firebase.json").write_text(json.dumps(config))
    shutil.copy(ROOT / ".firebaserc", folder)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `firebase emulators:start` prints; Firestore is left out, for which it wants Java 21."""
    folder = tmp_path_factory.mktemp("firebase")
    stage(folder)
    path = folder / "log"
    with path.open("w") as output:
        process = subprocess.Popen(
            tethered(
                *("node", ROOT / "node_modules/.bin/firebase"),
                *("emulators:start", "--only", "functions,auth"),
            ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "FIREBASE_CLI_DISABLE_UPDATE_CHECK": "1", "NO_UPDATE_NOTIFIER": "1"},
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while "All emulators ready" not in path.read_text():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.1)
        yield path
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        # It leaves its Python children behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_emulated_function_answers_in_our_words(log: Path) -> None:
    url = re.search(r"get_assignment\]: http function initialized \((\S+)\)", log.read_text())
    assert url, log.read_text()
    reply = httpx.post(url[1], json={"data": {"assignmentId": "none"}}, timeout=60, trust_env=False)
    assert (reply.status_code, reply.json()["error"]["status"]) == (401, "UNAUTHENTICATED"), log.read_text()
