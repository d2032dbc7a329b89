"""Lectern's own parts, wired as in production, over a store, a topic and an archive that may fail."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from functions.answers import _ring
from shared.catalog.catalog import Catalog
from shared.errors import Conflict, NotFound, Rejected
from shared.learning import receipts
from shared.learning.answers import AnswerSubmitted
from shared.ledger.accepting import Recorded
from shared.ledger.browser_answers import from_browser
from shared.ledger.merging import MergeSettings
from shared.settings import Settings
from shared.topics import doorbell
from shared.topics.base import Message
from shared.wiring import Services
from tests.mutants import SOUND, Variant

SETTINGS = Settings(receipt_key="a key for receipts, for fault tests only", archive_url="")


class FaultyServices(Services):
    """What the functions of one process use; a *variant* may put a mutant in the place of a part."""

    def __init__(
        self,
        *,
        documents: Any,
        topic: Any,
        archive: Any,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        jitter: Callable[[], float],
        merging: MergeSettings,
        variant: Variant = SOUND,
        archive_after: timedelta = timedelta(0),
        drop_after: timedelta = timedelta(0),
        young: timedelta = timedelta(seconds=2),
    ) -> None:
        super().__init__(SETTINGS)
        self.now = now
        self._clock = clock
        self._jitter = jitter
        self._merging = merging
        self._variant = variant
        self._archive_times = (archive_after, drop_after)
        self._young = young
        self.__dict__.update(documents=variant.documents(documents), answers_waiting=topic, archive=archive)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.documents, now=self.now, clock=self._clock)

    @cached_property
    def tombstones(self) -> Any:
        return self._variant.tombstones(self.documents, key=self.receipt_key, clock=self._clock)

    @cached_property
    def shards(self) -> Any:
        return self._variant.shards(self.documents)

    @cached_property
    def erasing(self) -> Any:
        return self._variant.erasing(
            self.documents,
            self.shards,
            self.history,
            self.merger.figures,
            archive=self.archive,
            grading_of=self.catalog.grading,
            key=self.receipt_key,
            now=self.now,
        )

    @cached_property
    def pending_answers(self) -> Any:
        return self._variant.pending_answers(self.documents)

    @cached_property
    def merger(self) -> Any:
        return self._variant.merger(
            self.documents,
            grading_of=self.catalog.grading,
            now=self.now,
            tombstones=self.tombstones,
            settings=self._merging,
            jitter=self._jitter,
        )

    @cached_property
    def tidying(self) -> Any:
        tidying = super().tidying
        tidying._archive_after, tidying._drop_after = self._archive_times
        return tidying

    @cached_property
    def sweep(self) -> Any:
        async def set_aside(document: Any, reason: str) -> None:
            await self.dead_letters.set_aside(document.path, b"", reason, at=self.now())

        return self._variant.sweep(
            self.documents, self.merger, now=self.now, set_aside=set_aside, young=self._young
        )


class MemoryArchive:
    """An archive in a dict, whose every operation may go wrong as those of the store may."""

    def __init__(self, kept: dict[str, bytes], perform: Callable[..., Any] | None = None) -> None:
        self._kept = kept
        self._perform = perform or _at_once

    async def put(self, name: str, content: bytes) -> None:
        async def effect() -> None:
            if self._kept.setdefault(name, content) != content:
                message = f"something else is archived as {name}"
                raise Conflict(message)

        await self._perform("archive", name, effect)

    async def get(self, name: str) -> bytes:
        async def effect() -> bytes:
            if name not in self._kept:
                message = f"nothing is archived as {name}"
                raise NotFound(message)
            return self._kept[name]

        return await self._perform("restore", name, effect)

    async def delete(self, name: str) -> None:
        async def effect() -> None:
            self._kept.pop(name, None)

        await self._perform("remove", name, effect)


async def _at_once(_operation: str, _detail: str, effect: Callable[[], Awaitable[Any]]) -> Any:
    return await effect()


# What the functions do behind their border.


async def accept(services: Services, event: AnswerSubmitted) -> Recorded:
    """``submit_answer``, of an event that was decided already."""
    recorded = await services.pending_answers.record(event)
    await _ring(recorded, receipts.issue(recorded.event, recorded.text, key=services.receipt_key), services)
    return recorded


async def merge_message(services: Services, message: Message) -> None:
    """``merge_answers``."""
    events = doorbell.read(message.data, key=services.receipt_key)
    await services.merger.merge(events, by="message")


async def merge_created(services: Services, event_id: str, fields: dict[str, Any]) -> None:
    """``on_answer_created``, and what its border does with what is no answer."""
    try:
        await services.merger.merge([from_browser(event_id, fields)], by="trigger")
    except Rejected as error:
        await services.dead_letters.set_aside(
            "on_answer_created", event_id.encode(), error.message, at=services.now()
        )
