"""
What each function may cost, in billed operations and round trips: a function without a budget fails.

Measured over one course with one assignment of three questions and three students: what a function
reads per shard or per pending answer, it reads once here. *first* is a call in a fresh process,
*again* the same call later, with what the process keeps: headers, forms and gradings, shards.

What asks a model does so both times, with the settings that a deployment has by itself: Firestore counts
its calls and keeps its money (``limiter``, ``budgets``). Alone on its instance it costs the most: under
load, calls share leases of points and of money, and what is written of both afterwards.
"""

import asyncio
import hmac
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

import main
from shared import metrics
from shared.budgets import leases
from shared.budgets.entries import SpendLedger
from shared.documents.base import Create
from shared.documents.firestore import fill
from shared.documents.messages import message as protobuf
from shared.documents.metering import KINDS
from shared.edge.logs import configure
from shared.edge.registry import deployments
from shared.learning.answers import event_id
from shared.settings import Settings
from shared.topics.base import Message
from tests.deployed import INGEST_KEY, deployed, replace
from tests.emulator.test_indexes import composite, indexes_used, listed
from tests.erasing import StatedArchive
from tests.hot_documents import WatchedDocuments
from tests.tutoring import ANSWER

QUIZ = """
::one:: 1 + 1 is {#2}

::two:: 2 + 2 is {#4}

::three:: The Earth is round. {T}

::essay:: Why is the sky blue? {}
"""
"""Students answer the first three; the essay is for the tutor."""


