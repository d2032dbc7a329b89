"""A small HTTP client for many short requests to one server on this machine."""

import asyncio
from collections import deque
from collections.abc import Mapping

_OK_FROM, _OK_BELOW = 200, 300


class Poster:
    """
    Posts bodies over kept-alive connections, as many as there are requests under way.

    A relay sends one request per message: a general client's machinery costs several times what the
    function itself does. This one knows replies with a Content-Length, and closes after any other.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float
    ) -> int:
        """
        Post *body* and return the reply's status.

        Raises:
            OSError: no connection, or it broke.
            TimeoutError: *timeout_seconds* went by.
        """
        lines = [f"POST {path} HTTP/1.1", f"host: {self._host}:{self._port}", f"content-length: {len(body)}"]
        lines += (f"{name}: {value}" for name, value in headers.items())
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        async with asyncio.timeout(timeout_seconds):
            while self._idle:
                connection = self._idle.pop()
                try:
                    return await self._exchange(connection, request)
                except _Stale:
                    continue
            return await self._exchange(await asyncio.open_connection(self._host, self._port), request)

    async def _exchange(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes
    ) -> int:
        reader, writer = connection
        reusable = False
        try:
            writer.write(request)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                if isinstance(error, ConnectionError) or not error.partial:
                    raise _Stale from error
                raise
            status, length = _read_head(head)
            if length is not None:
                await reader.readexactly(length)
                reusable = True
        except asyncio.IncompleteReadError as error:
            message = "the reply was cut short"
            raise ConnectionResetError(message) from error
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                writer.close()
        return status

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop()[1].close()


def is_success(status: int) -> bool:
    """Whether *status* acknowledges what was posted."""
    return _OK_FROM <= status < _OK_BELOW


class _Stale(ConnectionResetError):
    """The server had closed the connection before it read the request."""


def _read_head(head: bytes) -> tuple[int, int | None]:
    first, *fields = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ", 2)[1])
    length: int | None = None
    for field in fields:
        name, _, value = field.partition(":")
        lowered = name.lower()
        if lowered == "content-length":
            length = int(value)
        elif lowered == "connection" and value.strip().lower() == "close":
            return status, None
    if status in {204, 304}:
        length = 0
    return status, length
