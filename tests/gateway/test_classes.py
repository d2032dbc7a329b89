"""A course's classes have ceilings of their own: who is in one pays from it, whatever they ask a model for."""

import orjson
import pytest

from shared.budgets.base import Scope
from shared.documents.base import Put
from tests.deployed import in_memory
from tests.tutoring import ANSWER, a_class

HELLO = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


@pytest.fixture
async def lesson(tutor):
    settings = {"limiter": "memory", "rate_ai_points": 10_000}
    async with in_memory(firestore_emulator_host="unused", openai_base_url=tutor.url, **settings) as app:
        try:
            lesson = await a_class(app)
            for uid, class_id in (("ann", "7b"), ("ben", "7c"), ("cleo", None)):
                await enroll(lesson, uid, class_id)
            yield lesson
        finally:
            await app.services.close()


async def enroll(lesson, uid, class_id, *, by="teacher", **fields):
    request = {"courseId": lesson.course_id, "learnerId": uid, "classId": class_id, **fields}
    return await lesson.app.call("enroll_learner", request, uid=by)


async def close(lesson, class_id):
    """Let a class spend nothing."""
    ceiling = Put(f"budgets/class.{lesson.course_id}.{class_id}", {"dayNanos": 0})
    await lesson.app.services.documents.commit([ceiling])


async def spent(lesson, class_id):
    [day] = await lesson.app.services.budgets.spent(Scope.CLASS, f"{lesson.course_id}.{class_id}")
    return day


async def evaluate_answer(lesson, uid):
    await lesson.answers("Sky", {"text": f"{ANSWER} So says {uid}."}, uid=uid)
    return await lesson.app.call("evaluate_answer", lesson.about("Sky"), uid=uid)


async def chat(lesson, uid):
    return await lesson.app.call("chat", lesson.about("Capital", message=f"I am {uid}"), uid=uid)


async def generate_step(lesson, uid):
    """A step of an outline that was made for this caller alone."""
    request = {"courseId": lesson.course_id, "topic": f"Fractions for {uid}", "lessons": 2}
    outline = await lesson.app.ok("generate_skeleton", request, uid="teacher")
    step = {"courseId": lesson.course_id, "version": outline["version"], "lesson": 0, "step": 0}
    return await lesson.app.call("generate_step", step, uid=uid)


async def openai_proxy(lesson, uid):
    headers = {
        "authorization": f"Bearer {uid}",
        "content-type": "application/json",
        "x-lectern-course": lesson.course_id,
    }
    body = orjson.dumps(HELLO)
    return await lesson.app.post("openai_proxy", body, headers, path="/v1/chat/completions")


def is_refused(response):
    """Whether no model was asked, as the class's money is spent; a tutor has other help then, and says so."""
    if response.status_code == 429:
        return "the class's budget" in response.text
    return response.json().get("degraded") == "budget"


LEARNERS = [evaluate_answer, chat, generate_step, openai_proxy]


@pytest.mark.parametrize("ask", LEARNERS, ids=lambda each: each.__name__)
async def test_a_class_at_its_ceiling_refuses_its_learners_and_nobody_else(lesson, tutor, ask):
    await close(lesson, "7b")
    before = tutor.total
    assert is_refused(await ask(lesson, "ann"))
    assert tutor.total == before + (ask is generate_step), "the outline is its teacher's"
    for uid in ("ben", "cleo", "stranger"):
        allowed = await ask(lesson, uid)
        assert allowed.status_code == 200
        assert not is_refused(allowed)
    assert (await spent(lesson, "7c")).by_task[ask.__name__][1] == 1
    assert (await spent(lesson, "7b")).spent_nanos == 0


async def test_teachers_pay_from_a_class_too_if_they_are_in_one(lesson):
    await lesson.answers("Sky", {"text": ANSWER})
    await enroll(lesson, "teacher", "staff", role="teacher")
    outline = {"courseId": lesson.course_id, "topic": "Fractions", "lessons": 2}
    await lesson.app.ok("generate_skeleton", outline, uid="teacher")
    preview = await lesson.app.ok("preview_pilot", lesson.about("Sky"), uid="teacher")
    pilot = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    assert (await lesson.app.ok("run_pilot", pilot, uid="teacher"))["ended"] == "done"
    by_task = (await spent(lesson, "staff")).by_task
    assert {task: calls for task, (_, calls) in by_task.items()} == {"generate_skeleton": 1, "run_pilot": 1}


async def test_a_preview_tells_what_the_class_leaves(lesson):
    await lesson.answers("Sky", {"text": ANSWER})
    await enroll(lesson, "teacher", "staff", role="teacher")
    await close(lesson, "staff")
    preview = await lesson.app.ok("preview_pilot", lesson.about("Sky"), uid="teacher")
    assert preview["remainingNanos"] == 0
    pilot = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    assert (await lesson.app.ok("run_pilot", pilot, uid="teacher"))["ended"] == "budget"


async def test_the_usual_ceiling_of_a_class_is_a_setting(tutor):
    settings = {"limiter": "memory", "budget_class_day_nanos": 1000, "openai_base_url": tutor.url}
    async with in_memory(firestore_emulator_host="unused", **settings) as app:
        try:
            lesson = await a_class(app)
            await enroll(lesson, "ann", "7b")
            assert is_refused(await chat(lesson, "ann"))
            assert not is_refused(await chat(lesson, "ben"))
        finally:
            await app.services.close()


async def test_a_class_of_that_name_in_another_course_is_another_class(lesson):
    await close(lesson, "7b")
    other = await a_class(lesson.app)
    await enroll(other, "ann", "7b")
    assert is_refused(await chat(lesson, "ann"))
    assert not is_refused(await chat(other, "ann"))


@pytest.mark.parametrize("class_id", ["7c", None])
async def test_only_a_teacher_of_the_course_changes_a_class(lesson, class_id):
    await close(lesson, "7b")
    for who in ("ann", "ben"):
        assert (await enroll(lesson, "ann", class_id, by=who)).status_code == 403
    own = await a_class(lesson.app)  # ann teaches a course of her own, which opens nothing here
    await enroll(own, "ann", None, role="teacher")
    assert (await enroll(lesson, "ann", class_id, by="ann")).status_code == 403
    assert is_refused(await chat(lesson, "ann"))
    moved = await enroll(lesson, "ann", class_id)
    assert moved.json() == {
        "courseId": lesson.course_id,
        "learnerId": "ann",
        "role": "student",
        "classId": class_id,
    }
    assert not is_refused(await chat(lesson, "ann"))


async def test_a_class_is_part_of_the_membership_and_an_id(lesson):
    path = f"courses/{lesson.course_id}/members"
    member = await lesson.app.document(f"{path}/ann")
    assert (member["role"], member["classId"]) == ("student", "7b")
    assert "classId" not in await lesson.app.document(f"{path}/cleo")
    for wrong in ("", "7 b", "a/b", "a.b", "..", "__x__", "x" * 65, 7):
        assert (await enroll(lesson, "ann", wrong)).status_code == 400
    assert await lesson.app.document(f"{path}/ann") == member
