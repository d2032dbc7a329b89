"""Whatever is sent: an answer in the one envelope, never a 5xx, and nothing written where it is refused."""

import asyncio
import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.edge import bodies
from shared.errors import InvalidRequest
from shared.learning.importing.parsing import parse
from shared.learning.plain_text import folded, folded_pattern
from tests.security.from_schema import values_of
from tests.security.hostile import BODIES, REDOS, VALUES
from tests.security.matrix import NEEDS, REQUESTS, has, status_of
from tests.security.school import CALLERS, client_calls, id_slots, put, school

FUNCTIONS = client_calls()
TEACHER = CALLERS["the course's teacher"]
ADMIN = CALLERS["admin"]
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
}


def named(function):
    return function.name


@pytest.fixture
async def lessons():
    async with school() as lessons:
        yield lessons


def someone_for(function):
    """Who may call *function*: a body must be what is refused, not they."""
    return ADMIN if NEEDS[function.name] == "admin" else TEACHER


def headers_of(who):
    return {"content-type": "application/json", "authorization": f"Bearer {who.token()}"}


def check_envelope(response, *, callable_form=False):
    """A refusal as it is documented: its status, its one shape, nothing about the inside."""
    assert response.status_code in CODES, (response.status_code, response.text)
    said = response.json()
    if callable_form:
        assert set(said) == {"error", "requestId"}
        assert set(said["error"]) <= {"status", "message", "details"}
        assert said["error"]["status"] == CODES[response.status_code]
    else:
        assert set(said) <= {"type", "title", "status", "detail", "details", "requestId"}
        assert said["status"] == response.status_code
        assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"] == said["requestId"]
    for inside in ("Traceback", "google.", "/usr/", ".py", "pydantic", "orjson"):
        assert inside not in response.text


async def refuse(lessons, function, body, *, callable_form=False):
    """Send *body*, which is refused, or changes nothing but what a proper request may."""
    before = lessons.app.services.documents.dump()
    response = await lessons.app.post(function.name, body, headers_of(someone_for(function)))
    if not response.is_success:
        check_envelope(response, callable_form=callable_form)
        assert lessons.app.services.documents.dump() == before
    return response


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_a_body_that_is_no_request_is_refused(lessons, function):
    for what, body in BODIES.items():
        wrapped = body.lstrip()[:64].startswith(b'{"data"')
        # The callable's envelope is told by the first bytes, until the whole turns out to be something else.
        form = wrapped and what not in {"data and more", "a key twice"}
        response = await lessons.app.post(function.name, body, headers_of(someone_for(function)))
        assert 400 <= response.status_code < 500, (what, response.status_code, response.text)
        check_envelope(response, callable_form=form)


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_a_body_over_the_limit_is_a_413(lessons, function):
    body = b'{"x": "' + b"x" * function.max_body_bytes + b'"}'
    assert (await refuse(lessons, function, body)).status_code == 413


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_only_json_as_it_is_is_read(lessons, function):
    request = json.dumps(REQUESTS[function.name](lessons, "own")[0]).encode()
    before = lessons.app.services.documents.dump()
    for change, status in (
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-encoding": "gzip"}, 400),
        ({"content-encoding": "br, identity"}, 400),
    ):
        response = await lessons.app.post(
            function.name, request, {**headers_of(someone_for(function)), **change}
        )
        assert response.status_code == status, change
    assert lessons.app.services.documents.dump() == before


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_every_id_is_one_plain_segment(lessons, function):
    tried = 0
    for slot in id_slots(function.trigger):
        for request in REQUESTS[function.name](lessons, "own"):
            if not has(request, slot):
                continue
            for what, value in VALUES.items():
                if slot[-1] == "{}" and not isinstance(value, str):
                    continue  # the key of a map is a text
                if (slot[-1], what) in {
                    ("submissionId", "null"),
                    ("submissionId", "reserved"),  # it only enters a hash
                    ("submissionId", "reserved number"),
                    ("submissionId", "text of a number"),
                    ("submissionId", "text of truth"),
                    ("submissionId", "NaN as text"),
                    ("learnerId", "text of a number"),
                    ("learnerId", "text of truth"),
                    ("learnerId", "NaN as text"),
                    ("learnerId", "65 characters"),
                    ("criterionId", "text of a number"),  # whoever tries a rubric names its criteria
                    ("criterionId", "text of truth"),
                    ("criterionId", "NaN as text"),
                    ("classId", "null"),  # in none
                    ("classId", "text of a number"),
                    ("classId", "text of truth"),
                    ("classId", "NaN as text"),
                }:
                    continue  # ids that are allowed
                response = await refuse(lessons, function, json.dumps(put(request, slot, value)).encode())
                assert 400 <= status_of(response) < 500, (slot, what, value)
                tried += 1
    assert tried or not id_slots(function.trigger)


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
async def test_every_field_takes_its_own_type_only(lessons, function):
    for request in REQUESTS[function.name](lessons, "own")[:2]:
        for name in request:
            for value in VALUES.values():
                await refuse(lessons, function, json.dumps({**request, name: value}).encode())
                body = json.dumps({"data": {**request, name: value}}).encode()
                await refuse(lessons, function, body, callable_form=True)


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
def test_what_the_schema_allows_is_read_and_anything_else_is_refused_as_such(function):
    """Every request model by hypothesis: its own schema's values, and those with one part exchanged."""
    model = function.trigger.request
    schema = model.model_json_schema(by_alias=True)
    messages, read_well = [], []

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(value=values_of(schema), anything=JSON_VALUES, at=st.integers(0, 5))
    def read(value, anything, at):
        for candidate in (value, anything, _exchanged(value, anything, at)):
            try:
                read_well.append(bodies.read(model, bodies.parse(json.dumps(candidate).encode())))
            except InvalidRequest as error:
                messages.append(error.message)

    read()
    assert read_well
    assert all(messages)
    assert not any("ValidationError" in each for each in messages)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _exchanged(value, by, at):
    if isinstance(value, dict) and value:
        name = sorted(value)[at % len(value)]
        return {**value, name: _exchanged(value[name], by, at - 1) if at else by}
    if isinstance(value, list) and value:
        return [_exchanged(value[0], by, at - 1) if at else by, *value[1:]]
    return by


