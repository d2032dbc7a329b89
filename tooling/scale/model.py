"""
One hot assignment as a discrete-event simulation, within Firestore's documented limits.

What the limits are, and where they are documented:

- A document sustains about one write a second, averaged here over ten seconds: a short burst passes.
  https://firebase.google.com/docs/firestore/quotas
- Traffic to a collection may begin with 500 operations a second and grow by half every five minutes.
  https://firebase.google.com/docs/firestore/best-practices#ramping_up_traffic
- A request has at most 10 MiB, a document 1 MiB; Lectern's own guards are lower.

A write beyond a limit waits; one that waits longer than a client would has failed. Latencies are
assumptions and named; billed operations follow from what the ledger does, as
``tests/emulator/test_budgets.py`` holds it to.
"""

import functools
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from tooling.scale.prices import US_MULTI_REGION, Prices

DOCUMENT_WRITES_PER_SECOND = 1.0
DOCUMENT_BURST_SECONDS = 10.0
RAMP_OPERATIONS_PER_SECOND = 500.0
RAMP_FACTOR = 1.5
RAMP_SECONDS = 300.0
REQUEST_BYTES = 10 * 1024 * 1024
CLIENT_WAITS_SECONDS = 10.0

COMMIT_SECONDS = 0.03
MESSAGE_SECONDS = 0.1
"""Assumed: a commit in the same region, and a message from publishing to the function it wakes."""

ANSWER_BYTES = 300
MESSAGE_BYTES = 1000
PAGE_BYTES = 384 * 1024
STUDENT_BYTES = 30
REGISTER_BYTES = 40
"""Of a student, and of one answer of theirs, in a shard's page: measured with 100 and 1,000 students."""

SUBMIT_CPU_SECONDS = 0.0007
MERGE_CPU_SECONDS = 0.0002
REQUEST_SECONDS = 0.05
STUDENTS_PER_ROLLUP_INTERVAL = 2000
"""As in ``shared/ledger/rolling_up.py``: the interval grows by its own length for as many students."""

LONGEST_STEP = 2
"""As in ``shared/ledger/merging.py``: where there are several shards, they rest up to so many intervals."""

