"""A rubric is tried on a sample of recorded answers: at a price that is shown first, and once."""

import asyncio
import json
from datetime import timedelta

import pytest

from shared.errors import BudgetSpent, InvalidRequest
from shared.learning.rubrics import DEFAULT_RUBRIC, Criterion
from shared.tutoring import piloting
from shared.tutoring.evaluating import CriterionScore, Evaluation
from shared.tutoring.records import PILOTS_KEPT
from tests.deployed import in_memory, replace
from tests.tutoring import ANSWER, FixedGateway, a_class

TEACHER = {"uid": "teacher"}
DRAFT = [{"criterionId": "light", "title": "Names the light", "maxPoints": 2}]
CLASS = [f"learner-{number:02}" for number in range(12)]


@pytest.fixture
async def answered(lesson):
    for number, uid in enumerate(CLASS):
        await lesson.answers("Sky", {"text": f"{ANSWER} So says number {number}."}, uid=uid)
    return lesson


async def previewed(lesson, question="Sky", **fields):
    return await lesson.app.ok("preview_pilot", lesson.about(question, **fields), **TEACHER)


def run(lesson, preview):
    request = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    return lesson.app.call("run_pilot", request, **TEACHER)


async def report_of(lesson, preview):
    response = await run(lesson, preview)
    assert response.status_code == 200, response.text
    return response.json()


def stored(lesson, collection):
    return [path for path in lesson.app.services.documents.dump() if path.startswith(f"{collection}/")]


