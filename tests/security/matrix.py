"""Who may call what: one row per function, and the requests with which that is tried."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.security.school import Caller, School, Slot, has, id_slots, put

NEEDS = {
    "accept_evaluation": "teacher",
    "chat": "member",
    "evaluate_answer": "member",
    "generate_skeleton": "teacher",
    "generate_step": "member",
    "get_agreement": "teacher",
    "list_evaluations": "teacher",
    "override_evaluation": "teacher",
    "clean_up": "platform",
    "continue_erasures": "platform",
    "create_course": "claim",
    "enroll_learner": "teacher",
    "erase_learner": "admin",
    "export_spend": "teacher",
    "get_assignment": "member",
    "get_assignment_as_of": "teacher",
    "get_cost_advice": "teacher",
    "get_erasure": "admin",
    "get_evaluation_queue": "teacher",
    "get_gradebook": "teacher",
    "get_spend": "teacher",
    "import_assignment": "teacher",
    "ingest_answers": "platform",
    "list_assignments": "member",
    "merge_answers": "platform",
    "my_results": "member",
    "on_answer_created": "platform",
    "openai_proxy": "token",
    "preview_pilot": "teacher",
    "queue_evaluations": "teacher",
    "reapply_erasures": "admin",
    "rebuild_assignment": "teacher",
    "run_evaluation_queue": "platform",
    "run_pilot": "teacher",
    "submit_answer": "member",
    "submit_answers": "member",
    "sweep_pending": "platform",
    "switch_tutor": "teacher",
    "verify_erasure": "token",
    "verify_receipt": "token",
}
"""What a caller has to be; a function without a row fails the tests."""

DECISIONS = {
    "member": {"": 404, "student": 200, "teacher": 200},
    "teacher": {"": 404, "student": 403, "teacher": 200},
}
"""The answer to a caller, by what they need and what they are in the course."""

MISSING = "0" * 32


def expected(function: str, caller: Caller, course: str) -> int:
    """The status of a well-formed call about *course* (200 stands for any success)."""
    needs = NEEDS[function]
    if needs == "platform" or not caller.signed_in:
        return 401
    if needs == "token":
        return 200
    if needs == "claim":
        return 200 if caller.teaches else 403
    if needs == "admin":
        return 200 if caller.is_admin else 403
    return DECISIONS[needs][caller.parts.get(course, "")]


def _answers(school: School, course: str) -> list[dict[str, Any]]:
    """An answer of every shape that a request can have."""
    choice, several = school.question(course, "choice"), school.question(course, "several")
    pairs, number = school.question(course, "pairs"), school.question(course, "number")
    answers = [
        (choice, {"optionId": choice["options"][0]["optionId"]}),
        (several, {"optionIds": [several["options"][0]["optionId"]]}),
        (pairs, {"pairs": {pairs["stems"][0]["stemId"]: pairs["choices"][0]["choiceId"]}}),
        (number, {"number": 4}),
        (school.question(course, "truth"), {"value": True}),
        (school.question(course, "word"), {"text": "yes"}),
        (school.question(course, "essay"), {"text": "all of it"}),
    ]
    return [
        {
            "assignmentId": school.forms[course]["assignmentId"],
            "questionId": question["questionId"],
            "answer": answer,
            "submissionId": "matrix",
        }
        for question, answer in answers
    ]


REQUESTS: dict[str, Callable[[School, str], list[dict[str, Any]]]] = {
    "accept_evaluation": lambda school, course: [_evaluation(school, course)],
    "chat": lambda school, course: [
        {**_about(school, course, "choice"), "intent": "hint", "message": "Why?", "conversation": []}
    ],
    "evaluate_answer": lambda school, course: [_about(school, course, "essay")],
    "generate_skeleton": lambda school, course: [{"courseId": school.courses[course], "topic": "Fractions"}],
    "generate_step": lambda school, course: [
        {"courseId": school.courses[course], "version": school.skeletons[course], "lesson": 0, "step": 0}
    ],
    "get_agreement": lambda school, course: [_which(school, course)],
    "list_evaluations": lambda school, course: [
        {**_which(school, course), "state": state} for state in ("waiting", "decided")
    ],
    "override_evaluation": lambda school, course: [{**_evaluation(school, course), "criteria": {"c1": 3}}],
    "create_course": lambda _school, _course: [{"title": "Mine"}],
    "enroll_learner": lambda school, course: [
        {"courseId": school.courses[course], "learnerId": "eve", "role": role, "classId": class_id}
        for role, class_id in (("student", "7b"), ("teacher", None))
    ],
    "erase_learner": lambda _school, course: [
        {"learnerId": f"{course}-gone", "confirm": f"{course}-gone"},
    ],
    "export_spend": lambda school, course: [{"courseId": school.courses[course], "day": "2026-11-20"}],
    "get_assignment": lambda school, course: [_which(school, course)],
    "get_assignment_as_of": lambda school, course: [{**_which(school, course), "at": "2026-01-01T00:00:00Z"}],
    "get_cost_advice": lambda school, course: [{"courseId": school.courses[course], "day": "2026-11-20"}],
    "get_erasure": lambda school, _course: [{"erasureId": school.erasure}],
    "get_evaluation_queue": lambda school, course: [_about(school, course, "essay")],
    "get_gradebook": lambda school, course: [{**_which(school, course), "pageSize": 2}],
    "get_spend": lambda school, course: [{"courseId": school.courses[course]}],
    "import_assignment": lambda school, course: [
        {"courseId": school.courses[course], "title": "T", "format": "gift", "source": "2 + 2 is {#4}"}
    ],
    "list_assignments": lambda school, course: [{"courseId": school.courses[course]}],
    "my_results": lambda school, course: [_which(school, course)],
    "preview_pilot": lambda school, course: [
        _about(school, course, "essay"),
        {**_about(school, course, "word"), "rubric": [{"criterionId": "a", "title": "Sense"}]},
    ],
    "queue_evaluations": lambda school, course: [
        {**_about(school, course, "essay"), "limit": 1, "dryRun": each} for each in (True, False)
    ],
    "reapply_erasures": lambda _school, _course: [{}],
    "rebuild_assignment": lambda school, course: [
        {**_which(school, course), "mode": mode} for mode in ("compare", "replace")
    ],
    "run_pilot": lambda school, course: [{**_which(school, course), "previewId": school.pilots[course]}],
    "submit_answer": _answers,
    "submit_answers": lambda school, course: [{"answers": [each]} for each in _answers(school, course)],
    "switch_tutor": lambda school, course: [{**_which(school, course), "on": each} for each in (False, True)],
    "verify_erasure": lambda school, _course: [{"receipt": school.erasure_receipt}],
    "verify_receipt": lambda school, _course: [{"receipt": school.receipt}],
}
"""Well-formed requests about a course, by function."""


def _which(school: School, course: str) -> dict[str, Any]:
    return {"assignmentId": school.forms[course]["assignmentId"]}


def _about(school: School, course: str, question: str) -> dict[str, Any]:
    return {**_which(school, course), "questionId": school.question(course, question)["questionId"]}


def _evaluation(school: School, course: str) -> dict[str, Any]:
    return {**_which(school, course), "evaluationId": school.evaluations[course]}


IN_ANOTHER_COURSE = {
    **dict.fromkeys(("submit_answer", "submit_answers", "chat", "evaluate_answer", "preview_pilot"), 400),
    **dict.fromkeys(("queue_evaluations", "get_evaluation_queue"), 400),
    **dict.fromkeys(("accept_evaluation", "override_evaluation", "generate_step", "run_pilot"), 404),
}
"""What somebody gets who may do it there, but names a question, an evaluation or an outline of here."""


def status_of(response: httpx.Response) -> int:
    """The decision in a response; one answer's in that of a batch."""
    if not response.is_success:
        return response.status_code
    outcomes = response.json().get("outcomes", ()) if response.content else ()
    refusals = {each["error"]["status"] for each in outcomes if each["error"] is not None}
    return {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400}[refusals.pop()] if refusals else 200


