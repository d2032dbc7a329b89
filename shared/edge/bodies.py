"""Reads request bodies so strictly that nothing behind it can be surprised."""

import json
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from shared.errors import InvalidRequest

MAX_DEPTH = 8
MAX_SAFE_INTEGER = 2**53

_INT64_TYPES = {
    "type.googleapis.com/google.protobuf.Int64Value",
    "type.googleapis.com/google.protobuf.UInt64Value",
}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_FORBIDDEN_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ESCAPE_OR_DELETE = re.compile(r"[\\\x7f]")

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse(raw: bytes) -> object:
    """
    Parse JSON, refusing what parsers disagree about or stores cannot hold.

    Raises:
        InvalidRequest: not UTF-8 or not JSON; deeper than 8 levels; a key twice; NaN or infinity; an
            integer beyond 2**53; a control character other than tab and line ends; a lone surrogate.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        message = "the body is not UTF-8"
        raise InvalidRequest(message) from None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        message = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise InvalidRequest(message) from None
    # The decoder refuses control characters that are not escaped, all but one; UTF-8 has no half surrogates.
    if _ESCAPE_OR_DELETE.search(text):
        _check_text(value)
    return value


def read(model: type[ModelT], value: object) -> ModelT:
    """
    Read a parsed *value* as *model*, strictly: no conversions, no unknown fields.

    Raises:
        InvalidRequest: with one detail per mistake (``path`` and ``message``).
    """
    try:
        return model.model_validate_json(orjson.dumps(value), strict=True)
    except ValidationError as error:
        details = [
            {"path": ".".join(str(part) for part in each["loc"]), "message": each["msg"]}
            for each in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        first = details[0]
        message = f"{first['path'] or 'body'}: {first['message']}"
        raise InvalidRequest(message, details=details) from None


def decode_callable(value: object) -> object:
    """*value* with the Firebase SDK's 64-bit integers (``{"@type": …, "value": "…"}``) as plain ones."""
    if isinstance(value, dict):
        if value.get("@type") in _INT64_TYPES and isinstance(value.get("value"), str):
            return _integer(value["value"])
        return {name: decode_callable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [decode_callable(each) for each in value]
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                message = f"the body is nested deeper than {MAX_DEPTH} levels"
                raise InvalidRequest(message)
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        message = "the body has a key twice in one object"
        raise InvalidRequest(message)
    return result


def _integer(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > len(str(MAX_SAFE_INTEGER)):
        message = "the body has an integer beyond 2**53"
        raise InvalidRequest(message)
    value = int(text)
    if abs(value) > MAX_SAFE_INTEGER:
        message = "the body has an integer beyond 2**53"
        raise InvalidRequest(message)
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = "the body has a number that is too large"
        raise InvalidRequest(message)
    return value


def _constant(name: str) -> object:
    message = f"the body has {name}, which is not JSON"
    raise InvalidRequest(message)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _check_text(value: object) -> None:
    if isinstance(value, str):
        if _FORBIDDEN_CHARACTER.search(value):
            message = "the body has a control character or half a surrogate pair in a text"
            raise InvalidRequest(message)
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_text(name)
            _check_text(each)
    elif isinstance(value, list):
        for each in value:
            _check_text(each)
