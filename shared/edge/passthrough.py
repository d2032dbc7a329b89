"""
How a coroutine becomes a function that speaks another protocol on the paths beneath it.

The reply's bytes are the coroutine's own business; sign-in, sizes, CORS, the error envelope, the log line
and the accounting at the end of a stream are the border's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.edge.endpoint import KIB, Handler, deploy
from shared.edge.exchange import Exchange, finish, read_body, signed_in
from shared.edge.registry import Capacity, Passed, PassThrough, RateClass, Role
from shared.identity.principal import Principal
from shared.wiring import Services, services


class Stream(Protocol):
    """Bytes that come one after the other; iterating never raises, and abandoning it late does nothing."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes, as they come."""
        ...

    def abandon(self) -> None:
        """End the iteration soon: nobody listens any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedCall:
    """One request, identified: what was asked beneath the function, by whom, and what it may use."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    principal: Principal
    services: Services
    now: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedReply:
    """
    The upstream's answer.

    *settle* runs once the client has every byte and before the request is over: an instance may be
    given no processor time after that.
    """

    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Stream = b""
    settle: Callable[[], Awaitable[None]] | None = None


PassHandler = Callable[[PassedCall], Awaitable[PassedReply]]


def pass_through(
    *paths: Passed,
    deadline_seconds: int,
    max_body_bytes: int = 256 * KIB,
    capacity: Capacity | None = None,
    rate: RateClass = RateClass.AI,
) -> Callable[[PassHandler], Handler]:
    """Deploy a function that answers *paths* beneath it; the deadline is that of the reply's first byte."""

    def decorate(function: PassHandler) -> Handler:
        async def serve(exchange: Exchange) -> Response:
            provided = services()
            request = exchange.request
            body = await read_body(exchange)
            principal = await signed_in(exchange, provided)
            call = PassedCall(
                method=request.method,
                path=request.scope["path"],
                body=body,
                headers=request.headers,
                principal=principal,
                services=provided,
                now=provided.now(),
                request_id=exchange.request_id,
            )
            reply = await function(call)
            exchange.goes_on = True
            return _Passing(exchange, reply)

        trigger = PassThrough(paths=paths)
        return deploy(
            function, trigger, Role.SIGNED_IN, serve, deadline_seconds, max_body_bytes, capacity, rate=rate
        )

    return decorate


class _Passing(Response):
    """Sends a passed reply; the exchange is finished at its end."""

    def __init__(self, exchange: Exchange, reply: PassedReply) -> None:
        """Keep *reply* until it is sent."""
        self._exchange = exchange
        self._reply = reply
        content = reply.body if isinstance(reply.body, bytes) else None
        super().__init__(content, reply.status, dict(reply.headers), reply.media_type)
        if content is None:
            del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, settle, finish."""
        reply = self._reply
        try:
            with self._exchange.still_billed():
                await send(
                    {"type": "http.response.start", "status": reply.status, "headers": self.raw_headers}
                )
                if isinstance(reply.body, bytes):
                    more = reply.settle is not None
                    await send({"type": "http.response.body", "body": reply.body, "more_body": more})
                    if not more:
                        return
                else:
                    await self._stream(reply.body, receive, send)
                if reply.settle is not None:
                    await reply.settle()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            finish(self._exchange, reply.status)

    async def _stream(self, body: Stream, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(_gone(receive, body))
        try:
            async for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            watching.cancel()
            body.abandon()


async def _gone(receive: Receive, body: Stream) -> None:
    """Abandon *body* when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    body.abandon()
