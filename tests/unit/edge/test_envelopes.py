"""What the platform's envelopes may hold: anything, and none of it may crash or stall a function."""

import base64
import json
import logging
import time

import pytest

from shared.edge.logs import ALLOWED, JsonLines
from shared.errors import Unavailable
from shared.topics.base import Message
from tests.deployed import in_memory, push_body

EVENT = {
    "type": "lectern.assignment.answer.submitted.v1",
    "assignmentId": "a",
    "questionId": "q",
    "studentId": "s",
    "submissionId": "x",
    "answer": {"number": 1},
    "submittedAt": "2026-01-01T00:00:00Z",
    "source": "function",
}
PLATFORM = {"content-type": "application/json", "authorization": "Bearer platform"}


@pytest.fixture
async def app():
    async with in_memory() as app:
        yield app


def sealed(seal, **changes):
    return json.dumps({"answers": [{"event": json.dumps({**EVENT, **changes}), "seal": seal}]}).encode()


POISON = [
    b"",
    b"null",
    b"5",
    b"[]",
    b"[" * 5000,
    b'{"message": []}',
    b'{"message": {"data": 5}}',
    b'{"message": {"data": "!"}}',
    b'{"message": {"attributes": "x"}}',
    b'{"message": {"attributes": {"a": 5}}}',
    b'{"message": {"data": "", "messageId": ' + b"[" * 1000 + b"]" * 1000 + b"}}",
    b'{"message": {"data": "\xd7\x90"}}',
    *(
        push_body(Message(data))
        for data in (
            b"",
            b"[]",
            b"5",
            b'{"answers": 5}',
            b'{"answers": [5]}',
            b'{"answers": [{"event": 5, "seal": 5}]}',
            sealed("é"),
            sealed(""),
            sealed("x", submittedAt="2026-01-01T00:00:00"),
            sealed("x", submittedAt=5),
            sealed("x", studentId=None),
        )
    ),
]


async def test_poison_is_set_aside_once_and_never_comes_again(app):
    for body in POISON:
        response = await app.post("merge_answers", body, PLATFORM)
        assert response.status_code == 204, body
    letters = [path for path in app.services.documents.dump() if path.startswith("deadLetters/")]
    assert len(letters) == len(set(POISON))


@pytest.mark.parametrize(
    "body",
    [b"", b"\x0a", b"\x0a\x05hello", base64.b64encode(b"\x0a\x05hello"), b"\x0a" + b"\xff" * 1_000_000],
)
async def test_what_is_no_document_event_is_set_aside_at_once(app, body):
    began = time.process_time()
    assert (await app.post("on_answer_created", body, PLATFORM)).status_code == 204
    assert time.process_time() - began < 2


@pytest.mark.parametrize("value", ["--5", "-", "", "5-", "٣", "1e3", " 5", "9" * 30])
async def test_a_64_bit_integer_that_is_none_is_refused(app, value):
    number = {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": value}
    response = await app.call("submit_answer", {"data": {"assignmentId": number}}, uid="ann")
    assert response.status_code == 400


def test_a_log_line_says_where_it_broke_and_not_what_the_library_quoted():
    try:
        try:
            raise KeyError("the learner's answer")  # noqa: TRY301  stands for a library's
        except KeyError as error:
            raise Unavailable("Firestore: UNAVAILABLE") from error
    except Unavailable as error:
        record = logging.LogRecord("lectern", 40, "", 1, "crashed", (), (type(error), error, None))
        line = json.loads(JsonLines().format(record))
    assert "the learner" not in line["stack_trace"]
    assert "Firestore: UNAVAILABLE" in line["stack_trace"]
    assert "builtins.KeyError" in line["stack_trace"]
    assert "test_envelopes.py" in line["stack_trace"]


async def test_a_requests_line_holds_what_may_be_logged_and_nothing_else(app, caplog):
    await app.call("get_assignment", {}, uid="ann")
    record = caplog.records[-1]
    assert record.message == "request"
    line = json.loads(JsonLines().format(record))
    allowed = {name: value for name, value in record.__dict__.items() if name in ALLOWED}
    assert allowed["status"] == 400
    assert line == {
        "severity": "INFO",
        "message": "request",
        "logger": "lectern",
        "time": line["time"],
        **allowed,
    }


async def test_a_trace_that_is_none_is_not_logged(app, caplog):
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    for value, logged in ((trace, trace), ("Bearer secret", "")):
        headers = {"content-type": "application/json", "traceparent": value}
        await app.post("get_assignment", b"{}", headers)
        assert caplog.records[-1].trace == logged
