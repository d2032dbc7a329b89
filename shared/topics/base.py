"""Topics let one function wake another. A message is a doorbell and a copy; the documents stay the truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

ANSWERS_WAITING = "answers-waiting"
ANSWERS_INCOMING = "answers-incoming"


@dataclass(frozen=True, slots=True)
class Message:
    """
    What is sent and what arrives.

    Messages with one *ordering_key* reach one worker, in order. ``message_id`` is Pub/Sub's,
    ``attempt`` counts deliveries from 1 (0: not known).
    """

    data: bytes
    ordering_key: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    attempt: int = 0


class Topic(Protocol):
    """Somewhere to publish."""

    async def publish(self, message: Message) -> None:
        """
        Send *message*; returning means that Pub/Sub has it.

        Raises:
            Unavailable: it may not have arrived.
        """
        ...
