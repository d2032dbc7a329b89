"""Where sealed segments go in the end: newline-delimited JSON, one answer a line, compressed."""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.documents.base import Document, Documents, Fields, Replace
from shared.learning.answers import decode, encode
from shared.learning.segments import pack, pack_erasure, unpack

_NAME_DIGITS = 24

SETTLED_AFTER = timedelta(minutes=10)
"""Longer than whoever writes an object lives, and his request on its way."""


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


def object_name(assignment_id: str, shard: str, fields: Mapping[str, Any], packed: Sequence[bytes]) -> str:
    """
    What the object is called that keeps the *packed* segments of a document with these *fields*.

    Named by its content, so that another content never has the same name; by months first, so that a
    bucket's rules, and whoever exports one, can tell old answers from new ones.
    """
    month = f"{fields['parts'][-1]['mergedAt']:%Y-%m}"
    digest = hashlib.sha256(b"\n".join(packed)).hexdigest()[:_NAME_DIGITS]
    numbers = f"{fields['first']:010d}-{fields['last']:010d}"
    return f"{month}/{assignment_id}/{shard}/{numbers}-{digest}.ndjson.gz"


def superseding(document: Document, names: Sequence[str], *, now: datetime) -> Fields:
    """What to note in the place of *document* when these *names* are not, or never will be, its body's."""
    if not names:
        return {}
    return {
        "superseded": [*document.fields.get("superseded", ()), *names],
        "supersededAt": now,
        "archiving": "",
    }


async def remove_superseded(
    documents: Documents, archive: Archive | None, document: Document, *, now: datetime
) -> bool:
    """
    Remove the objects that are not the place of *document*'s body; whether none can come back.

    Whoever was writing one may still do so, so they are removed once more when ten minutes have passed.

    Raises:
        PreconditionLost: somebody else wrote the document meanwhile.
    """
    names = document.fields.get("superseded")
    if not names or archive is None:
        return True
    for name in names:
        await archive.delete(name)
    if now < document.fields["supersededAt"] + SETTLED_AFTER:
        return False
    await documents.commit([Replace(document.path, {"superseded": []}, document.version)])
    return True


def export(packed: Sequence[bytes]) -> bytes:
    """The answers of some segments as an object of the archive: the same bytes every time."""
    lines = [encode(event) for each in packed for event in unpack(each)]
    return gzip.compress("\n".join(lines).encode(), mtime=0)


def restore(content: bytes, parts: Sequence[Mapping[str, Any]], *, assignment_id: str) -> bytes:
    """The packed texts of the segments in an archived object, one a line, as their document had them."""
    events = [decode(line) for line in gzip.decompress(content).splitlines()]
    packed = []
    place = 0
    for part in parts:
        if "erased" in part:
            packed.append(pack_erasure(assignment_id, part["erased"]))
            continue
        packed.append(pack(assignment_id, events[place : place + part["count"]]))
        place += part["count"]
    return b"\n".join(packed)
