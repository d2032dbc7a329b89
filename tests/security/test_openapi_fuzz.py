"""
Schemathesis from ``docs/openapi.json`` against the real functions: only what is documented comes back.

5,000 requests, or as many as ``LECTERN_FUZZ`` says, half of them by the schema and half against it;
every third is signed in as somebody who may do nothing with what it names, and every second comes in
the callable's envelope. Ids that are well-formed are exchanged for real ones, so that requests come
further than the first look-up.
"""

import asyncio
import json
import os
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.faults import figures
from tests.security.school import CALLERS, client_calls, school
from tests.security.test_bad_input import check_envelope

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
REQUESTS = int(os.environ.get("LECTERN_FUZZ", "5000"))
SEED = int(os.environ.get("LECTERN_FUZZ_SEED", "1"))
WHO = [CALLERS[name] for name in ("the course's teacher", "the course's student", "admin")]
FUNCTIONS = [each.name for each in client_calls()]


def validator(operation, status):
    """Checks a body that is JSON against the document."""
    content = next(
        each for kind, each in operation["responses"][status]["content"].items() if kind.endswith("json")
    )
    return jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})


def real(value, lessons, choice):
    """*value* with ids of things that exist, as *choice* has it."""
    course = ("own", "other", "open")[choice % 3]
    form = lessons.forms[course]
    question = form["questions"][choice % len(form["questions"])]
    ids = {
        "assignmentId": form["assignmentId"],
        "courseId": lessons.courses[course],
        "questionId": question["questionId"],
        "optionId": (question["options"] or [{"optionId": "a"}])[0]["optionId"],
        "learnerId": "ben",
        "receipt": lessons.receipt,
        "previewId": lessons.pilots[course],
    }
    if isinstance(value, list):
        return [real(each, lessons, choice + at) for at, each in enumerate(value)]
    if isinstance(value, dict):
        return {
            name: ids[name] if name in ids and isinstance(each, str) and each else real(each, lessons, choice)
            for name, each in value.items()
        }
    return value


def body_of(case, lessons, choice):
    """The bytes of a generated request."""
    if isinstance(case.body, bytes):
        return case.body
    value = real(case.body, lessons, choice // 2) if choice % 4 else case.body
    if choice % 2:
        value = {"data": value}
    return json.dumps(value).encode(errors="replace")


def test_every_function_is_documented():
    # What another protocol passes through is told by that protocol.
    own = [path for path in DOCUMENT["paths"] if path.count("/") == 1]
    assert sorted(own) == sorted(f"/{name}" for name in FUNCTIONS)


def test_streams_and_headers_are_documented():
    streams = {
        path.strip("/")
        for path, each in DOCUMENT["paths"].items()
        if path.count("/") == 1
        and any(
            "text/event-stream" in answer.get("content", {}) for answer in each["post"]["responses"].values()
        )
    }
    assert streams == {each.name for each in client_calls() if each.trigger.sends is not None}
    for path, each in DOCUMENT["paths"].items():
        named = {header["name"] for header in each.get("post", {}).get("parameters", [])}
        assert ("X-Lectern-Course" in named) == (path.startswith("/openai_proxy/") and "post" in each), path


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_comes_back_is_documented(name):
    operation = DOCUMENT["paths"][f"/{name}"]["post"]
    documented = {int(status): validator(operation, status) for status in operation["responses"]}
    examples = max(REQUESTS // len(FUNCTIONS) // 2, 1)
    statuses = {}

    with asyncio.Runner() as runner:
        opened = school()
        lessons = runner.run(opened.__aenter__())
        documents = lessons.app.services.documents

        def ask(case, choice):
            who = WHO[choice % len(WHO)]
            body = body_of(case, lessons, choice)
            headers = {"content-type": "application/json", "authorization": f"Bearer {who.token()}"}
            before = documents.dump()
            response = runner.run(lessons.app.post(name, body, headers))
            status = response.status_code
            statuses[status] = statuses.get(status, 0) + 1
            assert status in documented, (status, body, response.text)
            assert status < 500, (status, body, response.text)
            if response.is_success:
                reply = response.json()
                documented[status].validate(reply["result"] if set(reply) == {"result"} else reply)
                for path in documents.dump().keys() - before.keys():
                    # What is made grows over thousands of requests, and the next copies need not.
                    if path.startswith(("assignments/", "answerKeys/", "courses/", "pilots/")):
                        del documents._documents[path]
            else:
                check_envelope(response, callable_form="error" in response.json())
                assert documents.dump() == before, (status, body)
                if "error" not in response.json():
                    documented[status].validate(response.json())

        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            fuzz = settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(SCHEMA[f"/{name}"]["POST"].as_strategy(generation_mode=mode), st.integers(0, 999))(ask))
            seed(SEED)(fuzz)()
        runner.run(opened.__aexit__(None, None, None))
    figures.note(requests=sum(statuses.values()))
    assert sum(statuses.values()) >= examples
    assert any(400 <= status < 500 for status in statuses)
