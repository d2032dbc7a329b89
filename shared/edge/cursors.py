"""Cursors: where a page ended, signed, so that a client can neither read nor forge one."""

import base64
import binascii
import hmac

import orjson

from shared.errors import InvalidRequest

_MAC_BYTES = 16


def write(place: object, *, scope: str, key: bytes) -> str:
    """A cursor for *place* (JSON), good only within *scope*."""
    data = orjson.dumps(place)
    return base64.urlsafe_b64encode(_mac(data, scope, key) + data).rstrip(b"=").decode()


def read(cursor: str, *, scope: str, key: bytes) -> object:
    """
    The place in *cursor*.

    Raises:
        InvalidRequest: it was not made here for *scope*.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    mac, data = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not data or not hmac.compare_digest(mac, _mac(data, scope, key)):
        message = "this cursor is not valid here"
        raise InvalidRequest(message)
    return orjson.loads(data)


def _mac(data: bytes, scope: str, key: bytes) -> bytes:
    return hmac.digest(key, b"lectern.cursor\n" + scope.encode() + b"\n" + data, "sha256")[:_MAC_BYTES]
