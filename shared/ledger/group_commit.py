"""Concurrent creations share a round trip; each still learns its own outcome, after it is durable."""

import asyncio
from typing import NamedTuple

from shared.documents.base import Create, Documents, Fields, Written
from shared.documents.round_trips import RoundTrips
from shared.errors import Unavailable

_MOST_TOGETHER = 200
_MOST_BYTES = 1_000_000
_IN_FLIGHT = 2
_TRIES = 3
_PAUSE_SECONDS = 0.05


class Creation(NamedTuple):
    """Whether there was a document already, and whether an unanswered attempt before may have made it."""

    existed: bool
    repeated: bool


class GroupCommit:
    """
    Creates documents, many to a round trip.

    Nobody hears of success before the store has confirmed it.
    """

    def __init__(self, documents: Documents) -> None:
        """Write to *documents*."""
        self._documents = documents
        self._round_trips = RoundTrips(
            self._create, in_flight=_IN_FLIGHT, most_documents=_MOST_TOGETHER, most_bytes=_MOST_BYTES
        )

    async def create(self, path: str, fields: Fields, *, size: int) -> Creation:
        """
        Create the document at *path*, about *size* bytes long.

        Raises:
            Unavailable: it is not known whether the document was created.
        """
        return await self._round_trips.take(Create(path, fields), paths=[path], size=size)

    async def _create(self, creations: list[Create]) -> list[Creation]:
        for attempt in range(1, _TRIES + 1):
            try:
                outcomes = await self._documents.create_each(creations)
                return [Creation(outcome is Written.EXISTS, attempt > 1) for outcome in outcomes]
            except Unavailable:
                # Creating again is safe; what the lost attempt did shows as a document that exists.
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError
