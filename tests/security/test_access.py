"""
The access matrix: every caller × every function × every id in its request.

Rows and columns come from the registry and the request models, so that a new function, or a new id
in a request, is in here or fails.
"""

import json

import pytest

from shared.edge.registry import PassThrough
from tests.security.matrix import (
    IN_ANOTHER_COURSE,
    MISSING,
    NEEDS,
    REQUESTS,
    elsewhere,
    expected,
    is_free,
    names_a_course,
    status_of,
    with_ids,
)
from tests.security.school import CALLERS, client_calls, functions, has, id_slots, put, school

COURSES = ("own", "other", "open")
FUNCTIONS = client_calls()
PLATFORM = [each for each in functions() if not each.for_clients]
PASSED = [each for each in functions() if isinstance(each.trigger, PassThrough)]
UNTOLD = (
    "x-request-id",
    "content-length",
    "date",
    "x-ratelimit-limit",  # whichever limit is nearest: the address's, or the user's
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)


def named(function):
    return function.name


@pytest.fixture
async def lessons():
    async with school() as lessons:
        yield lessons


def test_every_function_has_a_row():
    assert {each.name for each in functions()} == NEEDS.keys()
    assert {each.name for each in FUNCTIONS} == REQUESTS.keys()


def test_what_only_teachers_may_do_refuses_a_revoked_session_at_once():
    sensitive = {each.name for each in functions() if each.sensitive}
    assert sensitive == {name for name, needs in NEEDS.items() if needs in {"teacher", "claim", "admin"}}


async def test_every_id_of_every_request_is_tried(lessons):
    for function in FUNCTIONS:
        requests = REQUESTS[function.name](lessons, "own")
        for slot in id_slots(function.trigger):
            assert any(has(request, slot) for request in requests), (function.name, slot)
            assert elsewhere(lessons, slot, "own")


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_each_caller_gets_what_the_table_says(lessons, function):
    for course in COURSES:
        for caller in CALLERS.values():
            for request in REQUESTS[function.name](lessons, course):
                before = lessons.app.services.documents.dump()
                response = await lessons.call(function.name, request, caller)
                decided = status_of(response)
                assert decided == expected(function.name, caller, course), (
                    caller.name,
                    course,
                    request,
                    response.text,
                )
                if decided != 200:
                    assert lessons.app.services.documents.dump() == before, (caller.name, course)


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_an_id_opens_nothing_that_its_bearer_may_not_open(lessons, function):
    courses = {
        **{made: course for course, made in lessons.courses.items()},
        **{form["assignmentId"]: course for course, form in lessons.forms.items()},
    }
    for caller in CALLERS.values():
        for slot, kind, request in with_ids(lessons, function, "own"):
            about = "own"
            if names_a_course(slot):
                about = courses.get(_at(request, slot), "")
            decided = expected(function.name, caller, about)
            if decided == 200 and names_a_course(slot):
                decided = IN_ANOTHER_COURSE.get(function.name, 200)
            elif decided == 200 and not is_free(slot, function.name):
                decided = 400  # of one who may: that is no id of this question's
            before = lessons.app.services.documents.dump()
            response = await lessons.call(function.name, request, caller)
            assert status_of(response) == decided, (caller.name, slot, kind, request, response.text)
            after = lessons.app.services.documents.dump()
            if decided != 200:
                assert after == before, (caller.name, slot, kind)
            else:
                # What was there of others is as it was: nobody's answer is replaced by naming its id.
                answers = {path: each for path, each in before.items() if path.startswith("pendingAnswers/")}
                assert {path: after.get(path) for path in answers} == answers


