"""
A real process with Lectern's parts in it, for tests that kill, stop and end such processes.

It connects to the socket of its :mod:`tests.faults.fleet` and does what it is asked to, one JSON object
a line; what it publishes leaves by the same way. It lives as long as that connection.
"""

import asyncio
import base64
import json
import random
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.documents.firestore import FirestoreDocuments
from shared.errors import LecternError
from shared.learning.answers import decode, microseconds
from shared.ledger.merging import MergeSettings
from shared.topics.base import Message
from tests.faults.services import FaultyServices, MemoryArchive, accept, merge_message
from tests.mutants import MUTANTS, SOUND

_LINE_BYTES = 8 * 1024 * 1024


class _Topic:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def publish(self, message: Message) -> None:
        data = base64.b64encode(message.data).decode()
        _write(self._writer, {"publish": data, "key": message.ordering_key})
        await self._writer.drain()


def _write(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    writer.write(json.dumps(value).encode() + b"\n")


async def _serve(path: str, slot: int, config: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_BYTES)
    documents = FirestoreDocuments(
        project=config["project"], database="(default)", emulator_host=config["firestore"]
    )
    services = FaultyServices(
        documents=documents,
        topic=_Topic(writer),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=random.random,
        merging=MergeSettings(
            gather_seconds=0.02, merge_seconds=0.05, page_bytes=config["page_bytes"], rollup_seconds=0.05
        ),
        variant=MUTANTS.get(config["variant"], SOUND),
        young=timedelta(seconds=0.2),
    )
    tasks: set[asyncio.Task[None]] = set()
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    _write(writer, {"slot": slot})

    async def answer(request: dict[str, Any]) -> None:
        try:
            await _do(services, request)
        except LecternError as error:
            reply = {"id": request["id"], "error": type(error).__name__}
        else:
            reply = {"id": request["id"]}
        _write(writer, reply)
        await writer.drain()

    async def read() -> None:
        while line := await reader.readline():
            task = asyncio.create_task(answer(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    reading = asyncio.create_task(read())
    await asyncio.wait([reading, asyncio.create_task(ending.wait())], return_when=asyncio.FIRST_COMPLETED)
    if ending.is_set():
        # As the server does: what was begun is brought to its end, nothing new is begun.
        reading.cancel()
        while tasks:
            await asyncio.wait(tasks)
        await writer.drain()
        writer.close()


async def _do(services: FaultyServices, request: dict[str, Any]) -> None:
    match request["do"]:
        case "accept":
            event = replace(decode(request["event"]), submitted_at=microseconds(services.now()))
            await accept(services, event)
        case "merge":
            await merge_message(services, Message(base64.b64decode(request["data"])))
        case "sweep":
            await services.sweep.run()


def main(path: str, slot: int, config: dict[str, Any]) -> None:
    """Serve until the connection ends."""
    try:
        asyncio.run(_serve(path, slot, config))
    except (ConnectionError, BrokenPipeError):
        sys.exit(1)
