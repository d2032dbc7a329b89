"""``firestore.rules``, as every principal, on the emulator: what is not listed here is denied."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.emulator.rules_project import RULES, SERVER_TIME, Principal, RulesProject

NOBODY: frozenset[str] = frozenset()

PRINCIPALS = {
    each.name: each
    for each in (
        Principal("signed out"),
        Principal("anonymous", uid="anon", provider="anonymous"),
        Principal("anonymous as a student", uid="ana", provider="anonymous"),
        Principal("anonymous as a teacher", uid="tom", provider="anonymous"),
        Principal("without a provider", uid="ana", provider=None),
        Principal("student", uid="ana"),
        Principal("fellow student", uid="ben"),
        Principal("teacher", uid="tom"),
        Principal("student of another course", uid="oda"),
        Principal("teacher of another course", uid="ted"),
        Principal("guest", uid="gus", provider="google.com"),
        Principal(
            "forger",
            uid="eve",
            claims={
                "role": "teacher",
                "admin": True,
                "roles": {"closed": "teacher"},
                "studentId": "ana",
                "courses": ["closed"],
            },
        ),
    )
}
CLASS = frozenset({"student", "fellow student", "teacher"})
OTHER_CLASS = frozenset({"student of another course", "teacher of another course"})
SIGNED_IN = CLASS | OTHER_CLASS | {"guest", "forger"}

ANA = PRINCIPALS["student"]
BEN = PRINCIPALS["fellow student"]

READS: list[tuple[str, Mapping[str, Any], frozenset[str]]] = [
    ("courses/closed", {}, CLASS),
    ("courses/other", {}, OTHER_CLASS),
    ("courses/open", {}, SIGNED_IN),
    ("courses/missing", {}, NOBODY),
    ("courses", {"limit": 10}, NOBODY),
    ("courses", {"where": ("title", "Open"), "limit": 10}, NOBODY),
    ("courses/closed/members/ana", {}, frozenset({"student", "teacher"})),
    ("courses/closed/members/ben", {}, frozenset({"fellow student", "teacher"})),
    ("courses/closed/members/tom", {}, frozenset({"teacher"})),
    ("courses/other/members/ted", {}, frozenset({"teacher of another course"})),
    ("courses/closed/members", {"limit": 200}, frozenset({"teacher"})),
    ("courses/closed/members", {"limit": 201}, NOBODY),
    ("courses/closed/members", {"limit": None}, NOBODY),
    ("courses/open/members", {"limit": 10}, NOBODY),
    ("members", {"everywhere": True}, NOBODY),
    ("members", {"everywhere": True, "where": ("role", "teacher")}, NOBODY),
    ("assignments/closedQuiz", {}, CLASS),
    ("assignments/otherQuiz", {}, OTHER_CLASS),
    ("assignments/openQuiz", {}, SIGNED_IN),
    ("assignments/missing", {}, NOBODY),
    ("assignments", {"where": ("courseId", "closed"), "limit": 100}, CLASS),
    ("assignments", {"where": ("courseId", "other"), "limit": 100}, OTHER_CLASS),
    ("assignments", {"where": ("courseId", "open"), "limit": 100}, SIGNED_IN),
    ("assignments", {"where": ("courseId", "closed"), "limit": 101}, NOBODY),
    ("assignments", {"where": ("courseId", "open"), "limit": None}, NOBODY),
    ("assignments", {"where": ("title", "Quiz"), "limit": 10}, NOBODY),
    ("assignments", {"limit": 10}, NOBODY),
    ("assignments", {"everywhere": True, "limit": 10}, NOBODY),
    ("assignments/closedQuiz/forms/1", {}, CLASS),
    ("assignments/openQuiz/forms/1", {}, SIGNED_IN),
    ("assignments/missing/forms/1", {}, NOBODY),
    ("assignments/closedQuiz/forms", {"limit": 1}, NOBODY),
    ("forms", {"everywhere": True, "limit": 1}, NOBODY),
    ("assignments/closedQuiz/figures/options", {}, frozenset({"teacher"})),
    ("assignments/otherQuiz/figures/options", {}, frozenset({"teacher of another course"})),
    ("assignments/openQuiz/figures/options", {}, NOBODY),
    ("assignments/missing/figures/options", {}, NOBODY),
    ("assignments/closedQuiz/figures", {"limit": 1}, NOBODY),
    ("figures", {"everywhere": True, "limit": 1}, NOBODY),
    ("browserAnswers/ofBen", {}, frozenset({"fellow student"})),
    ("browserAnswers/missing", {}, NOBODY),
    ("browserAnswers", {"limit": 10}, NOBODY),
    ("browserAnswers", {"where": ("studentId", "ana"), "limit": 1}, NOBODY),
    ("browserAnswers", {"everywhere": True, "limit": 1}, NOBODY),
    ("answerKeys/closedQuiz", {}, NOBODY),
    ("answerKeys/openQuiz", {}, NOBODY),
    ("answerKeys", {"limit": 1}, NOBODY),
    ("answerKeys", {"everywhere": True, "limit": 1}, NOBODY),
    ("pendingAnswers/ofAna", {}, NOBODY),
    ("pendingAnswers", {"limit": 1}, NOBODY),
    ("ledgers/closedQuiz", {}, NOBODY),
    ("ledgers", {"limit": 1}, NOBODY),
    ("ledgers/closedQuiz/shards/0", {}, NOBODY),
    ("ledgers/closedQuiz/shards/0/segments/1", {}, NOBODY),
    ("ledgers/closedQuiz/shards/0/segments", {"limit": 1}, NOBODY),
    ("segments", {"everywhere": True, "limit": 1}, NOBODY),
    ("users/ana", {}, NOBODY),
    ("users/ana/evaluations/e", {}, frozenset({"student"})),
    ("users/ben/evaluations/e", {}, frozenset({"fellow student"})),
    ("users/ana/evaluations", {"limit": 100}, frozenset({"student"})),
    ("users/ana/evaluations", {"limit": 101}, NOBODY),
    ("users/ana/evaluations", {"limit": None}, NOBODY),
    ("evaluations", {"everywhere": True, "limit": 1}, NOBODY),
    ("users/ana/decisions/e", {}, frozenset({"student"})),
    ("users/ana/decisions", {"limit": 1}, NOBODY),
    ("users/ana/context/current", {}, NOBODY),
    ("users/ana/assistance/a-1", {}, NOBODY),
    ("reviews/closedQuiz/waiting/e", {}, NOBODY),
    ("reviews/closedQuiz/waiting", {"limit": 1}, NOBODY),
    ("reviews/closedQuiz/decided/e", {}, NOBODY),
    ("courses/closed/skeletons/v", {}, NOBODY),
    ("pilots/p", {}, NOBODY),
    ("pilots", {"limit": 1}, NOBODY),
    ("pilotEvaluations/e", {}, NOBODY),
    ("erasures/e", {}, NOBODY),
    ("erasures", {"where": ("learnerId", "ana"), "limit": 1}, NOBODY),
    ("auditRecords/e", {}, NOBODY),
    ("tombstones/learners", {}, NOBODY),
    ("pilotEvaluations", {"where": ("studentId", "ana"), "limit": 1}, NOBODY),
    ("queuedEvaluations/e", {}, NOBODY),
    ("queuedEvaluations", {"where": ("learnerId", "ana"), "limit": 1}, NOBODY),
    ("evaluationBatches/b", {}, NOBODY),
    ("evaluationBatches", {"limit": 1}, NOBODY),
    ("anything/else", {}, NOBODY),
]

SEEDED: dict[str, dict[str, Any]] = {
    "courses/closed": {"title": "Closed", "openEnrollment": False},
    "courses/closed/members/ana": {"role": "student"},
    "courses/closed/members/ben": {"role": "student"},
    "courses/closed/members/tom": {"role": "teacher"},
    "courses/other": {"title": "Other", "openEnrollment": False},
    "courses/other/members/oda": {"role": "student"},
    "courses/other/members/ted": {"role": "teacher"},
    "courses/open": {"title": "Open", "openEnrollment": True},
    "courses/open/members/tim": {"role": "teacher"},
    "assignments/closedQuiz": {"courseId": "closed", "title": "Quiz"},
    "assignments/otherQuiz": {"courseId": "other", "title": "Quiz"},
    "assignments/openQuiz": {"courseId": "open", "title": "Quiz"},
    "assignments/closedQuiz/forms/1": {"questions": []},
    "assignments/otherQuiz/forms/1": {"questions": []},
    "assignments/openQuiz/forms/1": {"questions": []},
    "assignments/closedQuiz/figures/options": {"questions": {"q": {"a": 1}}},
    "assignments/otherQuiz/figures/options": {"questions": {"q": {"a": 1}}},
    "assignments/openQuiz/figures/options": {"questions": {"q": {"a": 1}}},
    "answerKeys/closedQuiz": {"keys": "canary"},
    "users/ana/evaluations/e": {"points": 1},
    "users/ben/evaluations/e": {"points": 1},
    "users/ana/decisions/e": {"points": 1},
    "users/ana/context/current": {"level": "beginner"},
    "users/ana/assistance/a-1": {"rung": 1},
    "reviews/closedQuiz/waiting/e": {"studentId": "ana"},
    "reviews/closedQuiz/decided/e": {"studentId": "ana"},
    "courses/closed/skeletons/v": {"title": "canary"},
    "pilots/p": {"assignmentId": "closedQuiz"},
    "pilotEvaluations/e": {"studentId": "ana", "evaluation": {"points": 1}},
    "queuedEvaluations/e": {"learnerId": "ana"},
    "evaluationBatches/b": {"items": ["e"]},
    "erasures/e": {"learnerId": "ana", "state": "erasing"},
    "auditRecords/e": {"action": "erase", "erasureId": "e"},
    "tombstones/learners": {"entries": "marks"},
    "answerKeys/openQuiz": {"keys": "canary"},
    "pendingAnswers/ofAna": {"event": '{"studentId":"ana"}'},
    "ledgers/closedQuiz": {"shards": 1},
    "ledgers/closedQuiz/shards/0": {"page": b"canary"},
    "ledgers/closedQuiz/shards/0/segments/1": {"events": b"canary"},
    "browserAnswers/ofBen": {"studentId": "ben", "assignmentId": "closedQuiz"},
    "users/ana": {"studentId": "ana"},
    "anything/else": {"uid": "ana"},
}

# What each principal tries to put wherever they can: their own uid and a role under all likely names.
LOOT = {"uid": "ana", "studentId": "ana", "role": "teacher", "openEnrollment": True, "courseId": "open"}

ANSWERS: dict[str, dict[str, Any]] = {
    "single choice": {"optionId": "a"},
    "longest option id": {"optionId": "x" * 64},
    "multiple choice": {"optionIds": ["a", "c_2", "D-9"]},
    "nothing chosen": {"optionIds": []},
    "sixty options": {"optionIds": [f"{n:064}" for n in range(60)]},
    "true": {"value": True},
    "false": {"value": False},
    "whole number": {"number": 1822},
    "fraction": {"number": -0.125},
    "largest whole number": {"number": 2**53},
    "smallest whole number": {"number": -(2**53)},
    "large fraction": {"number": 1e300},
    "text": {"text": "four"},
    "empty text": {"text": ""},
    "hebrew with controls of direction": {"text": "שלום \u202e world\n\t"},
    "16 KiB of text": {"text": "é" * 8192},
    "matching": {"pairs": {"s1": "c1", "s2": "c1"}},
    "nothing matched": {"pairs": {}},
    "sixty pairs": {"pairs": {f"s{n}": f"c{n}" for n in range(60)}},
}

BAD_ANSWERS: dict[str, Any] = {
    "no map": "a",
    "null": None,
    "list": ["a"],
    "empty map": {},
    "two keys": {"optionId": "a", "value": True},
    "known and unknown key": {"optionId": "a", "credit": 1},
    "unknown key": {"option": "a"},
    "wrong case": {"optionid": "a"},
    "option number": {"optionId": 1},
    "option null": {"optionId": None},
    "option list": {"optionId": ["a"]},
    "option empty": {"optionId": ""},
    "option too long": {"optionId": "x" * 65},
    "option with slash": {"optionId": "a/b"},
    "option with newline": {"optionId": "a\n"},
    "option not ASCII": {"optionId": "é"},
    "options string": {"optionIds": "a"},
    "options map": {"optionIds": {"a": True}},
    "options twice": {"optionIds": ["a", "a"]},
    "options number": {"optionIds": ["a", 1]},
    "options only numbers": {"optionIds": [1]},
    "options null": {"optionIds": [None]},
    "options truth": {"optionIds": [True]},
    "options fraction": {"optionIds": [1.5]},
    "options nested": {"optionIds": [{"a": "b"}]},
    "options bytes": {"optionIds": [b"a"]},
    "options empty string": {"optionIds": [""]},
    "options comma": {"optionIds": ["a,b"]},
    "options too long": {"optionIds": ["x" * 65]},
    "options newline": {"optionIds": ["a\n"]},
    "sixty-one options": {"optionIds": [f"o{n}" for n in range(61)]},
    "truth string": {"value": "true"},
    "truth number": {"value": 1},
    "truth null": {"value": None},
    "number string": {"number": "1822"},
    "number truth": {"number": True},
    "number NaN": {"number": float("nan")},
    "number infinite": {"number": float("inf")},
    "number minus infinite": {"number": float("-inf")},
    "number too large": {"number": 2**53 + 1},
    "number too small": {"number": -(2**53) - 1},
    "fraction too large": {"number": 1.1e300},
    "fraction too small": {"number": -1.1e300},
    "number null": {"number": None},
    "text number": {"text": 4},
    "text list": {"text": ["four"]},
    "text bytes": {"text": b"four"},
    "text too long": {"text": "é" * 8192 + "x"},
    "pairs list": {"pairs": ["s1", "c1"]},
    "pairs string": {"pairs": "s1"},
    "pairs number": {"pairs": {"s1": 1}},
    "pairs null": {"pairs": {"s1": None}},
    "pairs nested": {"pairs": {"s1": {"c1": "x"}}},
    "pairs bad stem": {"pairs": {"s 1": "c1"}},
    "pairs comma in stem": {"pairs": {"s1,s2": "c1"}},
    "pairs bad choice": {"pairs": {"s1": "c/1"}},
    "pairs comma in choice": {"pairs": {"s1": "c1,c2"}},
    "pairs stem too long": {"pairs": {"s" * 65: "c1"}},
    "pairs choice empty": {"pairs": {"s1": ""}},
    "sixty-one pairs": {"pairs": {f"s{n}": "c1" for n in range(61)}},
}

DEFECTS: dict[str, dict[str, Any]] = {
    "extra field": {"credit": 1},
    "extra empty field": {"feedback": ""},
    "another student": {"studentId": "ben"},
    "no student": {"studentId": None},
    "time of the client": {"submittedAt": datetime.now(UTC)},
    "time of the client as text": {"submittedAt": "2026-11-20T16:00:00Z"},
    "time null": {"submittedAt": None},
    "assignment number": {"assignmentId": 1},
    "assignment null": {"assignmentId": None},
    "assignment of another course": {"assignmentId": "otherQuiz"},
    "assignment that does not exist": {"assignmentId": "missing"},
    "assignment with slash": {"assignmentId": "closedQuiz/forms/1"},
    "assignment empty": {"assignmentId": ""},
    "assignment list": {"assignmentId": ["closedQuiz"]},
    "question number": {"questionId": 1},
    "question with newline": {"questionId": "q\n1"},
    "question too long": {"questionId": "q" * 65},
    "question empty": {"questionId": ""},
    "submission too short": {"submissionId": "abcdefg"},
    "submission too long": {"submissionId": "a" * 65},
    "submission number": {"submissionId": 12345678},
    "submission with space": {"submissionId": "abcd efgh"},
}

FIELDS = ("assignmentId", "questionId", "studentId", "submissionId", "answer", "submittedAt")


def event_id(assignment_id: object, student_id: object, question_id: object, submission_id: object) -> str:
    """The id that the contract derives, from whatever the fields hold."""
    identity = f"lectern.answer.v1\n{assignment_id}\n{student_id}\n{question_id}\n{submission_id}"
    return hashlib.sha256(identity.encode()).hexdigest()


def sealed(
    who: Principal, submission_id: str, answer: Any, *, assignment_id: str = "closedQuiz", **changes: Any
) -> tuple[str, dict[str, Any]]:
    """The path and fields of an answer, as the browser makes them; *changes* enter the id too."""
    fields = {
        "assignmentId": assignment_id,
        "questionId": "q1",
        "studentId": who.uid,
        "submissionId": submission_id,
        "answer": answer,
        "submittedAt": SERVER_TIME,
        **changes,
    }
    digest = event_id(
        fields["assignmentId"], fields["studentId"], fields["questionId"], fields["submissionId"]
    )
    return f"browserAnswers/{digest}", fields


def filled(project: RulesProject) -> RulesProject:
    """*project* with two closed courses, an open one, and something in each collection of the server."""
    for path, fields in SEEDED.items():
        project.owner_sets(path, **fields)
    return project


@pytest.fixture(scope="module")
def school(emulators: Any) -> Iterator[RulesProject]:
    """One project for the module: denied requests change nothing, allowed ones have ids of their own."""
    project = filled(RulesProject(emulators.firestore))
    yield project
    project.close()


def read(project: RulesProject, who: Principal, path: str, options: Mapping[str, Any]) -> int:
    """Get a document or, given options, query a collection."""
    return project.query(who, path, **options) if options else project.get(who, path)


def attempts_to_write(project: RulesProject, who: Principal, path: str) -> dict[str, int]:
    """Create beside, update and delete the document at *path*; the status of each."""
    beside = f"{path.rpartition('/')[0]}/mine"
    return {
        "create": project.create(who, beside, LOOT),
        "overwrite": project.create(who, path, LOOT),
        "update": project.update(who, path, LOOT),
        "delete": project.delete(who, path),
    }


@pytest.mark.parametrize("name", PRINCIPALS)
@pytest.mark.parametrize(
    ("path", "options", "allowed"),
    READS,
    ids=[f"{path} {options or ''}".strip() for path, options, _ in READS],
)
def test_reads_are_open_to_exactly_those_listed(
    school: RulesProject, name: str, path: str, options: Mapping[str, Any], allowed: frozenset[str]
) -> None:
    status = read(school, PRINCIPALS[name], path, options)

    assert status == (200 if name in allowed else 403)


@pytest.mark.parametrize("name", PRINCIPALS)
@pytest.mark.parametrize("path", SEEDED)
def test_nobody_writes_what_the_server_owns(school: RulesProject, name: str, path: str) -> None:
    statuses = attempts_to_write(school, PRINCIPALS[name], path)

    assert set(statuses.values()) == {403}, statuses
    assert school.owner_reads(f"{path.rpartition('/')[0]}/mine") is None


@pytest.mark.parametrize("name", PRINCIPALS)
@pytest.mark.parametrize(
    ("assignment_id", "allowed"), [("closedQuiz", CLASS), ("otherQuiz", OTHER_CLASS), ("openQuiz", SIGNED_IN)]
)
def test_an_answer_is_taken_from_those_who_belong_to_the_course(
    school: RulesProject, name: str, assignment_id: str, allowed: frozenset[str]
) -> None:
    who = PRINCIPALS[name]
    path, fields = sealed(
        who, f"belongs-{name.replace(' ', '-')}", {"optionId": "a"}, assignment_id=assignment_id
    )

    assert school.create(who, path, fields) == (200 if name in allowed else 403)


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_shape_of_answer_is_taken(school: RulesProject, kind: str) -> None:
    path, fields = sealed(ANA, f"good-{len(kind)}-{list(ANSWERS).index(kind)}", ANSWERS[kind])

    assert school.create(ANA, path, fields) == 200
    stored = school.owner_reads(path)
    assert stored is not None
    assert set(stored) == set(FIELDS)
    assert "timestampValue" in stored["submittedAt"]


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_no_other_shape_of_answer_is_taken(school: RulesProject, kind: str) -> None:
    path, fields = sealed(ANA, f"bad-{list(BAD_ANSWERS).index(kind):08}", BAD_ANSWERS[kind])

    assert school.create(ANA, path, fields) == 403
    assert school.owner_reads(path) is None


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_field_that_is_not_as_agreed_is_refused(school: RulesProject, defect: str) -> None:
    changes = {"submission_id": f"defect-{list(DEFECTS).index(defect):08}", **DEFECTS[defect]}
    path, fields = sealed(ANA, changes.pop("submission_id"), {"optionId": "a"}, **changes)

    assert school.create(ANA, path, fields) == 403
    assert school.owner_reads(path) is None


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field_is_refused(school: RulesProject, missing: str) -> None:
    path, fields = sealed(ANA, f"missing-{missing}", {"optionId": "a"})
    del fields[missing]

    assert school.create(ANA, path, fields) == 403
    assert school.create(ANA, path, {**fields, "other": "x"}) == 403


def test_an_id_that_does_not_follow_from_the_fields_is_refused(school: RulesProject) -> None:
    right, fields = sealed(ANA, "wrong-id-0001", {"optionId": "a"})
    digest = right.removeprefix("browserAnswers/")
    identity = ("closedQuiz", "ana", "q1", "wrong-id-0001")
    others = {
        "chosen": "abcdefgh",
        "submission id": "wrong-id-0001",
        "upper case": digest.upper(),
        "longer": f"{digest}0",
        "shorter": digest[:-1],
        "another student's": event_id("closedQuiz", "ben", "q1", "wrong-id-0001"),
        "another question's": event_id("closedQuiz", "ana", "q2", "wrong-id-0001"),
        "another assignment's": event_id("openQuiz", "ana", "q1", "wrong-id-0001"),
        "another submission's": event_id("closedQuiz", "ana", "q1", "wrong-id-0002"),
        "no version": hashlib.sha256("\n".join(identity).encode()).hexdigest(),
        "other separator": hashlib.sha256("|".join(("lectern.answer.v1", *identity)).encode()).hexdigest(),
        "moved boundary": hashlib.sha256(
            b"lectern.answer.v1\nclosedQuizana\n\nq1\nwrong-id-0001"
        ).hexdigest(),
        "sha-1": hashlib.sha1(b"lectern.answer.v1").hexdigest(),
    }

    statuses = {what: school.create(ANA, f"browserAnswers/{each}", fields) for what, each in others.items()}

    assert set(statuses.values()) == {403}, statuses
    assert school.create(ANA, right, fields) == 200


def test_an_answer_is_the_writers_own_and_stays_as_it_was_written(school: RulesProject) -> None:
    path, fields = sealed(ANA, "stays-as-written", {"optionId": "a"})
    assert school.create(ANA, path, fields) == 200
    before = school.owner_reads(path)

    assert school.get(ANA, path) == 200
    for name, who in PRINCIPALS.items():
        assert school.create(who, path, fields) == 403, name
        assert school.create(who, path, {**fields, "answer": {"optionId": "b"}}) == 403, name
        assert school.update(who, path, {"answer": {"mapValue": "b"}}) == 403, name
        assert school.delete(who, path) == 403, name
        assert (school.get(who, path) == 200) is (name == "student"), name
    assert school.owner_reads(path) == before


def test_one_students_answer_cannot_be_written_by_another(school: RulesProject) -> None:
    path, fields = sealed(BEN, "in-bens-name", {"optionId": "a"})

    assert {name: school.create(who, path, fields) for name, who in PRINCIPALS.items() if who is not BEN} == {
        name: 403 for name, who in PRINCIPALS.items() if who is not BEN
    }
    assert school.create(BEN, path, fields) == 200


def test_a_role_in_the_request_opens_nothing(school: RulesProject) -> None:
    forger = PRINCIPALS["forger"]

    assert school.create(forger, "courses/closed/members/eve", {"role": "teacher"}) == 403
    assert school.create(forger, "courses/mine", {"title": "Mine", "openEnrollment": True}) == 403
    assert school.update(forger, "courses/closed", {"openEnrollment": True}) == 403
    assert school.get(forger, "assignments/closedQuiz") == 403


def test_a_removed_member_is_out_at_once(emulators: Any) -> None:
    project = filled(RulesProject(emulators.firestore))
    try:
        assert project.get(ANA, "assignments/closedQuiz") == 200
        project.owner_sets("courses/open", title="Open", openEnrollment=False)
        project.owner_sets("courses/closed/members/tom", role="student")

        assert project.get(ANA, "assignments/openQuiz") == 403
        assert project.query(PRINCIPALS["teacher"], "courses/closed/members") == 403
    finally:
        project.close()


def test_no_rule_asks_only_whether_somebody_is_signed_in() -> None:
    source = re.sub(r"//[^\n]*", "", RULES.read_text())
    conditions = [
        " ".join(each.split()) for each in re.findall(r"allow [a-z, ]+: if (.*?);", source, flags=re.DOTALL)
    ]

    assert len(conditions) == len(re.findall(r"\ballow\b", source))
    for condition in conditions:
        assert condition not in {"true", "isSignedIn()", "request.auth != null"}
        assert condition == "false" or condition.startswith("isSignedIn() &&"), condition


def test_every_expression_of_the_rules_is_evaluated_and_decides(emulators: Any) -> None:
    """The whole table again in one project, then the emulator's coverage report."""
    project = filled(RulesProject(emulators.firestore))
    try:
        for who in PRINCIPALS.values():
            for path, options, _ in READS:
                read(project, who, path, options)
            path, fields = sealed(who, "coverage-own", {"value": True})
            project.create(who, path, fields)
            project.create(who, "answerKeys/mine", LOOT)
        for number, answer in enumerate([*ANSWERS.values(), *BAD_ANSWERS.values()]):
            path, fields = sealed(ANA, f"coverage-{number:04}", answer)
            project.create(ANA, path, fields)
        for number, changes in enumerate(DEFECTS.values()):
            changed = {"submission_id": f"coverage-defect-{number:04}", **changes}
            path, fields = sealed(ANA, changed.pop("submission_id"), {"optionId": "a"}, **changed)
            project.create(ANA, path, fields)
        for missing in FIELDS:
            path, fields = sealed(ANA, f"coverage-without-{missing}", {"optionId": "a"})
            del fields[missing]
            project.create(ANA, path, {**fields, "other": "x"})
        project.create(ANA, "browserAnswers/chosen", sealed(ANA, "coverage-id", {"optionId": "a"})[1])
        coverage = project.coverage()
    finally:
        project.close()

    source = RULES.read_text().encode()
    unseen, one_sided = [], []
    for node in expressions(coverage["report"]):
        position = node["sourcePosition"]
        text = source[position["currentOffset"] : position["endOffset"] + 1].decode()
        seen = [each["value"] for each in node.get("values", ()) if each["count"] > 0]
        if not seen:
            unseen.append((position["line"], text))
        if re.fullmatch(r"[\w.]+", text) and text != "false":
            continue  # a variable, and not for the rules to decide
        truths = {each["boolValue"] for each in seen if "boolValue" in each}
        if truths == {True} or (truths == {False} and text != "false"):
            one_sided.append((position["line"], text))
    assert unseen == []
    assert one_sided == []


def expressions(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every node of the coverage report, children included."""
    for node in nodes:
        yield node
        yield from expressions(node.get("children", []))
