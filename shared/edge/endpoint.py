"""
How a coroutine becomes a deployed function: one decorator for each kind of caller.

Each decorator registers its function (``registry``), and wraps it into a plain coroutine from
request to response that functions-framework serves under the function's own name.
"""

import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

import functions_framework.aio
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from shared import metrics
from shared.edge import bodies, events
from shared.edge.exchange import Exchange, Serve, answer, as_json, from_platform, read_body, signed_in
from shared.edge.logs import log
from shared.edge.registry import (
    Capacity,
    ClientCall,
    Deployment,
    DocumentTrigger,
    RateClass,
    Role,
    ScheduleTrigger,
    TopicTrigger,
    Trigger,
    register,
)
from shared.errors import Rejected
from shared.identity.principal import Principal
from shared.topics.base import Message
from shared.wiring import Services, services

KIB = 1024


_LEAST_SECONDS = 0.1
"""Well below what is kept for telling an error (``MARGIN_SECONDS`` of the gateway)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, identified: who asks, when, and what it may use; *began* is by ``time.perf_counter``."""

    principal: Principal
    services: Services
    now: datetime
    request_id: str
    began: float

    def left_of(self, seconds: float) -> float:
        """What is left of *seconds* from when the request came: a moment at least, to fail in."""
        return max(seconds - (time.perf_counter() - self.began), _LEAST_SECONDS)


RequestT = TypeVar("RequestT", bound=BaseModel)
ReplyT = TypeVar("ReplyT", bound=BaseModel)

Handler = Callable[[Request], Awaitable[Response]]
CallHandler = Callable[[RequestT, Call], Awaitable[ReplyT]]
TopicHandler = Callable[[Message, Services], Awaitable[None]]
DocumentHandler = Callable[[events.CreatedDocument, Services], Awaitable[None]]
ScheduleHandler = Callable[[Services], Awaitable[BaseModel]]


def client_call(
    *,
    status: int = 200,
    role: Role = Role.SIGNED_IN,
    sensitive: bool = False,
    deadline_seconds: int = 10,
    max_body_bytes: int = 64 * KIB,
    capacity: Capacity | None = None,
    rate: RateClass = RateClass.CALL,
    provider: bool = False,
) -> Callable[[CallHandler[RequestT, ReplyT]], Handler]:
    """
    Deploy a function that clients call, as a callable or as plain REST.

    The request and reply models are its annotations: ``async def f(command: Request, call: Call) -> Reply``.
    A *sensitive* one refuses revoked sessions at once, for a question to Auth per call; what is for
    teachers or admins by role is sensitive. One that speaks to the *provider* of models is given its key.
    """

    def decorate(function: CallHandler[RequestT, ReplyT]) -> Handler:
        hints = inspect.get_annotations(function, eval_str=True)
        request_model: type[RequestT] = next(iter(hints.values()))
        trigger = ClientCall(request=request_model, reply=hints["return"], status=status)

        async def serve(exchange: Exchange) -> Response:
            command, call = await received(exchange, request_model)
            reply = await function(command, call)
            return replied(exchange, reply, status)

        return deploy(
            function,
            trigger,
            role,
            serve,
            deadline_seconds,
            max_body_bytes,
            capacity,
            sensitive=sensitive,
            rate=rate,
            provider=provider,
        )

    return decorate


async def received(exchange: Exchange, request_model: type[RequestT]) -> tuple[RequestT, Call]:
    """
    What a client asks, and who it is.

    Raises:
        LecternError: the body, the caller or the request is not accepted.
    """
    provided = services()
    body = await read_body(exchange)
    principal = await signed_in(exchange, provided)
    value = bodies.parse(body)
    exchange.callable_envelope = isinstance(value, dict) and value.keys() == {"data"}
    if isinstance(value, dict) and exchange.callable_envelope:
        value = bodies.decode_callable(value["data"])
    command = bodies.read(request_model, value)
    return command, Call(principal, provided, provided.now(), exchange.request_id, exchange.began)


