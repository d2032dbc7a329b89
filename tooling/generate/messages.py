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
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.pubsub_v1.types import pubsub

_TEMPLATE = '''\
# Made from the installed {package} by `make generate`; do not edit.
"""The protobuf messages of {service}, without the client library around them."""

import base64
import zlib
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_DESCRIPTORS = """\\
{descriptors}
"""


def _load() -> DescriptorPool:
    # A pool of its own: the client library, where somebody imports it, fills the default one.
    pool = DescriptorPool()
    files = FileDescriptorSet.FromString(zlib.decompress(base64.b64decode(_DESCRIPTORS)))
    for file in files.file:
        pool.Add(file)
    return pool


_POOL = _load()


def message(name: str) -> Any:
    """The class of the message ``{prefix}.{{name}}``."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{prefix}.{{name}}"))
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
    packed = FileDescriptorSet()
    for file in files.values():
        copied = packed.file.add()
        file.CopyToProto(copied)
        copied.dependency.sort()  # the libraries list them in an order that changes from run to run
    compressed = zlib.compress(packed.SerializeToString(deterministic=True), 9)
    lines = textwrap.wrap(base64.b64encode(compressed).decode(), 110)
    return _TEMPLATE.format(package=package, service=service, prefix=prefix, descriptors="\n".join(lines))


def _collect(file: Any, into: dict[str, Any]) -> None:
    """*file* behind those that it depends on."""
    for dependency in sorted(file.dependencies, key=lambda each: each.name):
        _collect(dependency, into)
    into.setdefault(file.name, file)
