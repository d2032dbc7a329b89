"""The scale model: what holds in it, and the arithmetic of capacity and cost."""

import math

import pytest

from shared import settings as deployed
from tooling.scale.capacity import (
    DAY_OF_10_000,
    PUBLISHED_MONTHLY_COSTS,
    Worker,
    break_even,
    firestore_month,
    instances_needed,
    requests_per_minute,
    served_per_minute,
    workers_needed,
)
from tooling.scale.model import (
    DOCUMENT_WRITES_PER_SECOND,
    PAGE_BYTES,
    REGISTER_BYTES,
    REQUEST_BYTES,
    REQUEST_SECONDS,
    STUDENT_BYTES,
    SUBMIT_CPU_SECONDS,
    Load,
    Settings,
    collection,
    document,
    hot_assignment,
    plan,
    shards_for,
    simulate,
    warm_up_seconds,
)
from tooling.scale.prices import US_MULTI_REGION, US_REGION, kept_instance
from tooling.scale.tiers import TIERS, tier_for

EXAM = Load(students=100_000)


class TestLimits:
    def test_a_document_takes_a_burst_and_then_one_write_a_second(self):
        hot = document()
        moments = [hot.when(0.0) for _ in range(30)]
        assert moments[:10] == [0.0] * 10
        assert moments[10:] == [pytest.approx(n) for n in range(1, 21)]

    def test_a_document_left_alone_takes_a_burst_again(self):
        hot = document()
        for _ in range(30):
            hot.when(0.0)
        assert hot.wait(100.0) == 0.0

    def test_a_collection_ramps_up_by_half_every_five_minutes(self):
        cold = collection(0)
        assert cold.when(0.0, 500) == pytest.approx(0.0)
        assert cold.wait(0.0, 500) == pytest.approx(1.0)
        assert collection(0).wait(301.0, 750) == pytest.approx(0.0)
        assert collection(0).wait(301.0, 1500) == pytest.approx(1.0)

    def test_warming_up_takes_as_long_as_the_ramp(self):
        assert warm_up_seconds(500) == 0
        assert warm_up_seconds(750) == 300
        assert warm_up_seconds(751) == 600
        assert 500 * 1.5 ** (warm_up_seconds(6667) / 300) >= 6667


class TestDesigns:
    @pytest.mark.parametrize("learners", [10_000, 100_000])
    def test_the_naive_designs_fail_and_ours_does_not(self, learners):
        load = hot_assignment(learners)
        assert simulate(load, "transaction").failed_share > 0.9
        assert simulate(load, "counters", Settings(shards=10)).failed_share > 0.3
        ours = plan(load).outcome
        assert ours.failed == 0
        assert ours.answers == load.answers

    def test_an_exam_of_100_000_students_in_ten_minutes(self):
        assert simulate(EXAM, "transaction").failed_share > 0.99
        assert simulate(EXAM, "counters", Settings(shards=10)).failed_share > 0.9
        ours = plan(EXAM)
        assert ours.outcome.failed == 0
        assert ours.outcome.answers == 100_000
        assert ours.outcome.deletes == 100_000
        assert ours.outcome.hottest_document <= DOCUMENT_WRITES_PER_SECOND
        assert ours.outcome.largest_request < REQUEST_BYTES
        assert ours.settings.shards == 64
        # What everybody looks at is written less often, the more look at it.
        assert ours.outcome.p95_freshness() < 60

    def test_a_cold_collection_does_not_take_a_burst_that_a_warm_one_takes(self):
        cold = Load(students=60_000, answers_each=1, seconds=30)
        warm = Load(students=60_000, answers_each=1, seconds=30, warm_operations_per_second=5_000)
        settings = Settings(shards=4)
        assert simulate(cold, settings=settings).failed_share > 0.3
        assert simulate(warm, settings=settings).failed == 0

    def test_nobody_fails_in_a_small_class_whatever_the_design(self):
        load = hot_assignment(100)
        for design in ("transaction", "counters", "lectern"):
            assert simulate(load, design, Settings(shards=10 if design == "counters" else 1)).failed == 0

    def test_merging_at_once_writes_a_shard_too_often_and_waiting_a_second_does_not(self):
        load = Load(students=300, answers_each=10, seconds=300)
        hasty = simulate(load, settings=Settings(merge_seconds=0.15, merge_events=10))
        patient = simulate(load, settings=Settings(merge_seconds=1.0, merge_events=2000))
        assert hasty.hottest_document > DOCUMENT_WRITES_PER_SECOND
        assert patient.hottest_document <= DOCUMENT_WRITES_PER_SECOND
        assert patient.writes < hasty.writes

    def test_answers_of_a_class_are_visible_within_two_seconds(self):
        found = plan(Load(students=30, answers_each=20, seconds=600))
        assert found.outcome.p95_freshness() <= 2.0

    def test_operations_are_counted_as_the_budgets_have_them(self):
        load = Load(students=100, answers_each=10, seconds=100)
        outcome = simulate(load, settings=Settings(shards=1))
        assert outcome.deletes == 1000
        assert outcome.writes == 1000 + 2 * outcome.merges + 2 * outcome.rollups
        assert outcome.reads == 0

    def test_the_same_seed_gives_the_same_outcome(self):
        load = hot_assignment(1_000)
        assert simulate(load, seed=7) == simulate(load, seed=7)
        assert simulate(load, seed=7) != simulate(load, seed=8)

    def test_no_page_outgrows_its_limit(self):
        for students in (30, 1_000, 10_000, 100_000):
            load = Load(students=students, answers_each=20)
            size = students * (STUDENT_BYTES + 20 * REGISTER_BYTES) / shards_for(load)
            assert size <= PAGE_BYTES


