"""Where replies to learners are kept: those that are for them alone go; those for everybody name nobody."""

from typing import TYPE_CHECKING

from shared.caching.firestore import CACHE_GENERATIONS, CACHED_REPLIES, generation_path
from shared.caching.registry import ENTRIES, counter
from shared.documents.base import Documents
from shared.documents.erasing import Addressed, Named, Place, Scanned, Step, counted

if TYPE_CHECKING:
    from shared.caching.redis import RedisStore

_EVENTS = sorted({event for entry in ENTRIES.values() for event in entry.ended_by})


def places(documents: Documents) -> list[Place]:
    """Every place in the document store, whether it is what keeps replies now or was before."""
    return [
        Scanned(documents, CACHED_REPLIES, only=["owner"], who=lambda fields: [fields["owner"]]),
        Addressed(
            documents,
            CACHE_GENERATIONS,
            lambda uid: [generation_path(counter(event, uid)) for event in _EVENTS],
        ),
    ]


class RepliesInRedis:
    """Replies in Redis, found by looking at the owners of all that is kept there."""

    name = "cachedReplies in Redis"
    acts = True

    def __init__(self, store: "RedisStore") -> None:
        """Remove them from *store*."""
        self._store = store

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port."""
        removed, cursor = await self._store.forget(learner_id, int(after or 0))
        return Step((), counted(CACHED_REPLIES, removed), str(cursor) if cursor else None)

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        owners, cursor = await self._store.owners(int(after or 0))
        return Named(owners - {""}, str(cursor) if cursor else None)
