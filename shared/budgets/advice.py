"""Where a day's spending on models could have been smaller: rules over its ledger entries."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from shared.budgets.prices import PriceTable, Usage
from shared.errors import NotAllowed

_WORTH = 0.02
"""A tip that saves less than this share of the day is none."""

_MANY_LEARNERS = 5
_OUT_OF_LINE = 5
"""A learner who costs so many times the median of all is out of line."""

_CACHEABLE_TOKENS = 1024
"""Shorter prompts are not kept by OpenAI: https://developers.openai.com/api/docs/guides/prompt-caching"""

_ENOUGH_CALLS = 20
"""Fewer calls tell nothing about how a cache does."""

_CACHED = 0.5
_REPLIES = 0.5
"""Of a prompt's tokens, and of a task's cost: a half of them is what the rules ask about."""

_CAN_WAIT = frozenset({"evaluate_answer"})
_IN_BATCHES = frozenset({"run_evaluation_queue"})
_LESSONS = frozenset({"generate_skeleton", "generate_step"})
_DAY_SECONDS = 86_400


class Rule(StrEnum):
    """What could be done."""

    CHEAPER_MODEL = "cheaper-model"
    LIMIT_ABUSE = "limit-abuse"
    BATCH = "batch"
    PROMPT_CACHE = "prompt-cache"
    LESS_REASONING = "less-reasoning"
    SHARED_CACHE = "shared-cache"
    LARGER_CACHE = "larger-cache"
    LESSON_CACHE = "lesson-cache"
    ARCHIVE = "archive"


class Actor(StrEnum):
    """Who can do it: the course's teachers, or whoever deploys."""

    TEACHER = "teacher"
    OPERATOR = "operator"


class Tip(NamedTuple):
    """
    What could be done, about whom or what, by whom.

    ``saved_nanos`` is about what it would have saved of the day's spending; 0 where nobody can tell.
    """

    rule: Rule
    actor: Actor
    subject: str
    saved_nanos: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """The settings that the rules look at, by their names."""

    small_model: str
    reasoning_effort: str
    cache: str
    cache_entries: int
    lesson_cache: bool
    lesson_cache_seconds: int
    archive_url: str
    evaluation_batches: str = "auto"


class _Call(NamedTuple):
    uid: str
    task: str
    model: str
    usage: Usage
    nanos: int


def advise(entries: Iterable[Mapping[str, Any]], prices: PriceTable, deployed: Deployed) -> list[Tip]:
    """
    What a day's *entries* (as ``SpendEntry.fields`` has them) suggest, the most worthwhile first.

    Entries of models that have no price any more are left out of what could be saved.
    """
    calls = [_call(each) for each in entries]
    spent = sum(call.nanos for call in calls)
    by_task: dict[str, list[_Call]] = defaultdict(list)
    for call in calls:
        by_task[call.task].append(call)
    tips = [
        *_out_of_line(calls),
        *(tip for task, some in by_task.items() for tip in _of_task(task, some, prices, deployed)),
        *_settings(calls, by_task, deployed),
    ]
    worth = [tip for tip in tips if not tip.saved_nanos or tip.saved_nanos >= _WORTH * spent]
    return sorted(worth, key=lambda tip: (-tip.saved_nanos, tip.rule, tip.subject))


def _call(entry: Mapping[str, Any]) -> _Call:
    usage = Usage(
        entry["promptTokens"],
        entry["completionTokens"],
        entry["cachedTokens"],
        entry.get("cacheWriteTokens", 0),
    )
    return _Call(entry["uid"], entry["task"], entry["model"], usage, entry["nanos"])


def _out_of_line(calls: Sequence[_Call]) -> Iterator[Tip]:
    by_learner: dict[str, int] = defaultdict(int)
    for call in calls:
        if call.uid:  # of whom was erased since, nobody can be asked
            by_learner[call.uid] += call.nanos
    if len(by_learner) < _MANY_LEARNERS:
        return
    usual = int(statistics.median(by_learner.values()))
    for uid, nanos in by_learner.items():
        if usual and nanos > _OUT_OF_LINE * usual:
            yield Tip(
                Rule.LIMIT_ABUSE,
                Actor.TEACHER,
                uid,
                nanos - usual,
                f"This learner cost {nanos / usual:.0f} times what half of the course stayed below. "
                f"Ask what for; a ceiling of their own is the document budgets/learner.{uid}.",
            )


