"""
How an asynchronous generator becomes a function whose reply arrives in pieces.

A caller who accepts ``text/event-stream`` (``httpsCallable(…).stream()`` does) gets ``data: {"message": …}``
for everything that the generator yields, ``: ping`` where nothing came for a while, and at the end
``data: {"result": …}`` or ``data: {"error": …}``: always with HTTP 200, because the SDK looks at nothing
else. Any other caller gets the last thing yielded as an ordinary JSON reply.

The generator runs in a task of its own. When the caller goes away it is cancelled, and what it does
to end its work (settling what was spent) still happens, before the request is noted as over.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol, TypeVar

import orjson
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.edge import problems
from shared.edge.endpoint import KIB, Call, Handler, deploy, received, replied
from shared.edge.exchange import Exchange, Failed, attempted, finish
from shared.edge.registry import Capacity, ClientCall, RateClass, Role

PING_SECONDS = 15.0
"""Proxies give up on connections on which nothing is sent; clients skip comments."""

_CLIENT_CLOSED_REQUEST = 499
_MEDIA_TYPE = "text/event-stream"

RequestT_contra = TypeVar("RequestT_contra", bound=BaseModel, contravariant=True)


class StreamHandler(Protocol[RequestT_contra]):
    """Yields messages, and last of all the reply."""

    __name__: str
    __module__: str

    def __call__(self, command: RequestT_contra, call: Call, /) -> AsyncGenerator[BaseModel, None]:
        """Answer *command*."""
        ...


def streamed_call(
    *,
    sends: type[BaseModel],
    reply: type[BaseModel],
    role: Role = Role.SIGNED_IN,
    sensitive: bool = False,
    rate: RateClass = RateClass.AI,
    deadline_seconds: int,
    max_body_bytes: int = 64 * KIB,
    capacity: Capacity | None = None,
) -> Callable[[StreamHandler[Any]], Handler]:
    """Deploy a generator of *sends* that ends with a *reply*; the deadline is that of the whole stream."""

    def decorate(function: StreamHandler[Any]) -> Handler:
        request_model = next(iter(inspect.get_annotations(function, eval_str=True).values()))
        trigger = ClientCall(request=request_model, reply=reply, sends=sends)

        async def serve(exchange: Exchange) -> Response:
            exchange.streams = _MEDIA_TYPE in exchange.request.headers.get("accept", "")
            command, call = await received(exchange, request_model)
            if exchange.streams:
                exchange.goes_on = True
                return _Streamed(exchange, function(command, call), reply)
            last = await _last(function(command, call), reply)
            return replied(exchange, last, 200)

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
        )

    return decorate


async def _last(pieces: AsyncGenerator[BaseModel, None], reply: type[BaseModel]) -> BaseModel:
    async with contextlib.aclosing(pieces) as each_piece:
        async for piece in each_piece:
            if isinstance(piece, reply):
                return piece
    message = "a stream ended without its reply"
    raise RuntimeError(message)


def _event(name: str, value: BaseModel) -> bytes:
    return f'data: {{"{name}":{value.model_dump_json(by_alias=True)}}}\n\n'.encode()


class _Streamed(Response):
    """Sends what a generator yields as server-sent events; the exchange is finished at its end."""

    media_type = _MEDIA_TYPE

    def __init__(
        self, exchange: Exchange, pieces: AsyncGenerator[BaseModel, None], reply: type[BaseModel]
    ) -> None:
        """Keep *pieces* until they are asked for."""
        self._exchange = exchange
        self._pieces = pieces
        self._reply = reply
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the generator ends or nobody listens; then finish."""
        work = asyncio.create_task(self._work())
        watch = asyncio.create_task(_gone(receive, work))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while (event := await self._next()) is not None:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            # What the generator does at its end is done before the last byte: no processor time comes after.
            await asyncio.wait([work])
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()
            work.cancel()
            await asyncio.wait([work])
            finish(self._exchange, 200)

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(PING_SECONDS):
                return await self._waiting.get()
        except TimeoutError:
            return b": ping\n\n"

    async def _work(self) -> None:
        exchange = self._exchange
        exchange.outcome = _CLIENT_CLOSED_REQUEST
        try:
            with exchange.still_billed():
                outcome = await attempted(exchange, self._all())
            if isinstance(outcome, Failed):
                exchange.outcome = problems.problem_of(outcome.error).status
                error = problems.as_callable_error(outcome.error, request_id=exchange.request_id)
                self._waiting.put_nowait(b"data: " + orjson.dumps(error) + b"\n\n")
            else:
                exchange.outcome = 200
                self._waiting.put_nowait(_event("result", outcome))
        finally:
            self._waiting.put_nowait(None)

    async def _all(self) -> BaseModel:
        async with contextlib.aclosing(self._pieces) as pieces:
            async for piece in pieces:
                if isinstance(piece, self._reply):
                    return piece
                self._waiting.put_nowait(_event("message", piece))
        message = "a stream ended without its reply"
        raise RuntimeError(message)


async def _gone(receive: Receive, work: "asyncio.Task[None]") -> None:
    """Cancel *work* when the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    work.cancel()