def _at(request, slot):
    for step in slot:
        request = request[0] if step == "[]" else request[step]
    return request


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_what_is_not_yours_looks_like_what_does_not_exist(lessons, function):
    for caller in CALLERS.values():
        for course in ("own", "other"):
            if expected(function.name, caller, course) != 404:
                continue
            for slot in filter(names_a_course, id_slots(function.trigger)):
                for request in REQUESTS[function.name](lessons, course):
                    theirs = await lessons.call(function.name, request, caller)
                    nobodys = await lessons.call(function.name, put(request, slot, MISSING), caller)
                    assert _told(theirs) == _told(nobodys), (caller.name, course, slot)


def _told(response):
    body = response.json()
    body.pop("requestId", None)
    headers = {name: value for name, value in response.headers.items() if name not in UNTOLD}
    return response.status_code, body, headers, len(response.content)


@pytest.mark.parametrize("function", PASSED, ids=named)
async def test_nothing_passes_for_who_is_not_signed_in(lessons, function):
    for caller in CALLERS.values():
        response = await lessons.call(function.name, {}, caller)
        decided = 404 if expected(function.name, caller, "own") == 200 else 401  # there is nothing at "/"
        assert response.status_code == decided, caller.name


@pytest.mark.parametrize("function", PLATFORM, ids=named)
async def test_nobody_but_the_platform_wakes_event_functions(lessons, function):
    before = lessons.app.services.documents.dump()
    bodies = [b"{}", b'{"message": {"data": ""}}', b'{"data": {}}']
    for caller in CALLERS.values():
        for body in bodies:
            headers = {"content-type": "application/json", "x-cloudtasks-queuename": "q", "ce-id": "1"}
            if token := caller.token():
                headers["authorization"] = f"Bearer {token}"
            response = await lessons.app.post(function.name, body, headers)
            assert response.status_code == 401, (caller.name, function.name)
    assert lessons.app.services.documents.dump() == before


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_who_one_is_cannot_be_said_in_the_request(lessons, function):
    """SEC-04: a field of that name is refused, and a header or a query parameter changes nothing."""
    fellow = CALLERS["fellow student"]
    [request, *_] = REQUESTS[function.name](lessons, "own")
    [other, *_] = REQUESTS[function.name](lessons, "other")
    for claim in ("role", "uid", "studentId", "tenant", "submittedAt", "isTeacher", "credit"):
        value = "teacher" if claim == "role" else "tess"
        before = lessons.app.services.documents.dump()
        if claim not in request:
            refused = await lessons.call(function.name, {**request, claim: value}, fellow)
            assert refused.status_code in {400, 403}
            assert lessons.app.services.documents.dump() == before
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {fellow.token()}",
            claim.lower(): value,
            f"x-{claim.lower()}": value,
            "x-goog-authenticated-user-id": "tess",
            "x-endpoint-api-userinfo": "eyJzdWIiOiJ0ZXNzIn0",
            "x-forwarded-user": "tess",
        }
        response = await lessons.app.post(function.name, json.dumps(other).encode(), headers)
        assert status_of(response) == expected(function.name, fellow, "other")


async def test_the_same_reads_are_made_for_what_is_not_yours_as_for_what_is_not(lessons):
    """SEC-29, by structure: once both have been asked about, each question costs one read."""
    stranger = CALLERS["student of another course"]
    documents = lessons.app.services.documents
    calls = []

    async def counted(operation):
        calls.append(operation)

    documents._before = counted
    for name, theirs, nobodys in (
        ("get_assignment", lessons.forms["own"]["assignmentId"], MISSING),
        ("list_assignments", lessons.courses["own"], MISSING),
        ("my_results", lessons.forms["own"]["assignmentId"], MISSING),
        ("get_gradebook", lessons.forms["own"]["assignmentId"], MISSING),
    ):
        costs = []
        slot = "courseId" if name == "list_assignments" else "assignmentId"
        for each in (theirs, nobodys):
            await lessons.call(name, {slot: each}, stranger)
            calls.clear()
            response = await lessons.call(name, {slot: each}, stranger)
            assert response.status_code == 404
            costs.append(list(calls))
        assert costs == [["get"], ["get"]], name