class TestPreviewing:
    async def test_it_asks_no_model_and_tells_what_a_run_would_be(self, answered, gateway):
        made = gateway()
        preview = await previewed(answered, sampleSize=5)
        assert made.asks == []
        assert preview["answers"] == 12
        assert len(preview["sample"]) == 5
        assert len({each["studentId"] for each in preview["sample"]}) == 5
        assert [each["criterionId"] for each in preview["criteria"]] == [
            each.criterion_id for each in DEFAULT_RUBRIC
        ]
        assert preview["model"] == "gpt-6.1-terra"
        assert preview["pricesAsOf"] == "2026-10-27"
        assert 0 < preview["estimatedNanos"] < preview["worstNanos"]
        assert preview["estimatedNanosForAll"] == -(-preview["estimatedNanos"] * 12 // 5)
        assert preview["worstNanosForAll"] >= preview["worstNanos"] * 12 // 5
        assert preview["remainingNanos"] == 250_000_000  # a learner's day, the tightest of the ladder

    async def test_the_same_seed_takes_the_same_sample_and_another_one_another(self, answered):
        first = await previewed(answered, sampleSize=4, seed=7)
        assert await previewed(answered, sampleSize=4, seed=7) == first
        others = [await previewed(answered, sampleSize=4, seed=seed) for seed in range(8)]
        assert len({each["previewId"] for each in others}) > 1
        assert len(stored(answered, "pilots")) == len({each["previewId"] for each in [first, *others]})

    async def test_of_each_learner_the_answer_that_counts_is_taken(self, answered):
        newer = await answered.answers("Sky", {"text": "On second thought."}, uid=CLASS[3])
        preview = await previewed(answered, sampleSize=25)
        assert preview["answers"] == 12
        mine = next(each for each in preview["sample"] if each["studentId"] == CLASS[3])
        assert mine == {"eventId": newer, "studentId": CLASS[3], "characters": len("On second thought.")}

    async def test_without_answers_there_is_nothing_to_try_or_to_pay(self, lesson, gateway):
        made = gateway()
        preview = await previewed(lesson)
        assert (preview["answers"], preview["sample"]) == (0, [])
        assert (preview["estimatedNanos"], preview["worstNanosForAll"]) == (0, 0)
        report = await report_of(lesson, preview)
        assert (report["ended"], report["left"], report["rows"], made.asks) == ("done", 0, [], [])

    @pytest.mark.parametrize(
        ("question", "fields"),
        [
            ("Capital", {}),
            ("Sky", {"sampleSize": 26}),
            ("Sky", {"sampleSize": 0}),
            ("Sky", {"seed": -1}),
            ("Sky", {"rubric": []}),
            ("Sky", {"rubric": DRAFT * 2}),
            ("Sky", {"rubric": [{"criterionId": "a", "title": ""}]}),
            ("Sky", {"rubric": [{"criterionId": "a", "title": "A", "maxPoints": 21}]}),
        ],
    )
    async def test_what_cannot_be_tried_is_a_400_and_leaves_nothing(self, app, lesson, question, fields):
        refused = await app.call("preview_pilot", lesson.about(question, **fields), **TEACHER)
        assert refused.status_code == 400
        assert stored(lesson, "pilots") == []


class TestRunning:
    async def test_it_evaluates_the_sample_and_nothing_of_it_is_a_suggestion(self, answered, gateway):
        made = gateway()
        preview = await previewed(answered, sampleSize=5)
        before = answered.app.services.documents.dump()
        report = await report_of(answered, preview)
        assert (report["ended"], report["left"], report["retryAfterSeconds"]) == ("done", 0, 0)
        assert [each["evaluation"]["eventId"] for each in report["rows"]] == [
            each["eventId"] for each in preview["sample"]
        ]
        assert report["nanos"] == sum(each["nanos"] for each in report["rows"]) > 0
        assert report["criteria"][0]["counts"] == [0, 5, 0, 0, 0]
        assert report["agreement"]["total"]["count"] == 0
        assert {(each.uid, each.course_id) for each in made.payers} == {("teacher", answered.course_id)}
        after = answered.app.services.documents.dump()
        assert {path.split("/")[0] for path in after.keys() - before.keys()} == {"pilotEvaluations"}
        assert {path: after[path] for path in before} == before
        queue = await answered.app.ok("list_evaluations", {"assignmentId": answered.assignment_id}, **TEACHER)
        assert queue["rows"] == []

    async def test_no_learner_context_and_no_name_is_in_what_is_asked(self, answered, gateway):
        await answered.app.ok("evaluate_answer", answered.about("Sky"), uid=CLASS[0])
        made = gateway()
        await report_of(answered, await previewed(answered, sampleSize=12))
        for each in made.asks:
            data = json.loads(each.messages[1]["content"])
            assert set(data) == {"answer", "question", "rubric"}
            assert not any(uid in json.dumps(each.messages) for uid in CLASS)

    async def test_a_draft_rubric_is_tried_and_the_questions_own_stays(self, answered, gateway):
        made = gateway()
        preview = await previewed(answered, rubric=DRAFT, sampleSize=3)
        report = await report_of(answered, preview)
        [criterion] = report["criteria"]
        assert criterion == {
            "criterionId": "light",
            "title": "Names the light",
            "maxPoints": 2,
            "counts": [0, 3, 0],
        }
        data = json.loads(made.asks[0].messages[1]["content"])
        assert [each["title"] for each in data["rubric"]] == ["Names the light"]
        own = await answered.app.ok("evaluate_answer", answered.about("Sky"), uid=CLASS[0])
        assert len(own["evaluation"]["criteria"]) == len(DEFAULT_RUBRIC)

    async def test_again_and_at_once_makes_no_second_call(self, answered, gateway):
        made = gateway()
        preview = await previewed(answered, sampleSize=4)
        first = await report_of(answered, preview)
        assert await report_of(answered, preview) == first
        assert len(made.asks) == 4
        # Another sample with the same answers in it asks about the new ones only.
        everybody = await report_of(answered, await previewed(answered, sampleSize=12))
        assert (len(everybody["rows"]), len(made.asks)) == (12, 12)

    async def test_two_at_once_store_each_evaluation_once(self, answered, gateway):
        gateway()
        preview = await previewed(answered, sampleSize=6)
        reports = await asyncio.gather(*(report_of(answered, preview) for _ in range(3)))
        assert {each["ended"] for each in reports} == {"done"}
        assert len(stored(answered, "pilotEvaluations")) == 6
        assert len({json.dumps(each["rows"]) for each in reports}) == 1

    async def test_answers_that_come_after_the_preview_change_nothing(self, answered):
        preview = await previewed(answered, sampleSize=4)
        for number in range(5):
            await answered.answers("Sky", {"text": f"Late {number}."}, uid=f"late-{number}")
            await answered.answers("Sky", {"text": f"Changed {number}."}, uid=CLASS[number])
        report = await report_of(answered, preview)
        assert [each["evaluation"]["eventId"] for each in report["rows"]] == [
            each["eventId"] for each in preview["sample"]
        ]

    async def test_what_the_time_does_not_allow_is_left_for_the_next_call(
        self, answered, gateway, monkeypatch
    ):
        class Slow(FixedGateway):
            async def complete(self, ask, payer):
                await asyncio.sleep(0.3)
                return await super().complete(ask, payer)

        made = Slow()
        replace(answered.app.services, gateway=made)
        preview = await previewed(answered, sampleSize=12)
        monkeypatch.setattr("functions.pilots.RUN_SECONDS", 4.0 + 0.45)
        monkeypatch.setattr("functions.pilots.ANSWER_SECONDS", 0.3)
        left = []
        while not left or left[-1]:
            report = await report_of(answered, preview)
            assert report["ended"] == ("time" if report["left"] else "done")
            left.append(report["left"])
        assert left == [8, 4, 0]
        assert len(made.asks) == 12

    async def test_a_spent_budget_ends_it_with_what_was_done(self, answered):
        class Spent(FixedGateway):
            async def complete(self, ask, payer):
                if len(self.asks) == 3:
                    raise BudgetSpent("the course's", ceiling="course", retry_after_seconds=77)
                return await super().complete(ask, payer)

        made = Spent()
        replace(answered.app.services, gateway=made)
        preview = await previewed(answered, sampleSize=8)
        report = await report_of(answered, preview)
        assert (report["ended"], report["left"], report["retryAfterSeconds"]) == ("budget", 5, 77)
        assert len(report["rows"]) == 3
        replace(answered.app.services, gateway=FixedGateway())
        report = await report_of(answered, preview)
        assert (report["ended"], report["left"], len(report["rows"])) == ("done", 0, 8)

    async def test_an_outage_ends_it_soon_and_one_unreadable_answer_does_not(self, answered, gateway):
        preview = await previewed(answered, sampleSize=10)
        made = gateway(fails=True)
        report = await report_of(answered, preview)
        assert (report["ended"], report["left"], report["rows"]) == ("outage", 10, [])
        assert len(made.asks) <= 6
        assert stored(answered, "pilotEvaluations") == []

        class Picky(FixedGateway):
            async def complete(self, ask, payer):
                if "So says number 4." in ask.messages[1]["content"]:
                    raise InvalidRequest("the provider refuses this")
                return await super().complete(ask, payer)

        replace(answered.app.services, gateway=Picky())
        report = await report_of(answered, await previewed(answered, sampleSize=12))
        assert (report["ended"], report["left"], len(report["rows"])) == ("outage", 1, 11)

    @pytest.mark.parametrize("change", ["prompt", "model", "price", "rubric"])
    async def test_what_has_changed_since_the_preview_is_a_conflict(
        self, answered, gateway, monkeypatch, tmp_path, change
    ):
        made = gateway()
        preview = await previewed(answered)
        match change:
            case "prompt":
                (tmp_path / "evaluate_answer").mkdir()
                (tmp_path / "evaluate_answer/v0.md").write_text("Be kind, in {language}.")
                monkeypatch.setattr("shared.tutoring.prompting.PROMPTS", tmp_path)
                monkeypatch.setattr("shared.tutoring.evaluating.PROMPT", "evaluate_answer/v0")
            case "model":
                monkeypatch.setattr("tests.tutoring.MODEL", "gpt-6-luna")
            case "price":
                prices = type(answered.app.services.prices)({"gpt-6.1-terra": (1_000, 50, 5_001, 1_250)})
                replace(answered.app.services, prices=prices)
            case "rubric":
                other = (*DEFAULT_RUBRIC, Criterion(criterion_id="style", title="Style"))
                monkeypatch.setattr("shared.tutoring.evaluating.DEFAULT_RUBRIC", other)
        refused = await run(answered, preview)
        assert refused.status_code == 409
        assert change in refused.json()["detail"]
        assert made.asks == []
        assert stored(answered, "pilotEvaluations") == []

    async def test_a_preview_of_another_assignment_is_none_of_this_one(self, app, answered):
        preview = await previewed(answered)
        other = await a_class(app)
        assert (await run(other, preview)).status_code == 404
        nobodys = {"previewId": "0" * 64}
        assert (await run(answered, nobodys)).status_code == 404

    async def test_it_is_compared_with_what_teachers_decided(self, app, answered):
        about = {"assignmentId": answered.assignment_id}
        for uid, given in ((CLASS[0], 1), (CLASS[5], 2)):
            evaluation = (await app.ok("evaluate_answer", answered.about("Sky"), uid=uid))["evaluation"]
            points = {"correctness": given, "completeness": 1, "reasoning": 1}
            request = {**about, "evaluationId": evaluation["evaluationId"], "criteria": points}
            await app.ok("override_evaluation", request, **TEACHER)
        report = await report_of(answered, await previewed(answered, sampleSize=25))
        decided = {row["evaluation"]["studentId"]: row["decision"] for row in report["rows"]}
        assert {uid for uid, each in decided.items() if each is not None} == {CLASS[0], CLASS[5]}
        assert decided[CLASS[5]]["points"] == 4
        total = report["agreement"]["total"]
        assert (total["count"], total["exact"]) == (2, 1)
        assert report["agreement"]["criteria"]["correctness"]["exact"] == 1
        assert report["agreement"]["criteria"]["reasoning"]["exact"] == 2

    async def test_only_teachers_of_the_course_see_it(self, app, answered):
        preview = await previewed(answered)
        await report_of(answered, preview)
        request = {"assignmentId": answered.assignment_id, "previewId": preview["previewId"]}
        for caller in ({"uid": CLASS[0]}, {"uid": "stranger", "role": "teacher"}):
            assert (await app.call("run_pilot", request, **caller)).status_code == 403
            assert (await app.call("preview_pilot", answered.about("Sky"), **caller)).status_code == 403

    async def test_they_are_removed_when_their_time_is_over(self, answered):
        await report_of(answered, await previewed(answered, sampleSize=2))
        services = answered.app.services
        later = services.now() + PILOTS_KEPT + timedelta(minutes=1)
        replace(services, now=lambda: later)
        assert await services.remove_expired() == 3
        assert stored(answered, "pilots") == stored(answered, "pilotEvaluations") == []


async def test_answers_are_found_in_split_shards_joined_segments_and_the_archive(tmp_path):
    settings = {"shard_page_bytes": 1024, "archive_url": f"file://{tmp_path}", "archive_after_days": 0}
    settings |= {"archive_drop_after_days": 0, "limiter": "memory", "rate_ai_points": 1000}
    async with in_memory(firestore_emulator_host="unused", **settings) as app:
        made = FixedGateway()
        replace(app.services, gateway=made)
        lesson = await a_class(app)
        learners = [f"learner-{number:03}" for number in range(80)]
        for uid in learners:
            await lesson.answers("Sky", {"text": f"It is blue, says {uid[-3:]}."}, uid=uid)
        grading = await app.services.catalog.grading(lesson.assignment_id)
        shards = [each.shard async for each in app.services.results.shards(grading)]
        assert len(shards) > 2
        await app.ok("clean_up", {})
        assert list(tmp_path.rglob("*"))

        preview = await previewed(lesson, sampleSize=25)
        assert preview["answers"] == 80
        # In order of time, a part of 3.2 answers each.
        order = [learners.index(each["studentId"]) for each in preview["sample"]]
        assert all(80 * part // 25 <= each < 80 * (part + 1) // 25 for part, each in enumerate(order))
        report = await report_of(lesson, preview)
        assert (report["ended"], len(report["rows"])) == ("done", 25)
        asked = {json.loads(each.messages[1]["content"])["answer"] for each in made.asks}
        assert asked == {f"It is blue, says {each['studentId'][-3:]}." for each in preview["sample"]}


class TestRules:
    def test_a_sample_is_spread_evenly(self):
        answers = list(range(1000))
        for seed in range(50):
            chosen = piloting.sampled(answers, size=10, seed=seed)
            assert [each // 100 for each in chosen] == list(range(10))
        drawn = {each for seed in range(400) for each in piloting.sampled(answers, size=10, seed=seed)}
        assert len(drawn) > 900, "every answer has its chance"

    @pytest.mark.parametrize("count", range(27))
    def test_a_sample_is_all_of_few_and_never_one_twice(self, count):
        chosen = piloting.sampled(list(range(count)), size=10, seed=3)
        assert len(set(chosen)) == len(chosen) == min(count, 10)
        assert chosen == sorted(chosen)

    def test_tokens_are_measured_by_script(self):
        assert piloting.likely_prompt_tokens(b"x" * 4000) == 1000
        assert piloting.likely_prompt_tokens(("ש" * 1000).encode()) == 500
        assert piloting.likely_prompt_tokens(b"") == 0

    def test_totals_by_another_rubric_are_scaled_and_criteria_worth_other_points_left_out(self):
        usual = (
            Criterion(criterion_id="a", title="A", max_points=4),
            Criterion(criterion_id="b", title="B", max_points=6),
        )
        tried = (
            Criterion(criterion_id="a", title="A", max_points=4),
            Criterion(criterion_id="b", title="B", max_points=1),
        )
        found = piloting.compared(tried, usual, [(_evaluated(a=2, b=1), {"a": 2, "b": 4})])
        assert (found.total.count, found.total.exact) == (1, 1)  # 6 of 10 is 3 of 5
        assert found.criteria.keys() == {"a"}
        assert found.criteria["a"].exact_per_mille == 1000


def _evaluated(**points):
    criteria = tuple(
        CriterionScore(criterion_id=name, title=name.upper(), points=each, max_points=4)
        for name, each in points.items()
    )
    return Evaluation.model_construct(criteria=criteria, points=sum(points.values()))
