"""Pilots over the real gateway, a real upstream and real money."""

import asyncio

import pytest

from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from tests.deployed import in_memory, replace
from tests.tutoring import ANSWER, a_class

PLENTY = 10**12
COUNT = 9


def budgets(app, course=PLENTY):
    ceilings = Ceilings(*[PLENTY] * 2, course, *[PLENTY] * 2)
    made = MemoryBudgets(ceilings, now=app.services.now, enter=app.services.spend_ledger.enter)
    replace(app.services, budgets=made)
    vars(app.services).pop("gateway", None)  # made anew, with this money
    return made


@pytest.fixture
async def lesson(tutor):
    settings = {"limiter": "memory", "rate_ai_points": 10_000}
    async with in_memory(firestore_emulator_host="unused", openai_base_url=tutor.url, **settings) as app:
        try:
            budgets(app)
            lesson = await a_class(app)
            for number in range(COUNT):
                await lesson.answers("Sky", {"text": f"{ANSWER} {number}"}, uid=f"learner-{number}")
            yield lesson
        finally:
            await app.services.close()


async def previewed(lesson, size=COUNT):
    return await lesson.app.ok("preview_pilot", lesson.about("Sky", sampleSize=size), uid="teacher")


async def run(lesson, preview):
    request = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    return await lesson.app.ok("run_pilot", request, uid="teacher")


async def spend_of(lesson):
    found = await lesson.app.ok("get_spend", {"courseId": lesson.course_id}, uid="teacher")
    return found, {each["task"]: (each["nanos"], each["calls"]) for each in found["byTask"]}


async def test_a_preview_costs_nothing_and_a_run_between_its_figures(lesson, tutor):
    preview = await previewed(lesson)
    assert tutor.total == 0
    assert preview["remainingNanos"] == PLENTY
    report = await run(lesson, preview)
    assert (report["ended"], report["left"], tutor.total) == ("done", 0, COUNT)
    assert 0 < report["nanos"] <= preview["worstNanos"]
    # The built-in tutor counts four bytes to a token, and is as wordy as it is: the estimate is of that size.
    assert preview["estimatedNanos"] / 3 < report["nanos"] < preview["estimatedNanos"] * 3
    spend, by_task = await spend_of(lesson)
    assert by_task == {"run_pilot": (report["nanos"], COUNT)}
    assert spend["reservedNanos"] == 0
    assert all("canned" in each["evaluation"]["flags"] for each in report["rows"])


async def test_again_asks_nobody_and_costs_nothing(lesson, tutor):
    preview = await previewed(lesson)
    first = await run(lesson, preview)
    assert await run(lesson, preview) == first
    assert tutor.total == COUNT
    _, by_task = await spend_of(lesson)
    assert by_task["run_pilot"] == (first["nanos"], COUNT)


async def test_what_a_learner_was_told_already_is_not_asked_again(lesson, tutor):
    """The same request, word for word, is in the cache of whoever wrote the answer."""
    await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="learner-3")
    assert tutor.total == 1
    report = await run(lesson, await previewed(lesson))
    assert tutor.total == COUNT
    mine = next(each for each in report["rows"] if each["evaluation"]["studentId"] == "learner-3")
    assert mine["nanos"] == 0


async def test_a_ceiling_of_the_course_ends_it_and_raising_it_goes_on(lesson, tutor):
    preview = await previewed(lesson)
    usual = (await run(lesson, await previewed(lesson, 1)))["nanos"]
    ceiling = preview["worstNanos"] // COUNT + 2 * usual
    money = budgets(lesson.app, course=ceiling)
    assert (await previewed(lesson))["remainingNanos"] == ceiling
    report = await run(lesson, preview)
    assert report["ended"] == "budget"
    assert report["left"] == COUNT - len(report["rows"]) > 0
    assert len(report["rows"]) > 1, "what could be paid was done"
    assert report["retryAfterSeconds"] > 0
    [day] = await money.spent("course", lesson.course_id)
    assert 0 < day.spent_nanos <= ceiling
    assert day.reserved_nanos == 0
    done = tutor.total
    budgets(lesson.app)
    report = await run(lesson, preview)
    assert (report["ended"], len(report["rows"]), tutor.total) == ("done", COUNT, COUNT)
    assert done == day.by_task["run_pilot"][1] + 1


