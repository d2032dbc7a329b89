"""
A request's way through the border: bounds, sign-in, deadline, errors, CORS, the log line.

It is the same for every function; what a function adds is in ``endpoint``.
"""

import asyncio
import functools
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared import metrics
from shared.counting import Count, Distribution
from shared.documents.metering import Bill, bill, divided
from shared.edge import problems, rates
from shared.edge.logs import configure, log, log_request
from shared.edge.registry import Deployment, PassThrough, Role
from shared.errors import (
    BudgetSpent,
    DeadlineExceeded,
    InvalidRequest,
    LecternError,
    LeftAlone,
    NotAllowed,
    NotSignedIn,
    Rejected,
    TooLarge,
    TooManyRequests,
)
from shared.identity.principal import Principal
from shared.limits.base import Verdict, tighter
from shared.settings import Settings
from shared.wiring import Services, services

_CORS_MAX_AGE_SECONDS = 3600
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_VARY = (b"vary", b"Origin")
_EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id",
)
_ALLOWED_HEADERS = "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token"
_OPENAI_HEADERS = ", ".join(
    ["openai-organization", "openai-project", "x-lectern-course"]
    + [
        f"x-stainless-{name}"
        for name in (
            *(
                "arch",
                "helper-method",
                "lang",
                "os",
                "package-version",
                "poll-helper",
                "retry-count",
                "runtime",
            ),
            *("runtime-version", "timeout"),
        )
    ]
)
"""What OpenAI's client library for browsers sends beside."""
_METHOD_NOT_ALLOWED = 405
_UNSUPPORTED_MEDIA_TYPE = 415
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Taken(NamedTuple):
    """What a call took of the limits that all instances count: *uid* and *address*, and what they said."""

    uid: str
    address: str
    verdict: Verdict


@dataclass
class Exchange:
    """
    One request on its way through the border.

    ``callable_envelope`` once its body said so, ``rate`` once a limit was asked: the tightest. *taken* goes
    back where no model was asked. *goes_on* says that the reply is not over when it is returned: whoever
    sends the rest of it calls ``finish`` at its end, and charges what it costs until then within
    ``still_billed``.

    Nothing in it may lead back to it: a cycle for each is 64 µs of work for the garbage collector.

    *streams* says that the caller reads server-sent events: the Firebase SDK looks at nothing else then,
    so that errors are events, too, and the status is 200; *outcome* is the status that it would have been.
    """

    request: Request
    deployment: Deployment
    settings: Settings
    request_id: str
    spent: Bill
    callable_envelope: bool = False
    rate: Verdict | None = None
    taken: Taken | None = None
    goes_on: bool = False
    streams: bool = False
    outcome: int = 0

    def __post_init__(self) -> None:
        """Begin."""
        self.began = time.perf_counter()
        self.fields: dict[bytes, bytes] = dict(self.request.scope["headers"])
        """The request's headers by their lower-case names; of one that is sent several times, the last."""

    def still_billed(self) -> AbstractContextManager[None]:
        """Charge to this request what is charged within the block."""
        return divided((self.spent,))


Serve = Callable[[Exchange], Awaitable[Response]]
ResultT = TypeVar("ResultT")


async def answer(request: Request, deployment: Deployment, serve: Serve) -> Response:
    """Serve one request of *deployment*; whatever happens, the reply is one of ours, and noted."""
    configure()
    settings = services().settings
    methods = ("GET", "POST") if isinstance(deployment.trigger, PassThrough) else ("POST",)
    with bill(deployment.name) as spent:
        exchange = Exchange(request, deployment, settings, os.urandom(16).hex(), spent)
        if request.method == "OPTIONS" and deployment.for_clients:
            response = _preflight(deployment, methods)
        elif request.method not in methods:
            response = _plain_problem(
                exchange,
                _METHOD_NOT_ALLOWED,
                f"Only {' and '.join(methods)} is understood here",
                {"Allow": ", ".join([*methods, "OPTIONS"])},
            )
        else:
            response = await _guarded(exchange, serve)
    headers = response.raw_headers
    if deployment.for_clients:
        _allow_origin(exchange, headers)
        if exchange.rate is not None:
            headers += exchange.rate.raw_headers
    headers += ((b"x-request-id", exchange.request_id.encode()), *_ALWAYS)
    if not exchange.goes_on:
        finish(exchange, response.status_code)
    return response


async def _guarded(exchange: Exchange, serve: Serve) -> Response:
    if exchange.deployment.for_clients and exchange.request.method == "POST":
        kind = exchange.fields.get(b"content-type", b"")
        if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
            return _plain_problem(
                exchange, _UNSUPPORTED_MEDIA_TYPE, "Only application/json is understood here", {}
            )
    outcome = await attempted(exchange, serve(exchange))
    return _failure(exchange, outcome.error) if isinstance(outcome, Failed) else outcome


