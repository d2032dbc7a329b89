"""Queued evaluations over the real gateway and a real provider's files and batches, with real money."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import openai
import pytest

from local.tutor.batches import BATCH_FAULTS
from shared.batching.items import MOST_IN_BATCH, MOST_OF_LEARNER
from shared.budgets.base import Payer, Scope
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.budgets.prices import PriceTable, Usage
from shared.errors import Unavailable
from shared.gateway.batches import NAME, Batches, Line, file_of, read_lines
from tests.deployed import in_memory, replace
from tests.tutoring import ANSWER, a_class

PLENTY = 10**12
COUNT = 7
CLASS = [f"learner-{number}" for number in range(COUNT)]
PRICES = PriceTable()


def budgets(app, *, learner=PLENTY, course=PLENTY):
    made = MemoryBudgets(
        Ceilings(learner, PLENTY, course, PLENTY, PLENTY),
        now=app.services.now,
        enter=app.services.spend_ledger.enter,
    )
    replace(app.services, budgets=made)
    vars(app.services).pop("gateway", None)  # made anew, with this money
    return made


class Clock:
    """A morning in the middle of a month, which a test moves on."""

    def __init__(self):
        self.later = datetime(2026, 11, 12, 7, tzinfo=UTC) - datetime.now(UTC)

    def __call__(self):
        return datetime.now(UTC) + self.later


@pytest.fixture
def settings():
    return {}


@pytest.fixture
async def lesson(tutor, settings):
    wide = {"limiter": "memory", "rate_ai_points": 10_000, "openai_base_url": tutor.url}
    async with in_memory(firestore_emulator_host="unused", **wide, **settings) as app:
        app.clock = app.services.now = Clock()
        tutor.batches.now = lambda: app.clock().timestamp()
        try:
            budgets(app)
            lesson = await a_class(app)
            for number, uid in enumerate(CLASS):
                await lesson.answers("Sky", {"text": f"{ANSWER} תשובה {number}"}, uid=uid)
            yield lesson
        finally:
            await app.services.close()


async def queue(lesson, question="Sky", **fields):
    return await lesson.app.ok("queue_evaluations", lesson.about(question, **fields), uid="teacher")


async def state(lesson):
    return await lesson.app.ok("get_evaluation_queue", lesson.about("Sky"), uid="teacher")


async def run(lesson):
    return await lesson.app.ok("run_evaluation_queue", {})


async def runs(lesson, times=3):
    for _ in range(times):
        last = await run(lesson)
    return last


def stored(lesson, part):
    return {
        path: fields
        for path, fields in lesson.app.services.documents.dump().items()
        if f"/{part}/" in f"/{path}"
    }


async def spent(lesson):
    [day] = await lesson.app.services.budgets.spent("course", lesson.course_id)
    return day


def billed(tutor, model="gpt-6.1-terra"):
    """What the provider bills for all that it was asked in batches."""
    return sum(
        PRICES.in_batch(PRICES.actual(model, Usage(prompt, completion)))
        for _, prompt, completion in tutor.batches.billed
    )


async def test_what_is_queued_comes_back_as_evaluations_at_half_the_price(lesson, tutor):
    preview = await queue(lesson, dryRun=True)
    assert (preview["queued"], preview["fresh"], preview["answers"], preview["percent"]) == (
        0,
        COUNT,
        COUNT,
        50,
    )
    assert 0 < preview["estimatedNanos"] < preview["worstNanos"]
    assert preview["remainingNanos"] == PLENTY
    assert stored(lesson, "queuedEvaluations") == {}
    assert (await queue(lesson))["queued"] == COUNT
    assert tutor.total == 0

    assert (await run(lesson))["submitted"] == 1
    assert await state(lesson) | {"rows": []} == {
        "way": "batches", "queued": 0, "batched": COUNT, "givenUp": 0, "rows": [],
    }  # fmt: skip
    assert (await run(lesson))["waiting"] == 1
    assert (await spent(lesson)).spent_nanos == preview["worstNanos"], "all of it, while nobody knows"
    report = await run(lesson)
    assert (report["settled"], report["evaluated"]) == (1, COUNT)

    evaluations = stored(lesson, "evaluations")
    assert len(evaluations) == COUNT
    assert all("canned" in each["flags"] for each in evaluations.values())
    assert len(stored(lesson, "waiting")) == COUNT
    assert len(stored(lesson, "context")) == COUNT
    assert stored(lesson, "queuedEvaluations") == {}
    day = await spent(lesson)
    assert (day.spent_nanos, day.reserved_nanos) == (billed(tutor), 0)
    assert day.by_task == {"run_evaluation_queue": (billed(tutor), COUNT)}
    assert preview["estimatedNanos"] / 3 < day.spent_nanos < preview["estimatedNanos"] * 3
    assert tutor.total == COUNT
    assert tutor.batches.files == {}, "what people wrote is not left with the provider"


async def test_an_evaluation_from_a_batch_is_the_one_that_the_learner_would_have_had(lesson, tutor):
    alone = (await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="learner-0"))["evaluation"]
    asked = next(body for path, _, body in tutor.requests if path == "/v1/chat/completions")
    for fields in list(stored(lesson, "evaluations")), list(stored(lesson, "context")):
        await lesson.app.services.documents.delete_each(fields)
    await lesson.app.services.documents.delete_each(list(stored(lesson, "waiting")))
    await queue(lesson)
    await run(lesson)
    [batch] = tutor.batches.batches.values()
    lines = [json.loads(each) for each in tutor.batches.files[batch.input_file].content.splitlines()]
    assert asked in [each["body"] for each in lines], "the very request"
    assert {each["url"] for each in lines} == {"/v1/chat/completions"}
    await runs(lesson)
    found = (await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="learner-0"))["evaluation"]
    assert {**found, "evaluatedAt": ""} == {**alone, "evaluatedAt": ""}
    assert tutor.total == COUNT + 1


async def test_queueing_again_and_asking_directly_evaluates_nothing_twice(lesson, tutor):
    await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="learner-3")
    first = await queue(lesson, limit=4)
    assert (first["queued"], first["evaluated"], first["more"]) == (4, 1, True)
    again = await queue(lesson)
    assert (again["queued"], again["waiting"]) == (COUNT - 5, 4)
    assert (await queue(lesson))["queued"] == 0
    # A learner who does not wait is answered; what was queued for them then asks nobody.
    await lesson.app.ok("evaluate_answer", lesson.about("Sky"), uid="learner-0")
    await runs(lesson)
    assert len(stored(lesson, "evaluations")) == COUNT
    assert tutor.total == COUNT


async def test_two_workers_at_once_make_one_batch_and_settle_it_once(lesson, tutor):
    await queue(lesson)
    for _ in range(3):
        await asyncio.gather(*(run(lesson) for _ in range(3)))
    assert len(tutor.batches.batches) == 1
    assert len(stored(lesson, "evaluations")) == COUNT
    day = await spent(lesson)
    assert (day.spent_nanos, day.reserved_nanos) == (billed(tutor), 0)


@pytest.mark.parametrize("fault", [each for each in BATCH_FAULTS if not each.isdigit()])
async def test_whatever_becomes_of_a_batch_nothing_is_lost_and_nothing_is_cheaper_than_its_bill(
    lesson, tutor, fault
):
    await queue(lesson)
    tutor.fault = fault
    await run(lesson)
    tutor.fault = ""
    report = await runs(lesson, 2)
    there = stored(lesson, "evaluations")
    left = stored(lesson, "queuedEvaluations")
    expected = {
        "batch-failed": 0,
        "batch-crowded": 0,
        "batch-expired": (COUNT + 1) // 2,
        "item-errors": COUNT // 2,
        "billed-errors": COUNT // 2,
        "truncated-file": len(there),
    }.get(fault, COUNT)
    assert len(there) == expected == report["evaluated"]
    assert len(there) + len(left) == COUNT
    attempts = int(fault != "batch-crowded")  # which is nothing against what is in it
    assert all((each["state"], each["attempts"]) == ("queued", attempts) for each in left.values())
    assert all(each["dueAt"] > lesson.app.services.now() + timedelta(minutes=50) for each in left.values())
    if fault == "truncated-file":
        assert 0 < len(there) < COUNT
        assert (await spent(lesson)).spent_nanos > billed(tutor)
    elif fault == "billed-errors":
        assert 0 <= (await spent(lesson)).spent_nanos - billed(tutor) <= COUNT, "but for what is rounded up"
    else:
        assert (await spent(lesson)).spent_nanos == billed(tutor)
    lesson.app.clock.later += timedelta(hours=2)
    await runs(lesson)
    assert len(stored(lesson, "evaluations")) == COUNT
    assert stored(lesson, "queuedEvaluations") == {}


@pytest.mark.parametrize(("fault", "reason"), [("wrong-schema", "unusable"), ("item-errors", "failed")])
async def test_what_fails_three_times_is_given_up_visibly_and_may_begin_anew(lesson, tutor, fault, reason):
    await queue(lesson, limit=1)
    tutor.fault = fault
    for _ in range(3):
        await runs(lesson)
        lesson.app.clock.later += timedelta(hours=6)
    shown = await state(lesson)
    assert (shown["queued"], shown["givenUp"]) == (0, 1)
    [row] = shown["rows"]
    assert (row["studentId"], row["reason"]) == ("learner-0", reason)
    assert len(tutor.batches.batches) == 3
    tutor.fault = ""
    assert await runs(lesson)
    assert len(tutor.batches.batches) == 3, "nobody tries any more"
    _, month = await lesson.app.services.budgets.spent(Scope.TENANT, "default")
    assert month.spent_nanos == billed(tutor)
    assert (await queue(lesson, limit=1))["queued"] == 1
    await runs(lesson)
    assert len(stored(lesson, "evaluations")) == 1


async def test_what_a_model_writes_in_a_batch_is_believed_no_more_than_elsewhere(lesson, tutor):
    await queue(lesson)
    tutor.fault = "malicious"
    await run(lesson)
    tutor.fault = ""
    await runs(lesson, 2)
    for each in stored(lesson, "evaluations").values():
        assert 0 <= each["points"] <= each["maxPoints"]
        assert "<script" not in each["feedback"]
        assert "scoreMismatch" in each["flags"]


async def test_items_without_money_wait_and_the_others_go(lesson, tutor):
    preview = await queue(lesson)
    each = preview["worstNanos"] // COUNT
    money = budgets(lesson.app, course=3 * each + each // 2)
    report = await run(lesson)
    assert (report["submitted"], report["refused"]) == (1, COUNT - 3)
    [day] = await money.spent("course", lesson.course_id)
    assert day.spent_nanos <= day.ceiling_nanos
    assert (await state(lesson))["queued"] == COUNT - 3
    assert (await run(lesson))["refused"] == 0, "they are not looked at again before there may be money"
    await run(lesson)
    lesson.app.clock.later += timedelta(hours=1, seconds=1)
    await runs(lesson)
    assert len(stored(lesson, "evaluations")) > 3
    [day] = await money.spent("course", lesson.course_id)
    assert billed(tutor) == day.spent_nanos <= day.ceiling_nanos


async def test_a_learner_without_money_does_not_keep_others_waiting(lesson):
    await queue(lesson)
    assert (await queue(lesson, dryRun=True))["worstNanos"] == 0, "all of them wait already"
    money = budgets(lesson.app, learner=10**9)
    await money.reserve(Payer("learner-2"), task="chat", model="canned", worst_nanos=10**9)
    report = await run(lesson)
    assert (report["submitted"], report["refused"]) == (1, 1)
    assert (await state(lesson))["batched"] == COUNT - 1


@pytest.mark.parametrize("status", ["404", "405"])
async def test_without_batches_a_few_are_asked_for_by_themselves_at_the_normal_price(lesson, tutor, status):
    tutor.fault = status
    preview = await queue(lesson)
    assert preview["percent"] == 100
    assert (await state(lesson))["way"] == "alone"
    tutor_fault, tutor.fault = tutor.fault, ""
    report = await run(lesson)
    assert (report["way"], report["evaluated"]) == ("alone", 5)
    assert (await run(lesson))["evaluated"] == COUNT - 5
    assert tutor.batches.batches == {}
    assert tutor_fault == status
    day = await spent(lesson)
    assert day.by_task == {"evaluate_answer": (day.spent_nanos, COUNT)}
    assert day.spent_nanos <= preview["worstNanos"]


async def test_a_provider_that_takes_files_no_more_gets_nothing_and_no_attempt_counts(lesson, tutor):
    await queue(lesson)
    assert await lesson.app.services.batches.offered()
    tutor.fault = "404"
    await run(lesson)
    items = stored(lesson, "queuedEvaluations")
    assert {(each["state"], each["attempts"]) for each in items.values()} == {("queued", 0)}
    assert (await spent(lesson)).spent_nanos == 0


class TestNever:
    @pytest.fixture
    def settings(self):
        return {"evaluation_batches": "never", "evaluations_alone": 2}

    async def test_settings_may_say_never(self, lesson, tutor):
        await queue(lesson)
        assert (await run(lesson))["evaluated"] == 2
        assert tutor.batches.requests == []

    async def test_two_workers_evaluate_each_answer_once(self, lesson, tutor):
        await queue(lesson)
        tutor.delay_seconds = 0.01
        await asyncio.gather(run(lesson), run(lesson))
        assert tutor.total == len(stored(lesson, "evaluations")) <= 4

    async def test_an_outage_counts_attempts_slowly_and_a_spent_budget_none(self, lesson, tutor):
        await queue(lesson, limit=1)
        budgets(lesson.app, course=1)
        assert (await run(lesson))["refused"] == 1
        [item] = stored(lesson, "queuedEvaluations").values()
        assert (item["attempts"], item["reason"]) == (0, "budget")
        budgets(lesson.app)
        lesson.app.clock.later += timedelta(hours=1, seconds=1)
        tutor.fault = "malformed"
        await run(lesson)
        [item] = stored(lesson, "queuedEvaluations").values()
        assert (item["attempts"], item["reason"], item["state"]) == (1, "failed", "queued")
        assert item["dueAt"] > lesson.app.services.now() + timedelta(minutes=50)


async def test_a_refusal_for_money_leaves_its_answer_in_the_queue_if_the_caller_asks(lesson, tutor):
    budgets(lesson.app, learner=1)
    refused = await lesson.app.call("evaluate_answer", lesson.about("Sky"), uid="learner-1")
    assert refused.status_code == 429
    assert stored(lesson, "queuedEvaluations") == {}
    wanted = lesson.about("Sky", whenRefused="queue")
    for _ in range(2):
        reply = await lesson.app.ok("evaluate_answer", wanted, uid="learner-1")
        assert reply == {"state": "queued", "evaluation": None}
    [item] = stored(lesson, "queuedEvaluations").values()
    assert item["learnerId"] == "learner-1"
    assert ANSWER[:20] not in json.dumps(item, default=str)
    budgets(lesson.app)
    await runs(lesson)
    reply = await lesson.app.ok("evaluate_answer", wanted, uid="learner-1")
    assert (reply["state"], reply["evaluation"]["studentId"]) == ("evaluated", "learner-1")
    assert tutor.total == 1


async def test_an_outage_leaves_an_answer_that_waits_to_be_merged_in_the_queue(lesson, tutor):
    event = await lesson.answers("Sky", {"text": "Because of the air."}, uid="new", merged=False)
    tutor.fault = "500"
    reply = await lesson.app.ok(
        "evaluate_answer", lesson.about("Sky", eventId=event, whenRefused="queue"), uid="new"
    )
    assert reply["state"] == "queued"
    tutor.fault = ""
    lesson.app.clock.later += timedelta(minutes=1)
    await run(lesson)
    [item] = stored(lesson, "queuedEvaluations").values()
    assert (item["state"], item["attempts"], item["reason"]) == ("queued", 1, "notOnRecord")
    await lesson.app.deliver()
    lesson.app.clock.later += timedelta(hours=2)
    await runs(lesson)
    assert len(stored(lesson, "evaluations")) == 1


async def test_a_learner_fills_no_queue(lesson):
    budgets(lesson.app, learner=1)
    for number in range(MOST_OF_LEARNER + 1):
        event = await lesson.answers("Sky", {"text": f"Attempt {number}"}, uid="busy", merged=False)
        reply = await lesson.app.call(
            "evaluate_answer", lesson.about("Sky", eventId=event, whenRefused="queue"), uid="busy"
        )
        assert reply.status_code == (200 if number < MOST_OF_LEARNER else 429)
    assert len(stored(lesson, "queuedEvaluations")) == MOST_OF_LEARNER


async def test_a_learner_who_was_forgotten_meanwhile_gets_no_evaluation(lesson, tutor):
    await queue(lesson)
    await run(lesson)
    documents = lesson.app.services.documents
    mine = [
        path for path, each in stored(lesson, "queuedEvaluations").items() if each["learnerId"] == CLASS[2]
    ]
    await documents.delete_each(mine)
    await runs(lesson, 2)
    assert len(stored(lesson, "evaluations")) == COUNT - 1
    assert not any(path.startswith(f"users/{CLASS[2]}/") for path in stored(lesson, "evaluations"))
    assert billed(tutor) < (await spent(lesson)).spent_nanos, "theirs stays at its worst"
    [batch] = stored(lesson, "evaluationBatches").values()
    assert not any(uid in json.dumps(batch, default=str) for uid in CLASS)


async def test_the_day_after_entries_have_what_it_was_and_the_month_is_corrected(lesson, tutor):
    preview = await queue(lesson)
    await run(lesson)
    lesson.app.clock.later += timedelta(days=1)
    await runs(lesson, 2)
    assert (await spent(lesson)).spent_nanos == 0
    found = await lesson.app.ok(
        "export_spend", {"courseId": lesson.course_id, "day": "2026-11-12"}, uid="teacher"
    )
    assert (found["rows"], found["nanos"]) == (COUNT, billed(tutor))
    _, month = await lesson.app.services.budgets.spent(Scope.TENANT, "default")
    assert month.spent_nanos == billed(tutor) < preview["worstNanos"]


async def test_a_batch_that_never_ends_is_given_up_at_its_worst(lesson, tutor):
    preview = await queue(lesson)
    await run(lesson)
    tutor.batches.newest.done = "in_progress"
    await run(lesson)
    await run(lesson)
    lesson.app.clock.later += timedelta(days=3, seconds=1)
    report = await run(lesson)
    assert (report["settled"], report["cameBack"]) == (1, COUNT)
    assert ("POST", f"/v1/batches/{tutor.batches.newest.id}/cancel") in tutor.batches.requests
    found = await lesson.app.ok(
        "export_spend", {"courseId": lesson.course_id, "day": "2026-11-12"}, uid="teacher"
    )
    assert found["nanos"] == preview["worstNanos"]


async def test_a_batch_that_the_provider_took_twice_is_counted_twice(lesson, tutor):
    preview = await queue(lesson)
    tutor.fault = "reset"  # the provider hears everything, and nobody hears the provider
    await run(lesson)
    # The file's name is lost with its reply: a quarter of an hour later it is handed in anew.
    lesson.app.clock.later += timedelta(minutes=16)
    tutor.fault = ""
    services = lesson.app.services
    begin = services.batches.begin

    async def twice(name, input_file):
        await begin(name, input_file)
        await begin(name, input_file)
        raise Unavailable("its reply is lost")

    services.batches.begin = twice
    await run(lesson)
    del services.batches.begin
    lesson.app.clock.later += timedelta(minutes=16)
    await run(lesson)
    assert len(tutor.batches.batches) == 2
    await runs(lesson, 3)
    assert len(stored(lesson, "evaluations")) == COUNT
    day = await spent(lesson)
    assert day.spent_nanos >= billed(tutor)
    assert day.spent_nanos == billed(tutor) // 2 + preview["worstNanos"]


class TestSmaller:
    @pytest.fixture
    def settings(self):
        return {"evaluation_batch_items": 3}

    async def test_a_batch_has_no_more_than_settings_say(self, lesson, tutor, monkeypatch):
        await queue(lesson)
        await run(lesson)
        assert (await state(lesson))["batched"] == 3
        await runs(lesson, 5)
        assert [each.asked for each in tutor.batches.batches.values()] == [3, 3, 1]
        assert len(stored(lesson, "evaluations")) == COUNT

    async def test_only_so_many_batches_are_under_way(self, lesson, tutor, monkeypatch):
        monkeypatch.setattr("shared.batching.worker.MOST_OPEN", 1)
        await queue(lesson)
        await run(lesson)
        await run(lesson)
        assert len(tutor.batches.batches) == 1
        await runs(lesson, 8)
        assert len(stored(lesson, "evaluations")) == COUNT


async def test_a_provider_that_hangs_takes_no_more_than_a_few_looks(lesson, tutor, monkeypatch):
    await queue(lesson)
    vars(lesson.app.services)["settings"] = lesson.app.services.settings.model_copy(
        update={"evaluation_batch_items": 1}
    )
    monkeypatch.setattr("local.tutor.batches._LOOKS", 100)
    await runs(lesson, COUNT)
    under_way = [each for each in stored(lesson, "evaluationBatches").values() if each["open"]]
    assert len(under_way) > 2
    tutor.fault = "hang"
    monkeypatch.setattr("shared.gateway.batches._SECONDS", 0.05)
    before = len(tutor.batches.requests)
    await run(lesson)
    assert len(tutor.batches.requests) <= before + 3 * 3
    tutor.fault = ""


async def test_only_teachers_of_the_course_and_only_written_questions(lesson):
    for name in ("queue_evaluations", "get_evaluation_queue"):
        assert (await lesson.app.call(name, lesson.about("Sky"), uid="learner-0")).status_code == 403
        assert (await lesson.app.call(name, lesson.about("Capital"), uid="teacher")).status_code == 400
    assert (await lesson.app.call("queue_evaluations", lesson.about("Sky", limit=MOST_IN_BATCH + 1), uid="teacher")).status_code == 400  # fmt: skip


class TestDoor:
    async def test_the_official_client_and_ours_mean_the_same(self, lesson, tutor):
        ours = lesson.app.services.batches
        body = json.dumps({"model": "canned", "messages": [{"role": "user", "content": "למה?"}]}).encode()
        async with openai.AsyncOpenAI(base_url=tutor.url, api_key="x", max_retries=0) as client:
            for number in range(3):
                content = file_of([("one", body), (f"two-{number}", body)])
                file = await client.files.create(file=("in.jsonl", content), purpose="batch")
                assert (file.purpose, file.bytes) == ("batch", len(content))
                assert (await client.files.content(file.id)).content == content
                made = await client.batches.create(
                    input_file_id=file.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={NAME: f"ours-{number}"},
                )
                assert made.status == "validating"
            assert (await client.batches.retrieve(made.id)).status == "in_progress"
            done = await client.batches.retrieve(made.id)
            assert (done.status, done.request_counts.completed) == ("completed", 2)
            lines, unreadable = read_lines((await client.files.content(done.output_file_id)).content)
            assert ([each.name for each in lines], unreadable) == (["one", "two-2"], 0)
            listed = [each.id async for each in client.batches.list(limit=2)]
            assert len(listed) == 3
            assert listed[0] == made.id
            assert await ours.look(made.id) == (await ours.named("ours-2", since=0))[0]
            file_id = await ours.upload("ours", content)
            assert (await client.files.content(file_id)).content == content
            begun = await ours.begin("ours-x", file_id)
            assert (await client.batches.cancel(begun.id)).status == "cancelled"
            await ours.remove([file_id, "file-nobody"])
            with pytest.raises(openai.NotFoundError):
                await client.files.retrieve(file_id)

    async def test_batches_are_found_by_name_beyond_the_first_page(self, lesson, tutor, monkeypatch):
        monkeypatch.setattr("shared.gateway.batches._PAGE", 2)
        ours = lesson.app.services.batches
        file_id = await ours.upload("ours", file_of([("one", b"{}")]))
        for number in range(5):
            await ours.begin(f"name-{number % 2}", file_id)
        assert len(await ours.named("name-1", since=0)) == 2
        assert await ours.named("name-1", since=10**11) == []

    async def test_whether_there_are_batches_is_asked_once_an_hour(self, lesson, tutor):
        now = [0.0]
        ours = Batches(lesson.app.services.upstream, clock=lambda: now[0])
        assert [await ours.offered() for _ in range(3)] == [True] * 3
        assert tutor.batches.requests == [("GET", "/v1/files")]
        now[0], tutor.fault = 3600, "405"
        assert not await ours.offered()
        assert not await Batches(None).offered()

    async def test_beginning_is_never_tried_again(self, lesson, tutor):
        ours = lesson.app.services.batches
        file_id = await ours.upload("ours", file_of([("one", b"{}")]))
        for fault in ("500", "reset", "malformed"):
            tutor.fault = fault
            before = len(tutor.batches.requests)
            with pytest.raises(Unavailable):
                await ours.begin("ours", file_id)
            assert len(tutor.batches.requests) == before + 1

    def test_lines_that_nobody_can_read_are_counted(self):
        good = b'{"custom_id":"a","response":{"status_code":200,"body":{}},"error":null}'
        data = b"\n".join([good, b"", b'{"custom_id":"b","respo', b"[]", b'{"custom_id":1}'])
        assert read_lines(data) == ([Line("a", 200, b"{}")], 3)

    async def test_what_is_asked_of_the_provider_is_gone_after_three_days(self, lesson, tutor):
        """Should nobody come to read it."""
        seen = []
        upstream = lesson.app.services.upstream
        whole = upstream.whole

        async def noted(call, check):
            seen.append(call)
            return await whole(call, check)

        upstream.whole = noted
        ours = lesson.app.services.batches
        await ours.begin("ours", await ours.upload("ours", file_of([("one", b"{}")])))
        upload, begin = seen
        assert b'name="expires_after[seconds]"\r\n\r\n259200' in upload.body
        assert json.loads(begin.body)["output_expires_after"] == {"anchor": "created_at", "seconds": 259200}

    async def test_a_provider_that_names_a_path_is_not_followed(self, lesson, tutor):
        tutor.batches._name = lambda kind: "../../etc/passwd"
        with pytest.raises(Unavailable):
            await lesson.app.services.batches.upload("ours", b"{}")


async def test_the_tutor_is_reached_by_plain_http_too(tutor):
    async with httpx.AsyncClient(base_url=tutor.url, trust_env=False) as client:
        assert (await client.get("/batches/none")).status_code == 404
        assert (await client.post("/batches", json={})).status_code == 400
        assert (await client.post("/files", content=b"x")).status_code == 400
