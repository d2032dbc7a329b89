"""The composition root: which adapter stands behind which port."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.catalog.catalog import Catalog
from shared.ledger.accepting import PendingAnswers
from shared.limits.memory import MemoryLimiter
from shared.settings import Settings, get_settings
from shared.topics.base import ANSWERS_WAITING
from shared.topics.doorbell import Doorbell

if TYPE_CHECKING:
    from shared.batching.queue import EvaluationQueue
    from shared.batching.worker import QueueRun
    from shared.budgets.base import Budgets
    from shared.budgets.entries import SpendLedger
    from shared.budgets.prices import PriceTable
    from shared.caching.caches import Caches
    from shared.caching.redis import RedisStore
    from shared.documents.base import Document, Documents
    from shared.erasures.erasures import Erasures
    from shared.gateway.batches import Batches
    from shared.gateway.gateway import Gateway
    from shared.gateway.proxy import Proxy
    from shared.gateway.upstream import Upstream
    from shared.identity.accounts import AccountDirectory
    from shared.identity.base import Identity
    from shared.ledger.archive import Archive
    from shared.ledger.dead_letters import DeadLetters
    from shared.ledger.erasing import Erasing
    from shared.ledger.history import History
    from shared.ledger.merging import Merger
    from shared.ledger.recorded import RecordedAnswers
    from shared.ledger.results import Results
    from shared.ledger.shards import Shards
    from shared.ledger.sweeping import Sweep
    from shared.ledger.tidying import Tidying
    from shared.ledger.tombstones import Tombstones
    from shared.limits.base import Limiter
    from shared.topics.base import Topic
    from shared.tutoring.records import TutoringRecords


LIMITS_OVER_ALL = ("ai", "lesson", "upload")
"""The names of limits that all instances count together: of ``RateClass``, in the border."""


class Services:
    """
    What a function may use; each part is built on first use and kept for the life of the process.

    First use is inside the event loop and after any fork, where clients must be made.
    """

    def __init__(self, settings: Settings) -> None:
        """Wire for *settings*."""
        self.settings = settings

    def now(self) -> datetime:
        """The one clock."""
        return datetime.now(UTC)

    async def close(self) -> None:
        """End the connections that were made; for tests and for processes that end politely."""
        parts = ("upstream", "caches", "redis_replies", "budgets", "spend_ledger", "limiter")
        for name in (*parts, "documents", "answers_waiting", "identity"):
            close = getattr(self.__dict__.get(name), "close", None)
            if close is not None:
                await close()
        directory = self.__dict__.get("account_directory")
        if directory is not None:
            directory.close()

    @cached_property
    def receipt_key(self) -> bytes:
        """
        Signs receipts, seals and cursors.

        Raises:
            RuntimeError: none is configured; nothing may be accepted that could not be signed for.
        """
        key = self.settings.receipt_key.get_secret_value()
        if not key:
            message = "LECTERN_RECEIPT_KEY is not set"
            raise RuntimeError(message)
        return key.encode()

    @cached_property
    def documents(self) -> "Documents":
        """Firestore."""
        from shared.documents.firestore import FirestoreDocuments

        return FirestoreDocuments(
            project=self.settings.project,
            database=self.settings.database,
            emulator_host=self.settings.firestore_emulator_host,
        )

    @cached_property
    def account_directory(self) -> "AccountDirectory":
        """The accounts of Firebase Auth."""
        from shared.identity.accounts import IdentityToolkit

        return IdentityToolkit(project=self.settings.project, emulator_host=self.settings.auth_emulator_host)

    @cached_property
    def identity(self) -> "Identity":
        """Firebase Auth."""
        from shared.identity.accounts import Accounts
        from shared.identity.firebase import FirebaseIdentity

        accounts = None
        if self.settings.check_revoked:
            accounts = Accounts(self.account_directory, now=time.time)
        return FirebaseIdentity(
            project=self.settings.project,
            events_audiences=self.settings.events_audiences,
            events_accounts=self.settings.events_service_accounts,
            emulated=bool(self.settings.auth_emulator_host),
            now=time.time,
            accounts=accounts,
        )

    @cached_property
    def answers_waiting(self) -> "Topic":
        """The topic that wakes merging."""
        from shared.topics.pubsub import PubSub, PubSubTopic

        pubsub = PubSub(project=self.settings.project, emulator_host=self.settings.pubsub_emulator_host)
        return PubSubTopic(pubsub, ANSWERS_WAITING)

    @cached_property
    def doorbell(self) -> Doorbell:
        """Rings for merging."""
        return Doorbell(self.answers_waiting)

    @cached_property
    def catalog(self) -> Catalog:
        """Courses and assignments."""
        return Catalog(self.documents, now=self.now, clock=time.monotonic)

    @cached_property
    def pending_answers(self) -> PendingAnswers:
        """Where answers are put on record."""
        return PendingAnswers(self.documents)

    @cached_property
    def merger(self) -> "Merger":
        """This process's worker."""
        from shared.ledger.merging import Merger, MergeSettings

        settings = self.settings
        return Merger(
            self.documents,
            grading_of=self.catalog.grading,
            now=self.now,
            tombstones=self.tombstones,
            settings=MergeSettings(
                gather_seconds=settings.gather_milliseconds / 1000,
                gather_events=settings.gather_events,
                merge_seconds=settings.merge_seconds,
                crowd_events=settings.crowd_events,
                page_bytes=settings.shard_page_bytes,
                rollup_seconds=settings.rollup_seconds,
            ),
        )

    @cached_property
    def tombstones(self) -> "Tombstones":
        """Who was erased."""
        from shared.ledger.tombstones import Tombstones

        return Tombstones(self.documents, key=self.receipt_key, clock=time.monotonic)

    @cached_property
    def erasing(self) -> "Erasing":
        """Takes learners out of the ledger."""
        from shared.ledger.erasing import Erasing

        return Erasing(
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
    def shards(self) -> "Shards":
        """The shards of the ledger, to read."""
        from shared.ledger.shards import Shards

        return Shards(self.documents)

    @cached_property
    def results(self) -> "Results":
        """What learners have achieved."""
        from shared.ledger.results import Results

        return Results(self.shards)

    @cached_property
    def archive(self) -> "Archive | None":
        """Where old segments go, if anywhere."""
        url = urlsplit(self.settings.archive_url)
        if url.scheme == "gs":
            from shared.archives.cloud_storage import CloudStorageArchive

            return CloudStorageArchive(project=self.settings.project, bucket=url.netloc, prefix=url.path)
        if url.scheme == "file":
            from shared.archives.folder import FolderArchive

            return FolderArchive(Path(url.path))
        return None

    @cached_property
    def history(self) -> "History":
        """Replays what happened."""
        from shared.ledger.history import History

        return History(self.documents, self.shards, self.archive, key=self.receipt_key)

    @cached_property
    def recorded_answers(self) -> "RecordedAnswers":
        """Finds recorded answers again, word for word."""
        from shared.ledger.recorded import RecordedAnswers

        return RecordedAnswers(self.documents, self.results, self.history)

    @cached_property
    def tutoring_records(self) -> "TutoringRecords":
        """What tutoring keeps."""
        from shared.tutoring.records import TutoringRecords

        return TutoringRecords(self.documents)

    async def remove_expired(self) -> int:
        """Remove what says that it is over, where no TTL policy did; how many documents that were."""
        from shared.documents.expiring import EXPIRING, remove_expired

        return sum([await remove_expired(self.documents, each, self.now()) for each in EXPIRING])

    @cached_property
    def tidying(self) -> "Tidying":
        """The daily clean-up."""
        from shared.ledger.tidying import Tidying

        drop_after = self.settings.archive_drop_after_days
        return Tidying(
            self.documents,
            self.shards,
            self.merger.figures,
            archive=self.archive,
            archive_after=timedelta(days=self.settings.archive_after_days),
            drop_after=None if drop_after is None else timedelta(days=drop_after),
            now=self.now,
        )

    @cached_property
    def redis_replies(self) -> "RedisStore":
        """Kept replies in Redis, to erase from."""
        from shared.caching.redis import RedisStore

        return RedisStore(self.settings.redis_url.get_secret_value())

    @cached_property
    def erasures(self) -> "Erasures":
        """Erases learners everywhere: every place in which something of them is kept."""
        from shared.batching.erasing import queued
        from shared.budgets.erasing import places as places_of_money
        from shared.caching.erasing import RepliesInRedis
        from shared.caching.erasing import places as places_of_replies
        from shared.catalog.erasing import Members
        from shared.erasures.erasures import Erasures
        from shared.identity.accounts import AccountsOfLearners
        from shared.limits.erasing import counted_calls
        from shared.tutoring.erasing import places as places_of_tutoring

        documents, settings = self.documents, self.settings
        in_redis = [RepliesInRedis(self.redis_replies)] if settings.cache == "redis" else []
        return Erasures(
            documents,
            [
                AccountsOfLearners(self.account_directory),
                Members(documents),
                # Before the evaluations that come of it.
                queued(documents),
                *places_of_tutoring(documents, key=self.receipt_key),
                *places_of_money(documents),
                counted_calls(documents, LIMITS_OVER_ALL, seconds=settings.rate_window_seconds),
                *places_of_replies(documents),
                *in_redis,
            ],
            answers=self.erasing,
            tombstones=self.tombstones,
            archive=self.archive,
            key=self.receipt_key,
            now=self.now,
        )

    @cached_property
    def dead_letters(self) -> "DeadLetters":
        """Where the unreadable goes."""
        from shared.ledger.dead_letters import DeadLetters

        return DeadLetters(self.documents)

    @cached_property
    def sweep(self) -> "Sweep":
        """Makes lost messages good."""
        from shared.ledger.sweeping import Sweep

        async def set_aside(document: "Document", reason: str) -> None:
            body = repr(dict(document.fields)).encode()
            await self.dead_letters.set_aside(document.path, body, reason, at=self.now())

        return Sweep(
            self.documents, self.merger, now=self.now, set_aside=set_aside, young=timedelta(seconds=2)
        )

    @cached_property
    def local_limiter(self) -> MemoryLimiter:
        """Rate limits within this process."""
        return MemoryLimiter(time.monotonic)

    @cached_property
    def limiter(self) -> "Limiter":
        """Rate limits over all instances."""
        match self.settings.limiter:
            case "memory":
                return MemoryLimiter(time.monotonic)
            case "firestore":
                from shared.limits.leases import LeaseLimiter

                return LeaseLimiter(self.documents, time.time)
            case "redis":
                from shared.limits.redis import RedisLimiter

                return RedisLimiter(self.settings.redis_url.get_secret_value())

    @cached_property
    def prices(self) -> "PriceTable":
        """What models cost."""
        from shared.budgets.prices import PriceTable

        return PriceTable(self.settings.prices, batch_percent=self.settings.batch_percent)

    @cached_property
    def spend_ledger(self) -> "SpendLedger":
        """What was paid for, call by call."""
        from shared.budgets.entries import SpendLedger

        return SpendLedger(self.documents)

    @cached_property
    def budgets(self) -> "Budgets":
        """What may still be spent."""
        from zoneinfo import ZoneInfo

        from shared.budgets.ladder import Ceilings
        from shared.budgets.leases import LeasedBudgets
        from shared.budgets.memory import MemoryBudgets

        settings = self.settings
        ceilings = Ceilings(
            learner_day=settings.budget_learner_day_nanos,
            class_day=settings.budget_class_day_nanos,
            course_day=settings.budget_course_day_nanos,
            tenant_day=settings.budget_tenant_day_nanos,
            tenant_month=settings.budget_tenant_month_nanos,
        )
        zone = ZoneInfo(settings.time_zone)
        enter = self.spend_ledger.enter
        if settings.budgets == "memory":
            return MemoryBudgets(ceilings, now=self.now, zone=zone, enter=enter)
        return LeasedBudgets(self.documents, ceilings, now=self.now, zone=zone, enter=enter)

    @cached_property
    def caches(self) -> "Caches":
        """What was made before."""
        from shared.caching.build import caches

        return caches(self.settings, self.receipt_key, lambda: self.documents, self.now, self._whether_erased)

    async def _whether_erased(self) -> "Callable[[str], bool]":
        """Tells whether the learner with a uid was erased, as far as it is known now."""
        from shared.learning.marks import mark

        known = await self.tombstones.known()
        return lambda uid: mark(self.receipt_key, uid) in known

    @cached_property
    def upstream(self) -> "Upstream | None":
        """The provider of models, if one is set up."""
        from shared.gateway import build

        return build.upstream(self.settings)

    @cached_property
    def gateway(self) -> "Gateway":
        """Asks models: through caches and budgets."""
        from shared.gateway import build
        from shared.gateway.gateway import Gateway

        models = build.models(self.settings)
        return Gateway(
            self.upstream,
            self.budgets,
            self.prices,
            self.caches,
            models=models,
            effort=self.settings.reasoning_effort,
            ceiling_nanos=self.settings.budget_learner_day_nanos,
        )

    @cached_property
    def batches(self) -> "Batches":
        """Asks models for many replies at once, within a day."""
        from shared.gateway.batches import Batches

        return Batches(self.upstream)

    @cached_property
    def evaluation_queue(self) -> "EvaluationQueue":
        """The evaluations that wait."""
        from shared.batching.queue import EvaluationQueue

        return EvaluationQueue(self.documents)

    def queue_run(self) -> "QueueRun":
        """One run of a worker over that queue."""
        from shared.batching.preparing import Preparing
        from shared.batching.worker import Mode, Parts, QueueRun

        settings = self.settings
        preparing = Preparing(
            self.catalog, self.recorded_answers, self.tutoring_records, self.gateway, self.prices
        )
        parts = Parts(
            queue=self.evaluation_queue,
            preparing=preparing,
            batches=self.batches,
            gateway=self.gateway,
            budgets=self.budgets,
            ledger=self.spend_ledger,
            prices=self.prices,
            records=self.tutoring_records,
            now=self.now,
            mode=Mode(
                settings.evaluation_batches == "auto",
                settings.evaluations_alone,
                settings.evaluation_batch_items,
            ),
        )
        return QueueRun(parts)

    @cached_property
    def proxy(self) -> "Proxy":
        """Passes OpenAI's interface through."""
        from shared.gateway.proxy import Proxy

        return Proxy(
            self.upstream, self.budgets, self.prices, self.caches, seconds=self.settings.proxy_seconds
        )


_current: list[Services] = []


def services() -> Services:
    """The services of this process."""
    if not _current:
        _current.append(Services(get_settings()))
        # A worker keeps registers of many thousand answers, which the collector would walk again and
        # again in vain: rarer collections merge a quarter faster. What was imported stays for good.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
    return _current[-1]


@contextmanager
def using(replacement: Services) -> Iterator[Services]:
    """Use *replacement* within this block, then what was there before; for tests."""
    _current.append(replacement)
    try:
        yield replacement
    finally:
        _current.remove(replacement)
