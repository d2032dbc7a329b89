"""
The gateway's third door: many requests as one file, whose replies come within a day, for less.

It is OpenAI's Batch API, which other providers have too, or not. Nothing here retries what would be
billed twice: who begins a batch names it, and looks for that name before beginning it again.

Source: https://developers.openai.com/api/docs/guides/batch
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from shared.budgets.prices import Usage
from shared.errors import Unavailable
from shared.gateway.gateway import CHAT
from shared.gateway.reading import usage_of
from shared.gateway.upstream import Absent, Call, Improper, Upstream

NAME = "lectern_batch"
"""In a batch's metadata, its name of ours."""

MOST_BYTES = 8 * 1024 * 1024
"""The most bytes of one file: a reply to it is no larger than a connection reads."""

_SECONDS = 30.0
_PAGE = 100
_KEPT_SECONDS = 3 * 86_400
"""What people wrote is deleted when it was read, and by the provider where it never was."""
_OFFERED_SECONDS = 3600.0
_OFFERED_WITHIN = 5.0
"""People wait for this answer."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CROWDED = "token_limit_exceeded"
_ENDED = frozenset({"completed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class ProviderBatch:
    """
    A batch as the provider tells of it.

    *name* is ours, if it is one of ours; *began_at* is in seconds since 1970; a file that is not there
    has no name.
    """

    id: str
    status: str
    name: str
    began_at: int
    input_file: str
    output_file: str
    error_file: str
    crowded: bool = False
    """Whether it was refused because too much of the account's waits already, or it is too large itself."""
    usage: Usage | None = None
    """What it used in all, as far as the provider says so."""

    @property
    def failed(self) -> bool:
        """Whether it was refused as a whole: nothing of it was asked."""
        return self.status == "failed"

    @property
    def ended(self) -> bool:
        """Whether its replies are there, as many as there will be."""
        return self.status in _ENDED

    @property
    def files(self) -> tuple[str, ...]:
        """All that the provider keeps of it."""
        return tuple(each for each in (self.input_file, self.output_file, self.error_file) if each)


class Line(NamedTuple):
    """
    What became of one request: *body* is the reply's if *status* is 200.

    Of a request that was not answered the *status* is another, or 0 for one that was never sent to a model.
    """

    name: str
    status: int
    body: bytes

    @property
    def answered(self) -> bool:
        """Whether a model replied, and is paid for that."""
        return self.status == 200  # noqa: PLR2004  HTTP's own word for it


def file_of(requests: Iterable[tuple[str, bytes]]) -> bytes:
    """The file that asks *requests*: bodies of chat completions by their names."""
    head = b'","method":"POST","url":"/v1/chat/completions","body":'
    return b"".join(b'{"custom_id":"%b%b%b}\n' % (name.encode(), head, body) for name, body in requests)


def read_lines(data: bytes) -> tuple[list[Line], int]:
    """The lines of an output or error file, and how many more there are that nobody can read."""
    found, unreadable = [], 0
    for raw in data.splitlines():
        if not raw.strip():
            continue
        line = _line(raw)
        if line is None:
            unreadable += 1
        else:
            found.append(line)
    return found, unreadable


