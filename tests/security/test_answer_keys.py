"""
Answer keys never come out: each is seeded with a text of its own, and everything that a client or a
reader of logs can see is searched for all of them, in many disguises.
"""

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest

from shared.edge.logs import JsonLines
from shared.identity.principal import Principal
from shared.learning.assignments import Assignment
from shared.learning.importing.parsing import parse
from shared.topics.base import Message
from tests.deployed import deployed, replace
from tests.emulator.rules_project import RULES
from tests.security.canaries import disguises, seen
from tests.security.hostile import BODIES
from tests.security.school import client_calls, functions
from tests.tutoring import FixedGateway

KEYS = {
    "chosen wrongly": "CanaryLyonFeedback7431",
    "chosen rightly": "CanaryParisFeedback2290",
    "not chosen": "CanaryNiceFeedback5518",
    "general": "CanaryGeneralRemark6603",
    "number": "CanaryNumberFeedback9127",
    "otherwise": "CanaryOtherwise3348",
    "true": "CanaryTruthWrong8812",
    "false": "CanaryTruthRight1907",
    "pattern": "CanaryPattern4471xyz",
    "pattern feedback": "CanaryPatternFeedback7720",
    "notes": "CanaryGraderNotes6195",
    "bound": "73194.2255",
}
QUIZ = f"""
::choice:: Which is the capital of France? {{=Paris#{KEYS["chosen rightly"]}
~Lyon#{KEYS["chosen wrongly"]} ~Nice#{KEYS["not chosen"]} ####{KEYS["general"]}}}

::number:: How many? {{#73192:2.2255#{KEYS["number"]} ~#{KEYS["otherwise"]}}}

::truth:: The Earth is flat. {{F#{KEYS["true"]}#{KEYS["false"]}}}

::word:: The opposite of yes {{={KEYS["pattern"]}#{KEYS["pattern feedback"]} =%50%{KEYS["pattern"]}*}}

::essay:: Tell me everything. {{####{KEYS["notes"]}}}
"""
AFTERWARDS = {"choice": {"chosen wrongly", "general"}, "truth": {"true"}}
"""What ann is told of her two answers: about what she chose, and the general remark."""
EXAM = """
::choice:: Which? {=a ~b ~c ~d}

::several:: Which are? {~%50%a ~%50%b ~%-50%c ~%-50%d}

::truth:: It is so. {T}

::match:: Match. {=a -> 1 =b -> 2 =c -> 3}

::number:: 2 + 2 is {#4}
"""


def test_every_disguise_would_be_seen():
    canary = KEYS["pattern"]
    for name, form in disguises(canary).items():
        assert name in seen(canary, b"before " + form + b" after"), name
    assert seen(canary, b"before and after") == []


@dataclass
class Crawl:
    """Everything that was seen, and where."""

    texts: list[tuple[str, bytes]] = field(default_factory=list)

    def note(self, where, text):
        self.texts.append((where, text if isinstance(text, bytes) else text.encode()))

    def note_response(self, where, response):
        self.note(where, response.content + repr(sorted(response.headers.items())).encode())

    def leaks(self):
        """Which canary was seen where, in which disguise."""
        return {
            (name, where, how)
            for where, text in self.texts
            for name, key in KEYS.items()
            for how in seen(key, text)
        }


def as_owner(emulators):
    return httpx.Client(
        base_url=f"http://{emulators.firestore}/v1/", headers={"Authorization": "Bearer owner"}, timeout=30
    )


def everything(client, parent):
    """Every document below *parent*, as the owner sees it."""
    listed = client.post(f"{parent}:listCollectionIds", json={"pageSize": 300}).json()
    for collection in listed.get("collectionIds", ()):
        page = client.get(f"{parent}/{collection}", params={"pageSize": 300, "showMissing": True}).json()
        for document in page.get("documents", ()):
            if "fields" in document:
                yield document
            yield from everything(client, document["name"])