@dataclass(frozen=True, slots=True)
class Failed:
    """Why work ended without a result."""

    error: BaseException


class Deadline:
    """
    As ``asyncio.timeout``: work in this block that is not over after so many *seconds* ends in TimeoutError.

    Every request has one, and nearly none comes to it; asyncio's own can also be moved and asked how it
    stands, for three times the time.
    """

    __slots__ = ("_before", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        """Begin to count when the block is entered."""
        self._seconds = seconds

    def __enter__(self) -> None:
        """Begin to count."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            message = "a deadline is for work in a task"
            raise RuntimeError(message)
        self._task = task
        self._before = task.cancelling()
        self._expired = False
        self._timer = loop.call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """
        End counting.

        Raises:
            TimeoutError: the work was cancelled because its time was over, and for no other reason.
        """
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error


async def attempted(exchange: Exchange, work: Awaitable[ResultT]) -> ResultT | Failed:
    """The result of *work* within the function's deadline, or why there is none; outages are logged."""
    try:
        with Deadline(exchange.deployment.deadline_seconds):
            return await work
    except TimeoutError:
        return Failed(DeadlineExceeded("this took too long"))
    except ClientDisconnect:
        return Failed(InvalidRequest("the body never came"))
    except LecternError as error:
        if not isinstance(error, Rejected | TooManyRequests):
            log.warning(
                "request_failed",
                extra={"function": exchange.deployment.name, "code": type(error).__name__},
                exc_info=error,
            )
        if isinstance(error, BudgetSpent | LeftAlone) and exchange.taken is not None:
            await _give_back(exchange, exchange.taken)
        return Failed(error)
    except Exception as error:  # noqa: BLE001  the one place where the unforeseen ends
        log.error(
            "request_crashed",
            extra={"function": exchange.deployment.name, "request_id": exchange.request_id},
            exc_info=error,
        )
        return Failed(error)


async def read_body(exchange: Exchange) -> bytes:
    """
    The whole body.

    Raises:
        InvalidRequest: it is compressed.
        TooLarge: it is larger than the function reads.
    """
    request, most = exchange.request, exchange.deployment.max_body_bytes
    if exchange.fields.get(b"content-encoding", b"identity").lower() != b"identity":
        message = "compressed bodies are not read"
        raise InvalidRequest(message)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = event.get("body", b""), event.get("more_body", False)
        size += len(chunk)
        if size > most:
            message = f"the body is larger than {most} bytes"
            raise TooLarge(message)
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    # Known this early so that even a refusal to sign in leaves in the envelope that the SDK reads.
    exchange.callable_envelope = body[:64].lstrip().startswith(b'{"data"')
    return body


def _bearer(exchange: Exchange) -> str:
    value = exchange.fields.get(b"authorization")
    if value is None or _times_sent(exchange, b"authorization") != 1:
        message = "sign in, and send your ID token once, as a bearer token"
        raise NotSignedIn(message)
    scheme, _, token = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        message = "the Authorization header is not a bearer token"
        raise NotSignedIn(message)
    return token.strip()


def _times_sent(exchange: Exchange, name: bytes) -> int:
    sent = exchange.request.scope["headers"]
    if len(sent) == len(exchange.fields):
        return 1  # no header was sent twice, and the caller has found this one
    return sum(each == name for each, _ in sent)


async def signed_in(exchange: Exchange, provided: Services) -> Principal:
    """
    Who is asking, if neither their address nor they ask too often.

    Raises:
        TooManyRequests: a rate limit is spent.
        NotSignedIn: nobody vouches for them, or for their app where App Check is enforced.
        NotAllowed: the function is not for their role.
    """
    rate = exchange.deployment.rate
    address = rates.address(exchange.request, exchange.settings.hops) if rate.by_address else rates.UNKNOWN
    _within(exchange, rates.of_address(rate, address, provided))
    mode = exchange.settings.app_check
    if mode != "off":
        try:
            token = exchange.fields.get(b"x-firebase-appcheck", b"").decode("latin-1")
            await provided.identity.check_app(token)
        except NotSignedIn:
            log.warning("app_check_failed", extra={"function": exchange.deployment.name})
            if mode == "enforce":
                raise
    principal = await provided.identity.principal(_bearer(exchange), at_once=exchange.deployment.sensitive)
    mine = await rates.of_user(rate, principal.uid, address, provided)
    _within(exchange, mine)
    if mine is not None and rate.shared:
        exchange.taken = Taken(principal.uid, address, mine)
    if exchange.deployment.role is Role.TEACHER and not principal.is_teacher:
        message = "only teachers may do this"
        raise NotAllowed(message)
    if exchange.deployment.role is Role.ADMIN and not principal.is_admin:
        message = "only admins may do this"
        raise NotAllowed(message)
    return principal


def _within(exchange: Exchange, verdict: Verdict | None) -> None:
    """
    Note what a rate limit said, for the headers.

    Raises:
        TooManyRequests: it is spent.
    """
    if verdict is None:
        return
    exchange.rate = verdict if exchange.rate is None else tighter(exchange.rate, verdict)
    if not verdict.allowed:
        message = f"more than {verdict.limit} calls in a while; come back in {verdict.retry_after_seconds} s"
        raise TooManyRequests(message, retry_after_seconds=verdict.retry_after_seconds)


async def _give_back(exchange: Exchange, taken: Taken) -> None:
    """Return the points of a call that was refused; what cannot be returned runs out."""
    rate, mine = exchange.deployment.rate, taken.verdict
    try:
        done = await rates.give_back(rate, taken.uid, taken.address, mine.taken, services())
    except LecternError as error:
        log.warning("points_not_returned", extra={"count": 1}, exc_info=error)
        return
    if done and exchange.rate is mine:
        exchange.rate = mine._replace(remaining=mine.remaining + 1)


async def from_platform(exchange: Exchange, provided: Services) -> None:
    """
    Accept the platform's own callers only.

    Raises:
        NotSignedIn: it is somebody else.
    """
    settings = exchange.settings
    if settings.emulated and settings.project.startswith("demo-"):
        return  # the emulators sign nothing
    await provided.identity.check_platform(_bearer(exchange))


def _failure(exchange: Exchange, error: BaseException) -> Response:
    problem = problems.problem_of(error)
    exchange.goes_on = False
    if exchange.streams:
        event = orjson.dumps(problems.as_callable_error(error, request_id=exchange.request_id))
        exchange.outcome = problem.status
        headers = problems.headers_of(error)
        return Response(b"data: " + event + b"\n\n", headers=headers, media_type="text/event-stream")
    if isinstance(exchange.deployment.trigger, PassThrough):
        response = as_json(problems.as_openai_error(error, request_id=exchange.request_id), problem.status)
    elif exchange.callable_envelope:
        response = as_json(problems.as_callable_error(error, request_id=exchange.request_id), problem.status)
    else:
        response = as_json(
            problems.as_problem_json(error, request_id=exchange.request_id),
            problem.status,
            media_type="application/problem+json",
        )
    response.headers.update(problems.headers_of(error))
    return response


def _plain_problem(exchange: Exchange, status: int, title: str, headers: dict[str, str]) -> Response:
    body: dict[str, object] = {
        "type": "urn:lectern:problem:invalid-argument",
        "title": title,
        "status": status,
        "detail": title,
        "requestId": exchange.request_id,
    }
    response = as_json(body, status, media_type="application/problem+json")
    response.headers.update(headers)
    return response


def _preflight(deployment: Deployment, methods: Sequence[str]) -> Response:
    theirs = f", {_OPENAI_HEADERS}" if isinstance(deployment.trigger, PassThrough) else ""
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join([*methods, "OPTIONS"]),
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS + theirs,
            "Access-Control-Max-Age": str(_CORS_MAX_AGE_SECONDS),
        },
    )


