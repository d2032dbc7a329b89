"""
What clients of the proxy may ask, by role: pure.

A request is rebuilt from what is allowed in it; whatever else it names is refused, not dropped.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared.errors import InvalidRequest, NotAllowed, NotFound

CHAT = "/chat/completions"
RESPONSES = "/responses"
EMBEDDINGS = "/embeddings"
NO_EFFORT = "none"
"""The effort of a model that could reason and does not."""

_MOST_MESSAGES = 200
_MOST_INPUTS = 64
_MOST_STOPS = 4
_REASONS = re.compile(r"gpt-(?:[5-9]|\d\d)|o\d")
REMEMBERED, REMEMBERED_BYTES = 256, 4096
"""How many of the latest requests are known by their bytes, if they have so few."""


class Allowance(NamedTuple):
    """
    What one role may ask: which models, how many tokens of reply, and whether with tools.

    *effort* is how long a model that reasons does so unless the client says; empty: as the provider likes.
    """

    models: tuple[str, ...]
    embedding_models: tuple[str, ...]
    most_tokens: int
    tools: bool
    effort: str = ""


class Passing(NamedTuple):
    """A request as it goes upstream; *usage_wanted* says that the client asked for a usage event."""

    path: str
    model: str
    body: bytes
    stream: bool
    usage_wanted: bool
    most_tokens: int
    json_wanted: bool


def passing(path: str, raw: bytes, allowance: Allowance) -> Passing:
    """
    Read the body of a request to *path*.

    Raises:
        InvalidRequest: it is not JSON, or asks for what nobody may.
        NotAllowed: it asks for what this role may not: tools.
        NotFound: there is no such model for this role.
    """
    # What is asked again is asked in the same bytes: the latest small bodies need no second reading.
    return _remembered(path, raw, allowance) if len(raw) <= REMEMBERED_BYTES else _read(path, raw, allowance)


def reasons(model: str) -> bool:
    """Whether *model* is one of OpenAI's that reason before they reply, by its name."""
    return _REASONS.match(model) is not None


def _read(path: str, raw: bytes, allowance: Allowance) -> Passing:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        message = "the body is not JSON"
        raise InvalidRequest(message) from None
    if not isinstance(value, dict):
        message = "the body is not a JSON object"
        raise InvalidRequest(message)
    body: dict[str, Any] = {}
    for name, each in value.items():
        is_valid = _check(path, name, allowance)
        if each is None:
            continue
        if not is_valid(each):
            raise _invalid(name, "is not valid")
        body[name] = each
    known = allowance.embedding_models if path == EMBEDDINGS else allowance.models
    model = body.get("model")
    if model not in known:
        raise NotFound(
            "there is no such model here", details=[{"path": "model", "message": "model_not_found"}]
        )
    if path == EMBEDDINGS:
        if "input" not in body:
            raise _invalid("input", "is missing")
        return _passing(path, body, most_tokens=0)
    return _FINISHED[path](body, allowance)


_remembered = lru_cache(maxsize=REMEMBERED)(_read)


def _check(path: str, name: str, allowance: Allowance) -> Callable[[object], bool]:
    """What tells whether a value of the parameter *name* is valid."""
    check = _FIELDS[path].get(name)
    if check is None and name in _TOOLS.get(path, {}):
        if not allowance.tools:
            message = "tools are not allowed here"
            raise NotAllowed(message, details=[{"path": name, "message": "not allowed"}])
        check = _TOOLS[path][name]
    if check is None:
        raise _invalid(name, "is not allowed here")
    return check


def _chat(body: dict[str, Any], allowance: Allowance) -> Passing:
    if "messages" not in body:
        raise _invalid("messages", "is missing")
    if not allowance.tools and any(
        each["role"] == "tool" or "tool_calls" in each for each in body["messages"]
    ):
        raise NotAllowed(
            "tools are not allowed here", details=[{"path": "messages", "message": "not allowed"}]
        )
    for name in ("max_tokens", "max_completion_tokens"):
        most = _bounded(name, body.get(name), allowance)
    body["max_completion_tokens"] = most = min(
        most, _bounded("max_tokens", body.pop("max_tokens", None), allowance)
    )
    if allowance.effort and reasons(body["model"]):
        body.setdefault("reasoning_effort", allowance.effort)
    usage_wanted = bool(body.pop("stream_options", {}).get("include_usage"))
    if body.get("stream"):
        # Usage is metered whether the client wants to know it or not.
        body["stream_options"] = {"include_usage": True}
    form = body.get("response_format", {}).get("type", "text")
    # What the client's own words stop need not be JSON any more.
    json_wanted = form != "text" and not body.get("stop")
    return _passing(CHAT, body, most_tokens=most, usage_wanted=usage_wanted, json_wanted=json_wanted)


