"""The document store in memory: for simulation and unit tests only, held to the same contract."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.documents.base import (
    MAX_DOCUMENT_BYTES,
    Create,
    Delete,
    Document,
    Fields,
    Find,
    Put,
    Replace,
    Version,
    Write,
    Written,
    check_commit,
)
from shared.errors import Conflict, LecternError, PreconditionLost

_SCALARS = frozenset({str, int, bytes, bool, float, datetime, type(None)})


class MemoryDocuments:
    """
    Documents in a dict.

    Every operation first awaits *before*, then happens at once, then awaits *after*: a simulation
    puts its scheduling, its crashes and its lost replies there.
    """

    def __init__(
        self,
        before: Callable[[str], Any] | None = None,
        after: Callable[[str], Any] | None = None,
    ) -> None:
        """Start empty."""
        self._documents: dict[str, Document] = {}
        self._clock = 0
        self._before = before or _yield
        self._after = after or _yield

    def dump(self) -> dict[str, Fields]:
        """Everything stored, by path."""
        return {path: document.fields for path, document in sorted(self._documents.items())}

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        """See the port."""
        await self._before("get")
        found = [self._documents.get(path) for path in paths]
        result = [_view(document, only) if document else None for document in found]
        await self._after("get")
        return result

    async def find(self, query: Find) -> list[Document]:
        """See the port."""
        await self._before("find")
        matching = [
            document
            for document in _equal(self._in(query.collection), query.where)
            if all(name.lstrip("-") in document.fields for name in query.order)
        ]
        # Firestore breaks ties by id in the direction of the last ordered field.
        matching.sort(key=lambda each: each.id, reverse=bool(query.order) and query.order[-1].startswith("-"))
        for name in reversed(query.order):
            matching.sort(key=lambda each: each.fields[name.lstrip("-")], reverse=name.startswith("-"))
        if query.after is not None and not query.order:
            matching = [each for each in matching if each.id > query.after.id]  # it may be gone by now
        elif query.after is not None:
            places = [i for i, each in enumerate(matching) if each.path == query.after.path]
            matching = matching[places[0] + 1 :] if places else matching
        result = [_view(document, query.only) for document in matching[: query.limit]]
        await self._after("find")
        return result

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        """See the port."""
        await self._before("scan")
        found = sorted(self._in(collection), key=lambda document: document.id)
        result = [_view(each, None) for each in found if after is None or each.id > after][:limit]
        await self._after("scan")
        return result

    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        """See the port; a token is the last id of the page before."""
        await self._before("ids")
        depth = collection.count("/") + 1
        inside = (path.split("/") for path in self._documents if path.startswith(f"{collection}/"))
        found = sorted({names[depth] for names in inside if names[depth] > token})
        result = found[:limit], found[limit - 1] if len(found) > limit else ""
        await self._after("ids")
        return result

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        """See the port."""
        await self._before("count")
        result = len(_equal(self._in(collection), where or {}))
        await self._after("count")
        return result

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """See the port."""
        await self._before("commit")
        check_commit(writes, sum(map(_size, writes)))
        for write in writes:
            self._check(write)
            self._check_size(write)
        self._clock += 1
        for write in writes:
            self._apply(write)
        now = (self._clock, 0)
        versions = [there.version if (there := self._documents.get(write.path)) else now for write in writes]
        await self._after("commit")
        return versions

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        """See the port."""
        await self._before("create_each")
        check_commit(creations, sum(map(_size, creations)))
        for creation in creations:
            self._check_size(creation)
        self._clock += 1
        result = []
        for creation in creations:
            if creation.path in self._documents:
                result.append(Written.EXISTS)
            else:
                self._apply(creation)
                result.append(Written.DONE)
        await self._after("create_each")
        return result

    async def delete_each(self, paths: Sequence[str]) -> None:
        """See the port."""
        await self._before("delete_each")
        check_commit([Delete(path) for path in paths], 0)
        for path in paths:
            self._documents.pop(path, None)
        await self._after("delete_each")

    def _in(self, collection: str) -> list[Document]:
        return [each for path, each in self._documents.items() if path.rpartition("/")[0] == collection]

    def _check(self, write: Write) -> None:
        there = self._documents.get(write.path)
        match write:
            case Create() if there is not None:
                message = "the document exists"
                raise Conflict(message)
            case Replace(expected=expected) if there is None or there.version != expected:
                message = "the document has changed"
                raise PreconditionLost(message)
            case Delete(expected=expected) if expected is not None and (
                there is None or there.version != expected
            ):
                message = "the document has changed"
                raise PreconditionLost(message)
            case _:
                pass

    def _check_size(self, write: Write) -> None:
        size = _size(write)
        if isinstance(write, Replace):
            there = self._documents[write.path].fields
            size += _bytes_of({name: there[name] for name in there.keys() - write.fields.keys()})
        if size > MAX_DOCUMENT_BYTES:
            message = f"a document of {size} bytes"
            raise LecternError(message)

    def _apply(self, write: Write) -> None:
        version = (self._clock, 0)
        match write:
            case Create(path, fields) | Put(path, fields):
                self._store(path, _copied(fields), version)
            case Replace(path, fields):
                self._store(path, {**self._documents[path].fields, **_copied(fields)}, version)
            case Delete(path):
                self._documents.pop(path, None)

    def _store(self, path: str, fields: Fields, version: Version) -> None:
        there = self._documents.get(path)
        if there is not None and _same(there.fields, fields):
            # Firestore does not move the update time of a document that a write leaves as it was.
            return
        self._documents[path] = Document(path, fields, version)


def _equal(documents: Sequence[Document], where: Mapping[str, Any]) -> list[Document]:
    return [
        each for each in documents if all(each.fields.get(name) == value for name, value in where.items())
    ]


def _view(document: Document, only: Sequence[str] | None) -> Document:
    fields = {name: _copied(value) for name, value in document.fields.items() if only is None or name in only}
    return Document(document.path, fields, document.version)


def _size(write: Write) -> int:
    """
    How many bytes Firestore counts for what *write* brings.

    Source: https://firebase.google.com/docs/firestore/storage-size
    """
    names = write.path.split("/")
    size = 16 + sum(len(name.encode()) + 1 for name in names) + 32
    return size if isinstance(write, Delete) else size + _bytes_of(write.fields)


def _bytes_of(value: Any) -> int:
    match value:
        case str():
            return len(value) + 1 if value.isascii() else len(value.encode()) + 1
        case bytes():
            return len(value)
        case None | bool():
            return 1
        case Mapping():
            return sum(len(name.encode()) + 1 + _bytes_of(each) for name, each in value.items())
        case list() | tuple():
            return sum(map(_bytes_of, value))
        case _:
            return 8


def _same(one: Any, other: Any) -> bool:
    """Whether Firestore would see no difference: it tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(_same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(one) == len(other)
            and all(_same(*pair) for pair in zip(one, other, strict=True))
        )
    if isinstance(one, float):
        return isinstance(other, float) and one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and bool(one == other)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return value  # all other values of Firestore's are immutable


async def _yield(_operation: str) -> None:
    await asyncio.sleep(0)
