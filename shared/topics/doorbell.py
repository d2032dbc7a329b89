"""The doorbell of merging: sealed copies of answers, many to a message, one shard each."""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from shared.errors import InvalidRequest, Unavailable
from shared.learning.answers import AnswerSubmitted, decode, utf8_bytes
from shared.learning.receipts import is_sealed
from shared.topics.base import Message, Topic

_MOST_TOGETHER = 200
_MOST_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event's JSON, and our MAC over it."""

    text: str
    seal: str


@dataclass(slots=True)
class _Bundle:
    answers: list[Sealed] = field(default_factory=list)
    size: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class Doorbell:
    """Publishes answers that were put on record; those of one shard that come together go together."""

    def __init__(self, topic: Topic) -> None:
        """Ring at *topic*."""
        self._topic = topic
        self._filling: dict[str, _Bundle] = {}
        self._flying: dict[str, asyncio.Task[None]] = {}

    async def ring(self, answer: Sealed, *, shard_key: str) -> None:
        """
        Return when *answer* is on its way to the worker of its shard.

        Raises:
            Unavailable: it may not be; the sweep will find it.
        """
        bundle = self._filling.get(shard_key)
        size = utf8_bytes(answer.text)
        if bundle is None or len(bundle.answers) >= _MOST_TOGETHER or bundle.size + size > _MOST_BYTES:
            bundle = self._filling[shard_key] = _Bundle()
            before = self._flying.get(shard_key)
            task = self._flying[shard_key] = asyncio.create_task(self._send(shard_key, bundle, before))
            task.add_done_callback(functools.partial(self._sent, shard_key, bundle))
        bundle.answers.append(answer)
        bundle.size += size
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bundle.waiting.append(told)
        await told

    def _sent(self, shard_key: str, bundle: _Bundle, task: asyncio.Task[None]) -> None:
        if self._flying.get(shard_key) is task:
            del self._flying[shard_key]
        failure = Unavailable("the process is ending") if task.cancelled() else task.exception()
        for told in bundle.waiting:
            if told.done():
                continue  # a caller that gave up
            if failure is None:
                told.set_result(None)
            else:
                told.set_exception(failure)

    async def _send(self, shard_key: str, bundle: _Bundle, before: asyncio.Task[None] | None) -> None:
        # While one message of a shard is under way, the next one fills.
        if before is not None:
            await asyncio.wait([before])
        else:
            await asyncio.sleep(0)
        if self._filling.get(shard_key) is bundle:
            del self._filling[shard_key]
        await self._topic.publish(Message(write(bundle.answers), ordering_key=shard_key))


def write(answers: Sequence[Sealed]) -> bytes:
    """The data of a message that carries *answers*."""
    return orjson.dumps({"answers": [{"event": each.text, "seal": each.seal} for each in answers]})


def read(data: bytes, *, key: bytes) -> list[AnswerSubmitted]:
    """
    The answers in a message.

    Raises:
        InvalidRequest: it is not a message of ours, or one of its seals is not.
    """
    try:
        pairs = [(each["event"], each["seal"]) for each in orjson.loads(data)["answers"]]
    except (ValueError, KeyError, TypeError) as error:
        message = "not a message of sealed answers"
        raise InvalidRequest(message) from error
    events = []
    for text, seal in pairs:
        if not isinstance(text, str) or not isinstance(seal, str):
            message = "not a message of sealed answers"
            raise InvalidRequest(message)
        event = decode(text)
        if not is_sealed(event, text, seal, key=key):
            message = "an answer's seal is not ours"
            raise InvalidRequest(message)
        events.append(event)
    return events
