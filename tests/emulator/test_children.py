"""A child that is tethered ends with its parent, and begins however busy its parent is."""

import asyncio
import itertools
import os
import select
import subprocess
import sys

import pytest

from local.processes import tethered
from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from tests.running import ROOT

_PARENT = """
import subprocess, sys
from local.processes import tethered
print(subprocess.Popen(tethered("sleep", "600")).pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        assert not select.select([child], [], [], 0.2)[0], "it lives as long as its parent"
        parent.kill()
    assert select.select([child], [], [], 10)[0]
    os.close(child)


async def test_it_begins_while_calls_are_under_way_in_other_threads(emulators, project_id) -> None:
    """A child made by a fork would crash now and then: gRPC's threads are not there any more."""
    documents = FirestoreDocuments(
        project=project_id, database="(default)", emulator_host=emulators.firestore
    )

    async def write(place: int) -> None:
        for number in itertools.count():
            await documents.create_each([Create(f"busy/{place}-{number}", {"n": number})])

    writing = [asyncio.create_task(write(place)) for place in range(16)]
    ended = [
        await asyncio.to_thread(
            subprocess.call, tethered(sys.executable, "-I", "-S", "-c", "raise SystemExit(7)")
        )
        for _ in range(60)
    ]
    assert not any(each.done() for each in writing)
    for each in writing:
        each.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await documents.close()
    assert ended == [7] * 60