def names_a_course(slot: Slot) -> bool:
    """Whether the id there decides which course it is about."""
    return slot[-1] in {"assignmentId", "courseId"}


def is_free(slot: Slot, function: str) -> bool:
    """Whether any id will do there: a new submission, criterion or class, or somebody who was not there before."""
    if function == "erase_learner":
        return False  # who is to be erased is named twice
    return slot[-1] in {"submissionId", "learnerId", "criterionId", "classId"}


def elsewhere(school: School, slot: Slot, course: str) -> list[str]:
    """Ids that exist, but do not belong where *slot* is in a request about *course*."""
    others = [each for each in school.courses if each != course]
    match slot[-1]:
        case "assignmentId":
            return [school.forms[each]["assignmentId"] for each in others]
        case "courseId":
            return [school.courses[each] for each in others]
        case "questionId":
            return [school.forms[other]["questions"][0]["questionId"] for other in others]
        case "submissionId":
            return ["first-of-ann", "first-of-oda"]
        case "learnerId":
            return ["ben"]
        case "classId":
            return ["7c"]
    if "pairs" in slot:
        return [school.question(course, "choice")["options"][0]["optionId"]]
    return [school.question(course, "pairs")["stems"][0]["stemId"]]


def with_ids(school: School, function: Any, course: str) -> Iterator[tuple[Slot, str, dict[str, Any]]]:
    """Requests about *course* with one id in one slot replaced: slot, what by, the request."""
    for slot in id_slots(function.trigger):
        for request in REQUESTS[function.name](school, course):
            if not has(request, slot):
                continue
            yield slot, "missing", put(request, slot, MISSING)
            for value in elsewhere(school, slot, course):
                yield slot, "elsewhere", put(request, slot, value)
