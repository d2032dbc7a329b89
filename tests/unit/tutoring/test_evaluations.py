"""One recorded answer, one evaluation: a suggestion that its teacher decides about, once."""

import asyncio
import json

import pytest

from shared.documents.metering import TOTAL
from tests.deployed import replace
from tests.tutoring import ANSWER, FixedGateway

TEACHER = {"uid": "teacher"}


async def evaluated(lesson, question="Sky", *, uid="ann", **fields):
    reply = await lesson.app.ok("evaluate_answer", lesson.about(question, **fields), uid=uid)
    return reply["evaluation"]


async def accepted(lesson, evaluation, *, uid="teacher"):
    request = {"assignmentId": lesson.assignment_id, "evaluationId": evaluation["evaluationId"]}
    return await lesson.app.call("accept_evaluation", request, uid=uid)


class TestEvaluating:
    async def test_an_answer_is_evaluated_against_the_rubric(self, app, lesson):
        event_id = await lesson.answers("Sky", {"text": ANSWER})
        found = await evaluated(lesson)
        assert found["eventId"] == event_id
        assert [each["criterionId"] for each in found["criteria"]] == [
            "correctness",
            "completeness",
            "reasoning",
        ]
        assert (found["points"], found["maxPoints"]) == (3, 10)
        assert (found["language"], found["dir"]) == ("en", "ltr")
        stored = await app.document(f"users/ann/evaluations/{found['evaluationId']}")
        assert stored["eventId"] == event_id

    async def test_what_waits_to_be_merged_is_found_by_its_event(self, lesson):
        event_id = await lesson.answers("Sky", {"text": ANSWER}, merged=False)
        assert (await evaluated(lesson, eventId=event_id))["eventId"] == event_id
        await lesson.app.deliver()
        again = await evaluated(lesson)
        assert again["eventId"] == event_id

    async def test_retries_and_races_make_one_evaluation_and_one_call(self, app, lesson, gateway):
        made = gateway()
        await lesson.answers("Sky", {"text": ANSWER})
        first = await evaluated(lesson)
        assert await evaluated(lesson) == first
        assert len(made.asks) == 1
        await lesson.answers("Sky", {"text": "Because of the sea."}, uid="ben")
        several = await asyncio.gather(*(evaluated(lesson, uid="ben") for _ in range(5)))
        assert len({json.dumps(each) for each in several}) == 1
        evaluations = [
            path for path in app.services.documents.dump() if path.startswith("users/ben/evaluations")
        ]
        assert len(evaluations) == 1
        context = await app.document("users/ben/context/current")
        assert context["evaluations"] == 1

    async def test_nothing_answered_is_nothing_evaluated(self, lesson, gateway):
        made = gateway()
        assert await evaluated(lesson) is None
        assert made.asks == []

    async def test_only_texts_are_evaluated(self, app, lesson):
        refused = await app.call("evaluate_answer", lesson.about("Capital"), uid="ann")
        assert refused.status_code == 400

    async def test_nobody_evaluates_anothers_answer(self, app, lesson):
        event_id = await lesson.answers("Sky", {"text": ANSWER}, merged=False)
        refused = await app.call("evaluate_answer", lesson.about("Sky", eventId=event_id), uid="ben")
        assert refused.status_code == 404
        await app.deliver()
        refused = await app.call("evaluate_answer", lesson.about("Sky", eventId=event_id), uid="ben")
        assert refused.status_code == 404

    async def test_the_answer_asked_for_is_the_answer_evaluated(self, lesson, gateway):
        made = gateway()
        events = [await lesson.answers("Sky", {"text": f"Answer number {number}."}) for number in range(12)]
        for number in (0, 5, 11):
            assert (await evaluated(lesson, eventId=events[number]))["eventId"] == events[number]
            data = json.loads(made.asks[-1].messages[1]["content"])
            assert data["answer"] == f"Answer number {number}."

    async def test_the_model_gets_the_answer_the_rubric_and_what_is_known_of_the_learner(
        self, lesson, gateway
    ):
        made = gateway()
        await lesson.answers("Sky", {"text": ANSWER}, uid="ann")
        await evaluated(lesson)
        await lesson.answers("Word", {"text": "oxygen, which animals give to plants; " * 3}, uid="ann")
        await evaluated(lesson, "Word")
        [first, second] = [json.loads(each.messages[1]["content"]) for each in made.asks]
        assert set(first) == {"answer", "question", "rubric"}
        assert second["learner"]["errorPatterns"] == ["mixes up terms"]
        assert second["acceptedAnswers"] == ["carbon dioxide", "CO2"]
        assert "ann" not in json.dumps([each.messages[1]["content"] for each in made.asks]).split('"')
        assert made.payers[0].uid == "ann"
        assert made.payers[0].course_id == lesson.course_id

    async def test_a_few_words_are_evaluated_for_everybody_and_longer_texts_for_one(self, lesson, gateway):
        made = gateway()
        await lesson.answers("Word", {"text": "oxygen"}, uid="ann")
        await evaluated(lesson, "Word")
        await lesson.answers("Sky", {"text": ANSWER}, uid="ann")
        await evaluated(lesson)
        [words, text] = made.asks
        assert (words.cache.entry, words.cache.uid) == ("sharedEvaluation", "")
        assert (text.cache.entry, text.cache.uid) == ("evaluation", "ann")
        assert "learner" not in json.loads(words.messages[1]["content"])

    async def test_feedback_that_gives_the_answer_away_is_withheld(self, lesson, gateway):
        made = gateway()
        ask = {"points": 0, "evidence": [], "comment": "Not oxygen but Carbon-Dioxide."}
        ids = ("correctness", "completeness", "reasoning")
        made.text = json.dumps(
            {
                "criteria": dict.fromkeys(ids, ask),
                "feedback": "It is carbon dioxide.",
                "errorPatterns": [],
                "confidence": 90,
                "suspicious": False,
            }
        )
        await lesson.answers("Word", {"text": "oxygen"})
        found = await evaluated(lesson, "Word")
        assert "answerWithheld" in found["flags"]
        assert "dioxide" not in json.dumps(found).lower()

    async def test_an_outage_of_the_model_is_a_503_and_leaves_nothing(self, app, lesson, gateway):
        gateway(fails=True)
        await lesson.answers("Sky", {"text": ANSWER})
        response = await app.call("evaluate_answer", lesson.about("Sky"), uid="ann")
        assert response.status_code == 503
        assert "retry-after" in response.headers
        assert not [path for path in app.services.documents.dump() if path.startswith("users/")]

    async def test_an_unusable_reply_is_a_503_and_leaves_nothing(self, app, lesson, gateway):
        gateway('{"criteria": {}}')
        await lesson.answers("Sky", {"text": ANSWER})
        response = await app.call("evaluate_answer", lesson.about("Sky"), uid="ann")
        assert response.status_code == 503
        assert not [path for path in app.services.documents.dump() if path.startswith("users/")]