Design = Literal["lectern", "transaction", "counters"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What can be set: shards, how long and for how many answers a merge waits, how often it is shown."""

    shards: int = 1
    merge_seconds: float = 1.0
    merge_events: int = 500
    rollup_seconds: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """*students* answer one assignment *answers_each* times within *seconds*, evenly at random."""

    students: int
    answers_each: int = 1
    seconds: float = 600.0
    warm_operations_per_second: float = RAMP_OPERATIONS_PER_SECOND
    """What the collection of pending answers has been used to."""

    @property
    def answers(self) -> int:
        """All of them."""
        return self.students * self.answers_each


@dataclass(slots=True)
class Outcome:
    """What became of a load."""

    answers: int = 0
    failed: int = 0
    reads: float = 0.0
    writes: float = 0.0
    deletes: float = 0.0
    merges: int = 0
    rollups: int = 0
    largest_request: int = 0
    hottest_document: float = 0.0
    """Writes a second to the document that got most, over all the time."""
    freshness: list[tuple[float, int]] = field(default_factory=list)

    @property
    def failed_share(self) -> float:
        """Of the answers offered."""
        return self.failed / max(1, self.answers + self.failed)

    def p95_freshness(self) -> float:
        """Seconds from an answer to the assignment document that shows it, for 95 of 100."""
        enough, seen = 0.95 * sum(count for _, count in self.freshness), 0
        for seconds, count in sorted(self.freshness):
            seen += count
            if seen >= enough:
                return seconds
        return math.nan

    def dollars_per_1000(self, prices: Prices = US_MULTI_REGION, *, seconds: float = 600.0) -> float:
        """What a thousand answers cost: Firestore, the functions while at work, and messages."""
        firestore = self.reads * prices.read + self.writes * prices.write + self.deletes * prices.delete
        requests = 2 * self.answers  # as if each came and was merged by itself
        # An instance is paid for while it has any request; many at once share it.
        rate = requests / seconds
        shared = seconds * (1 - math.exp(-rate * REQUEST_SECONDS))
        computed = (self.answers * SUBMIT_CPU_SECONDS + self.answers * MERGE_CPU_SECONDS) / 0.6
        instance_seconds = max(shared, computed)
        functions = requests * prices.request + instance_seconds * (prices.cpu_second + prices.gib_second / 2)
        messages = 2 * MESSAGE_BYTES * self.answers * prices.pubsub_byte  # published, and delivered
        return (firestore + functions + messages) / max(1, self.answers) * 1000


class Limiter:
    """
    Lets *rate* through in a second, and as much at once as *burst* seconds hold.

    ``when(now, count)`` is the moment at which *count* more have passed, in the order asked.
    """

    def __init__(self, rate: Callable[[float], float], burst_seconds: float) -> None:
        """Start with a full burst."""
        self._rate = rate
        self._burst_seconds = burst_seconds
        self._free = -math.inf
        self.passed = 0

    def when(self, now: float, count: int = 1) -> float:
        """The moment at which these pass."""
        rate = self._rate(now)
        began = max(self._free, now - self._burst_seconds)
        self._free = began + count / rate
        self.passed += count
        return max(now, self._free)

    def wait(self, now: float, count: int = 1) -> float:
        """Seconds that these would wait."""
        began = max(self._free, now - self._burst_seconds)
        return max(0.0, began + count / self._rate(now) - now)


def document() -> Limiter:
    """A document, as Firestore sustains writes to it."""
    return Limiter(lambda _now: DOCUMENT_WRITES_PER_SECOND, DOCUMENT_BURST_SECONDS)


def collection(warm: float) -> Limiter:
    """A collection that has been used to *warm* operations a second, and ramps up from there."""
    start = max(warm, RAMP_OPERATIONS_PER_SECOND)
    return Limiter(lambda now: start * RAMP_FACTOR ** math.floor(max(0.0, now) / RAMP_SECONDS), 1.0)


def warm_up_seconds(operations_per_second: float) -> float:
    """How long before an exam a cold collection must be used more and more, until it takes this."""
    factor = max(1.0, operations_per_second / RAMP_OPERATIONS_PER_SECOND)
    return RAMP_SECONDS * math.ceil(math.log(factor, RAMP_FACTOR))


def simulate(
    load: Load, design: Design = "lectern", settings: Settings | None = None, seed: int = 1
) -> Outcome:
    """What becomes of *load* in *design*."""
    arrivals = _arrivals(load, random.Random(seed))  # noqa: S311  a simulation
    if design == "lectern":
        return _Lectern(load, settings or Settings(), seed).run(arrivals)
    if design == "counters":
        return _counters(load, arrivals, settings or Settings())
    return _transactions(load, arrivals)


_MANY = 100_000


def _arrivals(load: Load, chance: random.Random) -> list[tuple[float, int]]:
    """Answers by moment; Poisson, all of them within the time."""
    tick_seconds = 0.05 if load.answers <= _MANY else 0.25
    ticks = round(load.seconds / tick_seconds)
    counts = [0] * ticks
    if load.answers <= 20 * ticks:
        for _ in range(load.answers):
            counts[chance.randrange(ticks)] += 1
    else:
        mean = load.answers / ticks
        counts = [max(0, round(chance.gauss(mean, math.sqrt(mean)))) for _ in counts]
    return [(tick * tick_seconds, count) for tick, count in enumerate(counts) if count]


def _transactions(load: Load, arrivals: list[tuple[float, int]]) -> Outcome:
    """Each answer reads and writes the assignment document."""
    outcome = Outcome()
    hot = document()
    for now, count in arrivals:
        for done in range(count):
            waits = hot.wait(now)
            if waits > CLIENT_WAITS_SECONDS:
                outcome.failed += count - done
                outcome.reads += count - done
                break
            hot.when(now)
            outcome.answers += 1
            outcome.reads += 1
            outcome.writes += 1
            outcome.freshness.append((waits + 2 * COMMIT_SECONDS, 1))
    outcome.hottest_document = hot.passed / load.seconds
    return outcome


def _counters(load: Load, arrivals: list[tuple[float, int]], settings: Settings) -> Outcome:
    """Each answer is a document, and an increment of one of some counters."""
    outcome = Outcome()
    counters = [document() for _ in range(settings.shards)]
    turn = 0
    for now, count in arrivals:
        for done in range(count):
            turn += 1
            counter = counters[turn % len(counters)]
            waits = counter.wait(now)
            if waits > CLIENT_WAITS_SECONDS:
                outcome.failed += count - done
                break
            counter.when(now)
            outcome.answers += 1
            outcome.writes += 2
            outcome.freshness.append((waits + COMMIT_SECONDS, 1))
    outcome.hottest_document = max(counter.passed for counter in counters) / load.seconds
    return outcome


@dataclass(slots=True)
class _Shard:
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    events: int = 0
    head: Limiter = field(default_factory=document)
    due: float | None = None
    busy: bool = False


class _Lectern:
    """Put on record, gathered by shard, merged in one commit, rolled up."""

    def __init__(self, load: Load, settings: Settings, seed: int) -> None:
        self._load = load
        self._settings = settings
        self._chance = random.Random(seed)  # noqa: S311  a simulation
        self._pending = collection(load.warm_operations_per_second)
        self._shards = [_Shard() for _ in range(settings.shards)]
        self._assignment = document()
        self._merged: list[tuple[float, int]] = []
        self._rollup_at: float | None = None
        self._rolled_up_at = -math.inf
        self._students = 0.0
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._outcome = Outcome()

    def run(self, arrivals: list[tuple[float, int]]) -> Outcome:
        """Let everything happen."""
        for at, count in arrivals:
            self._at(at, functools.partial(self._arrive, count))
        while self._agenda:
            now, _, happen = heapq.heappop(self._agenda)
            happen(now)
        outcome = self._outcome
        heads = max(shard.head.passed for shard in self._shards)
        outcome.hottest_document = max(heads, self._assignment.passed) / self._load.seconds
        return outcome

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (when, self._number, happen))

    def _arrive(self, count: int, now: float) -> None:
        """Answers are put on record, if the collection takes them in time."""
        if self._pending.wait(now, count) > CLIENT_WAITS_SECONDS:
            self._outcome.failed += count
            return
        on_record = self._pending.when(now, count) + COMMIT_SECONDS
        self._outcome.answers += count
        self._outcome.writes += count
        self._students = min(self._load.students, self._students + count / self._load.answers_each)
        shards = len(self._shards)
        each, left = divmod(count, shards)
        first = self._chance.randrange(shards)
        for place in range(shards):
            share = each + (place < left)
            if share:
                shard = self._shards[(first + place) % shards]
                self._at(on_record + MESSAGE_SECONDS, self._offering(shard, now, share))

    def _offering(self, shard: _Shard, submitted: float, count: int) -> Callable[[float], None]:
        def offer(now: float) -> None:
            shard.waiting.append((submitted, count))
            shard.events += count
            self._consider(shard, now)

        return offer

    def _consider(self, shard: _Shard, now: float) -> None:
        """Merge when enough wait, or when the first has waited long enough."""
        if shard.busy or not shard.events:
            return
        due = now if shard.events >= self._settings.merge_events else self._due(now)
        if shard.due is None or due < shard.due:
            shard.due = due
            self._at(due, lambda at: self._merge(shard, at, due))

    def _due(self, now: float) -> float:
        """When a shard is merged in which an answer waits: where there are several, they keep step."""
        seconds = self._settings.merge_seconds
        if len(self._shards) == 1:
            return now + seconds
        step = LONGEST_STEP * seconds if self._interval() >= LONGEST_STEP * seconds else seconds
        return step * (math.floor(now / step) + 1)

    def _interval(self) -> float:
        return self._settings.rollup_seconds * (1 + self._students / STUDENTS_PER_ROLLUP_INTERVAL)

    def _merge(self, shard: _Shard, now: float, due: float) -> None:
        if shard.busy or shard.due != due:
            return
        shard.busy, shard.due = True, None
        batch, shard.waiting = list(shard.waiting), deque()
        count, shard.events = shard.events, 0
        done = shard.head.when(now) + COMMIT_SECONDS
        outcome = self._outcome
        outcome.merges += 1
        outcome.writes += 2
        outcome.deletes += count
        outcome.largest_request = max(outcome.largest_request, count * ANSWER_BYTES + PAGE_BYTES)
        self._pending.when(done, count)

        def merged(at: float) -> None:
            shard.busy = False
            self._merged += batch
            self._want_rollup(at)
            self._consider(shard, at)

        self._at(done, merged)

    def _want_rollup(self, now: float) -> None:
        if self._rollup_at is None:
            self._rollup_at = max(now, self._rolled_up_at + self._interval())
            self._at(self._rollup_at, self._roll_up)

    def _roll_up(self, now: float) -> None:
        self._rollup_at, self._rolled_up_at = None, now
        shown = self._assignment.when(now) + COMMIT_SECONDS
        outcome = self._outcome
        outcome.rollups += 1
        outcome.writes += 2  # the assignment, and how often its options were chosen
        outcome.reads += len(self._shards) if len(self._shards) > 1 else 0
        outcome.freshness += [(shown - submitted, count) for submitted, count in self._merged]
        self._merged = []


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings that a load needs, and what becomes of it with them."""

    load: Load
    settings: Settings
    outcome: Outcome


_INTERVALS = (0.15, 0.5, 1.0, 1.5, 2.0)
_INTERVALS_IN_STEP = (1.0, 1.5, 2.0)
_SPLIT_INTO = 4


def shards_for(load: Load, *, questions: int = 20) -> int:
    """So many that no page outgrows its limit; a shard is split into quarters."""
    size = load.students * (STUDENT_BYTES + min(questions, load.answers_each) * REGISTER_BYTES)
    shards = 1
    while size / shards > PAGE_BYTES:
        shards *= _SPLIT_INTO
    return shards


def plan(load: Load, *, questions: int = 20) -> Plan:
    """The shortest merge interval with which no document is written more than it sustains."""
    shards = shards_for(load, questions=questions)
    for seconds in _INTERVALS if shards == 1 else _INTERVALS_IN_STEP:
        # Beyond five hundred answers an interval is cut short only where a commit could not hold more.
        settings = Settings(shards=shards, merge_seconds=seconds, merge_events=2000)
        outcome = simulate(load, settings=settings)
        if outcome.hottest_document <= DOCUMENT_WRITES_PER_SECOND and not outcome.failed:
            break
    return Plan(load, settings, outcome)


def hot_assignment(learners: int, *, at_once: float = 0.1, minutes: float = 10.0) -> Load:
    """A tenth of all *learners* on one assignment, an answer a minute each."""
    students = max(1, round(learners * at_once))
    load = Load(students=students, answers_each=round(minutes), seconds=minutes * 60)
    return replace(load, warm_operations_per_second=2.5 * load.answers / load.seconds)
