"""Redis as the store that instances share; every key begins with ``lectern:cache:``."""

import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from shared.caching.base import Kept
from shared.errors import Unavailable

_PREFIX = "lectern:cache:"
_HEAD = struct.Struct("!dI")
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_LEASE = """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('pexpire', KEYS[1], ARGV[2]) return 1 end
return 0
"""
_SECONDS = 2.0
_CONNECTIONS = 20
_AT_A_TIME = 500
_LONGEST_OWNER = 128
"""A uid has so many ASCII characters at most."""


class RedisStore:
    """See the port."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Use the server at *url*."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_SECONDS,
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
        )
        self._redis: Any = Redis.from_pool(pool)
        self._clock = clock

    async def close(self) -> None:
        """End the connections."""
        await self._redis.aclose()

    async def get(self, name: str) -> Kept | None:
        """See the port."""
        async with _translated():
            raw = await self._redis.get(f"{_PREFIX}value:{name}")
        if raw is None:
            return None
        until, length = _HEAD.unpack_from(raw)
        place = _HEAD.size + length
        return Kept(raw[place:], raw[_HEAD.size : place].decode(), until)

    async def put(self, name: str, kept: Kept) -> None:
        """See the port."""
        left = int((kept.until - self._clock()) * 1000)
        if left <= 0:
            return
        owner = kept.owner.encode()
        raw = _HEAD.pack(kept.until, len(owner)) + owner + kept.value
        async with _translated():
            await self._redis.set(f"{_PREFIX}value:{name}", raw, px=left)

    async def forget(self, owner: str, cursor: int) -> tuple[int, int]:
        """
        Remove of *owner*'s values, from *cursor* on (0 at first): how many, and where to go on (0: done).

        What is put meanwhile may be missed.
        """
        removed = 0
        async with _translated():
            names, cursor = await self._some(cursor)
            for name, whose in names.items():
                removed += await self._redis.delete(name) if whose == owner else 0
        return removed, cursor

    async def owners(self, cursor: int) -> tuple[frozenset[str], int]:
        """Whose some of the values are, from *cursor* on (0 at first), and where to go on (0: done)."""
        async with _translated():
            names, cursor = await self._some(cursor)
        return frozenset(names.values()), cursor

    async def _some(self, cursor: int) -> tuple[dict[Any, str], int]:
        """Owners by key."""
        cursor, names = await self._redis.scan(cursor, match=f"{_PREFIX}value:*", count=_AT_A_TIME)
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.getrange(name, 0, _HEAD.size + _LONGEST_OWNER - 1)
        found = {}
        for name, raw in zip(names, await pipeline.execute() if names else [], strict=True):
            if len(raw) >= _HEAD.size:  # else it is gone since
                _, length = _HEAD.unpack_from(raw)
                found[name] = raw[_HEAD.size : _HEAD.size + length].decode()
        return found, int(cursor)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See the port."""
        async with _translated():
            got = await self._redis.eval(_LEASE, 1, f"{_PREFIX}lease:{name}", holder, int(seconds * 1000))
        return bool(got)

    async def release(self, name: str, holder: str) -> None:
        """See the port."""
        async with _translated():
            await self._redis.eval(_RELEASE, 1, f"{_PREFIX}lease:{name}", holder)

    async def generation(self, name: str) -> int:
        """See the port."""
        async with _translated():
            return int(await self._redis.get(f"{_PREFIX}generation:{name}") or 0)

    async def count_up(self, name: str) -> None:
        """See the port."""
        async with _translated():
            await self._redis.incr(f"{_PREFIX}generation:{name}")


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        message = "the cache's store does not answer"
        raise Unavailable(message) from error