class TestDeciding:
    @pytest.fixture
    async def suggestion(self, lesson):
        await lesson.answers("Sky", {"text": ANSWER})
        return await evaluated(lesson)

    async def queue(self, lesson, state="waiting"):
        request = {"assignmentId": lesson.assignment_id, "state": state}
        return (await lesson.app.ok("list_evaluations", request, **TEACHER))["rows"]

    async def test_a_suggestion_waits_until_its_teacher_accepts_it(self, lesson, suggestion):
        [row] = await self.queue(lesson)
        assert row == {"evaluation": suggestion, "decision": None}
        decision = (await accepted(lesson, suggestion)).json()
        assert (decision["decision"], decision["points"]) == ("accepted", 3)
        assert await self.queue(lesson) == []
        [row] = await self.queue(lesson, "decided")
        assert row["decision"] == decision
        assert row["evaluation"] == suggestion

    async def test_a_decision_is_never_overwritten_and_a_resend_is_the_same(self, app, lesson, suggestion):
        first = await accepted(lesson, suggestion)
        again = await accepted(lesson, suggestion)
        assert (again.status_code, again.json()) == (200, first.json())
        other = await app.call(
            "override_evaluation",
            {
                "assignmentId": lesson.assignment_id,
                "evaluationId": suggestion["evaluationId"],
                "criteria": {"correctness": 0, "completeness": 0, "reasoning": 0},
            },
            **TEACHER,
        )
        assert other.status_code == 409
        path = f"users/ann/decisions/{suggestion['evaluationId']}"
        assert (await app.document(path))["points"] == 3

    @pytest.mark.parametrize(
        "criteria",
        [
            {"correctness": 5, "completeness": 0, "reasoning": 0},
            {"correctness": 1},
            {"correctness": 1, "completeness": 0, "reasoning": 0, "charm": 1},
        ],
    )
    async def test_points_are_those_of_the_rubric(self, app, lesson, suggestion, criteria):
        request = {
            "assignmentId": lesson.assignment_id,
            "evaluationId": suggestion["evaluationId"],
            "criteria": criteria,
        }
        assert (await app.call("override_evaluation", request, **TEACHER)).status_code == 400

    async def test_a_learner_decides_nothing(self, lesson, suggestion):
        assert (await accepted(lesson, suggestion, uid="ann")).status_code == 403

    async def test_the_queue_is_paged(self, app, lesson):
        for number in range(5):
            await lesson.answers("Sky", {"text": f"Because {number}."}, uid=f"s{number}")
            await evaluated(lesson, uid=f"s{number}")
        seen, cursor = [], None
        for _ in range(3):
            request = {"assignmentId": lesson.assignment_id, "pageSize": 2, "cursor": cursor}
            page = await app.ok("list_evaluations", request, **TEACHER)
            seen += [each["evaluation"]["studentId"] for each in page["rows"]]
            cursor = page["nextCursor"]
        assert cursor is None
        assert sorted(seen) == [f"s{number}" for number in range(5)]

    async def test_agreement_is_counted_over_totals_and_criteria(self, app, lesson):
        for number in range(4):
            await lesson.answers("Sky", {"text": f"Because {number}."}, uid=f"s{number}")
            suggestion = await evaluated(lesson, uid=f"s{number}")
            if number < 3:
                assert (await accepted(lesson, suggestion)).status_code == 200
                continue
            request = {
                "assignmentId": lesson.assignment_id,
                "evaluationId": suggestion["evaluationId"],
                "criteria": {"correctness": 4, "completeness": 1, "reasoning": 1},
            }
            await app.ok("override_evaluation", request, **TEACHER)
        found = await app.ok("get_agreement", {"assignmentId": lesson.assignment_id}, **TEACHER)
        assert (found["total"]["count"], found["total"]["exact"]) == (4, 3)
        assert found["criteria"]["completeness"]["exactPerMille"] == 1000
        assert found["criteria"]["correctness"]["exactPerMille"] == 750


async def test_the_learner_context_is_one_document_and_one_read(app, lesson):
    for number in range(7):
        await lesson.answers("Sky", {"text": f"Because {number}."})
        replace(app.services, gateway=FixedGateway())
        await evaluated(lesson)
    context = await app.document("users/ann/context/current")
    assert len(context["recentScores"]) == 5
    assert context["evaluations"] == 7
    assert context["level"] == "beginner"


async def test_finding_a_merged_answer_costs_few_reads(app, lesson):
    events = [await lesson.answers("Sky", {"text": f"Answer {number}."}) for number in range(64)]
    services = app.services
    calls = []

    async def counted(operation):
        calls.append(operation)

    services.documents._before = counted
    grading = await services.catalog.grading(lesson.assignment_id)
    for number in (0, 31, 63):
        calls.clear()
        standing = await services.recorded_answers.standing(
            grading, "ann", lesson.ids["Sky"], event_id=events[number]
        )
        assert standing.event.event_id == events[number]
        assert len(standing.attempts) == 64
        assert len(calls) <= 14, (number, calls)
    assert TOTAL is not None
