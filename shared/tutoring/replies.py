"""Reads what a model answered as JSON, believing nothing of it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from shared.errors import Unavailable

MAX_REPLY_CHARACTERS = 64 * 1024
_LARGEST = 10**15


class Unusable(Unavailable, ValueError):
    """The model answered something else than what it was asked for; asking again may help."""


def read_object(text: str) -> Mapping[str, Any]:
    """
    The JSON object in *text*; NaN and infinities become None.

    Raises:
        Unusable: it is none, or longer than 64 Ki characters.
    """
    if len(text) > MAX_REPLY_CHARACTERS:
        raise Unusable("the model's reply is too long")
    try:
        value = json.loads(text, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        raise Unusable("the model's reply is not JSON") from None
    if not isinstance(value, dict):
        raise Unusable("the model's reply is no object")
    return value


def listed(value: object, most: int) -> list[Any]:
    """*value* if it is a list, at most *most* of it; else nothing."""
    return value[:most] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """*value* if it is a text; else the empty one."""
    return value if isinstance(value, str) else ""


def clamped(value: object, low: int, high: int) -> int | None:
    """*value* as a whole number within [*low*, *high*]; None if it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = max(min(value, _LARGEST), -_LARGEST)
    return max(low, min(high, round(value)))


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these *properties*, as strict structured output wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
