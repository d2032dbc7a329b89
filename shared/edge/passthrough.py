"""
How a coroutine becomes a function that speaks another protocol on the paths beneath it.

The reply's bytes are the coroutine's own business; sign-in, sizes, CORS, the error envelope, the log line
and the accounting at the end of a stream are the border's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.edge.endpoint import KIB, Handler, deploy
from shared.edge.exchange import Exchange, finish, read_body, signed_in
from shared.edge.registry import Capacity, Passed, PassedHeader, PassThrough, RateClass, Role
from shared.identity.principal import Principal
from shared.wiring import Services, services

_OK = 200


class Stream(Protocol):
    """Bytes that come one after the other; iterating never raises, and abandoning it late does nothing."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes, as they come."""
        ...

    def abandon(self) -> None:
        """End the iteration soon: nobody listens any more."""
        ...

    async def settle(self) -> None:
        """
        Return once everything is paid for.

        It runs when the client has every byte and before the request is over: an instance may be given
        no processor time after that.
        """
        ...


class PassedCall(NamedTuple):
    """
    One request, identified: what was asked beneath the function, by whom, and what it may use.

    *headers* are by their lower-case names; of one that is sent several times, the last.
    """

    method: str
    path: str
    body: bytes
    headers: Mapping[bytes, bytes]
    principal: Principal
    services: Services


class PassedReply(NamedTuple):
    """The upstream's answer."""

    media_type: bytes = b"application/json"
    body: bytes | Stream = b""


PassHandler = Callable[[PassedCall], Awaitable[PassedReply]]


def pass_through(
    *paths: Passed,
    headers: tuple[PassedHeader, ...] = (),
    deadline_seconds: int,
    max_body_bytes: int = 256 * KIB,
    capacity: Capacity | None = None,
    rate: RateClass = RateClass.AI,
) -> Callable[[PassHandler], Handler]:
    """
    Deploy a function that answers *paths* beneath it, and reads *headers* of its own.

    The deadline is that of the reply's first byte.
    """

    def decorate(function: PassHandler) -> Handler:
        async def serve(exchange: Exchange) -> Response:
            provided = services()
            body = await read_body(exchange)
            principal = await signed_in(exchange, provided)
            scope, sent = exchange.request.scope, exchange.fields
            reply = await function(
                PassedCall(scope["method"], scope["path"], body, sent, principal, provided)
            )
            exchange.goes_on = True
            return _Passing(exchange, reply)

        trigger = PassThrough(paths=paths, headers=headers)
        return deploy(
            function, trigger, Role.SIGNED_IN, serve, deadline_seconds, max_body_bytes, capacity, rate=rate
        )

    return decorate


class _Passing(Response):
    """Sends a passed reply; the exchange is finished at its end."""

    def __init__(self, exchange: Exchange, reply: PassedReply) -> None:
        """Keep *reply* until it is sent."""
        # Not Starlette's own beginning: it knows more kinds of bodies and of headers than there are here.
        self._exchange = exchange
        self._reply = reply
        self.status_code = _OK
        self.background = None
        self.raw_headers = [(b"content-type", reply.media_type)]
        if isinstance(reply.body, bytes):
            self.raw_headers.append((b"content-length", b"%d" % len(reply.body)))

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, settle, finish."""
        body = self._reply.body
        try:
            await send({"type": "http.response.start", "status": _OK, "headers": self.raw_headers})
            if not isinstance(body, bytes):
                await self._stream(body, receive, send)
                body = b""
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            finish(self._exchange, _OK)

    async def _stream(self, body: Stream, receive: Receive, send: Send) -> None:
        with self._exchange.still_billed():
            await self._told(body, receive, send)
            await body.settle()

    async def _told(self, body: Stream, receive: Receive, send: Send) -> None:
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
