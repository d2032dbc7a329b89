"""A client for models' interfaces that is cheap enough not to be what is measured: rates, times, first tokens."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Seconds to the end and to the first event of each good reply, and how many were not good."""

    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    errors: int = 0
    duration: float = 0.0

    def add(self, more: "Outcome") -> None:
        """Count what came of another while as well."""
        self.seconds += more.seconds
        self.first += more.first
        self.errors += more.errors
        self.duration += more.duration

    @property
    def rate(self) -> float:
        """Good replies a second."""
        return len(self.seconds) / self.duration if self.duration else 0.0

    @property
    def p50_ms(self) -> float:
        """Half of the replies were there after so many milliseconds."""
        return _middle(self.seconds)

    @property
    def first_p50_ms(self) -> float:
        """Half of the streams had begun after so many milliseconds."""
        return _middle(self.first)


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] * 1000 if ordered else float("nan")


class Question:
    """Makes chat requests, each of which asks something else, or all the same."""

    def __init__(
        self, port: int, path: str, headers: dict[str, str], *, stream: bool, same: int | None = None
    ) -> None:
        self.port = port
        self._numbers = itertools.count()
        self._same = same
        self._stream = stream
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}"

    def __call__(self) -> bytes:
        """The next request."""
        number, moment = (self._same, 0) if self._same is not None else (next(self._numbers), time.time_ns())
        question = f"Question {number}, {moment}: why is the sky blue?"
        body = {
            "model": "gpt-6-luna",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 64,
        }
        if self._stream:
            body["stream"] = True
        raw = json.dumps(body).encode()
        return f"{self._head}content-length: {len(raw)}\r\n\r\n".encode() + raw


class _User(asyncio.Protocol):
    """One connection: asks, waits for the end of the reply, asks again."""

    def __init__(
        self, question: Callable[[], bytes], outcome: Outcome, until: float, ended: Callable[[], None]
    ) -> None:
        self._question = question
        self._outcome = outcome
        self._until = until
        self._ended = ended
        self._data = b""
        self._length = -1
        self._begun = False

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if time.perf_counter() >= self._until:
            self._transport.close()
            return
        self._data, self._length, self._begun = b"", -1, False
        self._sent = time.perf_counter()
        self._transport.write(self._question())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._length == -1:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._data[:end].lower()
            self._good = head[9:12] == b"200"
            place = head.find(b"content-length:")
            self._length = -2
            if place >= 0:
                self._length = end + 4 + int(head[place + 15 :].split(b"\r", 1)[0])
            self._body = end + 4
        if self._length == -2:
            if not self._begun and self._data.find(b"data:", self._body) >= 0:
                self._begun = True
                self._outcome.first.append(time.perf_counter() - self._sent)
            if not self._data.endswith(b"0\r\n\r\n"):
                return
        elif len(self._data) < self._length:
            return
        if self._good:
            self._outcome.seconds.append(time.perf_counter() - self._sent)
        else:
            self._outcome.errors += 1
        self._ask()

    def connection_lost(self, error) -> None:
        self._ended()


async def run(question: Question, *, users: int, seconds: float) -> Outcome:
    """Let *users* connections ask for *seconds*."""
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    over = loop.create_future()
    left = users

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left and not over.done():
            over.set_result(None)

    for _ in range(users):
        await loop.create_connection(
            lambda: _User(question, outcome, began + seconds, ended), "127.0.0.1", question.port
        )
    await over
    outcome.duration = time.perf_counter() - began
    return outcome
