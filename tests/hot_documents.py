"""Watches which documents a scenario writes too often for Firestore, which sustains about one write a second each."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.documents.base import Create, Delete, Document, Documents, Find, Version, Write, Written

A_WHILE_SECONDS = 10.0


class HotDocument(AssertionError):
    """A document was written more often than once a second, on average over a while."""


class WatchedDocuments:
    """
    Hands everything on to *documents*, and remembers when which path was written.

    *clock* is monotonic, in seconds; by default the running loop's, which a simulation may turn itself.
    """

    def __init__(self, documents: Documents, *, clock: Callable[[], float] | None = None) -> None:
        self._documents = documents
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self.written: dict[str, list[float]] = defaultdict(list)

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        return await self._documents.get(paths, only=only)

    async def find(self, query: Find) -> list[Document]:
        return await self._documents.find(query)

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        return await self._documents.scan(collection, after=after, limit=limit)

    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        return await self._documents.ids(collection, token=token, limit=limit)

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        return await self._documents.count(collection, where=where)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        versions = await self._documents.commit(writes)
        self._note([each.path for each in writes if not isinstance(each, Delete)])
        return versions

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        outcomes = await self._documents.create_each(creations)
        self._note([each.path for each in creations])  # an attempt that finds a document is a write, too
        return outcomes

    async def delete_each(self, paths: Sequence[str]) -> None:
        await self._documents.delete_each(paths)

    async def close(self) -> None:
        close = getattr(self._documents, "close", None)
        if close is not None:
            await close()

    def _note(self, paths: Sequence[str]) -> None:
        now = self._clock()
        for path in paths:
            self.written[path].append(now)

    def busiest(self, seconds: float = A_WHILE_SECONDS) -> tuple[str, int]:
        """The document with the most writes in any *seconds*, and how many they were."""
        return max(
            ((path, _most_within(times, seconds)) for path, times in self.written.items()),
            key=lambda found: found[1],
            default=("", 0),
        )

    def check(self, *, per_second: float = 1.0, seconds: float = A_WHILE_SECONDS, beneath: str = "") -> None:
        """
        Fail if any document was written more than *per_second* on average, over any *seconds*.

        A document that is made and then kept up to date has one write more than seconds: that is allowed.
        *beneath* looks only at paths that begin so.
        """
        allowed = per_second * seconds + 1
        hot = {
            path: most
            for path, times in self.written.items()
            if path.startswith(beneath) and (most := _most_within(times, seconds)) > allowed
        }
        if hot:
            told = ", ".join(f"{path} {most} times" for path, most in sorted(hot.items()))
            raise HotDocument(f"written within {seconds:g} s, where {allowed:g} times are sustained: {told}")


def _most_within(times: list[float], seconds: float) -> int:
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
