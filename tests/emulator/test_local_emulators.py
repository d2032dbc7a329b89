"""The set of emulators that a test run shares ends with it, however it ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.running import ROOT, assert_nothing_remains, ports, processes_of


@pytest.mark.parametrize("killed", ["the run", "the keeper"])
def test_emulators_end_when_either_is_killed(killed: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    state = folder / "emulators.json"
    with (
        subprocess.Popen(["sleep", "600"]) as owner,
        subprocess.Popen(
            [sys.executable, "-m", "local.emulators", str(state), "--owner", str(owner.pid)],
            cwd=ROOT,
            env={**os.environ, "LECTERN_LOCAL": str(folder)},
        ) as keeper,
    ):
        while not state.exists():
            assert keeper.poll() is None
            time.sleep(0.05)
        hosts = json.loads(state.read_text())
        for host in hosts.values():
            assert httpx.get(f"http://{host}/", trust_env=False).status_code == 200
        assert len(processes_of(folder)) == 5, "the keeper, its guard and three emulators"
        (owner if killed == "the run" else keeper).kill()
        keeper.wait(15)
        owner.kill()
    assert_nothing_remains(folder, ports(hosts))
    if killed == "the keeper":
        assert not folder.exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("not the emulators'")
    command = [
        sys.executable,
        "-m",
        "local.emulators",
        str(tmp_path / "state.json"),
        "--owner",
        str(os.getpid()),
    ]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "theirs" in refused.stderr
    assert theirs.exists()
