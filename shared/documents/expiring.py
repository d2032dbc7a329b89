"""Removes documents whose ``expiresAt`` is over, where Firestore's TTL policy does not, or not yet."""

from datetime import datetime

from shared.documents.base import Delete, Document, Documents
from shared.errors import PreconditionLost

EXPIRING = (
    "rateLimits",
    "spending",
    "cachedReplies",
    "cacheLeases",
    "pilots",
    "pilotEvaluations",
    "queuedEvaluations",
    "evaluationBatches",
)
"""Collections whose documents say when they expire; ``firestore.indexes.json`` has their TTL policies."""

_PAGE = 300
_MOST = 10_000


async def remove_expired(documents: Documents, collection: str, now: datetime) -> int:
    """
    Remove what of *collection* is over at *now*, of its first 10,000 documents; how many that were.

    A document that is used again meanwhile stays: it is only removed as it was read.
    """
    removed = looked = 0
    last: str | None = None
    while looked < _MOST:
        page = await documents.scan(collection, after=last, limit=_PAGE)
        over = [each for each in page if each.fields.get("expiresAt", now) < now]
        removed += await _remove(documents, over)
        if len(page) < _PAGE:
            break
        looked += len(page)
        last = page[-1].id
    return removed


async def _remove(documents: Documents, over: list[Document]) -> int:
    if not over:
        return 0
    try:
        await documents.commit([Delete(each.path, each.version) for each in over])
    except PreconditionLost:
        if len(over) == 1:
            return 0
        half = len(over) // 2
        return await _remove(documents, over[:half]) + await _remove(documents, over[half:])
    return len(over)
