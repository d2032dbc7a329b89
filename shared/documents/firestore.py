"""
The document store on Firestore, spoken to over its generated gRPC messages.

Not through ``google.cloud.firestore.AsyncClient``: its object layer costs several times the round
trip, and it repeats commits on its own. Here every RPC has a deadline, is repeated only by whoever
knows that it may be, and is metered.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError

from shared.documents import messages
from shared.documents.base import (
    MAX_WRITES,
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
from shared.documents.metering import charge
from shared.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    LecternError,
    PreconditionLost,
    Unavailable,
)
from shared.learning.answers import microseconds, moment

_SERVICE = "/google.firestore.v1.Firestore/"
_DEADLINE_SECONDS = 10.0
_SCAN_DEADLINE_SECONDS = 30.0
_MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS.value[0]
_SCOPES = ("https://www.googleapis.com/auth/datastore",)

_pb_document = messages.message("Document")
_pb_value = messages.message("Value")
_pb_map = messages.message("MapValue")
_pb_array = messages.message("ArrayValue")
_pb_write = messages.message("Write")
_pb_precondition = messages.message("Precondition")
_pb_mask = messages.message("DocumentMask")
_pb_commit = messages.message("CommitRequest")
_pb_commit_reply = messages.message("CommitResponse")
_pb_batch_write = messages.message("BatchWriteRequest")
_pb_batch_write_reply = messages.message("BatchWriteResponse")
_pb_batch_get = messages.message("BatchGetDocumentsRequest")
_pb_batch_get_reply = messages.message("BatchGetDocumentsResponse")
_pb_run_query = messages.message("RunQueryRequest")
_pb_run_query_reply = messages.message("RunQueryResponse")
_pb_run_aggregation = messages.message("RunAggregationQueryRequest")
_pb_run_aggregation_reply = messages.message("RunAggregationQueryResponse")
_pb_list = messages.message("ListDocumentsRequest")
_pb_list_reply = messages.message("ListDocumentsResponse")
_pb_query = messages.message("StructuredQuery")
_pb_aggregation = messages.message("StructuredAggregationQuery")
_pb_cursor = messages.message("Cursor")

_ERRORS: dict[grpc.StatusCode, type[LecternError]] = {
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionLost,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: PreconditionLost,
    grpc.StatusCode.INVALID_ARGUMENT: LecternError,
}
"""
Any other is Unavailable. None is Rejected, a Conflict aside: what ails our access to the store, or what we
ask of it, is no fault of a caller's, who would take it for final.
"""


class FirestoreDocuments:
    """Documents in one Firestore database; lives on one event loop, for the life of the process."""

    def __init__(self, *, project: str, database: str, emulator_host: str = "") -> None:
        """Name the database; nothing is connected before the first call."""
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents"
        self._emulator_host = emulator_host
        # Firestore routes by these two headers.
        routing = (
            ("google-cloud-resource-prefix", self._database),
            ("x-goog-request-params", f"database={self._database}"),
        )
        self._metadata = (*routing, ("authorization", "Bearer owner")) if emulator_host else routing

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 30_000),
        ]
        if self._emulator_host:
            return grpc.aio.insecure_channel(self._emulator_host, options=options)
        from google.api_core import grpc_helpers_async

        return grpc_helpers_async.create_channel(
            "firestore.googleapis.com:443", default_scopes=_SCOPES, options=options
        )

    @cached_property
    def _commit(self) -> Any:
        return self._unary("Commit", _pb_commit, _pb_commit_reply)

    @cached_property
    def _batch_write(self) -> Any:
        return self._unary("BatchWrite", _pb_batch_write, _pb_batch_write_reply)

    @cached_property
    def _batch_get(self) -> Any:
        return self._stream("BatchGetDocuments", _pb_batch_get, _pb_batch_get_reply)

    @cached_property
    def _run_query(self) -> Any:
        return self._stream("RunQuery", _pb_run_query, _pb_run_query_reply)

    @cached_property
    def _run_aggregation(self) -> Any:
        return self._stream("RunAggregationQuery", _pb_run_aggregation, _pb_run_aggregation_reply)

    @cached_property
    def _list(self) -> Any:
        return self._unary("ListDocuments", _pb_list, _pb_list_reply)

    def _unary(self, name: str, request: Any, reply: Any) -> Any:
        return self._channel.unary_unary(
            _SERVICE + name,
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )

    def _stream(self, name: str, request: Any, reply: Any) -> Any:
        return self._channel.unary_stream(
            _SERVICE + name,
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )

    async def close(self) -> None:
        """End the connection."""
        if "_channel" in self.__dict__:
            await self._channel.close()

    async def get(self, paths: Sequence[str], *, only: Sequence[str] | None = None) -> list[Document | None]:
        """See the port."""
        if not paths:
            return []
        request = _pb_batch_get(database=self._database, documents=[f"{self._root}/{path}" for path in paths])
        if only is not None:
            request.mask.field_paths.extend(only)
        found: dict[str, Document] = {}
        async with _our_errors():
            async for reply in self._batch_get(request, timeout=_DEADLINE_SECONDS, metadata=self._metadata):
                if reply.HasField("found"):
                    read = self._read(reply.found)
                    found[read.path] = read
        charge(reads=len(paths))
        return [found.get(path) for path in paths]

    async def find(self, query: Find) -> list[Document]:
        """See the port."""
        parent, _, collection = f"{self._root}/{query.collection}".rpartition("/")
        structured = _pb_query()
        structured.from_.add(collection_id=collection)
        _only_equal(structured, query.where)
        for name in query.order:
            order = structured.order_by.add(direction=2 if name.startswith("-") else 1)
            order.field.field_path = name.lstrip("-")
        last = structured.order_by.add(direction=2 if query.order and query.order[-1].startswith("-") else 1)
        last.field.field_path = "__name__"
        if query.after is not None:
            values = [to_value(query.after.fields[name.lstrip("-")]) for name in query.order]
            name = _pb_value(reference_value=f"{self._root}/{query.after.path}")
            structured.start_at.CopyFrom(_pb_cursor(values=[*values, name], before=False))
        for name in query.only or ():
            structured.select.fields.add(field_path=name)
        structured.limit.value = query.limit
        return await self._query(parent, structured)

    async def scan(self, collection: str, *, after: str | None = None, limit: int = 300) -> list[Document]:
        """See the port."""
        parent, _, last = f"{self._root}/{collection}".rpartition("/")
        structured = _pb_query()
        structured.from_.add(collection_id=last)
        structured.order_by.add(direction=1).field.field_path = "__name__"
        if after is not None:
            name = _pb_value(reference_value=f"{self._root}/{collection}/{after}")
            structured.start_at.CopyFrom(_pb_cursor(values=[name], before=False))
        structured.limit.value = limit
        return await self._query(parent, structured)

    async def _query(self, parent: str, structured: Any) -> list[Document]:
        request = _pb_run_query(parent=parent, structured_query=structured)
        async with _our_errors():
            replies = self._run_query(request, timeout=_SCAN_DEADLINE_SECONDS, metadata=self._metadata)
            found = [self._read(reply.document) async for reply in replies if reply.HasField("document")]
        charge(reads=max(1, len(found)))
        return found

    async def ids(self, collection: str, *, token: str = "", limit: int = 300) -> tuple[list[str], str]:
        """See the port."""
        parent, _, last = f"{self._root}/{collection}".rpartition("/")
        request = _pb_list(
            parent=parent, collection_id=last, page_size=limit, page_token=token, show_missing=True
        )
        request.mask.SetInParent()
        async with _our_errors():
            reply = await self._list(request, timeout=_SCAN_DEADLINE_SECONDS, metadata=self._metadata)
        charge(reads=max(1, len(reply.documents)))
        return [each.name.rpartition("/")[2] for each in reply.documents], reply.next_page_token

    async def count(self, collection: str, *, where: Mapping[str, Any] | None = None) -> int:
        """See the port."""
        parent, _, last = f"{self._root}/{collection}".rpartition("/")
        counted = _pb_aggregation()
        counted.structured_query.from_.add(collection_id=last)
        _only_equal(counted.structured_query, where or {})
        counted.aggregations.add(alias="n").count.SetInParent()
        request = _pb_run_aggregation(parent=parent, structured_aggregation_query=counted)
        result = 0
        async with _our_errors():
            async for reply in self._run_aggregation(
                request, timeout=_SCAN_DEADLINE_SECONDS, metadata=self._metadata
            ):
                result = reply.result.aggregate_fields["n"].integer_value
        charge(reads=max(1, -(-result // 1000)))
        return result

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """See the port."""
        request = _pb_commit(database=self._database, writes=[self._write(each) for each in writes])
        check_commit(writes, request.ByteSize())
        async with _our_errors():
            reply = await self._commit(request, timeout=_DEADLINE_SECONDS, metadata=self._metadata)
        deletes = sum(isinstance(each, Delete) for each in writes)
        charge(writes=len(writes) - deletes, deletes=deletes)
        return [_version(result.update_time) for result in reply.write_results]

    async def create_each(self, creations: Sequence[Create]) -> list[Written]:
        """See the port; one commit, and only where that meets a document that exists, one by one."""
        if not creations:
            return []
        try:
            await self.commit(creations)
        except Conflict:
            statuses = await self._each(creations)
            charge(writes=len(creations))
            return [Written.EXISTS if code == _ALREADY_EXISTS else Written.DONE for code in statuses]
        return [Written.DONE] * len(creations)

    async def delete_each(self, paths: Sequence[str]) -> None:
        """See the port."""
        for start in range(0, len(paths), MAX_WRITES):
            await self.commit([Delete(path) for path in paths[start : start + MAX_WRITES]])

    async def _each(self, writes: Sequence[Write]) -> list[int]:
        request = _pb_batch_write(database=self._database, writes=[self._write(each) for each in writes])
        check_commit(writes, request.ByteSize())
        async with _our_errors():
            reply = await self._batch_write(request, timeout=_DEADLINE_SECONDS, metadata=self._metadata)
        codes = [status.code for status in reply.status]
        failed = [status for status in reply.status if status.code not in (0, _ALREADY_EXISTS)]
        if failed:
            message = f"{len(failed)} of {len(writes)} writes failed with code {failed[0].code}"
            raise Unavailable(message)
        return codes

    def _write(self, each: Write) -> Any:
        if isinstance(each, Delete):
            result = _pb_write(delete=f"{self._root}/{each.path}")
            if each.expected is not None:
                result.current_document.CopyFrom(_expecting(each.expected))
            return result
        result = _pb_write(update=_pb_document(name=f"{self._root}/{each.path}"))
        fill(result.update.fields, each.fields)
        if isinstance(each, Create):
            result.current_document.CopyFrom(_pb_precondition(exists=False))
        elif isinstance(each, Replace):
            result.update_mask.CopyFrom(_pb_mask(field_paths=list(each.fields)))
            result.current_document.CopyFrom(_expecting(each.expected))
        elif not isinstance(each, Put):
            raise TypeError(each)
        return result

    def _read(self, found: Any) -> Document:
        return Document(
            path=found.name[len(self._root) + 1 :],
            fields={name: from_value(value) for name, value in found.fields.items()},
            version=_version(found.update_time),
        )


def _only_equal(structured: Any, where: Mapping[str, Any]) -> None:
    """Have a query find only documents whose fields equal *where*."""
    for name, value in where.items():
        only = structured.where.composite_filter.filters.add().field_filter
        only.field.field_path = name
        only.op = 5  # EQUAL
        only.value.CopyFrom(to_value(value))
    if where:
        structured.where.composite_filter.op = 1  # AND


def to_value(value: object) -> Any:
    """
    *value* as a Firestore Value message.

    Raises:
        TypeError: Firestore has no such type.
    """
    result = _pb_value()
    _set(result, value)
    return result


def fill(target: Any, fields: Fields) -> None:
    """Put *fields* into a protobuf map of Values."""
    for name, value in fields.items():
        # Nearly everything is one of these, and one call less for each is a third of the whole.
        kind = type(value)
        if (plain := _PLAIN.get(kind)) is not None:
            setattr(target[name], plain, value)
        elif kind is dict and value:
            fill(target[name].map_value.fields, value)
        else:
            _set(target[name], value)


def _set(target: Any, value: object) -> None:
    """Make a Value message say *value*, in its place: a message that is copied into another is made twice."""
    plain = _PLAIN.get(type(value))
    if plain is not None:
        setattr(target, plain, value)
        return
    match value:
        case None:
            target.null_value = 0
        case datetime():
            at = target.timestamp_value
            at.seconds, micros = divmod(microseconds(value), 1_000_000)
            at.nanos = micros * 1000
        case Mapping():
            target.map_value.SetInParent()
            fill(target.map_value.fields, value)
        case list() | tuple():
            target.array_value.SetInParent()
            values = target.array_value.values
            for each in value:
                _set(values.add(), each)
        case int() | float() | str() | bytes():  # of a class derived from one of these
            setattr(target, next(name for kind, name in _PLAIN.items() if isinstance(value, kind)), value)
        case _:
            message = f"Firestore has no type for {type(value).__name__}"
            raise TypeError(message)


_PLAIN: Mapping[type, str] = {
    bool: "boolean_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
    bytes: "bytes_value",
}


def from_value(value: Any) -> Any:
    """The Python value of a Firestore Value message; timestamps are aware datetimes, to the microsecond."""
    kind = value.WhichOneof("value_type")
    if kind == "map_value":
        return {name: from_value(each) for name, each in value.map_value.fields.items()}
    if kind == "array_value":
        return [from_value(each) for each in value.array_value.values]
    if kind == "null_value":
        return None
    plain = getattr(value, kind)
    if kind == "timestamp_value":
        return moment(plain.seconds * 1_000_000 + plain.nanos // 1000)
    return plain


def _version(time: Any) -> Version:
    return (time.seconds, time.nanos)


def _expecting(version: Version) -> Any:
    expecting = _pb_precondition()
    expecting.update_time.seconds, expecting.update_time.nanos = version
    return expecting


@asynccontextmanager
async def _our_errors() -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        kind = _ERRORS.get(error.code(), Unavailable)
        message = f"Firestore: {error.code().name}"
        raise kind(message) from error
    except TimeoutError as error:
        message = "Firestore: no answer in time"
        raise DeadlineExceeded(message) from error


def document_from_bytes(data: bytes) -> tuple[str, Fields]:
    """
    The full name and the fields of a serialised Document message, as Firestore's events carry it.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        found = _pb_document.FromString(data)
    except DecodeError as error:
        message = "not a Firestore document"
        raise InvalidRequest(message) from error
    return found.name, {name: from_value(value) for name, value in found.fields.items()}
