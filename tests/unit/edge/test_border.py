"""The border is the same for every function: envelopes, sign-in, CORS, sizes, shapes, errors."""

import asyncio
import base64
import json

import pytest

from shared.edge import exchange
from shared.edge.exchange import Deadline
from shared.errors import LecternError, Unavailable
from shared.topics.base import Message
from tests.deployed import in_memory

QUIZ = "::sum:: 2 + 2 is {#4}"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def app():
    async with in_memory() as app:
        yield app


def signed_in(uid="ann"):
    return {**JSON, "authorization": f"Bearer {uid}"}


async def refused(app, body, *, name="submit_answer", headers=None):
    response = await app.post(name, body, headers or signed_in())
    problem = response.json()
    assert response.headers["content-type"] in {"application/problem+json", "application/json"}
    return response.status_code, problem


class TestEnvelopes:
    async def test_plain_errors_are_problem_details(self, app):
        response = await app.post("submit_answer", b"{}", signed_in())
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["type"] == "urn:lectern:problem:invalid-argument"
        assert problem["requestId"] == response.headers["x-request-id"]
        assert {each["path"] for each in problem["details"]} == {"assignmentId", "questionId", "answer"}

    async def test_callable_errors_are_what_the_sdk_reads(self, app):
        response = await app.post("submit_answer", b'{"data": {}}', signed_in())
        assert response.json()["error"]["status"] == "INVALID_ARGUMENT"

    async def test_a_refusal_to_sign_in_comes_in_the_callers_envelope(self, app):
        plain = await app.post("submit_answer", b"{}", JSON)
        callable_ = await app.post("submit_answer", b'{"data": {}}', JSON)
        assert (plain.status_code, plain.json()["status"]) == (401, 401)
        assert (callable_.status_code, callable_.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
        assert plain.headers["www-authenticate"] == "Bearer"

    async def test_the_sdks_64_bit_integers_are_understood(self, app):
        form = await app.imported(QUIZ)
        number = {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "4"}
        body = {
            "assignmentId": form["assignmentId"],
            "questionId": form["questions"][0]["questionId"],
            "answer": {"number": number},
        }
        accepted = await app.call("submit_answer", {"data": body}, uid="ann")
        assert accepted.status_code == 202
        assert accepted.json()["result"]["duplicate"] is False

    async def test_a_crash_says_nothing_about_itself(self, app, caplog):
        async def broken(*_arguments, **_keywords):
            raise ZeroDivisionError("the secret path /usr/lib")

        app.services.catalog.assignment = broken
        response = await app.call("get_assignment", {"assignmentId": "a"}, uid="ann")
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "ZeroDivisionError" not in response.text
        assert any(record.message == "request_crashed" for record in caplog.records)

    @pytest.mark.parametrize(
        ("error", "status"), [(Unavailable("x: details"), 503), (LecternError("y"), 500)]
    )
    async def test_an_outages_particulars_are_ours_alone(self, app, error, status):
        async def broken(*_arguments, **_keywords):
            raise error

        app.services.catalog.assignment = broken
        response = await app.call("get_assignment", {"assignmentId": "a"}, uid="ann")
        assert response.status_code == status
        assert error.message not in response.json()["detail"]
        assert ("retry-after" in response.headers) == (status == 503)

    async def test_work_beyond_the_deadline_is_cut_off(self, app, monkeypatch):
        async def slow(*_arguments, **_keywords):
            await asyncio.sleep(60)

        app.services.catalog.assignment = slow
        monkeypatch.setattr(exchange, "Deadline", lambda seconds: Deadline(seconds / 500))
        response = await app.call("get_assignment", {"assignmentId": "a"}, uid="ann")
        assert response.status_code == 504


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"{",
            b"\xff\xfe",
            b"[" * 60_000,
            b'{"a":' * 9 + b"1" + b"}" * 9,
            b'{"assignmentId": "a", "assignmentId": "b"}',
            b'{"assignmentId": NaN}',
            b'{"assignmentId": 1e999}',
            b'{"assignmentId": 9007199254740993}',
            b'{"assignmentId": ' + b"9" * 5000 + b"}",
            b'{"assignmentId": "\\u0000"}',
            b'{"assignmentId": "\\ud800"}',
            b'{"\\u0000": 1}',
            b'{"data": {"assignmentId": "a"}, "role": "admin"}',
            b'"' + b'\\"' * 30_000,
        ],
    )
    async def test_what_is_no_proper_request_is_a_400(self, app, body):
        status, _ = await refused(app, body)
        assert status == 400

    @pytest.mark.parametrize(
        "bad_id",
        [
            "",
            "a/b",
            "a/b/c",
            ".",
            "..",
            "__x__/",
            "%2f",
            "a b",
            "é",
            "x" * 65,
            "a\n",
            "\u202ea",
            5,
            None,
            True,
            ["a"],
            {},
        ],
    )
    @pytest.mark.parametrize("slot", ["assignmentId", "questionId", "submissionId"])
    async def test_ids_are_one_plain_segment(self, app, slot, bad_id):
        body = {"assignmentId": "a", "questionId": "q", "submissionId": "s", "answer": {"value": True}}
        before = app.services.documents.dump()
        response = await app.call("submit_answer", {**body, slot: bad_id}, uid="ann")
        expected = {400, 404} if slot == "submissionId" and bad_id is None else {400}
        assert response.status_code in expected
        assert app.services.documents.dump() == before

    @pytest.mark.parametrize(
        "extra",
        [{"role": "teacher"}, {"studentId": "bob"}, {"submittedAt": "2020-01-01T00:00:00Z"}, {"uid": "bob"}],
    )
    async def test_what_the_server_vouches_for_is_not_the_clients_to_say(self, app, extra):
        body = {"assignmentId": "a", "questionId": "q", "answer": {"value": True}, **extra}
        response = await app.call("submit_answer", body, uid="ann")
        assert response.status_code == 400

    @pytest.mark.parametrize(
        "answer",
        [
            {"value": 1},
            {"value": "true"},
            {"number": "4"},
            {"number": True},
            {"optionId": "a", "optionIds": ["a"]},
            {"optionIds": "a"},
            {"optionIds": [str(n) for n in range(100)]},
            {"pairs": [["a", "b"]]},
            {"text": "x" * 16_385},
            {},
            [],
            "a",
            None,
        ],
    )
    async def test_answers_of_no_shape_are_refused(self, app, answer):
        response = await app.call(
            "submit_answer", {"assignmentId": "a", "questionId": "q", "answer": answer}, uid="ann"
        )
        assert response.status_code == 400

    async def test_a_body_over_the_limit_is_a_413_and_is_not_read_on(self, app):
        status, problem = await refused(app, b'{"assignmentId": "' + b"x" * 70_000 + b'"}')
        assert status == 413
        assert problem["status"] == 413

    async def test_only_json_by_post_is_understood(self, app):
        headers = {**signed_in(), "content-type": "text/plain"}
        assert (await app.post("submit_answer", b"{}", headers)).status_code == 415
        compressed = {**signed_in(), "content-encoding": "gzip"}
        assert (await app.post("submit_answer", b"{}", compressed)).status_code == 400


