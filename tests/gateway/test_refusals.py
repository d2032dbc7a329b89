"""Refusals degrade: what was kept, the small model, prepared feedback; and an error that says when to come back."""

import asyncio
import json

import pytest

from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings, Degree
from shared.budgets.leases import LeasedBudgets
from shared.documents.memory import MemoryDocuments
from shared.errors import Unavailable
from shared.gateway.gateway import Gateway
from shared.metrics import REGISTRY
from shared.tutoring.chatting import in_its_place
from tests.deployed import in_memory, replace
from tests.tutoring import ANSWER, a_class

PLENTY = 10**12
LARGE, SMALL = "gpt-6.1-terra", "gpt-6-luna"


class Lesson:
    """A class, and the money of its learners, of which a test leaves as much as it likes."""

    def __init__(self, lesson) -> None:
        self.of = lesson
        self.app = lesson.app
        self.money = lesson.app.services.budgets
        self.held = []

    async def leaves(self, nanos, uid="ann"):
        """Let *uid* have *nanos* and no more."""
        payer = Payer(uid=uid)
        left = await self.money.remaining(payer)
        self.held.append(
            await self.money.reserve(payer, task="x", model=LARGE, worst_nanos=max(left - nanos, 0))
        )

    async def evaluated(self, question="Sky", uid="ann"):
        return (await self.app.ok("evaluate_answer", self.of.about(question), uid=uid))["evaluation"]


@pytest.fixture
async def lesson(tutor):
    settings = {"limiter": "memory", "budgets": "memory", "cache": "firestore", "rate_ai_points": 10_000}
    scopes = ("learner_day", "course_day", "tenant_day", "tenant_month")
    plenty = {f"budget_{each}_nanos": PLENTY for each in scopes}
    async with in_memory(
        firestore_emulator_host="unused", openai_base_url=tutor.url, **settings, **plenty
    ) as app:
        try:
            yield Lesson(await a_class(app))
        finally:
            await app.services.close()


def model_asked(tutor):
    return tutor.requests[-1][2]["model"]


def degraded(task, degree):
    return REGISTRY.get_sample_value("lectern_gateway_degraded_total", {"task": task, "degree": degree}) or 0


async def test_with_money_enough_the_large_model_evaluates(lesson, tutor):
    await lesson.of.answers("Sky", {"text": ANSWER})
    found = await lesson.evaluated()
    assert model_asked(tutor) == LARGE
    assert "smallModel" not in found["flags"]


