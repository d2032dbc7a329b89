"""Reads what the platform posts: raw Pub/Sub pushes, and CloudEvents of Pub/Sub and Firestore."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from shared.errors import InvalidRequest
from shared.topics.base import Message


@dataclass(frozen=True, slots=True)
class CreatedDocument:
    """A document that was just created, as its event tells."""

    path: str
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


def read_message(request: Request, body: bytes) -> Message:
    """
    The Pub/Sub message in a push: raw (``{"message": …, "subscription": …}``) or as a CloudEvent.

    Raises:
        InvalidRequest: it is neither.
    """
    try:
        envelope = orjson.loads(body)
        if request.headers.get("content-type", "").startswith("application/cloudevents+json"):
            envelope = envelope["data"]
        message = envelope["message"]
        attempt = envelope.get("deliveryAttempt", 0)
        return Message(
            data=base64.b64decode(message.get("data", ""), validate=True),
            ordering_key=_text(message.get("orderingKey", "")),
            attributes={name: _text(value) for name, value in (message.get("attributes") or {}).items()},
            message_id=_text(message.get("messageId", "")),
            attempt=attempt if isinstance(attempt, int) else 0,
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        text = "not a Pub/Sub message"
        raise InvalidRequest(text) from error


def _text(value: object) -> str:
    # Not str(value): the text of what is nested deeply cannot be made.
    if not isinstance(value, str):
        message = "expected a text"
        raise TypeError(message)
    return value


def read_created(body: bytes) -> CreatedDocument:
    """
    The new document in a Firestore CloudEvent, whose data is protobuf (the emulator sends it in base64).

    Raises:
        InvalidRequest: it is no such event.
    """
    from shared.documents.firestore import document_from_bytes

    for candidate in (body, _from_base64(body)):
        if candidate is None:
            continue
        try:
            name, fields = document_from_bytes(_first_submessage(candidate))
        except (InvalidRequest, ValueError, IndexError):
            continue
        root, found, path = name.partition("/documents/")
        if found and root.startswith("projects/"):
            return CreatedDocument(path, fields)
    text = "not a Firestore event"
    raise InvalidRequest(text)


def _from_base64(body: bytes) -> bytes | None:
    try:
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        return None


def _first_submessage(data: bytes) -> bytes:
    """Field 1 of ``google.events.cloud.firestore.v1.DocumentEventData``: the document as it is now."""
    if data[0] != _FIELD_1_BYTES:
        message = "the event has no document"
        raise ValueError(message)
    size = shift = 0
    place = 1
    while True:
        byte = data[place]
        size |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:  # noqa: PLR2004  the last byte of a varint has its high bit clear
            break
        shift += 7
        if shift >= _MOST_VARINT_BITS:
            message = "the event's length is no number"
            raise ValueError(message)
    if place + size > len(data):
        message = "the event is cut off"
        raise ValueError(message)
    return data[place : place + size]


_FIELD_1_BYTES = 0x0A
_MOST_VARINT_BITS = 35