class Batches:
    """Speaks to the provider about batches; one for a process."""

    def __init__(self, upstream: Upstream | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Use *upstream*, if there is one; *clock* is monotonic, in seconds."""
        self._upstream = upstream
        self._clock = clock
        self._offered: tuple[float, bool] | None = None

    async def offered(self) -> bool:
        """
        Whether the provider takes batches; asked once an hour.

        Raises:
            Unavailable: it does not say.
        """
        if self._upstream is None:
            return False
        now = self._clock()
        if self._offered is None or now - self._offered[0] >= _OFFERED_SECONDS:
            try:
                query = urlencode({"purpose": "batch", "limit": 1})
                await self._asked("GET", f"/files?{query}", attempts=1, seconds=_OFFERED_WITHIN)
            except Absent:
                self._offered = (now, False)
            else:
                self._offered = (now, True)
        return self._offered[1]

    async def upload(self, name: str, content: bytes) -> str:
        """
        Hand in the file of the batch *name*, for three days at most, and return what the provider calls it.

        Raises:
            Absent: the provider takes none.
            InvalidRequest, Unavailable: as ``Upstream.whole``.
        """
        import httpx

        form = {"purpose": "batch", "expires_after[anchor]": "created_at"}
        form["expires_after[seconds]"] = str(_KEPT_SECONDS)
        files = {"file": (f"{name}.jsonl", content, "application/jsonl")}
        encoded = httpx.Request("POST", "http://provider", data=form, files=files)
        kind = encoded.headers["content-type"]
        return _id(await self._asked("POST", "/files", encoded.read(), kind=kind))

    async def begin(self, name: str, input_file: str) -> ProviderBatch:
        """
        Have the provider work on *input_file*, under our *name*; one attempt, whatever becomes of it.

        Raises:
            InvalidRequest: it refuses.
            Unavailable: nobody knows whether it has begun.
        """
        wanted = {
            "input_file_id": input_file,
            "endpoint": f"/v1{CHAT}",
            "completion_window": "24h",
            "metadata": {NAME: name},
            "output_expires_after": {"anchor": "created_at", "seconds": _KEPT_SECONDS},
        }
        return _batch(await self._asked("POST", "/batches", orjson.dumps(wanted), attempts=1))

    async def look(self, batch_id: str) -> ProviderBatch:
        """
        A batch as it is now.

        Raises:
            Absent: the provider knows of none.
        """
        return _batch(await self._asked("GET", f"/batches/{batch_id}"))

    async def named(self, name: str, *, since: float) -> list[ProviderBatch]:
        """The batches of our *name* that began after *since* (seconds since 1970), the oldest first."""
        found = [each async for each in self._since(since) if each.name == name]
        return sorted(found, key=lambda each: (each.began_at, each.id))

    async def content(self, file_id: str) -> bytes:
        """
        What is in a file.

        Raises:
            Absent: it is not there any more.
        """
        return await self._asked("GET", f"/files/{file_id}/content", whole=False)

    async def cancel(self, batch_id: str) -> None:
        """Have the provider stop working on a batch."""
        await self._asked("POST", f"/batches/{batch_id}/cancel")

    async def remove(self, file_ids: Sequence[str]) -> None:
        """Have the provider forget files; those that it knows nothing of are forgotten."""
        for each in file_ids:
            try:
                await self._asked("DELETE", f"/files/{each}")
            except Absent:
                continue

    async def _since(self, since: float) -> AsyncIterator[ProviderBatch]:
        query: dict[str, Any] = {"limit": _PAGE}
        while True:
            page = orjson.loads(await self._asked("GET", f"/batches?{urlencode(query)}"))
            try:
                batches = [_batch(orjson.dumps(each)) for each in page["data"]]
                more = page.get("has_more") is True
            except (KeyError, TypeError, AttributeError) as error:
                raise Unavailable(_STRANGE) from error
            for each in batches:
                if each.began_at >= since:
                    yield each
            # The newest come first.
            if not more or not batches or batches[-1].began_at < since:
                return
            query["after"] = batches[-1].id

    async def _asked(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        kind: str = "application/json",
        attempts: int = 3,
        whole: bool = True,
        seconds: float | None = None,
    ) -> bytes:
        if self._upstream is None:
            message = "no model is set up here"
            raise Unavailable(message, retry_after_seconds=60)

        def check(reply: bytes) -> None:
            try:
                if whole and not isinstance(orjson.loads(reply), dict):
                    raise Improper
            except ValueError as error:
                raise Improper from error

        deadline = asyncio.get_running_loop().time() + (seconds or _SECONDS)
        call = Call(
            path,
            body,
            deadline,
            method=method,
            content_type=kind,
            attempts=attempts,
            optional=True,
        )
        return await self._upstream.whole(call, check)


_STRANGE = "the provider's batches cannot be read"


def _id(reply: bytes) -> str:
    value = orjson.loads(reply).get("id")
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Unavailable(_STRANGE)
    return value


def _batch(reply: bytes) -> ProviderBatch:
    value = orjson.loads(reply)

    def file(name: str) -> str:
        told = value.get(name)
        return told if isinstance(told, str) and _ID.fullmatch(told) else ""

    metadata = value.get("metadata")
    name = metadata.get(NAME) if isinstance(metadata, dict) else None
    began = value.get("created_at")
    status = value.get("status")
    return ProviderBatch(
        id=_id(reply),
        status=status if isinstance(status, str) else "",
        name=name if isinstance(name, str) else "",
        began_at=began if isinstance(began, int) else 0,
        input_file=file("input_file_id"),
        output_file=file("output_file_id"),
        error_file=file("error_file_id"),
        crowded=_CROWDED in _codes(value.get("errors")),
        usage=usage_of(value.get("usage")),
    )


def _codes(errors: object) -> list[object]:
    data = errors.get("data") if isinstance(errors, dict) else None
    return [each.get("code") for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def _line(raw: bytes) -> Line | None:
    try:
        value = orjson.loads(raw)
        name, response = value["custom_id"], value.get("response")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(name, str):
        return None
    if not isinstance(response, dict):
        return Line(name, 0, b"")
    status = response.get("status_code")
    return Line(name, status if isinstance(status, int) else 0, orjson.dumps(response.get("body")))
