"""A document store between whose caller and whose documents something may go wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shared.documents.base import Create, Document, Documents, Find, Version, Write, Written


class Faults(Protocol):
    """What may go wrong around one operation."""

    async def perform(self, operation: str, detail: str, effect: Callable[[], Any]) -> Any:
        """Await *effect*() once, sooner or later or never, and return what it did, or raise."""
        ...

    def divides(self) -> bool:
        """Whether the independent writes of one round trip come apart this time."""
        ...


class FaultyDocuments:
    """Documents as one worker reaches them: every operation passes through its *faults*."""

    def __init__(self, inner: Documents, faults: Faults) -> None:
        self.inner = inner
        self._faults = faults

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        return await self._faults.perform("get", " ".join(paths), lambda: self.inner.get(paths, only=only))

    async def find(self, query: Find) -> list[Document]:
        return await self._faults.perform("find", query.collection, lambda: self.inner.find(query))

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        return await self._faults.perform(
            "scan", collection, lambda: self.inner.scan(collection, after=after, limit=limit)
        )

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        return await self._faults.perform(
            "count", collection, lambda: self.inner.count(collection, where=where)
        )

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        detail = " ".join(f"{type(write).__name__}:{write.path}" for write in writes)
        return await self._faults.perform("commit", detail, lambda: self.inner.commit(writes))

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        # Independent writes are not atomic: a crash or a lost reply may find some of them done.
        written = []
        for some in self._parts(creations):
            detail = " ".join(each.path for each in some)
            written += await self._faults.perform(
                "create_each", detail, lambda some=some: self.inner.create_each(some)
            )
        return written

    async def delete_each(self, paths: Sequence[str]) -> None:
        for some in self._parts(paths):
            await self._faults.perform(
                "delete_each", " ".join(some), lambda some=some: self.inner.delete_each(some)
            )

    def _parts(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        if len(items) > 1 and self._faults.divides():
            middle = len(items) // 2
            return [items[:middle], items[middle:]]
        return [items]
