"""
Firestore as the store that instances share.

- ``cachedReplies/{name}``: ``value``, ``owner``, ``expiresAt`` (by which the TTL policy removes it)
- ``cacheLeases/{name}``: ``holder``, ``expiresAt``
- ``cacheGenerations/{name}``: ``number``
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shared.caching.base import Kept
from shared.documents.base import Create, Delete, Documents, Put, Replace
from shared.errors import Conflict, PreconditionLost

CACHED_REPLIES = "cachedReplies"
CACHE_LEASES = "cacheLeases"
CACHE_GENERATIONS = "cacheGenerations"
_MOST_BYTES = 900_000
"""A document may have 1 MiB; larger replies stay in the memory of their process."""

_TRIES = 8


class FirestoreStore:
    """See the port."""

    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        """Keep values in *documents*."""
        self._documents = documents
        self._now = now

    async def get(self, name: str) -> Kept | None:
        """See the port."""
        [found] = await self._documents.get([f"{CACHED_REPLIES}/{name}"])
        if found is None or found.fields["expiresAt"] <= self._now():
            return None
        fields = found.fields
        return Kept(fields["value"], fields["owner"], fields["expiresAt"].timestamp())

    async def put(self, name: str, kept: Kept) -> None:
        """See the port."""
        if len(kept.value) > _MOST_BYTES:
            return
        fields = {
            "value": kept.value,
            "owner": kept.owner,
            "expiresAt": datetime.fromtimestamp(kept.until, UTC),
        }
        await self._documents.commit([Put(f"{CACHED_REPLIES}/{name}", fields)])

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See the port."""
        path = f"{CACHE_LEASES}/{name}"
        fields = {"holder": holder, "expiresAt": self._now() + timedelta(seconds=seconds)}
        try:
            await self._documents.commit([Create(path, fields)])
        except Conflict:
            [found] = await self._documents.get([path])
            if found is None or (
                found.fields["expiresAt"] > self._now() and found.fields["holder"] != holder
            ):
                return False
            try:
                await self._documents.commit([Replace(path, fields, found.version)])
            except PreconditionLost:
                return False
        return True

    async def release(self, name: str, holder: str) -> None:
        """See the port."""
        path = f"{CACHE_LEASES}/{name}"
        [found] = await self._documents.get([path])
        if found is not None and found.fields["holder"] == holder:
            try:
                await self._documents.commit([Delete(path, found.version)])
            except PreconditionLost:
                return

    async def generation(self, name: str) -> int:
        """See the port."""
        [found] = await self._documents.get([generation_path(name)])
        return 0 if found is None else int(found.fields["number"])

    async def count_up(self, name: str) -> None:
        """See the port."""
        path = generation_path(name)
        for _ in range(_TRIES):
            [found] = await self._documents.get([path])
            try:
                if found is None:
                    await self._documents.commit([Create(path, {"number": 1})])
                else:
                    number = found.fields["number"] + 1
                    await self._documents.commit([Replace(path, {"number": number}, found.version)])
            except (Conflict, PreconditionLost):
                continue
            return
        message = "the generation of a cache is counted up by many at once"
        raise PreconditionLost(message)


def generation_path(name: str) -> str:
    """The document that says how often *name* was counted up."""
    return f"{CACHE_GENERATIONS}/{hashlib.sha256(name.encode()).hexdigest()}"