class TestCosts:
    def test_a_thousand_answers_cost_about_what_their_operations_cost(self):
        load = Load(students=500, answers_each=20, seconds=600)
        outcome = plan(load).outcome
        firestore = outcome.writes * 0.18e-5 + outcome.deletes * 0.02e-5 + outcome.reads * 0.06e-5
        dollars = outcome.dollars_per_1000(seconds=load.seconds) * outcome.answers / 1000
        assert firestore < dollars < 3 * firestore

    def test_a_single_region_is_cheaper(self):
        outcome = plan(hot_assignment(1_000)).outcome
        assert outcome.dollars_per_1000(US_REGION) < outcome.dollars_per_1000(US_MULTI_REGION)

    def test_answers_get_cheaper_as_they_get_more(self):
        costs = [plan(hot_assignment(n)).outcome.dollars_per_1000() for n in (100, 1_000, 10_000, 100_000)]
        assert costs == sorted(costs, reverse=True)

    def test_a_kept_instance_costs_nearly_ten_dollars_a_month_and_not_five(self):
        assert kept_instance(US_MULTI_REGION) == pytest.approx(9.855)
        assert kept_instance(US_MULTI_REGION, cpus=0.5, memory_mib=256) == pytest.approx(4.9275)


class TestCapacity:
    def test_a_worker_with_three_lessons_and_five_uploads_at_once_a_minute_each(self):
        assert Worker(at_once=3, minutes=1).per_minute * 60 == 180
        assert Worker(at_once=5, minutes=0.5).per_minute * 60 == 600

    def test_ten_workers_make_thirty_lessons_and_a_hundred_uploads_a_minute(self):
        assert served_per_minute(10, Worker(3, 1)) == 30
        assert served_per_minute(10, Worker(5, 0.5)) == 100

    def test_a_cache_that_hits_four_times_in_five_makes_it_five_times_as_many(self):
        assert served_per_minute(10, Worker(3, 1), hit_rate=0.8) == pytest.approx(150)

    def test_100_000_users_need_134_workers_and_not_ten(self):
        per_minute = requests_per_minute(100_000, at_once=0.1, every_minutes=5)
        assert per_minute == 2_000
        assert workers_needed(per_minute, Worker(3, 1), hit_rate=0.8) == 134
        # Ten workers answer 150 a minute of those 2,000, cache and all.
        assert served_per_minute(10, Worker(3, 1), hit_rate=0.8) < per_minute / 10

    def test_published_monthly_costs_add_up(self):
        totals = {learners: sum(parts) for learners, parts in PUBLISHED_MONTHLY_COSTS.items()}
        assert totals == {100: 65, 1_000: 450, 10_000: 4_200}

    def test_writes_are_more_than_half_of_the_published_workload_and_not_a_twentieth(self):
        day = DAY_OF_10_000
        assert day.reads == 700_000
        assert day.writes / (day.reads + day.writes) == pytest.approx(0.536, abs=0.001)

    def test_firestore_is_a_small_part_of_what_10_000_learners_cost(self):
        month = firestore_month(DAY_OF_10_000, US_MULTI_REGION)
        assert month == pytest.approx(58.92, abs=0.01)
        assert firestore_month(DAY_OF_10_000.of(0.01), US_MULTI_REGION) == pytest.approx(month / 100)
        assert month < 0.02 * sum(PUBLISHED_MONTHLY_COSTS[10_000])

    def test_break_even_at_ten_dollars_a_user(self):
        assert break_even(sum(PUBLISHED_MONTHLY_COSTS[10_000]), price=10) == 420
        assert break_even(4_201, price=10) == 421

    def test_instances_follow_what_they_hold_or_what_they_compute(self):
        assert instances_needed(1, seconds_each=0.05, concurrency=80, cpu_seconds=0.0007) == 1
        assert instances_needed(3_333, seconds_each=0.05, concurrency=80, cpu_seconds=0.0007) == 4
        assert instances_needed(3_333, seconds_each=1.0, concurrency=80, cpu_seconds=0.0007) == math.ceil(
            3_333 / 80
        )


class TestTiers:
    @pytest.mark.parametrize("learners", [100, 1_000, 10_000, 100_000])
    def test_a_tier_holds_what_it_is_for(self, learners):
        tier = tier_for(learners)
        usual = {name: each.default for name, each in deployed.Settings.model_fields.items()}
        load = hot_assignment(learners)
        settings = Settings(
            shards=shards_for(load),
            merge_seconds=usual["merge_seconds"],
            merge_events=usual["crowd_events"],
            rollup_seconds=usual["rollup_seconds"],
        )
        outcome = simulate(load, settings=settings)
        assert outcome.failed == 0
        assert outcome.hottest_document <= DOCUMENT_WRITES_PER_SECOND
        per_second = 2 * load.answers / load.seconds
        needed = instances_needed(
            per_second, seconds_each=REQUEST_SECONDS, concurrency=80, cpu_seconds=SUBMIT_CPU_SECONDS
        )
        assert needed <= tier.max_instances

    def test_tiers_are_what_can_be_set(self):
        for tier in TIERS:
            assert 60 % tier.sweep_minutes == 0
            assert tier.memory_mib in {256, 512, 1024, 2048}
            assert 0 <= tier.min_instances <= tier.max_instances <= 1000

    def test_every_number_of_learners_has_a_tier(self):
        assert [tier_for(n).name for n in (1, 1_000, 1_001, 10_000, 10_001, 10**7)] == [
            "small", "small", "medium", "medium", "large", "large",
        ]  # fmt: skip
