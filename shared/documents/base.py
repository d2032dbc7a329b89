"""
The document store as a port: the few operations of Firestore that cannot apply twice.

There is no transaction, no increment and no blind overwrite of what others write: creation fails
where a document is, an update names the version it read, a deletion may be repeated. A commit is
atomic. So every operation may be retried after any failure, known or unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

MAX_WRITES = 500
"""The most writes in one commit."""

MAX_COMMIT_BYTES = 3_500_000
"""The most bytes in one commit, well below Firestore's 10 MiB and the emulator's 4 MiB."""

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The most bytes in one document, its path and the names of its fields included."""

Fields = Mapping[str, Any]
"""None, bool, int (64 bits), float, str, bytes, aware datetime, lists and maps of these."""

Version = tuple[int, int]
"""When a document last changed: seconds and nanoseconds of Firestore's own clock. Opaque; equal or not."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read."""

    path: str
    fields: Fields
    version: Version

    @property
    def id(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Create:
    """Write a document that is not there yet."""

    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Replace:
    """Write the named *fields* of a document whose version is still *expected*; the others stay."""

    path: str
    fields: Fields
    expected: Version


@dataclass(frozen=True, slots=True)
class Put:
    """
    Write a whole document, there or not.

    Only for content that is the same whoever writes it, or beside a Replace that guards every write of it.
    """

    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a document; nothing happens if it is gone. With *expected*, only in that version."""

    path: str
    expected: Version | None = None


Write = Create | Replace | Put | Delete


class Written(Enum):
    """What became of one independent write."""

    DONE = "done"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Find:
    """
    A query: documents of *collection* whose fields equal *where*, ordered by *order*.

    *order* names fields, ``-`` before a name for descending; the document id breaks ties. *after*
    is the last document of the page before, *only* the fields that are wanted.
    """

    collection: str
    where: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[str] = ()
    after: Document | None = None
    only: Sequence[str] | None = None
    limit: int = 100


class Documents(Protocol):
    """
    What the rest of Lectern asks of its document store.

    All may raise Unavailable (also DeadlineExceeded): whether a write happened is then unknown. A write
    that would make a document larger than MAX_DOCUMENT_BYTES raises a plain LecternError, and none of
    those beside it happens. Nothing but a Conflict is ever Rejected: callers are told to come back.
    Paths are ``collection/id[/collection/id…]``, made only from validated ids.
    """

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        """Read documents by path, in the order asked; None where there is none."""
        ...

    async def find(self, query: Find) -> list[Document]:
        """At most ``query.limit`` documents."""
        ...

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        """Documents of *collection* in order of their ids, from behind the id *after*. Needs no index."""
        ...

    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        """
        At most *limit* ids of *collection*, each once, and the token of the page behind them (empty: none).

        Also of what is no document itself, but has some below it. A page may be short, or empty.
        """
        ...

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        """How many documents of *collection* have fields equal to *where*; billed as one read per 1,000."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """
        Apply all *writes* or none; returns each document's version after it (of no meaning for a Delete).

        Raises:
            Conflict: a Create found a document.
            PreconditionLost: a Replace or Delete found another version, or nothing.
            ValueError: more than MAX_WRITES or MAX_COMMIT_BYTES, or one path twice.
        """
        ...

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        """Create documents independently of each other, in one round trip; distinct paths only."""
        ...

    async def delete_each(self, paths: Sequence[str]) -> None:
        """Remove documents independently of each other; distinct paths only, MAX_WRITES at most."""
        ...


def check_commit(writes: Sequence[Write], size: int) -> None:
    """
    Refuse what production would refuse, and what would poison a batch.

    Raises:
        ValueError: too many writes, too many bytes, or one document twice.
    """
    if len(writes) > MAX_WRITES or size > MAX_COMMIT_BYTES:
        message = f"a commit of {len(writes)} writes and {size} bytes"
        raise ValueError(message)
    if len({write.path for write in writes}) != len(writes):
        message = "one document twice in a commit"
        raise ValueError(message)