class Cost(NamedTuple):
    """Billed operations, and round trips."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    rpcs: int = 0


BUDGETS = {
    # Accepting: the answer, and on first sight its course, its header and its form; never a key.
    "submit_answer": (Cost(3, 1, 0, 4), Cost(0, 1, 0, 1)),
    "submit_answers": (Cost(3, 3, 0, 4), Cost(0, 3, 0, 1)),
    "ingest_answers": (Cost(2, 1, 0, 3), Cost(0, 1, 0, 1)),
    "verify_receipt": (Cost(), Cost()),
    # Merging: segment, head, assignment and its counts of options, and a deletion of each of the three
    # answers, or of the one. Who was erased is read once in thirty seconds, here and where replies are kept.
    "merge_answers": (Cost(6, 4, 3, 7), Cost(0, 4, 3, 3)),
    "on_answer_created": (Cost(6, 4, 1, 7), Cost(0, 4, 1, 3)),
    "sweep_pending": (Cost(10, 4, 3, 9), Cost(4, 4, 3, 5)),
    "clean_up": (Cost(23, 1, 2, 20), Cost(19, 0, 0, 19)),
    # Reading.
    "get_assignment": (Cost(3, 0, 0, 3), Cost()),
    "list_assignments": (Cost(2, 0, 0, 2), Cost(1, 0, 0, 1)),
    "my_results": (Cost(7, 0, 0, 4), Cost(1, 0, 0, 1)),
    "get_gradebook": (Cost(8, 0, 0, 6), Cost(1, 0, 0, 1)),
    "get_assignment_as_of": (Cost(12, 0, 0, 8), Cost(5, 0, 0, 3)),
    "rebuild_assignment": (Cost(11, 0, 0, 7), Cost(4, 0, 0, 2)),
    # Spending: figures of one document; an hour's entries in one.
    "get_spend": (Cost(4, 0, 0, 4), Cost(2, 0, 0, 2)),
    "export_spend": (Cost(3, 0, 0, 3), Cost(1, 0, 0, 1)),
    "get_cost_advice": (Cost(3, 0, 0, 3), Cost(1, 0, 0, 1)),
    # Teaching.
    "create_course": (Cost(0, 2, 0, 1), Cost(0, 2, 0, 1)),
    "enroll_learner": (Cost(2, 1, 0, 3), Cost(0, 1, 0, 1)),
    "import_assignment": (Cost(2, 3, 0, 3), Cost(0, 3, 0, 1)),
    "switch_tutor": (Cost(5, 1, 0, 6), Cost(2, 1, 0, 3)),
    # Tutoring. Of the writes, 15 are limits and money, of a call that is alone: 2 leases of points (its user's
    # and its address'), and for each of 4 ceilings a lease, a report and what is left of it given back, and
    # the ledger's entry. The proxy has 3 ceilings where its caller names no course. After half a minute without calls,
    # the ceilings themselves are read again: 4 reads more. Whether a guest of an open course is in one of its
    # classes is read each time.
    "evaluate_answer": (Cost(29, 18, 0, 36), Cost(12, 18, 0, 25)),
    "chat": (Cost(29, 16, 0, 35), Cost(12, 16, 0, 24)),
    "generate_skeleton": (Cost(13, 16, 0, 26), Cost(0, 16, 0, 16)),
    "generate_step": (Cost(14, 15, 0, 26), Cost(2, 15, 0, 17)),
    "openai_proxy": (Cost(9, 12, 0, 19), Cost(0, 12, 0, 12)),
    # Reviewing: an evaluation with its place in the queue; one row of it; one decision.
    "list_evaluations": (Cost(6, 0, 0, 6), Cost(2, 0, 0, 2)),
    "accept_evaluation": (Cost(7, 2, 1, 7), Cost(3, 2, 1, 3)),
    "override_evaluation": (Cost(7, 2, 1, 7), Cost(3, 2, 1, 3)),
    "get_agreement": (Cost(5, 0, 0, 5), Cost(1, 0, 0, 1)),
    # Trying a rubric on one answer: the preview; the evaluation of it, with limits and money as above.
    "preview_pilot": (Cost(21, 1, 0, 16), Cost(11, 1, 0, 11)),
    "run_pilot": (Cost(26, 16, 0, 36), Cost(11, 16, 0, 25)),
    # Erasing somebody of whom nothing is there: what looking everywhere costs in a school of one course and one
    # assignment, and the notes of how far it has come.
    "erase_learner": (Cost(37, 7, 0, 36), Cost(37, 7, 0, 36)),
    "continue_erasures": (Cost(40, 5, 0, 40), Cost(40, 5, 0, 40)),
    "get_erasure": (Cost(1, 0, 0, 1), Cost(1, 0, 0, 1)),
    "verify_erasure": (Cost(), Cost()),
    "reapply_erasures": (Cost(17, 0, 0, 17), Cost(17, 0, 0, 17)),
    # Queueing one answer; looking at the queue; an answer's whole way through it, in three runs, alone.
    "queue_evaluations": (Cost(22, 1, 0, 18), Cost(15, 1, 0, 14)),
    "get_evaluation_queue": (Cost(10, 0, 0, 7), Cost(3, 0, 0, 3)),
    # On a busy machine, money is reported between two runs as well: of 21 writes, 3 more.
    "run_evaluation_queue": (Cost(39, 24, 1, 51), Cost(26, 24, 1, 44)),
}
"""By function: the most that the first call and a later one may cost."""

EACH_IN_BATCH = (27, 9, 1)
"""
Reads, writes and deletes of one more evaluation in a batch, over its whole way.

