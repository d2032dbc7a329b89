"""What may be kept, of whom, and for how long; and where, as a port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class CacheUse:
    """
    How one reply is cached: under the registry's *entry*, by *parts*, for *uid*.

    *parts* are what the entry's template names, without ``uid`` and ``request``: versions of the prompt
    and of the rubric, for instance. ``request`` is the whole of what is asked of the model, and added by
    the gateway. An entry of personal scope needs a *uid*, one of public scope has none.
    """

    entry: str
    parts: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""


class Kept(NamedTuple):
    """A value as it is stored: whose, and until when (seconds since the epoch)."""

    value: bytes
    owner: str
    until: float


class SharedStore(Protocol):
    """
    Where instances keep what they share. Values may be gone at any time.

    All may raise Unavailable; callers then go on as if nothing were cached.
    """

    async def get(self, name: str) -> Kept | None:
        """What is kept as *name*, unless its time is over."""
        ...

    async def put(self, name: str, kept: Kept) -> None:
        """Keep a value."""
        ...

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Whether *holder* is now the one who makes *name*; for *seconds* nobody else will be."""
        ...

    async def release(self, name: str, holder: str) -> None:
        """Let somebody else make *name*."""
        ...

    async def generation(self, name: str) -> int:
        """How often *name* was counted up."""
        ...

    async def count_up(self, name: str) -> None:
        """Count *name* up."""
        ...
