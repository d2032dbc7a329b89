"""
Classes of protobuf messages, from descriptors alone.

Made by the C core of Google's ``protobuf`` package without what the package wraps around it: text formats,
a second implementation in Python and the descriptors of descriptors take longer to import than all that a
first request needs. The core is in every wheel of the pinned version, and a test makes every message with it.
"""

import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from google._upb._message import DescriptorPool, MessageMeta
from google.protobuf.message import Message

_SIZE_BYTES = 4


class Messages:
    """The messages of one package of descriptors."""

    def __init__(self, package: str, descriptors: str) -> None:
        """
        Take the messages of *package*.

        *descriptors* is, in base64 and compressed, each serialised FileDescriptorProto behind its size in
        four bytes, dependencies first.
        """
        self._package = package
        # A pool of its own: the client library, where somebody imports it, fills the default one.
        self._pool = DescriptorPool()
        for file in _files(zlib.decompress(b64decode(descriptors))):
            self._pool.AddSerializedFile(file)

    def message(self, name: str) -> Any:
        """The class of the message of that *name*, always the same."""
        descriptor = self._pool.FindMessageTypeByName(f"{self._package}.{name}")
        known = getattr(descriptor, "_concrete_class", None)
        return known or MessageMeta(name, (Message,), {"DESCRIPTOR": descriptor, "__module__": None})


def _files(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        start = at + _SIZE_BYTES
        at = start + int.from_bytes(packed[at:start], "big")
        yield packed[start:at]
