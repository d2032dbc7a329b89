"""
The border: everything that is the same for all functions, once.

Each decorator registers its function (``registry``), and wraps it into a plain coroutine from
request to response that functions-framework serves under the function's own name.
"""

import asyncio
import functools
import inspect
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

import functions_framework.aio
import orjson
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared import metrics
from shared.documents.metering import Bill, bill
from shared.edge import bodies, events, problems
from shared.edge.logs import configure, log
from shared.edge.registry import (
    Capacity,
    ClientCall,
    Deployment,
    DocumentTrigger,
    Role,
    ScheduleTrigger,
    TopicTrigger,
    Trigger,
    register,
)
from shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LecternError,
    NotAllowed,
    NotSignedIn,
    Rejected,
    TooLarge,
)
from shared.identity.principal import Principal
from shared.settings import Settings
from shared.topics.base import Message
from shared.wiring import Services, services

KIB = 1024
_CORS_MAX_AGE_SECONDS = 3600
_METHOD_NOT_ALLOWED = 405
_UNSUPPORTED_MEDIA_TYPE = 415
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, identified: who asks, when, and what it may use."""

    principal: Principal
    services: Services
    now: datetime
    request_id: str


RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

Handler = Callable[[Request], Awaitable[Response]]
CallHandler = Callable[[RequestT, Call], Awaitable[ReplyT]]
TopicHandler = Callable[[Message, Services], Awaitable[None]]
DocumentHandler = Callable[[events.CreatedDocument, Services], Awaitable[None]]
ScheduleHandler = Callable[[Services], Awaitable[BaseModel]]


@dataclass(slots=True)
class _Exchange:
    """One request on its way through the border."""

    request: Request
    deployment: Deployment
    settings: Settings
    request_id: str
    callable_envelope: bool = False


def client_call(
    *,
    status: int = 200,
    role: Role = Role.SIGNED_IN,
    deadline_seconds: int = 10,
    max_body_bytes: int = 64 * KIB,
    capacity: Capacity | None = None,
) -> Callable[[CallHandler[RequestT, ReplyT]], Handler]:
    """
    Deploy a function that clients call, as a callable or as plain REST.

    The request and reply models are its annotations: ``async def f(command: Request, call: Call) -> Reply``.
    """

    def decorate(function: CallHandler[RequestT, ReplyT]) -> Handler:
        hints = inspect.get_annotations(function, eval_str=True)
        request_model: type[RequestT] = next(iter(hints.values()))
        trigger = ClientCall(request=request_model, reply=hints["return"], status=status)

        async def serve(exchange: _Exchange) -> Response:
            provided = services()
            body = await _body(exchange)
            principal = await _principal(exchange, provided)
            value = bodies.parse(body)
            exchange.callable_envelope = isinstance(value, dict) and value.keys() == {"data"}
            if isinstance(value, dict) and exchange.callable_envelope:
                value = bodies.decode_callable(value["data"])
            command = bodies.read(request_model, value)
            reply = await function(command, Call(principal, provided, provided.now(), exchange.request_id))
            text = reply.model_dump_json(by_alias=True)
            if exchange.callable_envelope:
                text = f'{{"result":{text}}}'
            return Response(text, status_code=status, media_type="application/json")

        return _deploy(function, trigger, role, serve, deadline_seconds, max_body_bytes, capacity)

    return decorate


def topic(
    name: str, *, doorbell: bool = False, deadline_seconds: int = 60, capacity: Capacity | None = None
) -> Callable[[TopicHandler], Handler]:
    """Deploy a function that a topic wakes; what it rejects is set aside, everything else comes again."""

    def decorate(function: TopicHandler) -> Handler:
        async def serve(exchange: _Exchange) -> Response:
            provided = services()
            await _platform(exchange, provided)
            body = await _body(exchange)
            try:
                message = events.read_message(exchange.request, body)
                await function(message, provided)
            except Rejected as error:
                await provided.dead_letters.set_aside(
                    exchange.deployment.name, body, error.message, at=provided.now()
                )
                metrics.dead_letters.labels(exchange.deployment.name).inc()
                log.error(
                    "message_set_aside", extra={"function": exchange.deployment.name, "reason": error.message}
                )
            return Response(status_code=204)

        trigger = TopicTrigger(topic=name, doorbell=doorbell)
        return _deploy(function, trigger, Role.PLATFORM, serve, deadline_seconds, 10 * KIB * KIB, capacity)

    return decorate


def created(
    document: str, *, deadline_seconds: int = 60, capacity: Capacity | None = None
) -> Callable[[DocumentHandler], Handler]:
    """Deploy a function that the creation of a document (``collection/{id}``) wakes."""

    def decorate(function: DocumentHandler) -> Handler:
        async def serve(exchange: _Exchange) -> Response:
            provided = services()
            await _platform(exchange, provided)
            body = await _body(exchange)
            try:
                await function(events.read_created(body), provided)
            except Rejected as error:
                await provided.dead_letters.set_aside(
                    exchange.deployment.name, body, error.message, at=provided.now()
                )
                metrics.dead_letters.labels(exchange.deployment.name).inc()
                log.error(
                    "event_set_aside", extra={"function": exchange.deployment.name, "reason": error.message}
                )
            return Response(status_code=204)

        trigger = DocumentTrigger(document=document)
        return _deploy(function, trigger, Role.PLATFORM, serve, deadline_seconds, 10 * KIB * KIB, capacity)

    return decorate


def schedule(
    cron: str, *, deadline_seconds: int = 540, capacity: Capacity | None = None
) -> Callable[[ScheduleHandler], Handler]:
    """Deploy a function that the scheduler wakes at *cron*; it answers with a report."""

    def decorate(function: ScheduleHandler) -> Handler:
        async def serve(exchange: _Exchange) -> Response:
            provided = services()
            await _platform(exchange, provided)
            report = await function(provided)
            return _json(report.model_dump(mode="json", by_alias=True), 200)

        trigger = ScheduleTrigger(schedule=cron)
        return _deploy(function, trigger, Role.PLATFORM, serve, deadline_seconds, 64 * KIB, capacity)

    return decorate


def _deploy(
    function: Callable[..., Awaitable[Any]],
    trigger: Trigger,
    role: Role,
    serve: Callable[[_Exchange], Awaitable[Response]],
    deadline_seconds: int,
    max_body_bytes: int,
    capacity: Capacity | None,
) -> Handler:
    name = function.__name__

    @functools.wraps(function)
    async def handler(request: Request) -> Response:
        return await _answer(request, deployment, serve)

    # functools.wraps points at the wrapped signature, and functions-framework counts parameters by it.
    del handler.__wrapped__
    handler.__annotations__ = {"request": Request, "return": Response}
    exported = cast("Handler", functions_framework.aio.http(handler))
    deployment = Deployment(
        name=name,
        module=function.__module__,
        summary=inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
        trigger=trigger,
        role=role,
        deadline_seconds=deadline_seconds,
        max_body_bytes=max_body_bytes,
        capacity=capacity or Capacity(),
        handler=exported,
    )
    register(deployment)
    return exported


async def _answer(
    request: Request, deployment: Deployment, serve: Callable[[_Exchange], Awaitable[Response]]
) -> Response:
    configure()
    began = time.perf_counter()
    settings = services().settings
    exchange = _Exchange(request, deployment, settings, request_id=uuid.uuid4().hex)
    with bill(deployment.name) as spent:
        if request.method == "OPTIONS" and isinstance(deployment.trigger, ClientCall):
            response = _preflight()
        elif request.method != "POST":
            response = _plain_problem(
                exchange, _METHOD_NOT_ALLOWED, "Only POST is understood here", {"Allow": "POST, OPTIONS"}
            )
        else:
            response = await _guarded(exchange, serve)
    if isinstance(deployment.trigger, ClientCall):
        _allow_origin(request, settings, response)
    response.headers["X-Request-Id"] = exchange.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    _note(exchange, response.status_code, time.perf_counter() - began, spent)
    return response


async def _guarded(exchange: _Exchange, serve: Callable[[_Exchange], Awaitable[Response]]) -> Response:
    if isinstance(exchange.deployment.trigger, ClientCall):
        kind = exchange.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return _plain_problem(
                exchange, _UNSUPPORTED_MEDIA_TYPE, "Only application/json is understood here", {}
            )
    try:
        async with asyncio.timeout(exchange.deployment.deadline_seconds):
            return await serve(exchange)
    except TimeoutError:
        return _failure(exchange, DeadlineExceeded("this took too long"))
    except ClientDisconnect:
        return _failure(exchange, InvalidRequest("the body never came"))
    except LecternError as error:
        if not isinstance(error, Rejected):
            log.warning(
                "request_failed",
                extra={"function": exchange.deployment.name, "code": type(error).__name__},
                exc_info=error,
            )
        return _failure(exchange, error)
    except Exception as error:  # noqa: BLE001  the one place where the unforeseen ends
        log.error(
            "request_crashed",
            extra={"function": exchange.deployment.name, "request_id": exchange.request_id},
            exc_info=error,
        )
        return _failure(exchange, error)


async def _body(exchange: _Exchange) -> bytes:
    request, most = exchange.request, exchange.deployment.max_body_bytes
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        message = "compressed bodies are not read"
        raise InvalidRequest(message)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            message = f"the body is larger than {most} bytes"
            raise TooLarge(message)
        chunks.append(chunk)
    body = b"".join(chunks)
    # Known this early so that even a refusal to sign in leaves in the envelope that the SDK reads.
    exchange.callable_envelope = body[:64].lstrip().startswith(b'{"data"')
    return body


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        message = "sign in, and send your ID token once, as a bearer token"
        raise NotSignedIn(message)
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        message = "the Authorization header is not a bearer token"
        raise NotSignedIn(message)
    return token.strip()


async def _principal(exchange: _Exchange, provided: Services) -> Principal:
    mode = exchange.settings.app_check
    if mode != "off":
        try:
            await provided.identity.check_app(exchange.request.headers.get("x-firebase-appcheck", ""))
        except NotSignedIn:
            log.warning("app_check_failed", extra={"function": exchange.deployment.name})
            if mode == "enforce":
                raise
    principal = await provided.identity.principal(_bearer(exchange.request))
    if exchange.deployment.role is Role.TEACHER and not principal.is_teacher:
        message = "only teachers may do this"
        raise NotAllowed(message)
    return principal


async def _platform(exchange: _Exchange, provided: Services) -> None:
    settings = exchange.settings
    if settings.emulated and settings.project.startswith("demo-"):
        return  # the emulators sign nothing
    await provided.identity.check_platform(_bearer(exchange.request))


def _failure(exchange: _Exchange, error: BaseException) -> Response:
    problem = problems.problem_of(error)
    if exchange.callable_envelope:
        response = _json(problems.as_callable_error(error, request_id=exchange.request_id), problem.status)
    else:
        response = _json(
            problems.as_problem_json(error, request_id=exchange.request_id),
            problem.status,
            media_type="application/problem+json",
        )
    response.headers.update(problems.headers_of(error))
    return response


def _plain_problem(exchange: _Exchange, status: int, title: str, headers: dict[str, str]) -> Response:
    body = {
        "type": "urn:lectern:problem:invalid-argument",
        "title": title,
        "status": status,
        "detail": title,
        "requestId": exchange.request_id,
    }
    response = _json(body, status, media_type="application/problem+json")
    response.headers.update(headers)
    return response


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": (
                "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token"
            ),
            "Access-Control-Max-Age": str(_CORS_MAX_AGE_SECONDS),
        },
    )


def _allow_origin(request: Request, settings: Settings, response: Response) -> None:
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("origin")
    if origin is not None and origin in settings.allowed_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"


def _json(value: object, status: int, *, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type=media_type)


def _trace(request: Request) -> str:
    """The caller's trace, if it is one: a header is anybody's text, and logs take no text from anybody."""
    value = request.headers.get("traceparent", "")
    return value if _TRACEPARENT.fullmatch(value) else ""


def _note(exchange: _Exchange, status: int, seconds: float, spent: Bill) -> None:
    name = exchange.deployment.name
    metrics.requests.labels(name, str(status)).inc()
    metrics.request_seconds.labels(name).observe(seconds)
    log.info(
        "request",
        extra={
            "function": name,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "request_id": exchange.request_id,
            "trace": _trace(exchange.request),
            "reads": spent.reads,
            "writes": spent.writes,
            "deletes": spent.deletes,
            "rpcs": spent.rpcs,
        },
    )
