"""Queued evaluations on real Firestore, with leased money, a real provider and several workers."""

import asyncio

import pytest

from shared.budgets.base import Scope
from shared.budgets.prices import PriceTable, Usage
from shared.settings import get_settings
from shared.wiring import Services
from tests.deployed import deployed, settings_for_tests
from tests.tutoring import ANSWER, a_class

PRICES = PriceTable()
CLASS = [f"learner-{number}" for number in range(6)]


@pytest.fixture
async def lesson(id_token, tutor):
    async with deployed(id_token, openai_base_url=tutor.url, limiter="memory") as app:
        lesson = await a_class(app)
        for uid in CLASS:
            await lesson.answers("Sky", {"text": f"{ANSWER} {uid}"}, uid=uid)
        yield lesson


def billed(tutor):
    return sum(
        PRICES.in_batch(PRICES.actual("gpt-6.1-terra", Usage(prompt, completion)))
        for _, prompt, completion in tutor.batches.billed
    )


async def figures(services, course_id):
    [day] = await services.budgets.spent(Scope.COURSE, course_id)
    return day


async def test_a_class_is_evaluated_by_three_workers_as_by_one(lesson, tutor, project_id):
    app = lesson.app
    queued = await app.ok("queue_evaluations", lesson.about("Sky"), uid="teacher")
    assert queued["queued"] == len(CLASS)
    shown = await app.ok("get_evaluation_queue", lesson.about("Sky"), uid="teacher")
    assert (shown["queued"], shown["batched"], shown["givenUp"]) == (len(CLASS), 0, 0)
    assert get_settings().project == project_id
    workers = [Services(settings_for_tests(openai_base_url=tutor.url)) for _ in range(3)]
    try:
        for turn in range(4):
            await asyncio.gather(*(each.queue_run().work() for each in workers))
            day = await figures(workers[turn % 3], lesson.course_id)
            assert day.spent_nanos + day.reserved_nanos >= billed(tutor)
        day = await figures(workers[0], lesson.course_id)
        assert (day.spent_nanos, day.reserved_nanos) == (billed(tutor), 0)
        assert day.by_task == {"run_evaluation_queue": (billed(tutor), len(CLASS))}
        [learner] = await workers[1].budgets.spent(Scope.LEARNER, CLASS[0])
        assert 0 < learner.spent_nanos < day.spent_nanos
    finally:
        for each in workers:
            await each.close()
    assert len(tutor.batches.batches) == 1
    rows = await app.ok("list_evaluations", {"assignmentId": lesson.assignment_id}, uid="teacher")
    assert {each["evaluation"]["studentId"] for each in rows["rows"]} == set(CLASS)
    shown = await app.ok("get_evaluation_queue", lesson.about("Sky"), uid="teacher")
    assert (shown["queued"], shown["batched"], shown["givenUp"]) == (0, 0, 0)
    day = f"{app.services.now():%Y-%m-%d}"
    spent = await app.ok("export_spend", {"courseId": lesson.course_id, "day": day}, uid="teacher")
    assert (spent["rows"], spent["nanos"]) == (len(CLASS), billed(tutor))


async def test_a_learners_items_are_found_by_their_uid(lesson):
    from shared.documents.base import Find

    await lesson.app.ok("queue_evaluations", lesson.about("Sky"), uid="teacher")
    query = Find("queuedEvaluations", where={"learnerId": CLASS[1]})
    [found] = await lesson.app.services.documents.find(query)
    assert found.fields["state"] == "queued"
    assert "text" not in found.fields
