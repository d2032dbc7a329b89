"""Tutoring on real Firestore, over the real gateway and a real upstream: what is stored, and what it costs."""

import asyncio

import pytest

from shared.documents.metering import bill
from tests.deployed import deployed
from tests.tutoring import ANSWER, a_class


@pytest.fixture
async def lesson(id_token, tutor):
    settings = {"limiter": "memory", "budgets": "memory", "rate_ai_points": 10_000}
    async with deployed(id_token, openai_base_url=tutor.url, **settings) as app:
        yield await a_class(app)


async def test_an_answer_is_evaluated_once_queued_and_decided_about(lesson, tutor):
    app = lesson.app
    event_id = await lesson.answers("Sky", {"text": ANSWER})
    replies = await asyncio.gather(
        *(app.ok("evaluate_answer", lesson.about("Sky"), uid="ann") for _ in range(4))
    )
    found = {each["evaluation"]["evaluationId"] for each in replies}
    assert len(found) == 1
    evaluation = replies[0]["evaluation"]
    assert evaluation["eventId"] == event_id
    stored = await app.document(f"users/ann/evaluations/{evaluation['evaluationId']}")
    assert stored["points"] == evaluation["points"]
    context = await app.document("users/ann/context/current")
    assert context["evaluations"] == 1
    about = {"assignmentId": lesson.assignment_id}
    [row] = (await app.ok("list_evaluations", about, uid="teacher"))["rows"]
    decide = {**about, "evaluationId": row["evaluation"]["evaluationId"]}
    decisions = await asyncio.gather(*(app.ok("accept_evaluation", decide, uid="teacher") for _ in range(3)))
    assert len({each["decidedAt"] for each in decisions}) == 1
    assert (await app.ok("list_evaluations", about, uid="teacher"))["rows"] == []
    agreement = await app.ok("get_agreement", about, uid="teacher")
    assert (agreement["total"]["count"], agreement["total"]["exact"]) == (1, 1)


async def test_hints_are_events_tied_to_the_attempt(lesson):
    app = lesson.app
    option = {"optionId": lesson.option("Capital", "Sydney")}
    event_id = await lesson.answers("Capital", option)
    rungs = [(await app.ok("chat", lesson.about("Capital"), uid="ann"))["rung"] for _ in range(3)]
    assert rungs == [1, 2, 3]
    kept = await app.services.documents.scan("users/ann/assistance")
    assert [each.fields["rung"] for each in kept] == [1, 2, 3]
    assert {each.fields["eventId"] for each in kept} == {event_id}


async def test_an_outline_is_stored_under_its_content_and_its_steps_are_written(lesson):
    request = {"courseId": lesson.course_id, "topic": "Fractions", "lessons": 2}
    outline = await lesson.app.ok("generate_skeleton", request, uid="teacher")
    step = {"courseId": lesson.course_id, "version": outline["version"], "lesson": 0, "step": 0}
    assert (await lesson.app.ok("generate_step", step, uid="ann"))["content"]["body"]
    missing = {**step, "version": "0" * 32}
    assert (await lesson.app.call("generate_step", missing, uid="ann")).status_code == 404


async def test_finding_an_answer_among_many_costs_few_reads(lesson):
    services = lesson.app.services
    events = [await lesson.answers("Sky", {"text": f"Answer {number}."}) for number in range(16)]
    grading = await services.catalog.grading(lesson.assignment_id)
    for number in (0, 7, 15):
        with bill("test") as spent:
            standing = await services.recorded_answers.standing(
                grading, "ann", lesson.ids["Sky"], event_id=events[number]
            )
        assert standing.event.event_id == events[number]
        assert spent.reads <= 2 + 1 + 5 + 2, (number, spent)