def _of_task(task: str, calls: Sequence[_Call], prices: PriceTable, deployed: Deployed) -> Iterator[Tip]:
    cheaper = sum(_with(prices, deployed.small_model, call) for call in calls)
    if cheaper:
        yield Tip(
            Rule.CHEAPER_MODEL,
            Actor.OPERATOR,
            task,
            cheaper,
            f"With {deployed.small_model} these tokens would have cost less. Try on recorded answers whether "
            "it does as well (preview_pilot), then set LECTERN_LARGE_MODEL, or name it in the request.",
        )
    if task in _CAN_WAIT and len(calls) >= _ENOUGH_CALLS and deployed.evaluation_batches != "never":
        spent = sum(call.nanos for call in calls)
        yield Tip(
            Rule.BATCH,
            Actor.TEACHER,
            task,
            spent - prices.in_batch(spent),
            "Similar calls were sent one by one: those that could wait for a day cost less in a batch "
            '(queue_evaluations; on the page, "Evaluate all answers").',
        )
    if len(calls) >= _ENOUGH_CALLS:
        prompts = sum(call.usage.prompt_tokens for call in calls)
        cached = sum(call.usage.cached_tokens for call in calls)
        saved = sum(_if_cached(prices, call) for call in calls)
        if prompts >= _CACHEABLE_TOKENS * len(calls) and cached < _CACHED * prompts and saved:
            yield Tip(
                Rule.PROMPT_CACHE,
                Actor.OPERATOR,
                task,
                saved,
                "Few of these long prompts were found in the provider's cache: put what never changes first, "
                "and what differs from call to call last.",
            )
    replies = sum(call.usage.completion_tokens * _completion(prices, call) for call in calls)
    spent = sum(call.nanos for call in calls)
    if deployed.reasoning_effort not in {"", "none", "minimal"} and replies > _REPLIES * spent:
        yield Tip(
            Rule.LESS_REASONING,
            Actor.OPERATOR,
            task,
            0,
            "Most of the cost is what models think and reply: lower LECTERN_REASONING_EFFORT, and see in a "
            "pilot whether evaluations still agree with teachers'.",
        )


def _with(prices: PriceTable, model: str, call: _Call) -> int:
    """What it would have saved if another *model* had been sent and had replied the same tokens."""
    try:
        saved = max(0, prices.actual(call.model, call.usage) - prices.actual(model, call.usage))
        return prices.in_batch(saved) if call.task in _IN_BATCHES else saved
    except NotAllowed:
        return 0


def _completion(prices: PriceTable, call: _Call) -> int:
    try:
        price = prices.of(call.model).completion
        return prices.in_batch(price) if call.task in _IN_BATCHES else price
    except NotAllowed:
        return 0


def _if_cached(prices: PriceTable, call: _Call) -> int:
    """What it would save if as much of a prompt were found in the cache as a tip asks for."""
    try:
        price = prices.of(call.model)
    except NotAllowed:
        return 0
    more = int(_CACHED * call.usage.prompt_tokens) - call.usage.cached_tokens
    return max(0, more) * (price.prompt - price.cached)


def _settings(
    calls: Sequence[_Call], by_task: Mapping[str, Sequence[_Call]], deployed: Deployed
) -> Iterator[Tip]:
    lessons = sum(len(some) for task, some in by_task.items() if task in _LESSONS)

    def operator(rule: Rule, subject: str, text: str) -> Tip:
        return Tip(rule, Actor.OPERATOR, subject, 0, text)

    if deployed.cache == "memory" and len(calls) >= _ENOUGH_CALLS:
        yield operator(
            Rule.SHARED_CACHE,
            "LECTERN_CACHE",
            "Each instance keeps replies for itself: with firestore or redis, what one was told serves all.",
        )
    if len(calls) > deployed.cache_entries:
        yield operator(
            Rule.LARGER_CACHE,
            "LECTERN_CACHE_ENTRIES",
            f"A day has {len(calls):,} calls, and memory keeps {deployed.cache_entries:,} replies: the least "
            "recently used leave before they can be asked for again.",
        )
    if lessons > 1 and not deployed.lesson_cache:
        yield operator(
            Rule.LESSON_CACHE,
            "LECTERN_LESSON_CACHE",
            "Every outline and step is written anew for each who asks.",
        )
    elif lessons > 1 and deployed.lesson_cache_seconds < _DAY_SECONDS:
        yield operator(
            Rule.LESSON_CACHE,
            "LECTERN_LESSON_CACHE_SECONDS",
            "Outlines and steps are forgotten within a day, and written again.",
        )
    if not deployed.archive_url:
        yield operator(
            Rule.ARCHIVE,
            "LECTERN_ARCHIVE_URL",
            "Old answers stay in Firestore, where keeping them costs several times what it does in a bucket.",
        )
