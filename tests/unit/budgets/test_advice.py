"""What a day's ledger suggests: each rule where it applies, and not where it does not."""

from dataclasses import replace

import pytest

from shared.budgets.advice import Actor, Deployed, Rule, advise
from shared.budgets.prices import PriceTable

PRICES = PriceTable({"large": (1_000, 100, 5_000), "small": (100, 10, 500)})
DEPLOYED = Deployed(
    small_model="small",
    reasoning_effort="none",
    cache="firestore",
    cache_entries=1000,
    lesson_cache=True,
    lesson_cache_seconds=86_400,
    archive_url="gs://answers",
)


def entry(uid="ann", task="chat", model="small", prompt=1000, cached=0, completion=100):
    price = {"large": (1_000, 100, 5_000), "small": (100, 10, 500), "gone": (1, 1, 1)}[model]
    nanos = (prompt - cached) * price[0] + cached * price[1] + completion * price[2]
    return {
        "uid": uid,
        "task": task,
        "model": model,
        "promptTokens": prompt,
        "cachedTokens": cached,
        "completionTokens": completion,
        "nanos": nanos,
    }


def rules(entries, **settings):
    return [(tip.rule, tip.subject) for tip in advise(entries, PRICES, replace(DEPLOYED, **settings))]


def test_a_day_without_calls_and_one_that_is_as_it_should_be_have_nothing_to_save():
    assert rules([]) == []
    assert rules([entry(uid=f"learner-{n}") for n in range(30)]) == []


class TestModels:
    def test_a_dear_model_is_told_with_what_the_small_one_would_have_saved(self):
        entries = [entry(task="evaluate_answer", model="large") for _ in range(3)]
        [tip] = advise(entries, PRICES, DEPLOYED)
        assert (tip.rule, tip.actor, tip.subject) == (Rule.CHEAPER_MODEL, Actor.OPERATOR, "evaluate_answer")
        assert tip.saved_nanos == 3 * (1_500_000 - 150_000)
        assert "small" in tip.text

    def test_each_task_is_told_by_itself_the_most_worthwhile_first(self):
        entries = [entry(task="a", model="large"), *(entry(task="b", model="large") for _ in range(2))]
        assert rules(entries) == [(Rule.CHEAPER_MODEL, "b"), (Rule.CHEAPER_MODEL, "a")]

    def test_what_saves_next_to_nothing_is_no_tip(self):
        entries = [entry(task="a", model="large"), *(entry(task="b") for _ in range(900))]
        assert rules(entries) == []

    def test_a_model_without_a_price_is_left_out(self):
        assert rules([entry(model="gone") for _ in range(30)]) == []
        assert rules([entry(model="large") for _ in range(30)], small_model="gone") == []
        assert rules([entry(model="gone", prompt=5000) for _ in range(30)], reasoning_effort="high") == []


class TestBatches:
    def test_evaluations_one_by_one_that_could_have_waited_are_told_with_what_a_batch_would_have_saved(self):
        entries = [entry(task="evaluate_answer") for _ in range(20)]
        [tip] = advise(entries, PRICES, DEPLOYED)
        assert (tip.rule, tip.actor, tip.subject) == (Rule.BATCH, Actor.TEACHER, "evaluate_answer")
        assert tip.saved_nanos == 20 * 150_000 // 2
        assert "queue_evaluations" in tip.text

    def test_a_few_or_what_cannot_wait_or_is_in_a_batch_already_is_no_reason(self):
        assert rules([entry(task="evaluate_answer") for _ in range(19)]) == []
        assert rules([entry(task="chat") for _ in range(30)]) == []
        assert rules([entry(task="run_evaluation_queue") for _ in range(30)]) == []
        assert rules([entry(task="evaluate_answer") for _ in range(30)], evaluation_batches="never") == []

    def test_of_what_was_in_a_batch_a_smaller_model_saves_half_as_much(self):
        batched = [entry(task="run_evaluation_queue", model="large") for _ in range(3)]
        [tip] = advise(batched, PRICES, DEPLOYED)
        assert tip.saved_nanos == 3 * (1_500_000 - 150_000) // 2


