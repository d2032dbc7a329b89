"""A main.py small enough to see what a runner does to it: each function remembers how it was called."""

import asyncio
import base64
import json
import time
from typing import Any

import functions_framework.aio
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.edge import registry
from shared.edge.registry import (
    Capacity,
    ClientCall,
    Deployment,
    DocumentTrigger,
    Handler,
    Role,
    ScheduleTrigger,
    TopicTrigger,
    Trigger,
)


class Nothing(BaseModel):
    """Any body."""


calls: list[dict[str, Any]] = []
LEISURE_SECONDS = 3.0


def deploy(trigger: Trigger) -> Any:
    """Register a handler as the edge would, without the edge."""

    def register(handler: Handler) -> Handler:
        deployment = Deployment(
            name=handler.__name__,
            module=handler.__module__,
            summary="",
            trigger=trigger,
            role=Role.ANYONE,
            deadline_seconds=10,
            max_body_bytes=65536,
            capacity=Capacity(),
            handler=handler,
        )
        registry.register(deployment)
        return functions_framework.aio.http(handler)

    return register


@deploy(ClientCall(request=Nothing, reply=Nothing))
async def echo(request: Request) -> Response:
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": dict(request.query_params),
            "body": (await request.body()).decode(),
        }
    )


@deploy(ClientCall(request=Nothing, reply=Nothing))
async def import_assignment(request: Request) -> Response:
    body = (await request.body()).decode()
    calls.append({"function": "import_assignment", "text": "", "body": body, "headers": dict(request.headers)})
    return JSONResponse({"assignmentId": "a", "questions": [{}, {}], "skipped": []})


@deploy(ClientCall(request=Nothing, reply=Nothing))
async def recall(request: Request) -> Response:
    return JSONResponse([call for call in calls if call["function"] == request.query_params["function"]])


async def remember(function: str, request: Request) -> Response:
    """Refuse "fail twice" twice and "poison" for ever; be slow about "slow" and slower about "leisurely"."""
    body = await request.body()
    is_push = request.headers.get("content-type") == "application/json"
    text = base64.b64decode(json.loads(body)["message"]["data"]).decode() if is_push else body.decode("latin-1")
    earlier = sum(call["text"] == text for call in calls)
    call = {
        "function": function,
        "text": text,
        "body": body.decode("latin-1"),
        "headers": dict(request.headers),
        "began": time.monotonic(),
    }
    calls.append(call)
    if "slow" in text:
        await asyncio.sleep(0.1)
    if "leisurely" in text:
        await asyncio.sleep(LEISURE_SECONDS)
    call["ended"] = time.monotonic()
    refused = "poison" in text or ("fail-twice" in text and earlier < 2)
    return Response(status_code=503 if refused else 204)


@deploy(TopicTrigger(topic="parcels", max_delivery_attempts=3))
async def take_parcel(request: Request) -> Response:
    return await remember("take_parcel", request)


@deploy(TopicTrigger(topic="letters", ordered=True, max_delivery_attempts=5))
async def take_letter(request: Request) -> Response:
    return await remember("take_letter", request)


@deploy(DocumentTrigger(document="notes/{noteId}"))
async def on_note_created(request: Request) -> Response:
    return await remember("on_note_created", request)


@deploy(ScheduleTrigger(schedule="* * * * *"))
async def tick(request: Request) -> Response:
    return await remember("tick", request)


def load_all() -> None:
    """Everything is in this module already."""
