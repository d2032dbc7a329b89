"""Reads chat completions, whole and streamed, without believing anything about them."""

from collections.abc import Iterator
from typing import Any

import orjson

from shared.budgets.prices import Usage
from shared.gateway.base import CANNED, Ask, Reply
from shared.gateway.upstream import Declined, Improper, Unsuited

_FINISHED = ("stop", "length")
_FILTERED = "content_filter"
_MOST_TEXT = 1_000_000
_MOST_TOKENS = 1 << 31


def read_completion(body: bytes) -> tuple[Reply, Usage | None]:
    """
    The reply in the body of a chat completion, and what it says it used, if it says so.

    Raises:
        Declined: the model will not answer.
        Improper: it is none, or has no text that was finished.
    """
    value = _json(body)
    try:
        choice = value["choices"][0]
        message, finish = choice["message"], choice["finish_reason"]
        text, refusal = message["content"], message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Improper from error
    usage = usage_of(value.get("usage"))
    if refusal or finish == _FILTERED:
        raise Declined(usage)
    return _reply(value, text, finish, usage), usage


def checked(ask: Ask, reply: Reply) -> Reply:
    """
    *reply*, if it is what *ask* wanted.

    Raises:
        Unsuited: it is not.
    """
    if ask.schema is not None:
        if reply.finish_reason != "stop":
            raise Unsuited
        try:
            orjson.loads(reply.text)
        except ValueError as error:
            raise Unsuited from error
    if ask.accept is not None:
        try:
            ask.accept(reply.text)
        except ValueError as error:
            raise Unsuited from error
    return reply


def judged(ask: Ask, body: bytes) -> tuple[Reply | None, Usage | None]:
    """
    The reply in *body* if it is what *ask* wanted, else None; and what it says it used, whatever it is.

    For replies that come once and cannot be asked for again.
    """
    try:
        reply, usage = read_completion(body)
    except Declined as declined:
        return None, declined.usage
    except Improper:
        return None, usage_in(body)
    try:
        return checked(ask, reply), usage
    except Unsuited:
        return None, usage


def usage_in(body: bytes) -> Usage | None:
    """The tokens that a reply says it used, whatever else is the matter with it; None if it does not say."""
    try:
        return usage_of(_json(body).get("usage"))
    except Improper:
        return None


def usage_of(told: object) -> Usage | None:
    """The tokens in a ``usage`` object of either interface; None if it is none."""
    if not isinstance(told, dict):
        return None
    prompt = told.get("prompt_tokens", told.get("input_tokens"))
    completion = told.get("completion_tokens", told.get("output_tokens", 0))
    details = told.get("prompt_tokens_details", told.get("input_tokens_details"))
    if not isinstance(details, dict):
        details = {}
    tokens = (prompt, completion, details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0)
    counts = [each for each in tokens if isinstance(each, int) and 0 <= each < _MOST_TOKENS]
    return Usage(*counts) if len(counts) == len(tokens) else None


class Streamed:
    """A streamed chat completion, read piece by piece."""

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._rest = b""
        self._texts: list[str] = []
        self._size = 0
        self._finish: object = None
        self._refused = False
        self._done = False
        self._about: dict[str, Any] = {}
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> Iterator[str]:
        """
        The texts in *data*, the next piece.

        Raises:
            Improper: it is not a stream of chat completion chunks.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_TEXT:
            raise Improper
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            event = line[5:].strip()
            if event == b"[DONE]":
                self._done = True
                continue
            text = self._chunk(_json(event))
            if text:
                self._size += len(text)
                if self._size > _MOST_TEXT:
                    raise Improper
                self._texts.append(text)
                yield text

    def reply(self) -> Reply:
        """
        The whole reply.

        Raises:
            Declined: the model will not answer, or not go on.
            Improper: it did not come to its end.
        """
        if not self._done:
            raise Improper
        if self._refused or self._finish == _FILTERED:
            raise Declined(self.usage)
        return _reply(self._about, "".join(self._texts), self._finish, self.usage)

    def _chunk(self, value: dict[str, Any]) -> str:
        if "error" in value:
            raise Improper
        if not self._about:
            self._about = value
        self.usage = usage_of(value.get("usage")) or self.usage
        try:
            choices = value["choices"]
            if not choices:
                return ""
            self._finish = choices[0].get("finish_reason") or self._finish
            delta = choices[0]["delta"]
            self._refused = self._refused or bool(delta.get("refusal"))
            text = delta.get("content") or ""
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise Improper from error
        if not isinstance(text, str):
            raise Improper
        return text


def _reply(about: dict[str, Any], text: object, finish: object, usage: Usage | None) -> Reply:
    if not isinstance(text, str) or finish not in _FINISHED or len(text) > _MOST_TEXT:
        raise Unsuited
    return Reply(
        text=text,
        model=str(about.get("model", "")),
        usage=usage or Usage(),
        cached=False,
        canned=about.get("system_fingerprint") == CANNED,
        finish_reason=str(finish),
    )


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise Improper from error
    if not isinstance(value, dict):
        raise Improper
    return value
