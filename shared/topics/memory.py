"""Topics in memory: for simulation and unit tests only."""

from shared.topics.base import Message


class MemoryTopic:
    """Keeps what is published in a list, for the test to deliver, repeat, reorder or lose."""

    def __init__(self) -> None:
        """Start empty."""
        self.messages: list[Message] = []

    async def publish(self, message: Message) -> None:
        """See the port."""
        self.messages.append(message)
