"""Where sealed segments go in the end: newline-delimited JSON, one answer a line, compressed."""

import gzip
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shared.learning.answers import decode, encode
from shared.learning.segments import pack, unpack


class Archive(Protocol):
    """Keeps objects by name; what is there stays as it is, or goes as a whole."""

    async def put(self, name: str, content: bytes) -> None:
        """
        Keep *content* under *name*; the same again changes nothing.

        Raises:
            Conflict: something else is kept under that name.
            Unavailable: it may not have been kept.
        """
        ...

    async def get(self, name: str) -> bytes:
        """
        What is kept under *name*.

        Raises:
            NotFound: nothing is.
            Unavailable: it cannot be read now.
        """
        ...

    async def names(self, prefix: str) -> list[str]:
        """
        The names that begin with *prefix*, in ascending order; all of those whose ``put`` has returned.

        Raises:
            Unavailable: they cannot be listed now.
        """
        ...

    async def delete(self, name: str) -> None:
        """
        Forget what is kept under *name*, and what a ``put`` that was cut off left of it; may be repeated.

        Raises:
            Unavailable: it may still be kept.
        """
        ...


def export(packed: Sequence[bytes]) -> bytes:
    """The answers of some segments as an object of the archive: the same bytes every time."""
    lines = [encode(event) for each in packed for event in unpack(each)]
    return gzip.compress("\n".join(lines).encode(), mtime=0)


def restore(content: bytes, parts: Sequence[Mapping[str, Any]]) -> bytes:
    """The packed texts of the segments in an archived object, one a line, as their document had them."""
    events = [decode(line) for line in gzip.decompress(content).splitlines()]
    packed = []
    place = 0
    for part in parts:
        packed.append(pack(events[place : place + part["count"]]))
        place += part["count"]
    return b"\n".join(packed)
