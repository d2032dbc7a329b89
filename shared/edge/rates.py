"""
Rate limits at the border: by address before sign-in, by user after it.

Classes that all instances count together are decided by ``services.limiter``, the others within this
process. Who is refused is counted by class; who is refused most often is told in a log line a minute,
under a keyed hash of their id.
"""

import hmac
import ipaddress
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache

from starlette.requests import Request

from shared import metrics
from shared.edge.logs import log
from shared.edge.registry import RateClass
from shared.limits.base import Limit, Verdict
from shared.limits.heavy import HeavyHitters
from shared.settings import Settings
from shared.wiring import Services

UNKNOWN = "ip:unknown"
"""The one bucket of all requests whose address nobody vouches for."""

_TOLD = 10
_TELL_EVERY_SECONDS = 60.0
_NETWORK_BITS = 64


def address(request: Request, hops: int) -> str:
    """
    The bucket of the client's address, as the proxies in front vouch for it.

    The last *hops* elements of ``X-Forwarded-For`` were written by proxies of ours: 1 on Cloud Run, 2
    behind its load balancer. The client is the first of these; what stands before it is anybody's text.
    With 0 it is the peer of the connection. IPv6 counts by /64. No other header is read.
    """
    if hops == 0:
        return _bucket(request.client.host if request.client else "")
    elements = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    return _bucket(elements[-hops]) if len(elements) >= hops else UNKNOWN


def of_address(rate: RateClass, bucket: str, provided: Services) -> Verdict | None:
    """What the limit of an address says, within this process; None where there is none."""
    settings = provided.settings
    if not settings.rate_limiting or not rate.by_address:
        return None
    limit = _limit("ip", bucket, settings.rate_ip_points, settings.rate_window_seconds)
    verdict = provided.local_limiter.take_now((limit,))
    if not verdict.allowed:
        _blocked(rate, "ip", bucket, provided)
    return verdict


async def of_user(rate: RateClass, uid: str, bucket: str, provided: Services) -> Verdict | None:
    """
    What the limits of a user say; where all instances count together, their address' as well.

    Raises:
        Unavailable: the store of shared limits does not answer.
    """
    settings = provided.settings
    if not settings.rate_limiting:
        return None
    mine = _mine(rate, uid, settings)
    if not rate.shared:
        verdict = provided.local_limiter.take_now((mine,))
    else:
        verdict = await provided.limiter.take((mine, _theirs(rate, bucket, settings)))
    if not verdict.allowed:
        _blocked(rate, "user" if verdict.name == mine.name else "ip", mine.key, provided)
    return verdict


async def give_back(rate: RateClass, uid: str, bucket: str, taken: Sequence[int], provided: Services) -> bool:
    """
    Return what a call took of the limits that all instances count; whether that was done.

    It counts as an ordinary call instead, and where those are spent nothing is returned: who is refused
    may not ask without end.

    Raises:
        Unavailable: the store of shared limits does not answer.
    """
    settings = provided.settings
    if not provided.local_limiter.take_now((_mine(RateClass.CALL, uid, settings),)).allowed:
        return False
    limits = _mine(rate, uid, settings), _theirs(rate, bucket, settings)
    await provided.limiter.give_back(limits, taken)
    return True


def _mine(rate: RateClass, uid: str, settings: Settings) -> Limit:
    return _limit(rate.value, f"uid:{uid}", points(rate, settings), settings.rate_window_seconds)


def _theirs(rate: RateClass, bucket: str, settings: Settings) -> Limit:
    return _limit(f"{rate.value}-ip", bucket, settings.rate_shared_ip_points, settings.rate_window_seconds)


def points(rate: RateClass, settings: Settings) -> int:
    """How many calls of a class one user has in a window."""
    match rate:
        case RateClass.SUBMIT | RateClass.CALL:
            return settings.rate_call_points
        case RateClass.AI:
            return settings.rate_ai_points or settings.ai_points_of_tier
        case RateClass.LESSON:
            return settings.rate_lesson_points
        case RateClass.UPLOAD:
            return settings.rate_upload_points


@lru_cache(maxsize=16_384)
def _limit(name: str, key: str, points: int, seconds: int) -> Limit:
    """The same limit, made once for all calls that it counts."""
    return Limit(name, key, points, seconds)


class _Most:
    """Who is refused most often in this process, and when it was last told."""

    def __init__(self) -> None:
        self.users = HeavyHitters()
        self.told_at = time.monotonic()

    def add(self, name: str) -> Sequence[tuple[str, int]]:
        """Count *name*; what to tell now, mostly nothing."""
        self.users.add(name)
        now = time.monotonic()
        if now - self.told_at < _TELL_EVERY_SECONDS:
            return ()
        told, self.users, self.told_at = self.users.top(_TOLD), HeavyHitters(), now
        return told


_most = _Most()


def _blocked(rate: RateClass, by: str, key: str, provided: Services) -> None:
    metrics.rate_limited.labels(rate.value, by).inc()
    secret = provided.settings.receipt_key.get_secret_value().encode()
    hashed = hmac.digest(secret, b"limited:" + key.encode(), "sha256").hex()[:16]
    if told := _most.add(hashed):
        _tell(told)


def _tell(most: Iterable[tuple[str, int]]) -> None:
    listed = [f"{name} {count}" for name, count in most]
    log.warning("limits_met_most", extra={"most_limited": listed})  # nosemgrep: a-log-line-is-a-name  hashes


@lru_cache(maxsize=4096)
def _bucket(text: str) -> str:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"ip:{ipaddress.ip_network((found, _NETWORK_BITS), strict=False)}"
        found = found.ipv4_mapped
    return f"ip:{found}"