SOURCES = {
    "gift": [
        "::",
        "{",
        "}",
        "=",
        "~",
        "#",
        "####",
        "%50%",
        "->",
        "\\",
        "//",
        "$CATEGORY: ",
        "[html]",
    ],
    "csv": [
        "name",
        "type",
        "text",
        ",",
        ";",
        '"',
        '""',
        "\t",
        "singleChoice",
        "correct",
        "option1",
        "4",
    ],
    "json": [
        '{"',
        '"',
        ":",
        ",",
        "[",
        "]",
        "}",
        "questions",
        "type",
        "text",
        "options",
        "1e9",
        "null",
    ],
}
PIECES = [
    "a",
    "ב",
    " ",
    "\n",
    "\n\n",
    "4",
    "-1",
    "0.5:0.1",
    "1..2",
    "T",
    "\u202e",
    "e\u0301",
    "👩‍🏫",
    "\u2028",
    "x" * 300,
]


@pytest.mark.parametrize("form", list(SOURCES))
async def test_a_source_of_nonsense_is_an_import_or_a_refusal_with_places(lessons, form):
    """GIFT, CSV and JSON by hypothesis, through ``import_assignment``; a refused one stores nothing."""
    [function] = [each for each in FUNCTIONS if each.name == "import_assignment"]
    sources = []

    @settings(
        max_examples=120,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.sampled_from(SOURCES[form] + PIECES) | st.text(max_size=5), max_size=60))
    def collect(pieces):
        sources.append("".join(pieces))

    await asyncio.to_thread(collect)
    request = {"courseId": lessons.courses["own"], "title": "T", "format": form}
    refused = 0
    for source in sources:
        body = json.dumps({**request, "source": source}).encode()
        response = await refuse(lessons, function, body)
        refused += response.status_code == 400
        assert response.status_code in {200, 400}, source
    assert refused


@pytest.mark.parametrize("form", list(SOURCES))
def test_no_source_takes_long_to_refuse(form):
    """SEC-11: half a megabyte of what repetitions stumble over."""
    for text in REDOS:
        for source in (text * (200_000 // len(text)), f"::q:: x {{={text} ~b}}", f"q {{{text}"):
            began = time.process_time()
            with contextlib.suppress(InvalidRequest):
                parse(source, form, seed="s")
            assert time.process_time() - began < 10, (form, text[:20], len(source))


@pytest.mark.parametrize("text", REDOS, ids=range(len(REDOS)))
def test_no_text_takes_long_to_compare_or_to_check(text):
    began = time.process_time()
    folded(text)
    folded_pattern(text)
    for body in (json.dumps({"text": text}), text):
        with contextlib.suppress(InvalidRequest):
            bodies.parse(body.encode())
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("admin\u202egnp.exe", "admingnp.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("e\u0301te", "\u00e9te"),
        ("\u202e", None),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("a\u200fb", "a\u200fb"),
        ("\ufb2a" * 150, None),  # two characters each, once they are composed
    ],
)
async def test_a_title_turns_no_other_text_around(lessons, title, kept):
    """SEC-10: overrides and isolates leave a name; marks that belong to the writing stay."""
    response = await lessons.call("create_course", {"title": title}, TEACHER)
    if kept is None:
        assert response.status_code == 400
    else:
        stored = lessons.app.services.documents.dump()[f"courses/{response.json()['courseId']}"]
        assert stored["title"] == kept