def replied(exchange: Exchange, reply: BaseModel, status: int) -> Response:
    """*reply* in the caller's envelope."""
    text = reply.model_dump_json(by_alias=True)
    if exchange.callable_envelope:
        text = f'{{"result":{text}}}'
    return Response(text, status_code=status, media_type="application/json")


def topic(
    name: str, *, doorbell: bool = False, deadline_seconds: int = 60, capacity: Capacity | None = None
) -> Callable[[TopicHandler], Handler]:
    """Deploy a function that a topic wakes; what it rejects is set aside, everything else comes again."""

    def decorate(function: TopicHandler) -> Handler:
        async def serve(exchange: Exchange) -> Response:
            provided = services()
            await from_platform(exchange, provided)
            body = await read_body(exchange)
            try:
                message = events.read_message(exchange.request, body)
                await function(message, provided)
            except Rejected as error:
                await _set_aside(exchange.deployment.name, body, error.message, provided)
            return Response(status_code=204)

        trigger = TopicTrigger(topic=name, doorbell=doorbell)
        return deploy(function, trigger, Role.PLATFORM, serve, deadline_seconds, 10 * KIB * KIB, capacity)

    return decorate


def created(
    document: str, *, deadline_seconds: int = 60, capacity: Capacity | None = None
) -> Callable[[DocumentHandler], Handler]:
    """Deploy a function that the creation of a document (``collection/{id}``) wakes."""

    def decorate(function: DocumentHandler) -> Handler:
        async def serve(exchange: Exchange) -> Response:
            provided = services()
            await from_platform(exchange, provided)
            body = await read_body(exchange)
            try:
                await function(events.read_created(body), provided)
            except Rejected as error:
                await _set_aside(exchange.deployment.name, body, error.message, provided)
            return Response(status_code=204)

        trigger = DocumentTrigger(document=document)
        return deploy(function, trigger, Role.PLATFORM, serve, deadline_seconds, 10 * KIB * KIB, capacity)

    return decorate


def schedule(
    cron: str, *, deadline_seconds: int = 540, capacity: Capacity | None = None, provider: bool = False
) -> Callable[[ScheduleHandler], Handler]:
    """
    Deploy a function that the scheduler wakes at *cron*; it answers with a report.

    One that speaks to the *provider* of models is given its key.
    """

    def decorate(function: ScheduleHandler) -> Handler:
        async def serve(exchange: Exchange) -> Response:
            provided = services()
            await from_platform(exchange, provided)
            report = await function(provided)
            return as_json(report.model_dump(mode="json", by_alias=True), 200)

        trigger = ScheduleTrigger(schedule=cron)
        return deploy(
            function,
            trigger,
            Role.PLATFORM,
            serve,
            deadline_seconds,
            64 * KIB,
            capacity,
            provider=provider,
        )

    return decorate


async def _set_aside(name: str, body: bytes, reason: str, provided: Services) -> None:
    await provided.dead_letters.set_aside(name, body, reason, at=provided.now())
    metrics.dead_letters.labels(name).inc()
    log.error("message_set_aside", extra={"function": name, "reason": reason})


def deploy(
    function: Callable[..., Any],
    trigger: Trigger,
    role: Role,
    serve: Serve,
    deadline_seconds: int,
    max_body_bytes: int,
    capacity: Capacity | None,
    *,
    sensitive: bool = False,
    rate: RateClass = RateClass.CALL,
    provider: bool = False,
) -> Handler:
    """Register *function* and wrap *serve*, its way through the border, into what is deployed."""
    name = function.__name__

    @functools.wraps(function)
    async def handler(request: Request) -> Response:
        return await answer(request, deployment, serve)

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
        sensitive=sensitive or role in {Role.TEACHER, Role.ADMIN},
        rate=rate,
        provider=provider,
    )
    register(deployment)
    return exported