class TestSigningIn:
    @pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "ann", "Bearer bad-token"])
    async def test_without_a_good_token_nothing_happens(self, app, value):
        response = await app.post("submit_answer", b"{}", {**JSON, "authorization": value})
        assert response.status_code == 401

    async def test_two_authorization_headers_are_one_too_many(self, app):
        headers = [
            ("content-type", "application/json"),
            ("authorization", "Bearer ann"),
            ("authorization", "Bearer bob"),
        ]
        assert (await app.post("submit_answer", b"{}", headers)).status_code == 401

    async def test_a_student_creates_no_course(self, app):
        response = await app.call("create_course", {"title": "Mine"}, uid="ann", role="student")
        assert response.status_code == 403

    async def test_a_strangers_course_is_as_if_it_did_not_exist(self, app):
        course_id = await app.course("teacher", open_enrollment=False)
        form = await app.imported(QUIZ, course_id=course_id)
        for name, request, missing in [
            ("get_assignment", {"assignmentId": form["assignmentId"]}, {"assignmentId": "none"}),
            ("list_assignments", {"courseId": course_id}, {"courseId": "none"}),
            ("get_gradebook", {"assignmentId": form["assignmentId"]}, {"assignmentId": "none"}),
        ]:
            theirs = await app.call(name, request, uid="stranger", role="teacher")
            none = await app.call(name, missing, uid="stranger", role="teacher")
            assert theirs.status_code == none.status_code == 404
            assert {**theirs.json(), "requestId": ""} == {**none.json(), "requestId": ""}

    async def test_enrolling_opens_a_course_and_only_teachers_do_it(self, app):
        course_id = await app.course("teacher", open_enrollment=False)
        form = await app.imported(QUIZ, course_id=course_id)
        enroll = {"courseId": course_id, "learnerId": "ann"}
        assert (await app.call("enroll_learner", enroll, uid="ann")).status_code == 404
        await app.ok("enroll_learner", enroll, uid="teacher")
        await app.ok("get_assignment", {"assignmentId": form["assignmentId"]}, uid="ann")
        promote = {**enroll, "role": "teacher"}
        assert (await app.call("enroll_learner", promote, uid="ann")).status_code == 403
        book = await app.call("get_gradebook", {"assignmentId": form["assignmentId"]}, uid="ann")
        assert book.status_code == 403

    async def test_app_check_is_enforced_where_settings_say_so(self):
        async with in_memory(app_check="enforce") as app:
            assert (await app.call("list_assignments", {"courseId": "c"}, uid="ann")).status_code == 401
            headers = {**signed_in(), "x-firebase-appcheck": "app"}
            response = await app.post("list_assignments", b'{"courseId": "c"}', headers)
            assert response.status_code == 404

    async def test_app_check_only_takes_notes_in_monitor_mode(self, caplog):
        async with in_memory(app_check="monitor") as app:
            assert (await app.call("list_assignments", {"courseId": "c"}, uid="ann")).status_code == 404
        assert any(record.message == "app_check_failed" for record in caplog.records)


