"""
The adapters' ``messages.py``: the protobuf messages that they speak, and nothing else of Google's libraries.

Google's packages build their messages while they import their whole client libraries, which takes longer
than everything else that a first request needs. The descriptors alone are a few kilobytes.
"""

import base64
import textwrap
import zlib
from typing import Any

from google.cloud.firestore_v1.types import firestore
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.pubsub_v1.types import pubsub

_TEMPLATE = '''\
# Made from the installed {package} by `make generate`; do not edit.
"""The protobuf messages of {service}, without the client library around them."""

from shared.protobuf import Messages

message = Messages(
    "{prefix}",
    """\\
{descriptors}
""",
).message
"""The class of the message ``{prefix}.{{name}}``."""
'''


def documents() -> str:
    """The text of ``shared/documents/messages.py``."""
    roots = [
        firestore.CommitRequest,
        firestore.CommitResponse,
        firestore.BatchWriteRequest,
        firestore.BatchWriteResponse,
        firestore.BatchGetDocumentsRequest,
        firestore.BatchGetDocumentsResponse,
        firestore.RunQueryRequest,
        firestore.RunQueryResponse,
        firestore.ListDocumentsRequest,
        firestore.ListDocumentsResponse,
        firestore.RunAggregationQueryRequest,
        firestore.RunAggregationQueryResponse,
    ]
    return _render("google-cloud-firestore", "Firestore", "google.firestore.v1", roots)


def topics() -> str:
    """The text of ``shared/topics/messages.py``."""
    roots = [pubsub.PublishRequest, pubsub.PublishResponse]
    return _render("google-cloud-pubsub", "Pub/Sub", "google.pubsub.v1", roots)


def _render(package: str, service: str, prefix: str, roots: list[Any]) -> str:
    files: dict[str, Any] = {}
    for root in roots:
        _collect(root.pb().DESCRIPTOR.file, files)
    packed = b"".join(_sized(file) for file in files.values())
    compressed = zlib.compress(packed, 9)
    lines = textwrap.wrap(base64.b64encode(compressed).decode(), 110)
    return _TEMPLATE.format(package=package, service=service, prefix=prefix, descriptors="\n".join(lines))


def _sized(file: Any) -> bytes:
    """The descriptor of *file*, behind its size, as ``shared.protobuf.Messages`` reads it."""
    copied = FileDescriptorProto()
    file.CopyToProto(copied)
    copied.dependency.sort()  # the libraries list them in an order that changes from run to run
    text: bytes = copied.SerializeToString(deterministic=True)
    return len(text).to_bytes(4, "big") + text


def _collect(file: Any, into: dict[str, Any]) -> None:
    """*file* behind those that it depends on."""
    for dependency in sorted(file.dependencies, key=lambda each: each.name):
        _collect(dependency, into)
    into.setdefault(file.name, file)
