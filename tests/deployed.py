"""The functions as they are deployed: served by functions-framework, called over HTTP in this process."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import functions_framework.aio
import httpx

from shared import wiring
from shared.documents.memory import MemoryDocuments
from shared.identity.memory import MemoryIdentity
from shared.identity.principal import Principal
from shared.settings import Settings
from shared.topics.base import Message
from shared.topics.memory import MemoryTopic
from shared.wiring import Services

ROOT = Path(__file__).parent.parent
RECEIPT_KEY = "a key for receipts, for tests only, 32+"
INGEST_KEY = "a key for ingestion, for tests only, 32+"


class Deployed:
    """
    All functions over one set of services.

    Doorbell messages are kept in ``doorbell.messages``: a test delivers, repeats, reorders or loses them.
    """

    def __init__(self, services: Services, id_token: Callable[..., str]) -> None:
        self.services = services
        self.doorbell = MemoryTopic()
        replace(services, answers_waiting=self.doorbell)
        self._id_token = id_token
        self._apps = {}

    async def post(self, name, body=b"", headers=None, *, path="/") -> httpx.Response:
        """Post raw bytes to a function, or to a path beneath it."""
        app = self._apps.get(name)
        if app is None:
            app = self._apps[name] = functions_framework.aio.create_asgi_app(name, str(ROOT / "main.py"))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://functions.test") as client:
            return await client.post(path, content=body, headers=headers)

    async def call(self, name, request, *, uid="", path="/", **claims) -> httpx.Response:
        """Call a function as plain REST, signed in as *uid* with these claims."""
        headers = {"content-type": "application/json"}
        if uid:
            headers["authorization"] = f"Bearer {self._id_token(uid, **claims)}"
        return await self.post(name, json.dumps(request).encode(), headers, path=path)

    async def ok(self, name, request, *, uid="", **claims) -> dict:
        """Call a function and return its reply, which must be a success."""
        response = await self.call(name, request, uid=uid, **claims)
        assert response.is_success, (response.status_code, response.text)
        return response.json()

    async def push(self, name, message: Message) -> httpx.Response:
        """Deliver *message* as Pub/Sub pushes it."""
        return await self.post(name, push_body(message), {"content-type": "application/json"})

    async def deliver(self, messages=None) -> None:
        """Deliver these doorbell messages, or all that were published and not taken yet, to merging."""
        if messages is None:
            messages, self.doorbell.messages = self.doorbell.messages, []
        for message in messages:
            response = await self.push("merge_answers", message)
            assert response.status_code == 204, response.text

    async def course(self, teacher="teacher", *, open_enrollment=True) -> str:
        """A new course."""
        request = {"title": "Course", "openEnrollment": open_enrollment}
        return (await self.ok("create_course", request, uid=teacher, role="teacher"))["courseId"]

    async def imported(self, source, *, course_id=None, teacher="teacher", form="gift", policy=None) -> dict:
        """A new assignment, as its students get it, with the reply to the import as ``imported``."""
        request = {
            "courseId": course_id or await self.course(teacher),
            "title": "Assignment",
            "format": form,
            "source": source,
        }
        if policy:
            request["policy"] = policy
        imported = await self.ok("import_assignment", request, uid=teacher, role="teacher")
        form = await self.ok("get_assignment", {"assignmentId": imported["assignmentId"]}, uid=teacher)
        return {**form, "imported": imported}

    async def document(self, path) -> dict:
        """A document's fields."""
        [found] = await self.services.documents.get([path])
        assert found is not None, path
        return found.fields

    async def assignment(self, assignment_id) -> dict:
        """The assignment document."""
        return await self.document(f"assignments/{assignment_id}")


def push_body(message: Message) -> bytes:
    """The body of a Pub/Sub push."""
    return json.dumps(
        {
            "message": {
                "data": base64.b64encode(message.data).decode(),
                "messageId": message.message_id or "1",
                "attributes": dict(message.attributes),
            },
            "subscription": "projects/p/subscriptions/s",
        }
    ).encode()


def replace(services: Services, **parts) -> None:
    """Put *parts* where *services* would build its own on first use."""
    services.__dict__.update(parts)


def settings_for_tests(**settings) -> Settings:
    """Tight timings and known keys, unless *settings* say otherwise."""
    defaults = {
        "receipt_key": RECEIPT_KEY,
        "ingest_key": INGEST_KEY,
        "gather_milliseconds": 5,
        "merge_seconds": 0.0,
        "rollup_seconds": 0.0,
        "check_revoked": False,
        "allowed_origins": ("https://school.example",),
    }
    return Settings(**{**defaults, **settings})


class TableOfTokens(dict):
    """Principals by token: a token is the uid, and its role behind a slash."""

    def __missing__(self, token: str) -> Principal:
        uid, _, role = token.partition("/")
        return Principal(uid=uid, role=role, signed_in_at=datetime(2026, 1, 1, tzinfo=UTC))

    def __contains__(self, token: object) -> bool:
        return isinstance(token, str) and not token.startswith("bad")


@asynccontextmanager
async def in_memory(**settings) -> AsyncIterator[Deployed]:
    """The functions over the in-memory store, for what needs no network."""
    services = Services(settings_for_tests(**settings))
    replace(services, documents=MemoryDocuments(), identity=MemoryIdentity(TableOfTokens()))
    with wiring.using(services):
        yield Deployed(services, lambda uid, role="": f"{uid}/{role}" if role else uid)


@asynccontextmanager
async def deployed(id_token: Callable[..., str], **settings) -> AsyncIterator[Deployed]:
    """The functions over real Firestore."""
    services = Services(settings_for_tests(**settings))
    with wiring.using(services):
        try:
            yield Deployed(services, id_token)
        finally:
            await services.close()
