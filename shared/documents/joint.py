"""A document store whose writers share round trips, each with its own outcome."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from shared.documents.base import (
    MAX_WRITES,
    Create,
    Delete,
    Document,
    Documents,
    Find,
    Version,
    Write,
    Written,
)
from shared.documents.round_trips import RoundTrips
from shared.errors import LecternError, PreconditionLost, Unavailable

_IN_FLIGHT = 8
_MOST_BYTES = 1_000_000
"""About: texts are counted by characters, of which the store's limit has room for three bytes each."""

_WRITE_BYTES = 500
_CONTAINER_BYTES = 8_000
"""Of a list or a map: the figures of twenty questions are about as long, and to weigh all would be dear."""


class JointDocuments:
    """
    The same store, to which commits of one moment go as one.

    What each caller wrote together still happens together or not at all. Where one of those that
    share cannot happen, nothing has, and each goes by itself: nobody fails because of another.
    """

    def __init__(self, documents: Documents) -> None:
        """Read from *documents*, and write to them."""
        self._documents = documents
        self._commits: RoundTrips[Sequence[Write], list[Version]] = RoundTrips(
            self._commit, in_flight=_IN_FLIGHT, most_documents=MAX_WRITES, most_bytes=_MOST_BYTES
        )
        self._deletions: RoundTrips[Sequence[str], None] = RoundTrips(
            self._delete, in_flight=_IN_FLIGHT, most_documents=MAX_WRITES, most_bytes=_MOST_BYTES
        )

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        """See the port."""
        return await self._documents.get(paths, only=only)

    async def find(self, query: Find) -> list[Document]:
        """See the port."""
        return await self._documents.find(query)

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        """See the port."""
        return await self._documents.scan(collection, after=after, limit=limit)

    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        """See the port."""
        return await self._documents.ids(collection, token=token, limit=limit)

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        """See the port."""
        return await self._documents.count(collection, where=where)

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        """See the port."""
        return await self._documents.create_each(creations)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """See the port; together with others' commits of the same moment."""
        paths = [write.path for write in writes]
        return await self._commits.take(writes, paths=paths, size=sum(map(_size, writes)))

    async def delete_each(self, paths: Sequence[str]) -> None:
        """See the port; together with others' deletions of the same moment."""
        if paths:
            await self._deletions.take(paths, paths=paths, size=_WRITE_BYTES * len(paths))

    async def _commit(self, groups: list[Sequence[Write]]) -> Sequence[list[Version] | BaseException]:
        if len(groups) > 1:
            try:
                versions = iter(await self._documents.commit([write for group in groups for write in group]))
            except PreconditionLost:
                pass  # of one of them, and nothing was written
            except Unavailable:
                raise  # it may have happened
            except (LecternError, ValueError):
                pass  # one of them cannot be written at all
            else:
                return [[next(versions) for _ in group] for group in groups]
        return await asyncio.gather(*map(self._documents.commit, groups), return_exceptions=True)

    async def _delete(self, groups: list[Sequence[str]]) -> Sequence[None]:
        await self._documents.delete_each([path for group in groups for path in group])
        return [None] * len(groups)


def _size(write: Write) -> int:
    """About how many bytes. It may err: where a commit proves too large, each goes by itself."""
    if isinstance(write, Delete):
        return _WRITE_BYTES
    return _WRITE_BYTES + sum(map(_weight, write.fields.values()))


def _weight(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    return _CONTAINER_BYTES if isinstance(value, (dict, list, tuple)) else 0
