"""
Calls to the provider of models: one attempt after the other, within a deadline.

What comes back is the provider's reply as bytes; what goes wrong is one of our errors, and never repeats
what the provider said.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from shared import metrics
from shared.budgets.prices import Usage
from shared.counting import Count
from shared.errors import InvalidRequest, Unavailable
from shared.gateway.breaker import Breaker
from shared.gateway.connections import Connection, ConnectionLost, Origin, Pool
from shared.gateway.retrying import RetryBudget, pause

log = logging.getLogger("lectern")

ATTEMPTS = 3
"""The most calls that one request makes; money is reserved for each of them."""

_AGAIN = frozenset({408, 409, 425, 429})
_ABSENT = frozenset({404, 405})
_OURS = frozenset({401, 402, 403, 404, 405, 407})
_OK = 200
_OTHER_SUCCESSES = range(201, 300)
_REDIRECTIONS = range(300, 400)
_SERVER_ERROR = 500
_TOO_MANY = 429
_LONGEST_WAIT_SECONDS = 30.0
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


class Improper(ValueError):
    """A reply that is not what was asked for; asking again may help."""


class Unsuited(Improper):
    """A reply as it should be, whose text will not do: the provider works, and may do better."""


class Absent(Unavailable):
    """The provider has no such thing, where it need not have one."""


class Declined(InvalidRequest):
    """The model will not answer this, and said so with *usage*."""

    def __init__(self, usage: Usage | None) -> None:
        """Keep what it used, if that is known."""
        super().__init__("the model does not answer this")
        self.usage = usage


@dataclass(slots=True)
class Call:
    """
    One call to be made: *path* beneath the base URL, a JSON *body*, until *deadline* on the loop's clock.

    What a provider may not have is *optional*; what must not be done twice has one of *attempts*. *sent*
    counts the attempts that the provider may have seen, *unknown* those of them that it may have billed
    although no reply came whole.
    """

    path: str
    body: bytes
    deadline: float
    fault: str = ""
    method: str = "POST"
    content_type: str = "application/json"
    attempts: int = ATTEMPTS
    optional: bool = False
    sent: int = 0
    unknown: int = 0


class Upstream:
    """The provider at *base_url*."""

    def __init__(
        self, base_url: str, key: str, pool: Pool, breaker: Breaker, *, accepts_faults: bool = False
    ) -> None:
        """Send *key* with each request; *accepts_faults* passes on the faults that tests want."""
        origin = Origin.of(base_url)
        self._pool = pool
        self._breaker = breaker
        self._budget = RetryBudget()
        self._accepts_faults = accepts_faults
        authorization = f"authorization: Bearer {key}\r\n" if key else ""
        self._prefix = origin.prefix
        self._rest = (
            f" HTTP/1.1\r\nhost: {origin.authority}\r\n{authorization}user-agent: lectern\r\n"
            "accept-encoding: identity\r\n"
        )

    async def close(self) -> None:
        """End the connections."""
        await self._pool.close()

    async def whole(self, call: Call, check: Callable[[bytes], None]) -> bytes:
        """
        The body of a good reply; *check* raises Improper for one that is not, and it is asked for again.

        Raises:
            InvalidRequest: the provider refuses what was asked; Declined: the model does.
            Absent: it has no such thing, and the call is optional.
            Unavailable: it did not answer properly within the deadline.
        """

        async def attempt(connection: Connection) -> bytes:
            body = await connection.whole()
            if connection.status == _OK:
                check(body)
            elif connection.status in _OTHER_SUCCESSES:
                raise Improper
            return body

        connection, body = await self._called(call, attempt)
        self._pool.give_back(connection)
        return body

    async def stream(self, call: Call) -> "Incoming":
        """
        A good reply whose body comes piece by piece; close it in every case.

        Raises:
            InvalidRequest, Unavailable: as ``whole``.
        """

        async def attempt(connection: Connection) -> bytes:
            if await connection.head() != _OK:
                body = await connection.whole()
                if connection.status in _OTHER_SUCCESSES:
                    raise Improper
                return body
            if not connection.header(b"content-type").startswith("text/event-stream"):
                raise Improper
            return b""

        connection, _ = await self._called(call, attempt)
        return Incoming(self._pool, connection, self._breaker, call)

    async def _called(
        self, call: Call, attempt: Callable[[Connection], Awaitable[bytes]]
    ) -> tuple[Connection, bytes]:
        """The connection with a good reply on it."""
        self._budget.earn()
        number = 0
        while True:
            number += 1
            self._breaker.enter()
            try:
                connection, body = await self._once(call, attempt)
            except (ConnectionLost, Improper) as error:
                if isinstance(error, Unsuited):
                    self._breaker.left()  # else whoever makes a model talk nonsense would shut it for all
                else:
                    self._breaker.failed()
                reason, wanted = ("improper" if isinstance(error, Improper) else "connection"), None
            except BaseException:
                self._breaker.left()
                raise
            else:
                status = connection.status
                if status == _OK:
                    self._breaker.succeeded()
                    _ended("ok").inc()
                    return connection, body
                reason, wanted = str(status), _retry_after(connection)
                self._pool.give_back(connection)
                self._judge(call, status, body)
            _ended(reason).inc()
            await self._before_another(call, number, reason, wanted)

    async def _once(
        self, call: Call, attempt: Callable[[Connection], Awaitable[bytes]]
    ) -> tuple[Connection, bytes]:
        connection = self._pool.take_idle()
        if connection is None:
            try:
                async with asyncio.timeout_at(call.deadline):
                    connection = await self._pool.take()
            except TimeoutError:
                message = "too many calls wait for the model"
                raise Unavailable(message) from None
        call.sent += 1
        call.unknown += 1
        deadlines = self._pool.deadlines
        deadlines.begin(connection, call.deadline)
        good = False
        try:
            connection.send(self._request(call))
            body = await attempt(connection)
            call.unknown -= 1
            good = True
        except Declined:
            call.unknown -= 1
            raise
        finally:
            deadlines.over(connection)
            if not good:
                connection.abort()
                self._pool.give_back(connection)
        return connection, body

    def _request(self, call: Call) -> bytes:
        fault = f"x-tutor-fault: {call.fault}\r\n" if call.fault and self._accepts_faults else ""
        length = f"content-length: {len(call.body)}\r\n" if call.body or call.method == "POST" else ""
        kind = f"content-type: {call.content_type}\r\n" if call.body else ""
        line = f"{call.method} {self._prefix}{call.path}"
        return f"{line}{self._rest}{kind}{length}{fault}\r\n".encode() + call.body

    def _judge(self, call: Call, status: int, body: bytes) -> None:
        """Count a refusal, and raise if asking again is of no use."""
        if call.optional and status in _ABSENT:
            self._breaker.succeeded()
            _ended(str(status)).inc()
            message = "the provider has no such thing"
            raise Absent(message)
        if status in _OURS or status in _REDIRECTIONS:
            self._breaker.left()
            _ended(str(status)).inc()
            log.error("provider_refused", extra={"status": status})
            message = "the model is not set up"
            raise Unavailable(message, retry_after_seconds=60)
        if status >= _SERVER_ERROR:
            self._breaker.failed()
        elif status in _AGAIN:
            self._breaker.left()
        else:
            self._breaker.succeeded()
            _ended(str(status)).inc()
            raise _refused(body)

    async def _before_another(self, call: Call, number: int, reason: str, wanted: float | None) -> None:
        loop = asyncio.get_running_loop()
        left = call.deadline - loop.time()
        wait = pause(number, wanted=wanted)
        if number >= call.attempts or wait >= left or not self._budget.spend():
            log.warning("provider_failed", extra={"reason": reason, "attempt": number})
            message = "the model does not answer properly at the moment"
            told = max(1.0, min(wanted or 1.0, _LONGEST_WAIT_SECONDS))
            raise Unavailable(message, retry_after_seconds=int(told + 0.999))
        metrics.gateway_retries.labels(reason).inc()
        await asyncio.sleep(wait)


class Incoming:
    """A reply that comes piece by piece."""

    def __init__(self, pool: Pool, connection: Connection, breaker: Breaker, call: Call) -> None:
        """Read from *connection* until the deadline of *call*."""
        self._pool = pool
        self._connection = connection
        self._breaker = breaker
        pool.deadlines.begin(connection, call.deadline)
        self._closed = False

    async def piece(self) -> bytes:
        """
        The next bytes; none at the end.

        Raises:
            ConnectionLost: it broke, was abandoned, or its deadline came.
        """
        return await self._connection.piece()

    async def each(self, consume: Callable[[bytes], None]) -> None:
        """
        Give *consume* all bytes the moment they come; return at the end.

        Raises:
            ConnectionLost: as ``piece``; or whatever *consume* raises.
        """
        await self._connection.each(consume)

    def abandon(self) -> None:
        """Whoever waits for a piece gets none."""
        self._connection.abort()

    def close(self, *, failed: bool = False) -> None:
        """Give the connection back; *failed* says that the provider did not do its part."""
        if self._closed:
            return
        self._closed = True
        self._pool.deadlines.over(self._connection)
        if failed:
            self._breaker.failed()
        self._pool.give_back(self._connection)


@lru_cache(maxsize=64)
def _ended(outcome: str) -> Count:
    """What counts the calls that ended so."""
    return metrics.gateway_calls.labels(outcome)


def _retry_after(connection: Connection) -> float | None:
    value = connection.header(b"retry-after")
    return float(value) if value.isdecimal() and len(value) < 6 else None  # noqa: PLR2004  a day has five digits


def _refused(body: bytes) -> InvalidRequest:
    """The provider's refusal in our words: of its own it may name a parameter and a code."""
    try:
        told: Any = orjson.loads(body)["error"]
        names = {name: told.get(name) for name in ("param", "code")}
    except (ValueError, KeyError, TypeError, AttributeError):
        names = {}
    known = {name: each for name, each in names.items() if isinstance(each, str) and _NAME.fullmatch(each)}
    message = "the model cannot be asked this"
    return InvalidRequest(
        message, details=[{"path": known.get("param", "body"), "message": known.get("code", "")}]
    )
