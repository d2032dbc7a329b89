"""Builds a process's caches from its settings."""

import hmac
from collections.abc import Callable
from datetime import datetime

from shared.caching.base import SharedStore
from shared.caching.caches import Caches, Erased
from shared.caching.keys import Keys
from shared.caching.registry import LESSONS
from shared.documents.base import Documents
from shared.settings import Settings


def caches(
    settings: Settings,
    receipt_key: bytes,
    documents: Callable[[], Documents],
    now: Callable[[], datetime],
    erased: Erased | None = None,
) -> Caches:
    """The caches; their names are sealed with a key of their own. *erased* tells whose to forget."""
    own = settings.cache_key.get_secret_value().encode()
    secret = own or hmac.digest(receipt_key, b"lectern.cache key", "sha256")
    store: SharedStore | None = None
    if settings.cache == "firestore":
        from shared.caching.firestore import FirestoreStore

        store = FirestoreStore(documents(), now)
    elif settings.cache == "redis":
        from shared.caching.redis import RedisStore

        store = RedisStore(settings.redis_url.get_secret_value())
    return Caches(
        Keys(secret),
        entries=settings.cache_entries,
        store=store,
        clock=lambda: now().timestamp(),
        lives=dict.fromkeys(LESSONS, settings.lesson_cache_seconds),
        erased=erased,
    )