class TestOrigins:
    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("https://school.example", True),
            ("https://SCHOOL.example", False),
            ("https://school.example.evil.com", False),
            ("https://evil.com/https://school.example", False),
            ("https://school.example:8443", False),
            ("http://school.example", False),
            ("https://school.example/", False),
            ("null", False),
            ("*", False),
            ("", False),
        ],
    )
    async def test_only_listed_origins_are_let_in_exactly(self, app, origin, allowed):
        response = await app.post("submit_answer", b"{}", {**signed_in(), "origin": origin})
        expected = origin if allowed else None
        assert response.headers.get("access-control-allow-origin") == expected
        assert response.headers["vary"] == "Origin"

    async def test_errors_carry_the_header_too(self, app):
        response = await app.post("submit_answer", b"{}", {**JSON, "origin": "https://school.example"})
        assert response.status_code == 401
        assert response.headers["access-control-allow-origin"] == "https://school.example"


class TestThePlatformsCalls:
    async def test_events_need_the_platforms_token_in_the_cloud(self):
        async with in_memory() as app:
            body = json.dumps({"message": {"data": base64.b64encode(b"x").decode()}}).encode()
            for name in ("merge_answers", "ingest_answers", "on_answer_created", "sweep_pending", "clean_up"):
                for headers in (JSON, signed_in(), {**JSON, "x-cloudtasks-queuename": "q"}):
                    response = await app.post(name, body, headers)
                    assert response.status_code == 401, name
            assert app.services.documents.dump() == {}
            platform = {**JSON, "authorization": "Bearer platform"}
            assert (await app.post("merge_answers", body, platform)).status_code == 204

    async def test_an_emulator_variable_alone_does_not_open_a_real_project(self, monkeypatch):
        async with in_memory(project="school-prod", firestore_emulator_host="127.0.0.1:1") as app:
            assert (await app.post("sweep_pending", b"{}", JSON)).status_code == 401

    async def test_an_unsigned_or_wrongly_signed_ingestion_is_set_aside(self):
        async with in_memory(project="demo-x", firestore_emulator_host="127.0.0.1:1") as app:
            for attributes in ({}, {"signature": "00"}, {"signature": "é"}):
                response = await app.push("ingest_answers", Message(b"{}", attributes=attributes))
                assert response.status_code == 204
            letters = [path for path in app.services.documents.dump() if path.startswith("deadLetters/")]
            assert len(letters) == 3