def _allow_origin(exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append(_VARY)
    origin = exchange.fields.get(b"origin")
    if origin is not None and origin.decode("latin-1") in exchange.settings.allowed_origins:
        headers += ((b"access-control-allow-origin", origin), _EXPOSED)


def as_json(value: object, status: int, *, media_type: str = "application/json") -> Response:
    """A reply with *value* as its body."""
    return Response(orjson.dumps(value), status_code=status, media_type=media_type)


def _trace(exchange: Exchange) -> str:
    """The caller's trace, if it is one: a header is anybody's text, and logs take no text from anybody."""
    value = exchange.fields.get(b"traceparent")
    if value is None:
        return ""
    text = value.decode("latin-1")
    return text if _TRACEPARENT.fullmatch(text) else ""


@functools.lru_cache(maxsize=1024)
def _meters(name: str, status: int) -> tuple[Count, Distribution]:
    """What a request to the function *name* that ended with *status* is counted by."""
    return metrics.requests.labels(name, str(status)), metrics.request_seconds.labels(name)


def finish(exchange: Exchange, status: int) -> None:
    """
    Note that the reply to *exchange* is over: one log line, one observation.

    Of a stream, whose status is always 200, the outcome is noted.
    """
    status = exchange.outcome or status
    name, spent = exchange.deployment.name, exchange.spent
    seconds = time.perf_counter() - exchange.began
    count, observe = _meters(name, status)
    count.inc()
    observe.observe(seconds)
    log_request(
        {
            "function": name,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "request_id": exchange.request_id,
            "trace": _trace(exchange),
            "reads": spent.reads,
            "writes": spent.writes,
            "deletes": spent.deletes,
            "rpcs": spent.rpcs,
        }
    )
