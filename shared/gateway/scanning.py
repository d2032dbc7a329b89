"""Looks at replies on their way through: what they used, and whether they are whole."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from shared.budgets.prices import Usage
from shared.gateway import allowed
from shared.gateway.allowed import Passing
from shared.gateway.reading import usage_of
from shared.gateway.upstream import Improper, Unsuited

_TAIL_EVENTS = 6
_WHOLE_FINISHES = frozenset({"stop", "tool_calls"})
_LAST_EVENTS = {"response.completed": "stop", "response.incomplete": "length"}
_FAILURES = (b'data: {"error"', b"event: error", b"event: response.failed")
_FAILURES_LATER = tuple(b"\n" + each for each in _FAILURES)
_UNEVENTFUL = frozenset(b":\r\n")


class Seen(NamedTuple):
    """What a reply says about itself: its tokens, and whether it may be served again."""

    usage: Usage | None
    keep: bool


def look(request: Passing, body: bytes) -> Seen:
    """
    Look at a reply that came as one.

    Raises:
        Improper: it is not a reply to such a request.
    """
    try:
        value: Any = orjson.loads(body)
        match request.path:
            case allowed.CHAT:
                keep = [_chat_is_whole(request, choice) for choice in value["choices"]]
            case allowed.RESPONSES:
                keep = [value["status"] == "completed" for _ in value["output"]]
            case _:
                keep = [isinstance(each["embedding"], list | str) for each in value["data"]]
    except Improper:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise Improper from error
    if not keep:
        raise Improper
    return Seen(usage_of(value.get("usage")), all(keep))


def _chat_is_whole(request: Passing, choice: Any) -> bool:
    content = choice["message"]["content"]
    if request.json_wanted and isinstance(content, str) and choice["finish_reason"] == "stop":
        try:
            orjson.loads(content)
        except ValueError as error:
            raise Unsuited from error
    return choice["finish_reason"] in _WHOLE_FINISHES


class Passage:
    """The events of a streamed reply: whole ones only, and without what the client did not want."""

    def __init__(self, request: Passing) -> None:
        """Let the reply to *request* pass."""
        self._chat = request.path == allowed.CHAT
        self._filtered = self._chat and not request.usage_wanted
        self._rest = b""
        self._tail: deque[bytes] = deque(maxlen=_TAIL_EVENTS)

    def feed(self, data: bytes) -> bytes:
        """
        What of *data* may go on now.

        Raises:
            Improper: the provider says that something went wrong.
        """
        if self._rest:
            data = self._rest + data
        if data.endswith(b"\n\n"):
            self._rest = b""
        else:
            plain, carriage = data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n")
            place = max(plain + 2 if plain >= 0 else 0, carriage + 4 if carriage >= 0 else 0)
            data, self._rest = data[:place], data[place:]
        if not data:
            return data
        if _tells_failure(data):
            raise Improper
        if data[0] not in _UNEVENTFUL:
            self._tail.append(data)
        elif eventful := [event for event in _events(data) if not event.lstrip().startswith(b":")]:
            self._tail.append(b"\n\n".join([*eventful, b""]))
        if self._filtered and _is_without_choices(data):
            data = b"".join(event + b"\n\n" for event in _events(data) if not _is_without_choices(event))
        return data

    def seen(self) -> Seen:
        """
        What the stream said about itself, once it is over.

        Raises:
            Improper: it broke off before its end.
        """
        usage: Usage | None = None
        finishes: set[object] = set()
        done = False
        for event in _events(b"".join(self._tail)):
            data = event.partition(b"data:")[2].strip()
            if data == b"[DONE]":
                done = True
                continue
            try:
                value: Any = orjson.loads(data)
            except ValueError:
                continue
            if not isinstance(value, dict):
                continue
            try:
                if self._chat:
                    usage = usage_of(value.get("usage")) or usage
                    finishes |= {each.get("finish_reason") for each in value.get("choices") or ()}
                elif value.get("type") in _LAST_EVENTS:
                    done = True
                    usage = usage_of(value["response"].get("usage"))
                    finishes = {_LAST_EVENTS[value["type"]]}
            except (AttributeError, KeyError, TypeError) as error:
                raise Improper from error
        finishes.discard(None)
        if not done or not finishes or self._rest.strip():
            raise Improper
        return Seen(usage, finishes <= _WHOLE_FINISHES)

    def broken(self) -> bytes:
        """An event that tells the client, in its protocol, that the reply will not come to its end."""
        message = "the model broke off; ask again"
        if self._chat:
            error = {"message": message, "type": "server_error", "param": None, "code": "unavailable"}
            return b"data: " + orjson.dumps({"error": error}) + b"\n\n"
        event: dict[str, object] = {
            "type": "error",
            "code": "server_error",
            "message": message,
            "param": None,
            "sequence_number": 0,
        }
        return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def _tells_failure(data: bytes) -> bool:
    """Whether the provider says so, at a line's beginning: nothing that a model wrote stands there."""
    # Every piece of every stream comes by: `any` over these would take several times as long.
    return (
        _FAILURES_LATER[0] in data
        or _FAILURES_LATER[1] in data
        or _FAILURES_LATER[2] in data
        or data.startswith(_FAILURES)
    )


def _is_without_choices(data: bytes) -> bool:
    """Whether *data* has the chunk that only tells usage."""
    return b'"choices":[]' in data or b'"choices": []' in data


def _events(data: bytes) -> Iterator[bytes]:
    for event in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        if event.strip():
            yield event
