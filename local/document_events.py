"""
Brings the Firestore emulator's document events to the functions, as Eventarc would.

The emulator posts one event at a time, waits for the answer before it sends the next, and never repeats
one. Here each event is taken at once, delivered beside others, and delivered again after a failure. Two
forms differ from the cloud's and are put right: the protobuf body arrives as base64, and the source names
`projects/` twice.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_AT_ONCE = 64
_WAITING = 100_000
_ATTEMPTS = 12
_LONGEST_PAUSE_SECONDS = 60.0
_SERVER_ERROR = 500
_OK_FROM, _OK_BELOW = 200, 300


@dataclass(frozen=True)
class _Event:
    function: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class DocumentEvents:
    """Answers ``POST /functions/projects/{project}/triggers/{function}``; triggers are named as functions."""

    def __init__(self, functions: Mapping[str, ASGIApp]) -> None:
        self._functions = functions
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_WAITING)
        self._workers: list[asyncio.Task[None]] = []
        self._repeats: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to deliver; called inside the loop."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]

    async def stop(self) -> None:
        """Stop delivering; what waits is dropped, as the emulator's documents are."""
        tasks = [*self._workers, *self._repeats]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one event and answer."""
        request = Request(scope, receive)
        function = scope["path"].rpartition("/")[2]
        if function not in self._functions:
            await Response(status_code=404)(scope, receive, send)
            return
        headers = tuple((name, value) for name, value in request.headers.raw if name != b"content-length")
        await self._waiting.put(_Event(function, _as_in_the_cloud(headers), _decoded(await request.body())))
        await Response(status_code=202)(scope, receive, send)

    async def _work(self) -> None:
        while True:
            event = await self._waiting.get()
            await self._deliver(event, attempt=1)

    async def _deliver(self, event: _Event, attempt: int) -> None:
        status = await _call(self._functions[event.function], event)
        if _OK_FROM <= status < _OK_BELOW:
            return
        if attempt == _ATTEMPTS:
            log.error(
                "document_event_given_up function=%s status=%d attempts=%d", event.function, status, attempt
            )
            return
        log.warning("document_event_failed function=%s status=%d attempt=%d", event.function, status, attempt)
        repeat = asyncio.create_task(self._repeat(event, attempt + 1))
        self._repeats.add(repeat)
        repeat.add_done_callback(self._repeats.discard)

    async def _repeat(self, event: _Event, attempt: int) -> None:
        await asyncio.sleep(min(0.5 * 2 ** (attempt - 2), _LONGEST_PAUSE_SECONDS))
        await self._deliver(event, attempt)


async def _call(function: ASGIApp, event: _Event) -> int:
    body: list[Message] = [{"type": "http.request", "body": event.body, "more_body": False}]
    status = _SERVER_ERROR

    async def receive() -> Message:
        if body:
            return body.pop()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [*event.headers, (b"content-length", str(len(event.body)).encode())],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }
    await function(scope, receive, send)
    return status


def _as_in_the_cloud(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name, value.replace(b"/projects/projects/", b"/projects/"))
        if name == b"ce-source"
        else (name, value)
        for name, value in headers
    )


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return body