Measured: 24.4, 7.3 and 1; on a busy machine, money is reported more often.
"""


class School:
    """A course with an assignment, in which three students have answered everything."""

    def __init__(self, app, form):
        self.app = app
        self.form = form
        self.assignment_id = form["assignmentId"]
        *self.questions, self.essay = [question["questionId"] for question in form["questions"]]
        self.evaluation, self.criteria = None, []
        self.round = 0

    def answers(self, uid="new"):
        """Three new answers: another attempt at each question."""
        self.round += 1
        given = ({"number": 2}, {"number": 4}, {"value": True})
        return [
            {
                "assignmentId": self.assignment_id,
                "questionId": question,
                "answer": answer,
                "submissionId": f"{uid}-{self.round:08}",
            }
            for question, answer in zip(self.questions, given, strict=True)
        ]

    async def pending(self, app, uid="ann"):
        """Put three answers on record, and return the messages that tell of them."""
        await app.ok("submit_answers", {"answers": self.answers(uid)}, uid=uid)
        messages, app.doorbell.messages = app.doorbell.messages, []
        return messages

    async def answered(self, app, question, answer, uid="ann"):
        """Have a question answered and merged, and return what names the answer."""
        about = {"assignmentId": self.assignment_id, "questionId": question}
        accepted = await app.ok("submit_answer", {**about, "answer": answer}, uid=uid)
        await app.deliver()
        return {**about, "eventId": accepted["eventId"]}

    async def evaluated(self, app, uid="ann"):
        """Have an essay evaluated, and return what names the evaluation."""
        about = await self.answered(app, self.essay, {"text": ANSWER}, uid)
        evaluation = (await app.ok("evaluate_answer", about, uid=uid))["evaluation"]
        self.criteria = [each["criterionId"] for each in evaluation["criteria"]]
        return {"assignmentId": self.assignment_id, "evaluationId": evaluation["evaluationId"]}

    async def queued(self, app, count):
        """Have an essay answered by so many learners, and their evaluations queued; returns how many."""
        for number in range(count):
            text = {"text": f"{ANSWER} {self.round}.{number}"}
            about = await self.answered(app, self.essay, text, f"learner-{number}")
        del about["eventId"]
        return (await app.ok("queue_evaluations", about, uid="teacher"))["queued"]

    async def previewed(self, app):
        """Have an essay answered, and return what names the preview of a pilot about it."""
        about = await self.answered(app, self.essay, {"text": f"{ANSWER} {self.round}"})
        del about["eventId"]
        preview = await app.ok("preview_pilot", about, uid="teacher")
        return {"assignmentId": self.assignment_id, "previewId": preview["previewId"]}


def firestore_event(path, fields):
    """What Eventarc posts when a document was created."""
    document = protobuf("Document")(name=f"projects/p/databases/(default)/documents/{path}")
    fill(document.fields, fields)
    data = document.SerializeToString()
    size, rest = bytearray(), len(data)
    while rest > 0x7F:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return b"\x0a" + bytes(size) + data


async def submit_answer(app, school, _prepared):
    await app.ok("submit_answer", school.answers()[0], uid="new")


async def submit_answers(app, school, _prepared):
    await app.ok("submit_answers", {"answers": school.answers()}, uid="new")


async def verify_receipt(app, school, prepared):
    await app.ok("verify_receipt", {"receipt": prepared["receipt"]}, uid="ann")


async def ingest_answers(app, school, _prepared):
    data = json.dumps({**school.answers("other")[0], "studentId": "other"}).encode()
    signature = hmac.digest(INGEST_KEY.encode(), data, "sha256").hex()
    response = await app.push("ingest_answers", Message(data, attributes={"signature": signature}))
    assert response.status_code == 204
    assert await app.services.documents.scan("deadLetters") == []


async def merge_answers(app, school, prepared):
    [message] = prepared["messages"]
    assert (await app.push("merge_answers", message)).status_code == 204


async def on_answer_created(app, school, prepared):
    path, fields = prepared["created"]
    response = await app.post("on_answer_created", firestore_event(path, fields))
    assert response.status_code == 204


async def sweep_pending(app, school, _prepared):
    assert (await app.ok("sweep_pending", {}))["answers"] == 3


async def clean_up(app, school, _prepared):
    assert (await app.ok("clean_up", {}))["discrepancies"] == 0


async def get_assignment(app, school, _prepared):
    await app.ok("get_assignment", {"assignmentId": school.assignment_id}, uid="ann")


async def list_assignments(app, school, _prepared):
    found = await app.ok("list_assignments", {"courseId": school.form["courseId"]}, uid="ann")
    assert len(found["assignments"]) == 1


async def my_results(app, school, _prepared):
    mine = await app.ok("my_results", {"assignmentId": school.assignment_id}, uid="ann")
    assert len(mine["answers"]) == 3


async def get_gradebook(app, school, _prepared):
    page = await app.ok("get_gradebook", {"assignmentId": school.assignment_id}, uid="teacher")
    assert len(page["rows"]) == 3


async def get_assignment_as_of(app, school, _prepared):
    request = {"assignmentId": school.assignment_id, "at": datetime.now(UTC).isoformat()}
    assert (await app.ok("get_assignment_as_of", request, uid="teacher"))["stats"]["answers"] == 9


async def rebuild_assignment(app, school, _prepared):
    rebuilt = await app.ok("rebuild_assignment", {"assignmentId": school.assignment_id}, uid="teacher")
    assert rebuilt["identical"] is True


async def create_course(app, school, _prepared):
    await app.ok("create_course", {"title": "Another"}, uid="teacher", role="teacher")


async def enroll_learner(app, school, _prepared):
    request = {"courseId": school.form["courseId"], "learnerId": "newcomer"}
    await app.ok("enroll_learner", request, uid="teacher")


async def import_assignment(app, school, _prepared):
    request = {"courseId": school.form["courseId"], "title": "Another", "format": "gift", "source": QUIZ}
    await app.ok("import_assignment", request, uid="teacher", role="teacher")


async def switch_tutor(app, school, _prepared):
    switched = {"assignmentId": school.assignment_id, "on": school.round % 2 == 0}
    assert await app.ok("switch_tutor", switched, uid="teacher") == switched


async def get_spend(app, school, _prepared):
    await app.ok("get_spend", {"courseId": school.form["courseId"]}, uid="teacher")


async def export_spend(app, school, _prepared):
    day = datetime.now(UTC).date().isoformat()
    await app.ok("export_spend", {"courseId": school.form["courseId"], "day": day}, uid="teacher")


async def get_cost_advice(app, school, _prepared):
    day = datetime.now(UTC).date().isoformat()
    await app.ok("get_cost_advice", {"courseId": school.form["courseId"], "day": day}, uid="teacher")


async def evaluate_answer(app, school, prepared):
    reply = await app.ok("evaluate_answer", prepared["about"], uid="ann")
    assert reply["evaluation"]["eventId"] == prepared["about"]["eventId"]


async def list_evaluations(app, school, _prepared):
    page = await app.ok("list_evaluations", {"assignmentId": school.assignment_id}, uid="teacher")
    assert len(page["rows"]) == 1


async def accept_evaluation(app, school, prepared):
    await app.ok("accept_evaluation", prepared["evaluation"], uid="teacher")


async def override_evaluation(app, school, prepared):
    points = dict.fromkeys(school.criteria, 0)
    await app.ok("override_evaluation", {**prepared["evaluation"], "criteria": points}, uid="teacher")


async def get_agreement(app, school, _prepared):
    found = await app.ok("get_agreement", {"assignmentId": school.assignment_id}, uid="teacher")
    assert found["total"]["count"] == 1


async def chat(app, school, prepared):
    reply = await app.ok("chat", prepared["about"], uid="dan")
    assert reply["rung"] == 1


async def generate_skeleton(app, school, _prepared):
    request = {"courseId": school.form["courseId"], "topic": f"Fractions {school.round}", "lessons": 2}
    await app.ok("generate_skeleton", request, uid="teacher")


async def generate_step(app, school, prepared):
    level = ("beginner", "intermediate", "advanced")[school.round % 3]
    request = {"courseId": school.form["courseId"], "lesson": 0, "step": 0, "level": level}
    await app.ok("generate_step", {**request, "version": prepared["version"]}, uid="ann")


async def openai_proxy(app, school, _prepared):
    messages = [{"role": "user", "content": f"Why, the {school.round}th time?"}]
    request = {"model": "gpt-6-luna", "messages": messages}
    response = await app.call("openai_proxy", request, uid="ann", path="/v1/chat/completions")
    assert response.status_code == 200, response.text


async def preview_pilot(app, school, _prepared):
    about = {"assignmentId": school.assignment_id, "questionId": school.essay}
    assert (await app.ok("preview_pilot", about, uid="teacher"))["answers"] == 1


async def run_pilot(app, school, prepared):
    report = await app.ok("run_pilot", prepared["pilot"], uid="teacher")
    assert (report["ended"], len(report["rows"])) == ("done", 1)


async def erase_learner(app, school, _prepared):
    uid = f"gone-{school.round}"
    reply = await app.ok("erase_learner", {"learnerId": uid, "confirm": uid}, uid="ada", role="admin")
    assert (reply["state"], reply["counts"]) == ("waiting", {})


async def continue_erasures(app, school, _prepared):
    assert (await app.ok("continue_erasures", {}))["open"] > 0


async def get_erasure(app, school, prepared):
    assert (await app.ok("get_erasure", prepared["erasure"], uid="ada", role="admin"))["passes"] == 1


async def verify_erasure(app, school, prepared):
    assert (await app.ok("verify_erasure", prepared["receipt"], uid="ann"))["passes"] == 2


async def reapply_erasures(app, school, _prepared):
    replace(app.services, archive=StatedArchive())
    assert (await app.ok("reapply_erasures", {}, uid="ada", role="admin"))["met"] == 0


async def queue_evaluations(app, school, _prepared):
    about = {"assignmentId": school.assignment_id, "questionId": school.essay}
    reply = await app.ok("queue_evaluations", about, uid="teacher")
    assert (reply["queued"], reply["answers"]) == (1, 1)


async def get_evaluation_queue(app, school, _prepared):
    about = {"assignmentId": school.assignment_id, "questionId": school.essay}
    assert (await app.ok("get_evaluation_queue", about, uid="teacher"))["queued"] >= 1


async def run_evaluation_queue(app, _school, prepared):
    for _ in range(3):
        report = await app.ok("run_evaluation_queue", {})
    assert (report["settled"], report["evaluated"]) == (1, prepared["queued"])


CALLS = {
    call.__name__: call
    for call in (
        submit_answer, submit_answers, verify_receipt, ingest_answers, merge_answers, on_answer_created,
        sweep_pending, clean_up, get_assignment, list_assignments, my_results, get_gradebook,
        get_assignment_as_of, rebuild_assignment, create_course, enroll_learner, import_assignment, switch_tutor, get_spend,
        export_spend, get_cost_advice, evaluate_answer, list_evaluations, accept_evaluation, override_evaluation,
        get_agreement, preview_pilot, run_pilot, chat, generate_skeleton, generate_step, openai_proxy,
        erase_learner, continue_erasures, get_erasure, verify_erasure, reapply_erasures,
        queue_evaluations, get_evaluation_queue, run_evaluation_queue,
    )
}  # fmt: skip


async def prepare(name, app, school):  # noqa: C901, PLR0912  one case per kind of preparation
    """What must be there before a call, made in another process."""
    if name in ("merge_answers", "sweep_pending"):
        messages = await school.pending(app)
        await asyncio.sleep(2.1 if name == "sweep_pending" else 0)  # the sweep leaves young ones alone
        return {"messages": messages}
    if name == "verify_receipt":
        accepted = await app.ok("submit_answer", school.answers()[0], uid="ann")
        return {"receipt": accepted["receipt"]}
    if name == "on_answer_created":
        answer = school.answers("browser")[0]
        submission = answer["submissionId"]
        fields = {**answer, "studentId": "ann", "submittedAt": datetime.now(UTC)}
        name = event_id(school.assignment_id, "ann", answer["questionId"], submission)
        path = f"browserAnswers/{name}"
        await app.services.documents.commit([Create(path, fields)])
        return {"created": (path, fields)}
    school.round += 1
    if name == "evaluate_answer":
        return {
            "about": await school.answered(app, school.essay, {"text": f"{ANSWER} {school.round}"}, "ann")
        }
    if name == "queue_evaluations":
        await school.answered(app, school.essay, {"text": f"{ANSWER} {school.round}"})
    if name in ("get_evaluation_queue", "run_evaluation_queue"):
        return {"queued": await school.queued(app, 1)}
    if name in ("preview_pilot", "run_pilot"):
        return {"pilot": await school.previewed(app)}
    if name == "chat":
        wrong = {"number": 5 + school.round}
        return {"about": await school.answered(app, school.questions[0], wrong, "dan")}
    if name in ("accept_evaluation", "override_evaluation"):
        return {"evaluation": await school.evaluated(app)}
    if name in ("list_evaluations", "get_agreement") and school.evaluation is None:
        school.evaluation = await school.evaluated(app)
        if name == "get_agreement":
            await app.ok("accept_evaluation", school.evaluation, uid="teacher")
    if name in ("continue_erasures", "get_erasure", "verify_erasure"):
        begun = await app.services.erasures.open(f"gone-{school.round}", by="ada")
        over = begun.next_pass().passed(datetime.now(UTC), key=app.services.receipt_key)
        return {"erasure": {"erasureId": begun.erasure_id}, "receipt": {"receipt": over.receipt}}
    if name == "generate_step":
        request = {"courseId": school.form["courseId"], "topic": "Fractions", "lessons": 2}
        return {"version": (await app.ok("generate_skeleton", request, uid="teacher"))["version"]}
    return {}


def charged(name):
    """What a function has been charged for, in this process and so far."""
    found = (
        metrics.REGISTRY.get_sample_value("lectern_billed_operations_total", {"function": name, "kind": kind})
        for kind in KINDS
    )
    return Cost(*(int(value or 0) for value in found))


async def all_told(services):
    """Return once what was spent is reported, what was leased for it given back, and the entry written."""
    budgets, entries = (vars(services).get(name) for name in ("budgets", "spend_ledger"))
    for task in (getattr(budgets, "_reporting", None), getattr(entries, "_writing", None)):
        if task is not None:
            await task


main.load_all()


@pytest.mark.parametrize("name", sorted(deployments()))
async def test_a_function_stays_within_its_budget_and_needs_no_index_that_is_not_listed(
    name, id_token, tutor, emulators, project_id, monkeypatch
):
    assert name in BUDGETS, f"{name} has no budget: measure it, and put it into the table"
    monkeypatch.setattr(leases, "_REPORT_SECONDS", 0.5)  # as after two seconds, without waiting so long
    monkeypatch.setattr(leases, "_FRESH", timedelta(seconds=30))  # a busy machine is not *later*
    # Those who prepare share an address with those who are measured, but not the counting of it.
    others = {"openai_base_url": tutor.url, "limiter": "memory", "budgets": "memory"}
    async with deployed(id_token, **others) as setup:
        form = await setup.imported(QUIZ)
        school = School(setup, form)
        for uid in ("ann", "bob", "cid"):
            await setup.deliver(await school.pending(setup, uid))
        async with deployed(id_token, openai_base_url=tutor.url) as fresh:
            entries = SpendLedger(fresh.services.documents, gather_seconds=0.1)
            replace(fresh.services, spend_ledger=entries)
            for which, budget in zip(("first", "again"), BUDGETS[name], strict=True):
                async with deployed(id_token, **others) as elsewhere:
                    prepared = await prepare(name, elsewhere, school)
                before = charged(name)
                await CALLS[name](fresh, school, prepared)
                await asyncio.sleep(0.05)  # what goes on after the answer is charged, too
                await all_told(fresh.services)
                spent = Cost(*(now - then for now, then in zip(charged(name), before, strict=True)))
                assert all(a <= b for a, b in zip(spent, budget, strict=True)), f"{which}: {spent} > {budget}"
    assert composite(await indexes_used(emulators, project_id)) <= listed()


async def test_an_evaluation_in_a_batch_costs_this_much_however_many_there_are(
    id_token, tutor, emulators, project_id, monkeypatch
):
    """The figures in docs/ai.md: of each more in a batch, from the moment when it is due."""
    monkeypatch.setattr(leases, "_FRESH", timedelta(seconds=30))
    spent = {}
    async with deployed(id_token, openai_base_url=tutor.url, limiter="memory", budgets="memory") as setup:
        school = School(setup, await setup.imported(QUIZ))
        for count in (2, 12):
            school.round += 1
            queued = await school.queued(setup, count)
            async with deployed(id_token, openai_base_url=tutor.url) as fresh:
                before = charged("run_evaluation_queue")
                await run_evaluation_queue(fresh, school, {"queued": queued})
                await all_told(fresh.services)
            after = charged("run_evaluation_queue")
            spent[queued] = Cost(*(now - then for now, then in zip(after, before, strict=True)))
    few, many = sorted(spent)
    each = Cost(*((b - a) / (many - few) for a, b in zip(spent[few], spent[many], strict=True)))
    assert all(a <= b for a, b in zip(each[:3], EACH_IN_BATCH, strict=True)), each


def test_every_budget_is_of_a_function():
    assert set(BUDGETS) == set(CALLS) == set(deployments())


async def test_the_log_line_of_a_request_tells_its_billed_operations(id_token, caplog, monkeypatch):
    configure()
    monkeypatch.setattr(logging.getLogger("lectern"), "propagate", True)
    async with deployed(id_token) as app:
        form = await app.imported(QUIZ)
        school = School(app, form)
        with caplog.at_level("INFO", logger="lectern"):
            await app.ok("submit_answer", school.answers()[0], uid="ann")
    line = next(each for each in caplog.records if getattr(each, "function", "") == "submit_answer")
    assert (line.reads, line.writes, line.deletes, line.rpcs) == (0, 1, 0, 1)


async def test_requests_that_share_a_commit_share_its_bill(id_token, caplog, monkeypatch):
    configure()
    monkeypatch.setattr(logging.getLogger("lectern"), "propagate", True)
    async with deployed(id_token) as app:
        school = School(app, await app.imported(QUIZ))
        answer = school.answers()[0]
        with caplog.at_level("INFO", logger="lectern"):
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(app.ok("submit_answer", answer, uid=f"student-{number}"))
    mine = [each for each in caplog.records if getattr(each, "function", "") == "submit_answer"]
    lines = {each.request_id: each for each in mine}.values()
    assert [(line.reads, line.writes, line.deletes) for line in lines] == [(0, 1, 0)] * 20
    assert 1 <= sum(line.rpcs for line in lines) < 20


async def test_a_class_that_answers_for_a_while_writes_no_document_more_than_once_a_second(id_token):
    """Fifteen answers a second for twelve seconds, with the settings that a deployment has by itself."""
    names = ("gather_milliseconds", "gather_events", "merge_seconds", "crowd_events", "rollup_seconds")
    usual = {name: Settings.model_fields[name].default for name in names}
    async with deployed(id_token, **usual) as app:
        watched = WatchedDocuments(app.services.documents)
        replace(app.services, documents=watched)
        school = School(app, await app.imported(QUIZ))
        async with asyncio.TaskGroup() as merging:
            for number in range(60):
                for message in await school.pending(app, f"student-{number}"):
                    merging.create_task(app.deliver([message]))
                await asyncio.sleep(0.2)
        figures = await app.assignment(school.assignment_id)
    assert figures["asOf"]["events"] == 180
    watched.check()
    assert 5 <= len(watched.written[f"assignments/{school.assignment_id}"]) <= 20
