"""
Rate limits over all instances, kept in Redis: one script decides about all limits of a call.

- ``lectern:limit:{digest}``: a sorted set of slices of the window, as in ``windows``: scored by the time
  of their last point, named ``{time of the first}:{points}``. It goes with its window.

The clock is Redis' own. A call is one round trip and atomic; with Redis Cluster its keys would have to
lie in one slot, so this is for a single Redis or a primary with replicas.
"""

from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from shared import metrics
from shared.errors import Unavailable
from shared.limits.base import MICROSECONDS, Limit, Standing, Verdict, verdict
from shared.limits.windows import SLICES

_CONNECTIONS = 32

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local slices, standings, refused = {}, {}, false
for i, key in ipairs(KEYS) do
  local points, span, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - span))
  local raw = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  local found, used = {}, 0
  for j = 1, #raw, 2 do
    local colon = string.find(raw[j], ':', 1, true)
    local slice = {
      name = raw[j], first = tonumber(string.sub(raw[j], 1, colon - 1)),
      points = tonumber(string.sub(raw[j], colon + 1)), last = tonumber(raw[j + 1]),
    }
    used = used + slice.points
    found[#found + 1] = slice
  end
  local excess, wait = used + cost - points, 0
  for _, slice in ipairs(found) do
    if excess <= 0 then break end
    excess = excess - slice.points
    wait = slice.last + span - now
  end
  local reset = 0
  if #found > 0 then reset = found[#found].last + span - now end
  if wait > 0 then refused = true end
  slices[i] = found
  standings[i] = {used, wait, reset, 0}
end
if not refused then
  for i, key in ipairs(KEYS) do
    local span, cost = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
    local newest, first, points = slices[i][#slices[i]], now, cost
    if newest and math.max(now, newest.last) - newest.first < math.floor(span / SLICES) then
      redis.call('ZREM', key, newest.name)
      first, points = newest.first, newest.points + cost
    end
    local last = now
    if newest then last = math.max(now, newest.last) end
    if first == now then first = last end
    redis.call('ZADD', key, string.format('%.0f', last), string.format('%.0f:%d', first, points))
    redis.call('PEXPIRE', key, math.ceil(span / 1000) + 1000)
    standings[i] = {standings[i][1] + cost, 0, span, last}
  end
end
return standings
""".replace("SLICES", str(SLICES))

_GIVE_BACK = """
for i, key in ipairs(KEYS) do
  local cost, taken = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local raw = redis.call('ZRANGEBYSCORE', key, ARGV[2 * i], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #raw > 0 then
    local colon = string.find(raw[1], ':', 1, true)
    local points = tonumber(string.sub(raw[1], colon + 1))
    if tonumber(string.sub(raw[1], 1, colon - 1)) <= taken then
      redis.call('ZREM', key, raw[1])
      if points > cost then
        redis.call('ZADD', key, raw[2], string.sub(raw[1], 1, colon) .. string.format('%d', points - cost))
      end
    end
  end
end
"""


class RedisLimiter:
    """Windows in Redis; the client connects when it is first needed."""

    def __init__(self, url: str, *, timeout_seconds: float = 2.0) -> None:
        """Use the server at *url*; one that does not answer within *timeout_seconds* is unavailable."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            timeout=timeout_seconds,
            max_connections=_CONNECTIONS,
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        self._take = self._client.register_script(_TAKE)
        self._give_back = self._client.register_script(_GIVE_BACK)
        self.skew_microseconds = 0
        """Added to Redis' clock, for tests."""

    async def take(self, limits: Sequence[Limit]) -> Verdict:
        """See the port."""
        metrics.limiter_checks.inc()
        numbers = [
            number for each in limits for number in (each.points, each.seconds * MICROSECONDS, each.cost)
        ]
        found = await self._run(self._take, limits, [self.skew_microseconds, *numbers])
        return verdict(
            [
                Standing(limit, int(used), int(wait), int(reset), int(taken))
                for limit, (used, wait, reset, taken) in zip(limits, found, strict=True)
            ]
        )

    async def give_back(self, limits: Sequence[Limit], taken: Sequence[int]) -> None:
        """See the port."""
        numbers = [number for limit, each in zip(limits, taken, strict=True) for number in (limit.cost, each)]
        await self._run(self._give_back, limits, numbers)

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def _run(self, script: Any, limits: Sequence[Limit], arguments: Sequence[int]) -> Any:
        metrics.limiter_store_trips.labels("script").inc()
        try:
            return await script(
                keys=[f"lectern:limit:{each.digest}" for each in limits], args=list(arguments)
            )
        except (RedisError, OSError) as error:
            message = "Redis does not answer"
            raise Unavailable(message) from error
