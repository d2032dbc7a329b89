"""The tutor's functions over the real gateway and a real upstream: helpful, failing and malicious."""

import json

import pytest

from local.tutor.server import CANARY, FAULTS
from tests.deployed import in_memory
from tests.tutoring import ANSWER, a_class
from tests.unit.tutoring.test_rendering import holds

OUTAGES = tuple(each for each in FAULTS if each not in {"malicious", "no-usage", "dripping"})


SETTINGS = {
    "firestore_emulator_host": "unused",
    "limiter": "memory",
    "budgets": "memory",
    "rate_ai_points": 10_000,
}


@pytest.fixture
async def lesson(tutor):
    async with in_memory(openai_base_url=tutor.url, **SETTINGS) as app:
        try:
            yield await a_class(app)
        finally:
            await app.services.close()


async def test_an_answer_is_evaluated_by_the_upstream_and_paid_for_once(lesson, tutor):
    await lesson.answers("Sky", {"text": ANSWER})
    first = await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="ann")
    again = await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="ann")
    assert first == again
    assert tutor.total == 1
    assert "canned" in first["evaluation"]["flags"]
    assert 0 <= first["evaluation"]["points"] <= 10
    _, _, body = tutor.requests[-1]
    limits = {"max_completion_tokens", "reasoning_effort", "temperature"}
    assert set(body) == {"model", "messages", "response_format"} | limits
    assert [each["role"] for each in body["messages"]] == ["system", "user"]


async def test_a_few_words_cost_one_call_for_a_whole_class(lesson, tutor):
    for uid in ("ann", "ben", "cleo"):
        await lesson.answers("Word", {"text": "oxygen"}, uid=uid)
        reply = await lesson.app.ok("evaluate_answer", lesson.about("Word"), uid=uid)
        assert reply["evaluation"]["studentId"] == uid
    assert tutor.total == 1


async def test_chat_outline_and_step_come_from_the_upstream(lesson, tutor):
    hint = await lesson.app.ok("chat", lesson.about("Capital"), uid="ann")
    assert hint["canned"]
    hebrew = await lesson.app.ok("chat", lesson.about("עברית"), uid="ann")
    assert (hebrew["language"], hebrew["dir"]) == ("he", "rtl")
    request = {"courseId": lesson.course_id, "topic": "Fractions", "lessons": 2}
    outline = await lesson.app.ok("generate_skeleton", request, uid="teacher")
    step = {"courseId": lesson.course_id, "version": outline["version"], "lesson": 0, "step": 0}
    before = tutor.total
    for uid in ("ann", "ben", "cleo"):
        written = await lesson.app.ok("generate_step", step, uid=uid)
        assert written["content"]["body"]
    assert tutor.total == before + 1


async def test_a_deployment_may_keep_no_lessons(tutor):
    async with in_memory(openai_base_url=tutor.url, lesson_cache=False, **SETTINGS) as app:
        lesson = await a_class(app)
        request = {"courseId": lesson.course_id, "topic": "Fractions", "lessons": 2}
        outline = await app.ok("generate_skeleton", request, uid="teacher")
        step = {"courseId": lesson.course_id, "version": outline["version"], "lesson": 0, "step": 0}
        before = tutor.total
        for uid in ("ann", "ben"):
            await app.ok("generate_step", step, uid=uid)
        assert tutor.total == before + 2
        await app.services.close()


@pytest.mark.parametrize("fault", OUTAGES)
async def test_whatever_the_upstream_does_callers_hear_so_and_answers_are_taken(
    lesson, tutor, fault, monkeypatch
):
    monkeypatch.setattr("functions.tutor.CHAT_SECONDS", 2.0)
    monkeypatch.setattr("functions.evaluations.EVALUATE_SECONDS", 2.0)
    await lesson.answers("Sky", {"text": ANSWER})
    tutor.fault = fault
    for name in ("chat", "evaluate_answer"):
        response = await lesson.app.call(name, lesson.about("Sky"), uid="ann")
        assert CANARY not in response.text
        if response.status_code == 200:  # an odd text is still a text
            assert name == "chat"
            assert response.json()["degraded"] == (None if fault == "wrong-schema" else "outage")
            continue
        # A chat that had begun, and a deadline that came first.
        assert name != "chat" or fault in {"truncated", "reset", "dripping"}, (fault, response.text)
        assert response.status_code in {503, 504}, (name, response.text)
    event_id = await lesson.answers("Sky", {"text": "Still taken."}, uid="ben")
    assert event_id


async def test_a_malicious_upstream_changes_nothing_but_the_words(lesson, tutor):
    tutor.fault = "malicious"
    await lesson.answers("Sky", {"text": ANSWER})
    response = await lesson.app.call("evaluate_answer", lesson.about("Sky"), uid="ann")
    if response.status_code == 200:
        evaluation = response.json()["evaluation"]
        assert 0 <= evaluation["points"] <= 10
        holds(evaluation["feedback"])
    else:
        assert response.status_code == 503
    reply = await lesson.app.ok("chat", lesson.about("Sky"), uid="ann")
    holds(reply["text"])
    assert "evil" not in reply["text"]
    assert json.dumps(reply).count("http") == 0