def under_the_rules(emulators, project_id):
    """Put the rules in force, and return every document that is stored."""
    with as_owner(emulators) as owner:
        owner.put(
            f"http://{emulators.firestore}/emulator/v1/projects/{project_id}:securityRules",
            json={"rules": {"files": [{"name": "firestore.rules", "content": RULES.read_text()}]}},
        )
        return list(everything(owner, f"projects/{project_id}/databases/(default)/documents"))


class Telltale(FixedGateway):
    """A model that answers with all that it was told."""

    def _text(self, ask):
        told = " ".join(each["content"] for each in ask.messages)
        if ask.schema is None or "criteria" not in ask.schema["properties"]:
            return told
        value = json.loads(super()._text(ask))
        for each in value["criteria"].values():
            each["comment"] = told[-300:]
        return json.dumps({**value, "feedback": ask.messages[1]["content"], "errorPatterns": [told[-70:]]})


@pytest.fixture
async def app(id_token):
    wide = {"rate_ai_points": 10_000, "rate_lesson_points": 10_000}
    async with deployed(id_token, limiter="memory", budgets="memory", **wide) as app:
        yield app


async def test_no_answer_key_is_seen_by_anybody(  # noqa: C901, PLR0915  one journey, seen from everywhere
    app, id_token, emulators, project_id, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    crawl = Crawl()
    replace(app.services, gateway=Telltale())
    course = await app.course("tess", open_enrollment=False)
    form = await app.imported(QUIZ, course_id=course, teacher="tess")
    imported = form["imported"]
    crawl.note("import_assignment", json.dumps(imported))
    questions = {each["name"]: each for each in form["questions"]}
    for learner in ("ann", "ben", "cat"):
        await app.ok("enroll_learner", {"courseId": course, "learnerId": learner}, uid="tess", role="teacher")

    async def submit(uid, name, answer):
        request = {
            "assignmentId": form["assignmentId"],
            "questionId": questions[name]["questionId"],
            "answer": answer,
            "submissionId": f"{uid}-{name}",
        }
        response = await app.call("submit_answer", request, uid=uid)
        crawl.note_response(f"submit_answer of {uid}", response)
        return response

    async def everybody(when):
        for function in client_calls():
            for uid, claims in (
                ("tess", {"role": "teacher"}),
                ("ann", {}),
                ("ben", {}),
                ("eve", {}),
                ("", {}),
            ):
                for request in requests_of(function.name):
                    response = await app.call(function.name, request, uid=uid, **claims)
                    # What they are told of their own answers is no leak; see below.
                    if (function.name, uid, when) not in {
                        ("my_results", "ann", "after"),
                        ("chat", "ann", "after"),
                        ("chat", "ben", "after"),
                    }:
                        crawl.note_response(f"{function.name} {when} by {uid}", response)
                for body in BODIES.values():
                    headers = {"content-type": "application/json"}
                    if uid:
                        headers["authorization"] = f"Bearer {id_token(uid, **claims)}"
                    crawl.note_response(
                        f"{function.name} errors", await app.post(function.name, body, headers)
                    )

    def requests_of(name):
        which = {"assignmentId": form["assignmentId"]}
        answer = {**which, "questionId": questions["choice"]["questionId"], "answer": {"optionId": "none"}}
        return {
            "accept_evaluation": [{**which, "evaluationId": "0" * 64}],
            "chat": [
                {**which, "questionId": questions[each]["questionId"], "intent": intent}
                for each in questions
                for intent in ("hint", "explain")
            ],
            "erase_learner": [{"learnerId": "ben", "confirm": "ben"}],
            "evaluate_answer": [
                {**which, "questionId": questions[each]["questionId"]} for each in ("word", "essay")
            ],
            "export_spend": [{"courseId": course, "day": "2026-01-01"}],
            "generate_skeleton": [{"courseId": course, "topic": "Everything"}],
            "generate_step": [{"courseId": course, "version": "0" * 32, "lesson": 0, "step": 0}],
            "get_agreement": [which],
            "get_cost_advice": [{"courseId": course, "day": "2026-01-01"}],
            "get_spend": [{"courseId": course}],
            "list_evaluations": [which],
            "override_evaluation": [{**which, "evaluationId": "0" * 64, "criteria": {"c1": 1}}],
            "create_course": [{"title": "T"}],
            "enroll_learner": [{"courseId": course, "learnerId": "ben"}],
            "get_assignment": [which],
            "get_assignment_as_of": [{**which, "at": "2100-01-01T00:00:00Z"}],
            "get_erasure": [{"erasureId": "0" * 32}],
            "get_evaluation_queue": [
                {**which, "questionId": questions[each]["questionId"]} for each in ("word", "essay")
            ],
            "get_gradebook": [which],
            "import_assignment": [],  # the source is its sender's own
            "list_assignments": [{"courseId": course}],
            "my_results": [which],
            "preview_pilot": [
                {**which, "questionId": questions[each]["questionId"]} for each in ("word", "essay")
            ],
            "queue_evaluations": [
                {**which, "questionId": questions[each]["questionId"]} for each in ("word", "essay")
            ],
            "reapply_erasures": [{}],
            "rebuild_assignment": [{**which, "mode": "compare"}],
            "run_pilot": [{**which, "previewId": each} for each in previews or ["0" * 64]],
            "submit_answer": [answer, {**answer, "answer": {"text": "x"}}],
            "submit_answers": [{"answers": [answer]}],
            "switch_tutor": [{**which, "on": True}],
            "verify_erasure": [{"receipt": "v1.x"}],
            "verify_receipt": [{"receipt": "v1.x"}],
        }[name]

    previews = []
    await everybody("before")
    right = next(o["optionId"] for o in questions["choice"]["options"] if o["text"]["text"] == "Paris")
    wrong = next(o["optionId"] for o in questions["choice"]["options"] if o["text"]["text"] == "Lyon")
    replies = [
        await submit("ann", "choice", {"optionId": wrong}),
        await submit("ann", "truth", {"value": True}),
        await submit("ben", "choice", {"optionId": right}),
    ]
    # Acceptance says nothing about rightness: same status, same length, same names.
    assert len({(each.status_code, len(each.content), tuple(each.json())) for each in replies}) == 1
    await app.ok(
        "submit_answer",
        {
            "assignmentId": form["assignmentId"],
            "questionId": questions["word"]["questionId"],
            "answer": {"text": "something else"},
        },
        uid="ann",
    )
    await submit("cat", "essay", {"text": "Hardly anything."})
    for message in app.doorbell.messages:
        crawl.note("message", message.data + repr(message.attributes).encode())
    await app.deliver()
    for name, text in (("word", "something else"), ("essay", "Hardly anything.")):
        previewed = await app.ok(
            "preview_pilot",
            {"assignmentId": form["assignmentId"], "questionId": questions[name]["questionId"]},
            uid="tess",
        )
        assert (previewed["answers"], previewed["sample"][0]["characters"]) == (1, len(text))
        previews.append(previewed["previewId"])
    await everybody("after")

    # Feedback is shown to whoever answered, about the answer given.
    results = await app.ok("my_results", {"assignmentId": form["assignmentId"]}, uid="ann")
    shown = {
        next(name for name, q in questions.items() if q["questionId"] == each["questionId"]): {
            key for key, canary in KEYS.items() if canary in json.dumps(each)
        }
        for each in results["answers"]
    }
    assert shown == {**AFTERWARDS, "word": set()}
    known = json.dumps(results)
    assert not any(KEYS[key] in known for key in KEYS.keys() - set().union(*AFTERWARDS.values()))

    tried = await app.services.documents.scan("pilotEvaluations")
    withheld = {
        each.fields["evaluation"]["questionId"]: "answerWithheld" in each.fields["evaluation"]["flags"]
        for each in tried
    }
    assert withheld == {questions["word"]["questionId"]: True, questions["essay"]["questionId"]: False}

    # What the platform's own functions answer and set aside.
    for function in functions():
        if function.role == "platform" and function.name != "merge_answers":
            response = await app.push(function.name, Message(b'{"answers": 5}'))
            crawl.note_response(function.name, response)
    crawl.note_response("merge_answers", await app.push("merge_answers", Message(b"{}")))

    # Every document that the rules let anybody read; the keys themselves, as the owner, to know that this sees.
    stored = under_the_rules(emulators, project_id)
    assert any(KEYS["pattern"] in json.dumps(each) and "/answerKeys/" in each["name"] for each in stored)
    kinds = {"answerKeys": 0, "deadLetters": 0, "assignments": 0, "ledgers": 0}
    with httpx.Client(base_url=f"http://{emulators.firestore}/v1/", timeout=30) as client:
        for document in stored:
            for uid in ("tess", "ann", "ben", "eve"):
                headers = {"Authorization": f"Bearer {id_token(uid)}"}
                response = client.get(document["name"], headers=headers)  # noqa: ASYNC212  nothing else runs meanwhile
                kind = document["name"].split("/documents/")[1].split("/")[0]
                if kind in kinds:
                    kinds[kind] += 1
                if kind in {"answerKeys", "deadLetters", "ledgers", "pendingAnswers", "rejectedAnswers"}:
                    assert response.status_code == 403, (uid, document["name"])
                if uid == "eve":
                    assert response.status_code == 403, document["name"]
                crawl.note(f"document {document['name']} by {uid}", response.content)
    assert all(kinds.values()), kinds

    line = JsonLines()
    for record in caplog.records:
        crawl.note("log", line.format(record))
        crawl.note("log record", repr(record.__dict__))
    out, err = capfd.readouterr()
    crawl.note("standard output", out + err)

    mine = {KEYS[key] for key in AFTERWARDS["choice"] | AFTERWARDS["truth"]}
    assert mine
    allowed = {
        ("chosen rightly", "my_results after by ben", "plain"),
        ("general", "my_results after by ben", "plain"),
    }
    leaks = crawl.leaks()
    assert {each for each in leaks if each[1] != "my_results after by ben"} == set()
    assert {(name, where) for name, where, _ in leaks} <= {(name, where) for name, where, _ in allowed}
    assert len(crawl.texts) > 2000


def turned(keyed):
    """The same question with another key: what was right of one option is right of the next."""
    key = keyed.answer_key.key
    match key.kind:
        case "choice":
            names = list(key.options)
            change = {"options": dict(zip(names[1:] + names[:1], key.options.values(), strict=True))}
        case "trueFalse":
            change = {"value": not key.value}
        case "matching":
            stems = list(key.pairs)
            change = {"pairs": dict(zip(stems[1:] + stems[:1], key.pairs.values(), strict=True))}
        case _:
            change = {}
    answer_key = keyed.answer_key.model_copy(update={"key": key.model_copy(update=change)})
    return keyed.model_copy(update={"answer_key": answer_key})


def right(keyed):
    """The right answer."""
    key = keyed.answer_key.key
    match key.kind:
        case "choice":
            names = [name for name, outcome in key.options.items() if outcome.credit > 0]
            return {"optionId": names[0]} if len(names) == 1 else {"optionIds": names}
        case "trueFalse":
            return {"value": key.value}
        case "matching":
            return {"pairs": dict(key.pairs)}
        case _:
            return {"number": 4}


def seen_of(exam, stored, emulators, token):
    """What the rules let somebody read of an exam, but for times and its id."""
    found = {}
    with httpx.Client(base_url=f"http://{emulators.firestore}/v1/", timeout=30) as client:
        for document in stored:
            path = document["name"].partition("/documents/")[2]
            response = client.get(document["name"], headers={"Authorization": f"Bearer {token}"})
            if response.status_code != 200 or exam not in path:
                continue
            fields = response.json()["fields"]
            fields.pop("createdAt", None)
            if "asOf" in fields:
                fields["asOf"]["mapValue"]["fields"].pop("at")
            found[path.replace(exam, "exam")] = fields
    return found


async def test_who_has_not_answered_cannot_tell_what_is_right_from_what_others_answered(
    app, id_token, emulators, project_id
):
    """Two exams differ in nothing but their keys, and were answered equally well: to students they look alike."""
    course = await app.course("tess", open_enrollment=False)
    for learner in ("ann", "ben", "cat", "dan"):
        await app.ok("enroll_learner", {"courseId": course, "learnerId": learner}, uid="tess", role="teacher")
    keyed = parse(EXAM, "gift", seed="exam").questions
    other = tuple(map(turned, keyed))
    assert [right(one) != right(two) for one, two in zip(keyed, other, strict=True)] == 4 * [True] + [False]
    author = Principal("tess", "teacher", signed_in_at=datetime.now(UTC))
    questions = tuple(each.question for each in keyed)
    for exam, rights, wrongs in (("exam-1", keyed, other), ("exam-2", other, keyed)):
        assignment = Assignment(assignment_id=exam, course_id=course, title="Exam", questions=questions)
        await app.services.catalog.add_assignment(author, assignment, rights)
        for learner, given in (("ann", rights), ("ben", rights), ("cat", wrongs)):
            for each in given:
                name = each.question.question_id
                answer = {"assignmentId": exam, "questionId": name, "answer": right(each)}
                await app.ok("submit_answer", answer, uid=learner)
    await app.deliver()

    stored = under_the_rules(emulators, project_id)
    student, teacher = (
        [seen_of(exam, stored, emulators, id_token(uid)) for exam in ("exam-1", "exam-2")]
        for uid in ("dan", "tess")
    )

    assert student[0].keys() == {"assignments/exam", "assignments/exam/forms/1"}
    assert student[0]["assignments/exam"]["stats"]["mapValue"]["fields"]["answers"] == {"integerValue": "15"}
    assert student[0] == student[1]
    # The teacher sees what others chose, and would see the difference.
    assert teacher[0].keys() == student[0].keys() | {"assignments/exam/figures/options"}
    assert teacher[0]["assignments/exam/figures/options"] != teacher[1]["assignments/exam/figures/options"]


async def test_a_browsers_stream_of_an_assignment_holds_no_key(app):
    """The document and form that browsers listen to are lists of what is allowed, by name."""
    form = await app.imported(QUIZ)
    header = await app.assignment(form["assignmentId"])
    assert set(header) == {"courseId", "title", "createdAt", "questionCount", "formVersion", "policy"}
    stored = await app.document(f"assignments/{form['assignmentId']}/forms/1")
    assert set(stored) == {"questions"}
    allowed = {"questionId", "type", "name", "text", "category", "weight", "options", "stems", "choices"}
    for question in stored["questions"]:
        assert set(question) == allowed
        for option in question["options"]:
            assert set(option) == {"optionId", "text"}
    assert not any(seen(key, json.dumps(form, default=str).encode()) for key in KEYS.values())


def test_the_order_of_options_and_choices_tells_nothing():
    choices = "\n\n".join(f"::c{n}:: Which? {{=right{n} ~b{n} ~c{n} ~d{n}}}" for n in range(200))
    pairs = "\n\n".join(f"::m{n}:: Match {{=a{n}->1{n} =b{n}->2{n} =c{n}->3{n}}}" for n in range(200))
    first = aligned = 0
    for each in parse(choices, "gift", seed="one").questions:
        right = [name for name, outcome in each.answer_key.key.options.items() if outcome.credit > 0]
        first += each.question.options[0].option_id in right
    for each in parse(pairs, "gift", seed="one").questions:
        right = each.answer_key.key.pairs
        aligned += sum(
            right[stem.stem_id] == choice.choice_id
            for stem, choice in zip(each.question.stems, each.question.choices, strict=True)
        )
    assert 20 < first < 90, "of 200 with four options, 50 by chance"
    assert 140 < aligned < 260, "of 600 pairs, 200 by chance"
