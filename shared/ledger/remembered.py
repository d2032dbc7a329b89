"""The shards that a worker remembers from its last merges: those it used last, as far as they have room."""

from collections import OrderedDict
from collections.abc import Iterator

from shared.learning.sharding import Shard
from shared.ledger.shards import ShardState

MOST_BYTES = 128 * 1024 * 1024
"""A quarter of the smallest instance's memory."""

Key = tuple[str, Shard]
"""Assignment and shard."""


class Remembered:
    """
    States by assignment and shard.

    A state is taken out to be advanced, and kept again as it is then; meanwhile nobody else sees it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Keep *most_bytes*, as ``ShardState.memory_bytes`` reckons."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._states: OrderedDict[Key, tuple[ShardState, int]] = OrderedDict()

    def get(self, key: Key) -> ShardState | None:
        """What is remembered, left where it is."""
        found = self._states.get(key)
        return None if found is None else found[0]

    def take(self, key: Key) -> ShardState | None:
        """What was remembered; it is not any more."""
        found = self._states.pop(key, None)
        if found is None:
            return None
        self._bytes -= found[1]
        return found[0]

    def keep(self, key: Key, state: ShardState) -> None:
        """Remember *state*, and forget for it what was used longest ago."""
        self.take(key)
        size = state.memory_bytes
        self._states[key] = state, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            self.take(next(iter(self._states)))

    def __iter__(self) -> Iterator[Key]:
        """What is remembered, the longest unused first."""
        return iter(self._states)
