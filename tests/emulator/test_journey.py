"""The answer's journey, on real Firestore: accepted, merged, shown; whatever is repeated, reordered or lost."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from shared.learning.answers import event_id
from shared.ledger.merging import Merger, MergeSettings
from shared.topics import doorbell
from shared.topics.base import Message
from tests.deployed import deployed

QUIZ = """
::capital:: Which is the capital of France? {=Paris ~Lyon ~Nice ~%50%Versailles}

::sum:: 2 + 2 is {#4}

::round:: The Earth is round. {T}
"""


@pytest.fixture
async def app(id_token):
    async with deployed(id_token) as app:
        yield app


def by_name(form):
    return {question["name"]: question for question in form["questions"]}


def option(question, text):
    return {"optionId": next(o["optionId"] for o in question["options"] if o["text"]["text"] == text)}


def answers_of(form, *, capital="Paris", total=4, round_=True):
    questions = by_name(form)
    return {
        questions["capital"]["questionId"]: option(questions["capital"], capital),
        questions["sum"]["questionId"]: {"number": total},
        questions["round"]["questionId"]: {"value": round_},
    }


async def submit(app, form, uid, answers, prefix="s"):
    for question_id, answer in answers.items():
        await app.ok(
            "submit_answer",
            {
                "assignmentId": form["assignmentId"],
                "questionId": question_id,
                "answer": answer,
                "submissionId": f"{prefix}-{question_id}",
            },
            uid=uid,
        )


async def test_an_answer_is_acknowledged_before_it_is_merged_and_counted_after(app):
    form = await app.imported(QUIZ)
    question = by_name(form)["sum"]
    request = {
        "assignmentId": form["assignmentId"],
        "questionId": question["questionId"],
        "answer": {"number": 4},
    }

    response = await app.call("submit_answer", {**request, "submissionId": "abcdefgh"}, uid="ann")

    assert response.status_code == 202
    accepted = response.json()
    assert accepted["eventId"] == event_id(form["assignmentId"], "ann", question["questionId"], "abcdefgh")
    assert accepted["duplicate"] is False
    assert "stats" not in await app.assignment(form["assignmentId"])
    assert await app.services.pending_answers.count() == 1
    verified = await app.ok("verify_receipt", {"receipt": accepted["receipt"]}, uid="ann")
    assert verified["eventId"] == accepted["eventId"]

    await app.deliver()

    document = await app.assignment(form["assignmentId"])
    assert document["stats"]["answers"] == 1
    assert document["stats"]["questions"][question["questionId"]]["facility"] == 1.0
    assert document["asOf"]["events"] == 1
    assert document["asOf"]["pending"] == 0
    assert await app.services.pending_answers.count() == 0


async def test_figures_of_a_class_are_those_of_a_batch_computation(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form))
    await submit(app, form, "bob", answers_of(form, capital="Lyon"))
    await submit(app, form, "cid", answers_of(form, capital="Versailles", total=5))
    await submit(app, form, "dee", answers_of(form, capital="Nice", total=5, round_=False))
    await app.deliver()

    stats = (await app.assignment(form["assignmentId"]))["stats"]
    ids = {name: question["questionId"] for name, question in by_name(form).items()}

    assert stats["students"] == 4
    assert stats["answers"] == 12
    assert stats["questions"][ids["capital"]]["facility"] == pytest.approx(1.5 / 4)
    assert stats["questions"][ids["capital"]]["correct"] == 1
    assert stats["questions"][ids["sum"]]["facility"] == pytest.approx(0.5)
    assert stats["questions"][ids["round"]]["facility"] == pytest.approx(0.75)
    counts = await app.document(f"assignments/{form['assignmentId']}/figures/options")
    assert counts["questions"].keys() == {ids["capital"], ids["round"]}
    assert sorted(counts["questions"][ids["capital"]].values()) == [1, 1, 1, 1]
    assert counts["questions"][ids["round"]] == {"true": 3, "false": 1}
    import statistics

    scores = {"capital": [1, 0, 0.5, 0], "sum": [1, 1, 0, 0], "round": [1, 1, 1, 0]}
    totals = [sum(each) for each in zip(*scores.values(), strict=True)]
    for name, values in scores.items():
        rest = [total - value for total, value in zip(totals, values, strict=True)]
        expected = statistics.correlation(values, rest)
        assert stats["questions"][ids[name]]["discrimination"] == pytest.approx(expected)
    alpha = 3 / 2 * (1 - sum(statistics.pvariance(v) for v in scores.values()) / statistics.pvariance(totals))
    assert stats["reliability"]["alpha"] == pytest.approx(alpha)


async def test_results_and_gradebook_show_partial_credit(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form, capital="Versailles"))
    await app.deliver()

    mine = await app.ok("my_results", {"assignmentId": form["assignmentId"]}, uid="ann")
    book = await app.ok(
        "get_gradebook", {"assignmentId": form["assignmentId"], "pageSize": 10}, uid="teacher"
    )

    assert mine["score"] == 2.5
    assert mine["maxScore"] == 3
    assert book["rows"][0]["studentId"] == "ann"
    assert book["rows"][0]["score"] == 2.5
    assert book["nextCursor"] is None


async def test_a_resend_counts_once_before_and_after_merging(app):
    form = await app.imported(QUIZ)
    answers = answers_of(form)
    await submit(app, form, "ann", answers)
    question_id, answer = next(iter(answers.items()))
    request = {
        "assignmentId": form["assignmentId"],
        "questionId": question_id,
        "answer": answer,
        "submissionId": f"s-{question_id}",
    }
    again = await app.ok("submit_answer", request, uid="ann")
    assert again["duplicate"] is True
    await app.deliver()
    late = await app.ok("submit_answer", request, uid="ann")
    assert late["eventId"] == again["eventId"]
    await app.deliver()

    document = await app.assignment(form["assignmentId"])
    assert document["asOf"]["events"] == 3
    assert document["stats"]["answers"] == 3
    assert await app.services.pending_answers.count() == 0


async def test_the_same_submission_with_another_answer_is_a_conflict(app):
    form = await app.imported(QUIZ)
    question_id = by_name(form)["sum"]["questionId"]
    request = {"assignmentId": form["assignmentId"], "questionId": question_id, "submissionId": "same-one"}
    await app.ok("submit_answer", {**request, "answer": {"number": 4}}, uid="ann")

    response = await app.call("submit_answer", {**request, "answer": {"number": 5}}, uid="ann")

    assert response.status_code == 409
    assert response.json()["type"] == "urn:lectern:problem:already-exists"


async def test_messages_repeated_five_times_out_of_order_change_nothing(app):
    form = await app.imported(QUIZ)
    for number in range(20):
        await submit(app, form, f"student-{number}", answers_of(form, total=number % 5))
    messages = app.doorbell.messages * 5
    random.Random(7).shuffle(messages)
    app.doorbell.messages = []
    await asyncio.gather(*(app.push("merge_answers", message) for message in messages))

    document = await app.assignment(form["assignmentId"])
    assert document["stats"]["students"] == 20
    assert document["stats"]["answers"] == 60
    assert document["asOf"]["events"] == 60
    rebuilt = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
    assert rebuilt["identical"] is True
    assert rebuilt["events"] == 60


async def test_a_lost_doorbell_is_made_good_by_the_sweep(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form))
    app.doorbell.messages = []
    app.services.sweep._young = app.services.sweep._young * 0.05

    report = await app.ok("sweep_pending", {})

    assert report == {"answers": 3, "unreadable": 0}
    assert (await app.assignment(form["assignmentId"]))["asOf"]["events"] == 3
    assert await app.services.pending_answers.count() == 0


async def test_two_workers_at_once_lose_and_repeat_nothing(app):
    form = await app.imported(QUIZ)
    for number in range(30):
        await submit(app, form, f"student-{number}", answers_of(form, total=number % 5))
    key = app.services.receipt_key
    events = [event for message in app.doorbell.messages for event in doorbell.read(message.data, key=key)]
    workers = [
        Merger(
            app.services.documents,
            grading_of=app.services.catalog.grading,
            now=lambda: datetime.now(UTC),
            tombstones=app.services.tombstones,
            settings=MergeSettings(gather_seconds=0.001, merge_seconds=0, rollup_seconds=0),
        )
        for _ in range(2)
    ]
    chunks = [events[start : start + 6] for start in range(0, len(events), 6)]
    await asyncio.gather(
        *(workers[number % 2].merge(chunk, by="message") for number, chunk in enumerate(chunks)),
        *(workers[(number + 1) % 2].merge(chunk, by="message") for number, chunk in enumerate(chunks)),
    )

    document = await app.assignment(form["assignmentId"])
    assert document["asOf"]["events"] == 90
    assert document["stats"]["answers"] == 90
    rebuilt = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
    assert rebuilt["identical"] is True


async def test_a_batch_gives_each_answer_its_own_outcome(app):
    form = await app.imported(QUIZ)
    good = by_name(form)["sum"]["questionId"]
    batch = [
        {
            "assignmentId": form["assignmentId"],
            "questionId": good,
            "answer": {"number": 1},
            "submissionId": "one",
        },
        {"assignmentId": form["assignmentId"], "questionId": "nope", "answer": {"number": 1}},
        {
            "assignmentId": form["assignmentId"],
            "questionId": good,
            "answer": {"number": 1},
            "submissionId": "one",
        },
        {"assignmentId": "nope", "questionId": good, "answer": {"number": 1}},
    ]

    response = await app.call("submit_answers", {"answers": batch}, uid="ann")

    assert response.status_code == 202
    outcomes = response.json()["outcomes"]
    assert {outcomes[0]["duplicate"], outcomes[2]["duplicate"]} == {True, False}
    assert outcomes[1]["error"]["status"] == "INVALID_ARGUMENT"
    assert outcomes[3]["error"]["status"] == "NOT_FOUND"


async def test_the_callable_form_has_the_sdk_envelope(app):
    form = await app.imported(QUIZ)
    reply = await app.ok("get_assignment", {"data": {"assignmentId": form["assignmentId"]}}, uid="ann")
    assert reply["result"]["title"] == "Assignment"

    refused = await app.call("get_assignment", {"data": {"assignmentId": "nope"}}, uid="ann")
    assert refused.status_code == 404
    assert refused.json()["error"]["status"] == "NOT_FOUND"


async def test_shards_split_while_answers_come_in_and_history_stays_whole(id_token):
    async with deployed(id_token, shard_page_bytes=2048) as app:
        form = await app.imported(QUIZ)
        for wave in range(4):
            for number in range(15):
                await submit(
                    app,
                    form,
                    f"student-{number}-{wave % 2}",
                    answers_of(form, total=number),
                    prefix=f"w{wave}",
                )
            await app.deliver()
        document = await app.assignment(form["assignmentId"])
        assert document["shardBits"] >= 2
        assert document["asOf"]["events"] == 180
        assert document["stats"]["students"] == 30
        assert document["stats"]["answers"] == 90
        rebuilt = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
        assert rebuilt["identical"] is True

        rows, cursor = [], None
        while True:
            page = {
                "assignmentId": form["assignmentId"],
                "pageSize": 7,
                **({"cursor": cursor} if cursor else {}),
            }
            book = await app.ok("get_gradebook", page, uid="teacher")
            rows += book["rows"]
            cursor = book["nextCursor"]
            if cursor is None:
                break
        assert len(rows) == 30
        assert len({row["studentId"] for row in rows}) == 30

        mine = await app.ok("my_results", {"assignmentId": form["assignmentId"]}, uid="student-3-0")
        assert [answer["attempts"] for answer in mine["answers"]] == [2, 2, 2]


async def test_clean_up_joins_and_archives_and_history_still_verifies(id_token, tmp_path):
    settings = {"archive_url": f"file://{tmp_path}", "archive_after_days": 0, "archive_drop_after_days": 0}
    async with deployed(id_token, **settings) as app:
        form = await app.imported(QUIZ)
        for number in range(6):
            await submit(app, form, f"student-{number}", answers_of(form, total=number))
            await app.deliver()
        before = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
        months = {f"{datetime.now(UTC) - timedelta(days=days):%Y-%m}" for days in (0, 1)}

        report = await app.ok("clean_up", {})
        assert report["joined"] > 0
        assert report["archived"] == 1
        [archived] = tmp_path.rglob("*.ndjson.gz")
        assert archived.relative_to(tmp_path).parts[0] in months
        assert report["discrepancies"] == 0
        again = await app.ok("clean_up", {})
        assert again["dropped"] == 1
        assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".gz"]

        after = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
        assert after == before
        await submit(app, form, "late", answers_of(form))
        await app.deliver()
        rebuilt = await app.ok("rebuild_assignment", {"assignmentId": form["assignmentId"]}, uid="teacher")
        assert rebuilt["identical"] is True
        assert rebuilt["events"] == 21


async def test_a_past_moment_is_reconstructed(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form))
    await app.deliver()
    then = await app.assignment(form["assignmentId"])
    options = (await app.document(f"assignments/{form['assignmentId']}/figures/options"))["questions"]
    moment = datetime.now(UTC).isoformat()
    await submit(app, form, "bob", answers_of(form, total=0))
    await app.deliver()

    past = await app.ok(
        "get_assignment_as_of", {"assignmentId": form["assignmentId"], "at": moment}, uid="teacher"
    )

    found = {name: each.pop("options") for name, each in past["stats"]["questions"].items()}
    assert {name: counts for name, counts in found.items() if counts} == options
    assert past["stats"] == json.loads(json.dumps(then["stats"]))
    assert (await app.assignment(form["assignmentId"]))["stats"]["students"] == 2


async def test_a_damaged_projection_is_noticed_and_replaced_by_history(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form))
    await app.deliver()
    from shared.documents.base import Replace
    from shared.learning.item_analysis import Sums

    path = f"ledgers/{form['assignmentId']}/shards/0-0"
    [head] = await app.services.documents.get([path])
    sums = Sums.decode(head.fields["sums"])
    sums.answers += 1
    await app.services.documents.commit([Replace(path, {"sums": sums.encode()}, head.version)])

    request = {"assignmentId": form["assignmentId"]}
    assert (await app.ok("rebuild_assignment", request, uid="teacher"))["identical"] is False
    await app.ok("rebuild_assignment", {**request, "mode": "replace"}, uid="teacher")
    assert (await app.ok("rebuild_assignment", request, uid="teacher"))["identical"] is True
    assert (await app.assignment(form["assignmentId"]))["stats"]["answers"] == 3


async def test_poison_is_set_aside_and_acknowledged(app):
    for data in (b"", b"{}", b"not json", json.dumps({"answers": [{"event": "{}", "seal": "x"}]}).encode()):
        response = await app.push("merge_answers", Message(data))
        assert response.status_code == 204
    letters = await app.services.documents.scan("deadLetters")
    assert len(letters) == 4


async def test_a_forged_seal_is_not_merged(app):
    form = await app.imported(QUIZ)
    await submit(app, form, "ann", answers_of(form))
    genuine = json.loads(app.doorbell.messages[0].data)
    genuine["answers"][0]["event"] = genuine["answers"][0]["event"].replace('"ann"', '"bob"')
    app.doorbell.messages = []

    response = await app.push("merge_answers", Message(json.dumps(genuine).encode()))

    assert response.status_code == 204
    assert "stats" not in await app.assignment(form["assignmentId"])
    assert len(await app.services.documents.scan("deadLetters")) == 1