async def test_siblings_under_way_are_no_reason_to_end(lesson, tutor):
    """Four at once reserve four worst cases; with money for two, it goes on two by two."""
    preview = await previewed(lesson)
    tutor.delay_seconds = 0.02
    budgets(lesson.app, course=preview["worstNanos"] // COUNT * 2 + preview["worstNanos"] // 3)
    report = await run(lesson, preview)
    assert (report["ended"], len(report["rows"])) == ("done", COUNT)


async def test_a_run_that_was_cut_off_is_taken_up_where_it_was(lesson, tutor):
    preview = await previewed(lesson)
    tutor.delay_seconds = 0.1
    task = asyncio.create_task(run(lesson, preview))
    while tutor.total < COUNT - 3:  # noqa: ASYNC110  the tutor has only a count
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = [path for path in lesson.app.services.documents.dump() if path.startswith("pilotEvaluations/")]
    assert 0 < len(kept) < COUNT
    tutor.delay_seconds = 0
    before = tutor.total
    report = await run(lesson, preview)
    assert (report["ended"], len(report["rows"])) == ("done", COUNT)
    assert tutor.total - before <= COUNT - len(kept)


@pytest.mark.parametrize("fault", ["500", "malformed", "wrong-schema", "malicious"])
async def test_whatever_the_upstream_does_the_report_is_whole(lesson, tutor, fault, monkeypatch):
    monkeypatch.setattr("functions.pilots.ANSWER_SECONDS", 2)
    preview = await previewed(lesson)
    tutor.fault = fault
    report = await run(lesson, preview)
    assert report["ended"] in {"outage", "done"}
    assert len(report["rows"]) + report["left"] == COUNT
    for row in report["rows"]:
        assert 0 <= row["evaluation"]["points"] <= row["evaluation"]["maxPoints"]
        assert "<script" not in row["evaluation"]["feedback"]
    tutor.fault = ""


async def test_where_no_model_is_set_up_the_cost_is_told_and_a_run_ends_at_once():
    settings = {"limiter": "memory", "budgets": "memory", "rate_ai_points": 10_000}
    async with in_memory(firestore_emulator_host="unused", **settings) as app:
        lesson = await a_class(app)
        await lesson.answers("Sky", {"text": ANSWER})
        preview = await previewed(lesson)
        assert (preview["answers"], preview["model"]) == (1, "gpt-6.1-terra")
        report = await run(lesson, preview)
        assert (report["ended"], report["left"], report["retryAfterSeconds"]) == ("outage", 1, 60)
        assert (await spend_of(lesson))[0]["spentNanos"] == 0


async def test_a_model_without_a_price_is_not_tried(tutor):
    settings = {"limiter": "memory", "budgets": "memory", "rate_ai_points": 10_000}
    settings |= {"openai_base_url": tutor.url, "large_model": "gpt-of-tomorrow"}
    async with in_memory(firestore_emulator_host="unused", **settings) as app:
        lesson = await a_class(app)
        await lesson.answers("Sky", {"text": ANSWER})
        response = await app.call("preview_pilot", lesson.about("Sky"), uid="teacher")
        assert response.status_code == 403
        assert "price" in response.json()["detail"]
        assert tutor.total == 0
        assert not [path for path in app.services.documents.dump() if path.startswith("pilots/")]


async def test_a_price_that_the_settings_change_is_a_conflict_in_the_next_process(lesson, tutor):
    preview = await previewed(lesson)
    services = lesson.app.services
    replace(services, settings=services.settings.model_copy(update={"prices": {"gpt-6.1-terra": (9, 9, 9)}}))
    for name in ("prices", "gateway"):
        vars(services).pop(name, None)
    request = {"assignmentId": lesson.assignment_id, "previewId": preview["previewId"]}
    refused = await lesson.app.call("run_pilot", request, uid="teacher")
    assert refused.status_code == 409
    assert "price" in refused.json()["detail"]
    assert tutor.total == 0