class TestLearners:
    def test_one_who_costs_far_more_than_half_of_the_others_is_told(self):
        entries = [entry(uid=f"learner-{n}") for n in range(9)] + [entry(uid="busy") for _ in range(6)]
        [tip] = advise(entries, PRICES, DEPLOYED)
        assert (tip.rule, tip.actor, tip.subject) == (Rule.LIMIT_ABUSE, Actor.TEACHER, "busy")
        assert tip.saved_nanos == 5 * 150_000
        assert "6 times" in tip.text
        assert "budgets/learner.busy" in tip.text

    def test_five_times_as_much_is_in_line(self):
        entries = [entry(uid=f"learner-{n}") for n in range(9)] + [entry(uid="busy") for _ in range(5)]
        assert rules(entries) == []

    def test_among_four_nobody_is(self):
        others = [entry(uid=f"learner-{n}") for n in range(3)]
        assert rules(others + [entry(uid="busy") for _ in range(90)]) == []

    def test_where_half_cost_nothing_nobody_is(self):
        free = [entry(uid=f"learner-{n}", prompt=0, completion=0) for n in range(9)]
        assert rules(free + [entry(uid="busy") for _ in range(6)]) == []


class TestPrompts:
    def test_long_prompts_that_are_never_found_in_the_providers_cache(self):
        entries = [entry(uid=f"learner-{n}", prompt=2000) for n in range(20)]
        [tip] = advise(entries, PRICES, DEPLOYED)
        assert (tip.rule, tip.subject) == (Rule.PROMPT_CACHE, "chat")
        assert tip.saved_nanos == 20 * 1000 * (100 - 10)

    @pytest.mark.parametrize(
        "entries",
        [
            [entry(uid=f"learner-{n}", prompt=2000) for n in range(19)],
            [entry(uid=f"learner-{n}", prompt=1023) for n in range(20)],
            [entry(uid=f"learner-{n}", prompt=2000, cached=1000) for n in range(20)],
        ],
        ids=["too few", "too short", "found half of the time"],
    )
    def test_others_are_none(self, entries):
        assert rules(entries) == []

    def test_reasoning_is_told_where_replies_are_most_of_the_cost(self):
        entries = [entry(completion=1000)]
        for effort in ("low", "high"):
            assert rules(entries, reasoning_effort=effort) == [(Rule.LESS_REASONING, "chat")]
        for effort in ("", "none", "minimal"):
            assert rules(entries, reasoning_effort=effort) == []
        assert rules([entry(completion=200)], reasoning_effort="high") == []


class TestSettings:
    def test_caches_of_single_instances(self):
        entries = [entry(uid=f"learner-{n}") for n in range(20)]
        assert rules(entries, cache="memory") == [(Rule.SHARED_CACHE, "LECTERN_CACHE")]
        assert rules(entries, cache="redis") == []
        assert rules(entries[1:], cache="memory") == []

    def test_caches_that_hold_less_than_a_day(self):
        entries = [entry(uid=f"learner-{n}") for n in range(11)]
        assert rules(entries, cache_entries=10) == [(Rule.LARGER_CACHE, "LECTERN_CACHE_ENTRIES")]
        assert rules(entries, cache_entries=11) == []

    def test_lessons_that_are_not_kept(self):
        entries = [entry(task="generate_step"), entry(task="generate_skeleton")]
        assert rules(entries, lesson_cache=False) == [(Rule.LESSON_CACHE, "LECTERN_LESSON_CACHE")]
        assert rules(entries, lesson_cache_seconds=3600) == [
            (Rule.LESSON_CACHE, "LECTERN_LESSON_CACHE_SECONDS")
        ]
        assert rules(entries[1:], lesson_cache=False) == []
        assert rules([entry(), entry()], lesson_cache=False) == []

    def test_answers_without_an_archive(self):
        assert rules([entry()], archive_url="") == [(Rule.ARCHIVE, "LECTERN_ARCHIVE_URL")]

    def test_what_can_be_reckoned_comes_before_what_cannot(self):
        found = rules([entry(model="large")], archive_url="")
        assert found == [(Rule.CHEAPER_MODEL, "chat"), (Rule.ARCHIVE, "LECTERN_ARCHIVE_URL")]