def _response(body: dict[str, Any], allowance: Allowance) -> Passing:
    if "input" not in body:
        raise _invalid("input", "is missing")
    most = _bounded("max_output_tokens", body.get("max_output_tokens"), allowance)
    body["max_output_tokens"] = most
    if allowance.effort and reasons(body["model"]):
        body["reasoning"] = {"effort": allowance.effort, **body.get("reasoning", {})}
    body["store"] = False  # else the provider would keep what learners write
    form = body.get("text", {}).get("format", {}).get("type", "text")
    return _passing(RESPONSES, body, most_tokens=most, usage_wanted=True, json_wanted=form != "text")


_FINISHED: Mapping[str, Callable[[dict[str, Any], Allowance], Passing]] = {CHAT: _chat, RESPONSES: _response}


def _passing(
    path: str,
    body: dict[str, Any],
    *,
    most_tokens: int,
    usage_wanted: bool = False,
    json_wanted: bool = False,
) -> Passing:
    stream = body.get("stream") is True
    try:
        text = orjson.dumps(body)
    except orjson.JSONEncodeError:  # half a surrogate pair
        message = "the body has a text that is not Unicode"
        raise InvalidRequest(message) from None
    return Passing(path, body["model"], text, stream, usage_wanted, most_tokens, json_wanted)


def _bounded(name: str, wanted: int | None, allowance: Allowance) -> int:
    if wanted is None:
        return allowance.most_tokens
    if wanted > allowance.most_tokens:
        raise _invalid(name, f"may be {allowance.most_tokens} at most")
    return wanted


def _invalid(name: str, why: str) -> InvalidRequest:
    named = name if name.isascii() and name.isidentifier() else "body"
    return InvalidRequest(f"{named} {why}", details=[{"path": named, "message": why}])


def _text(value: object) -> bool:
    return isinstance(value, str)


def _yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 2  # noqa: PLR2004  OpenAI's range


def _one(value: object) -> bool:
    return value == 1 and not isinstance(value, bool)


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _reasoning(value: object) -> bool:
    """How long, and whether it is told; not in which mode, which may have a price of its own."""
    return (
        isinstance(value, dict) and value.keys() <= {"effort", "summary"} and all(map(_text, value.values()))
    )


def _stream_options(value: object) -> bool:
    return isinstance(value, dict) and value.keys() <= {"include_usage", "include_obfuscation"}


def _text_options(value: object) -> bool:
    return (
        isinstance(value, dict) and value.keys() <= {"format"} and isinstance(value.get("format", {}), dict)
    )


def _things(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _stops(value: object) -> bool:
    several = isinstance(value, list) and len(value) <= _MOST_STOPS and all(map(_text, value))
    return isinstance(value, str) or several


def _is_one_of(value: object, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})


def _contents(value: object) -> bool:
    """Text, or parts that are text: nothing that a provider would fetch."""
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, list) and all(
        isinstance(part, dict)
        and _is_one_of(part.get("type"), _PARTS)
        and part.keys() <= {"type", "text", "refusal", "annotations"}
        for part in value
    )


_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_MESSAGE = frozenset(
    {"role", "content", "name", "refusal", "tool_calls", "tool_call_id", "type", "id", "status"}
)


def _messages(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MOST_MESSAGES
        and all(
            isinstance(each, dict)
            and _is_one_of(each.get("role"), _ROLES)
            and each.keys() <= _MESSAGE
            and _contents(each.get("content"))
            for each in value
        )
    )


def _texts(value: object) -> bool:
    several = isinstance(value, list) and 0 < len(value) <= _MOST_INPUTS
    return isinstance(value, str) or (several and all(map(_text, value)))  # type: ignore[call-overload]  # several: it is a list


def _input(value: object) -> bool:
    return isinstance(value, str) or _messages(value)


_SAMPLING: dict[str, Callable[[object], bool]] = {
    "temperature": _number,
    "top_p": _number,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "seed": _whole,
    "stop": _stops,
    "n": _one,
}
_FIELDS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    CHAT: {
        "model": _text,
        "messages": _messages,
        "stream": _yes_or_no,
        "stream_options": _stream_options,
        "max_tokens": _count,
        "max_completion_tokens": _count,
        "response_format": _object,
        **_SAMPLING,
    },
    RESPONSES: {
        "model": _text,
        "input": _input,
        "instructions": _text,
        "stream": _yes_or_no,
        "max_output_tokens": _count,
        "text": _text_options,
        "temperature": _number,
        "top_p": _number,
    },
    EMBEDDINGS: {"model": _text, "input": _texts, "dimensions": _count, "encoding_format": _text},
}
_TOOLS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    CHAT: {
        "tools": _things,
        "tool_choice": lambda value: isinstance(value, str | dict),
        "parallel_tool_calls": _yes_or_no,
        "reasoning_effort": _text,
        "logprobs": _yes_or_no,
        "top_logprobs": _count,
    },
    RESPONSES: {"reasoning": _reasoning},
}