@pytest.mark.parametrize("left", [PLENTY // 5 - 1, 10**7])
async def test_below_a_fifth_of_the_day_the_small_model_evaluates_and_the_teacher_sees_so(
    lesson, tutor, left
):
    """10**7 is less than the large model's worst case, too."""
    before = degraded("evaluate_answer", "small")
    await lesson.of.answers("Sky", {"text": ANSWER})
    await lesson.leaves(left)
    found = await lesson.evaluated()
    assert (tutor.total, model_asked(tutor)) == (1, SMALL)
    assert "smallModel" in found["flags"]
    page = await lesson.app.ok("list_evaluations", {"assignmentId": lesson.of.assignment_id}, uid="teacher")
    assert [each["evaluation"]["flags"] for each in page["rows"]] == [found["flags"]]
    assert degraded("evaluate_answer", "small") == before + 1


async def test_at_a_fifth_of_the_day_it_is_the_large_model_still(lesson, tutor):
    await lesson.of.answers("Sky", {"text": ANSWER})
    await lesson.leaves(PLENTY // 5)
    await lesson.evaluated()
    assert model_asked(tutor) == LARGE


async def test_a_ceiling_that_this_instance_did_not_know_leads_to_the_small_model(lesson, tutor, monkeypatch):
    await lesson.of.answers("Sky", {"text": ANSWER})
    await lesson.leaves(10**7)

    async def remaining(_payer):
        return PLENTY

    monkeypatch.setattr(lesson.money, "remaining", remaining)
    assert "smallModel" in (await lesson.evaluated())["flags"]
    assert (tutor.total, model_asked(tutor)) == (1, SMALL)


async def test_money_that_nobody_can_count_is_left_to_reserving(lesson, tutor, monkeypatch):
    await lesson.of.answers("Sky", {"text": ANSWER})

    async def remaining(_payer):
        raise Unavailable("the store does not answer")

    monkeypatch.setattr(lesson.money, "remaining", remaining)
    await lesson.evaluated()
    assert model_asked(tutor) == LARGE


async def test_what_another_instance_kept_of_the_large_model_is_served_to_those_without_money(lesson, tutor):
    before = degraded("evaluate_answer", "cached-only")
    for uid in ("ann", "ben"):
        await lesson.of.answers("Word", {"text": "oxygen"}, uid=uid)
    await lesson.evaluated("Word", "ann")
    lesson.app.services.caches._memory._kept.clear()
    await lesson.leaves(0, uid="ben")
    found = await lesson.evaluated("Word", "ben")
    assert "smallModel" not in found["flags"]
    assert tutor.total == 1
    assert degraded("evaluate_answer", "cached-only") == before + 1


async def test_an_evaluation_without_money_is_a_429_leaves_nothing_and_is_made_later(lesson, tutor):
    await lesson.of.answers("Sky", {"text": ANSWER})
    await lesson.leaves(0)
    response = await lesson.app.call("evaluate_answer", lesson.of.about("Sky"), uid="ann")
    assert response.status_code == 429
    assert 1 <= int(response.headers["retry-after"]) <= 86_400
    assert not [
        path for path in lesson.app.services.documents.dump() if path.startswith(("users/", "reviews/"))
    ]
    assert tutor.total == 0
    await lesson.money.release(lesson.held.pop())
    assert (await lesson.evaluated())["points"] >= 0


async def test_a_hint_without_money_is_prepared_and_says_so(lesson, tutor):
    before = degraded("chat", "deterministic")
    await lesson.leaves(0)
    replies = [await lesson.app.ok("chat", lesson.of.about("Capital"), uid="ann") for _ in range(2)]
    for reply in replies:
        assert reply["text"] == in_its_place("en", 1)
        assert (reply["degraded"], reply["rung"], reply["told"]) == ("budget", 1, False)
        assert 1 <= reply["retryAfterSeconds"] <= 86_400
    assert tutor.total == 0
    assert degraded("chat", "deterministic") == before + 2
    await lesson.money.release(lesson.held.pop())
    reply = await lesson.app.ok("chat", lesson.of.about("Capital"), uid="ann")
    assert (reply["degraded"], reply["rung"], reply["canned"]) == (None, 1, True)


async def test_a_hint_that_was_kept_is_told_without_money(lesson, tutor):
    """The second window asks for the same rung, as the first one's is on record only then."""
    first = await lesson.app.ok("chat", lesson.of.about("Capital"), uid="ann")
    for path in [each for each in lesson.app.services.documents.dump() if "/assistance/" in each]:
        del lesson.app.services.documents._documents[path]
    await lesson.leaves(0)
    again = await lesson.app.ok("chat", lesson.of.about("Capital"), uid="ann")
    assert (again["text"], again["degraded"]) == (first["text"], None)
    assert tutor.total == 1


async def test_a_hint_while_the_provider_is_left_alone_is_prepared(lesson, tutor):
    breaker = lesson.app.services.upstream._breaker
    for _ in range(5):
        breaker.failed()
    assert breaker.is_open
    reply = await lesson.app.ok("chat", lesson.of.about("Capital"), uid="ann")
    assert (reply["text"], reply["degraded"]) == (in_its_place("en", 1), "outage")
    assert tutor.total == 0


async def test_outlines_and_steps_without_money_are_429_and_say_when(lesson, tutor):
    outline = {"courseId": lesson.of.course_id, "topic": "Fractions", "lessons": 2}
    made = await lesson.app.ok("generate_skeleton", outline, uid="teacher")
    await lesson.leaves(0, uid="teacher")
    step = {"courseId": lesson.of.course_id, "version": made["version"], "lesson": 0, "step": 0}
    before = tutor.total
    for name, request in (("generate_skeleton", {**outline, "topic": "Ratios"}), ("generate_step", step)):
        response = await lesson.app.call(name, request, uid="teacher")
        assert response.status_code == 429, (name, response.text)
        assert int(response.headers["retry-after"]) >= 1
    assert tutor.total == before
    assert (await lesson.app.ok("generate_skeleton", outline, uid="teacher"))["version"] == made["version"]


async def test_an_outline_is_the_small_models_where_money_is_short(lesson, tutor):
    await lesson.leaves(PLENTY // 6, uid="teacher")
    outline = {"courseId": lesson.of.course_id, "topic": "Fractions", "lessons": 2}
    await lesson.app.ok("generate_skeleton", outline, uid="teacher")
    assert (tutor.total, model_asked(tutor)) == (1, SMALL)


async def test_a_pilot_is_of_the_model_that_was_shown_or_none(lesson, tutor):
    await lesson.of.answers("Sky", {"text": ANSWER})
    preview = await lesson.app.ok("preview_pilot", lesson.of.about("Sky"), uid="teacher")
    await lesson.leaves(10**7, uid="teacher")
    request = {"assignmentId": lesson.of.assignment_id, "previewId": preview["previewId"]}
    report = await lesson.app.ok("run_pilot", request, uid="teacher")
    assert (report["ended"], tutor.total) == ("budget", 0)


@pytest.fixture
async def few(tutor):
    """Three points a minute for everything that asks a model, and nobody has any money."""
    settings = {"budgets": "memory", "rate_ai_points": 3, "rate_lesson_points": 3}
    poor = {"budget_learner_day_nanos": 1, "openai_base_url": tutor.url}
    async with in_memory(firestore_emulator_host="unused", **settings, **poor) as app:
        try:
            yield await a_class(app)
        finally:
            await app.services.close()


def remaining(response):
    return int(response.headers["x-ratelimit-remaining"])


async def test_what_a_budget_refuses_costs_no_point(few):
    await few.answers("Sky", {"text": ANSWER})
    outline = {"courseId": few.course_id, "topic": "Fractions"}
    calls = [("evaluate_answer", few.about("Sky"), "ann"), ("generate_skeleton", outline, "teacher")]
    for name, request, uid in calls:
        for _ in range(5):
            response = await few.app.call(name, request, uid=uid)
            assert response.json()["detail"] == "the learner's budget of this day is spent"
            assert (response.status_code, remaining(response)) == (429, 3)


async def test_what_a_stream_refuses_in_its_midst_costs_no_point(few):
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    headers["authorization"] = "Bearer teacher"
    body = json.dumps({"data": {"courseId": few.course_id, "topic": "Fractions"}}).encode()
    for _ in range(5):
        response = await few.app.post("generate_skeleton", body, headers)
        assert "budget of this day is spent" in response.text


async def test_what_the_proxy_refuses_costs_no_point(few):
    messages = [{"role": "user", "content": "why?"}]
    for stream in (False, True, False, True):
        request = {"model": SMALL, "messages": messages, "stream": stream}
        response = await few.app.call("openai_proxy", request, uid="ann", path="/v1/chat/completions")
        assert (response.status_code, remaining(response)) == (429, 3)


async def test_what_is_refused_while_the_provider_is_left_alone_costs_no_point(few, tutor, monkeypatch):
    monkeypatch.setattr(few.app.services.budgets, "_ceilings", Ceilings(*[PLENTY] * 5))
    await few.answers("Sky", {"text": ANSWER})
    breaker = few.app.services.upstream._breaker
    for _ in range(5):
        breaker.failed()
    for _ in range(5):
        response = await few.app.call("evaluate_answer", few.about("Sky"), uid="ann")
        assert (response.status_code, remaining(response)) == (503, 3)
    assert tutor.total == 0


async def test_prepared_feedback_and_a_failing_provider_cost_their_points(few, tutor, monkeypatch):
    assert [remaining(await few.app.call("chat", few.about("Sky"), uid="ann")) for _ in range(2)] == [2, 1]
    monkeypatch.setattr(few.app.services.budgets, "_ceilings", Ceilings(*[PLENTY] * 5))
    tutor.fault = "500"
    await few.answers("Sky", {"text": ANSWER}, uid="ben")
    response = await few.app.call("evaluate_answer", few.about("Sky"), uid="ben")
    assert (response.status_code, remaining(response)) == (503, 2)


async def test_who_is_refused_may_not_ask_without_end(few, monkeypatch):
    """A point that is returned counts as an ordinary call, of which ann has two."""
    await few.answers("Sky", {"text": ANSWER})
    services = few.app.services
    monkeypatch.setitem(
        vars(services), "settings", services.settings.model_copy(update={"rate_call_points": 2})
    )
    replies = [await few.app.call("evaluate_answer", few.about("Sky"), uid="ann") for _ in range(6)]
    assert {each.status_code for each in replies} == {429}
    budget = ["budget" in each.json()["detail"] for each in replies]
    assert budget == [True, True, True, True, True, False]


async def test_a_point_that_cannot_be_returned_is_no_failure(few, monkeypatch):
    async def give_back(*_):
        raise Unavailable("the store does not answer")

    await few.answers("Sky", {"text": ANSWER})
    monkeypatch.setattr(few.app.services.limiter, "give_back", give_back)
    response = await few.app.call("evaluate_answer", few.about("Sky"), uid="ann")
    assert (response.status_code, remaining(response)) == (429, 2)


class Counted(MemoryDocuments):
    """Counts its reads."""

    reads = 0

    async def get(self, paths):
        self.reads += 1
        return await super().get(paths)


@pytest.mark.parametrize("looks", [True, False])
async def test_looking_at_leased_money_costs_no_read_of_its_own(tutor, looks, monkeypatch):
    """Twenty windows at once, then an answer more: it is as if reserving alone read the accounts."""
    if not looks:

        async def unseen(*_):
            return Degree.FULL

        monkeypatch.setattr(Gateway, "_degree", unseen)
    settings = {"limiter": "memory", "rate_ai_points": 10_000, "openai_base_url": tutor.url}
    async with in_memory(firestore_emulator_host="unused", **settings) as app:
        counted = Counted()
        replace(app.services, budgets=LeasedBudgets(counted, Ceilings(*[PLENTY] * 5), now=app.services.now))
        lesson = await a_class(app)
        evaluate = "evaluate_answer", lesson.about("Sky")
        await lesson.answers("Sky", {"text": ANSWER})
        await asyncio.gather(*(app.ok(*evaluate, uid="ann") for _ in range(20)))
        await lesson.answers("Sky", {"text": f"{ANSWER} And so on."})
        await app.ok(*evaluate, uid="ann")
        assert tutor.total == 2
        assert (
            counted.reads == 5
        )  # the ceilings, and an account each of learner, course, tenant's day and month
        await app.services.close()
