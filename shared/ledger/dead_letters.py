"""Keeps what nobody can handle where somebody will look: ``deadLetters/{digest}``."""

import hashlib
from datetime import datetime

from shared.documents.base import Documents, Put

DEAD_LETTERS = "deadLetters"
_MOST_BYTES = 500_000


class DeadLetters:
    """
    Fields: ``function``, ``body`` (as it came, cut at 500 kB), ``cut`` (whether it was), ``reason``, ``at``.

    Equal letters are kept once.
    """

    def __init__(self, documents: Documents) -> None:
        """Keep them in *documents*."""
        self._documents = documents

    async def set_aside(self, function: str, body: bytes, reason: str, *, at: datetime) -> None:
        """Keep *body*, which *function* could not handle for *reason*."""
        name = hashlib.sha256(function.encode() + b"\n" + body).hexdigest()
        fields = {
            "function": function,
            "body": body[:_MOST_BYTES],
            "cut": len(body) > _MOST_BYTES,
            "reason": reason[:1000],
            "at": at,
        }
        await self._documents.commit([Put(f"{DEAD_LETTERS}/{name}", fields)])
