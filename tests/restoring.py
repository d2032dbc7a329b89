"""Databases of a test's own, one after another: exported, destroyed and restored."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from local.emulators import _FIRESTORE_MAIN, answers
from local.jars import Machine
from local.ports import HOST, Ports
from local.processes import children
from shared.errors import Unavailable


class Database:
    """A Firestore emulator at *address*."""

    def __init__(self, child: Any, address: str) -> None:
        self._child = child
        self.address = address

    async def export(self, project: str, folder: Path) -> Path:
        """Export *project* into *folder*; what a restored database is started from."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            reply = await client.post(
                f"http://{self.address}/emulator/v1/projects/{project}:export",
                json={
                    "database": f"projects/{project}/databases/(default)",
                    "export_directory": str(folder),
                    "export_name": "backup",
                },
            )
        assert reply.status_code == 200, reply.text
        [seed] = (folder / "backup").glob("*.overall_export_metadata")
        return seed

    async def destroy(self) -> None:
        """End it, with all that it has."""
        self._child.process.kill()
        await self._child.process.wait()


@contextlib.asynccontextmanager
async def databases(logs: Path) -> AsyncIterator[Callable[..., Awaitable[Database]]]:
    """Start databases, empty or from what was exported."""
    ports = Ports()
    async with children(logs=logs) as started:

        async def start(seed: Path | None = None) -> Database:
            port = ports.choose()
            jar = Machine().jars()["firestore"]
            command = ["java", "-XX:+UseSerialGC", "-Duser.language=en", "-Xmx1g", "-cp", jar]
            command += [_FIRESTORE_MAIN, "--host", HOST, "--port", str(port)]
            if seed is not None:
                command += ["--seed_from_export", str(seed)]
            child = await started.start(f"firestore-{port}", command)
            async with httpx.AsyncClient(trust_env=False) as client:
                await started.ready(child, answers(client, f"http://{HOST}:{port}/"))
            return Database(child, f"{HOST}:{port}")

        yield start
    ports.release()


async def patiently(work: Callable[[], Awaitable[Any]]) -> Any:
    """What *work* comes to: a database process that has just started may be slow to answer."""
    for _ in range(5):
        with contextlib.suppress(Unavailable):
            return await work()
    return await work()
