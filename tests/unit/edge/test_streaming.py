"""Replies that arrive in pieces: the SDK's wire format, pings, errors as events, and an end however it ends."""

import asyncio
import json

import functions_framework.aio
import pytest

from shared.edge import exchange, streaming
from shared.edge.exchange import Deadline
from shared.errors import Unavailable
from tests.deployed import ROOT, in_memory, replace
from tests.tutoring import FixedGateway, a_class

HEADERS = {"content-type": "application/json", "accept": "text/event-stream"}


@pytest.fixture
async def app():
    async with in_memory(firestore_emulator_host="unused", limiter="memory") as app:
        replace(app.services, gateway=FixedGateway())
        yield app


@pytest.fixture
async def lesson(app):
    return await a_class(app)


class Listener:
    """A client on the ASGI interface itself, which can go away in the middle."""

    def __init__(self, lesson, body, *, uid="ann", headers=None) -> None:
        self.app = functions_framework.aio.create_asgi_app("chat", str(ROOT / "main.py"))
        self.body = json.dumps(body).encode()
        self.sent = []
        self.chunks = asyncio.Queue()
        self.gone = asyncio.Event()
        self._asked = False
        given = {**HEADERS, **(headers or {})}
        if uid:
            given["authorization"] = f"Bearer {uid}"
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

    async def receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.chunks.put_nowait(message["body"])

    async def run(self):
        await self.app(self.scope, self.receive, self.send)

    @property
    def text(self):
        return b"".join(each.get("body", b"") for each in self.sent).decode()

    @property
    def status(self):
        return self.sent[0]["status"]

    def header(self, name):
        return dict(self.sent[0]["headers"]).get(name.encode(), b"").decode()

    @property
    def events(self):
        return [json.loads(line[6:]) for line in self.text.splitlines() if line.startswith("data: ")]


async def heard(lesson, body, **options):
    listener = Listener(lesson, body, **options)
    await listener.run()
    return listener


async def test_messages_arrive_in_pieces_and_the_result_last(lesson):
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    assert (listener.status, listener.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    *messages, last = listener.events
    assert len(messages) > 1
    assert set(last) == {"result"}
    assert "".join(each["message"]["text"] for each in messages) == last["result"]["text"]
    assert last["result"]["text"] == "Think about what the question asks."


async def test_without_asking_for_a_stream_the_whole_reply_is_json(app, lesson):
    plain = await app.call("chat", lesson.about("Capital"), uid="ann")
    assert plain.json()["text"] == "Think about what the question asks."
    wrapped = await app.call("chat", {"data": lesson.about("Capital")}, uid="ann")
    assert wrapped.json()["result"]["text"] == "Think about what the question asks."


@pytest.mark.parametrize(
    ("body", "uid", "code"),
    [
        ({"data": {"assignmentId": "a", "questionId": "b"}}, "", "UNAUTHENTICATED"),
        ({"data": {"assignmentId": "a", "questionId": "b"}}, "bad", "UNAUTHENTICATED"),
        ({"data": {"assignmentId": "a", "questionId": "b"}}, "ann", "NOT_FOUND"),
        ({"data": {"assignmentId": "a/b", "questionId": "b"}}, "ann", "INVALID_ARGUMENT"),
        ({"data": {"assignmentId": "a", "questionId": "b", "model": "gpt"}}, "ann", "INVALID_ARGUMENT"),
    ],
)
async def test_errors_are_events_with_status_200(lesson, body, uid, code, caplog):
    listener = await heard(lesson, body, uid=uid)
    assert (listener.status, listener.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    [event] = listener.events
    assert event["error"]["status"] == code
    [line] = [each for each in caplog.records if each.message == "request" and each.function == "chat"]
    assert line.status in {400, 401, 404}


async def test_a_failure_in_the_middle_is_the_last_event(app, lesson, caplog):
    class Failing(FixedGateway):
        async def stream(self, ask, payer):
            yield "Some words that come before it breaks, and a few more of them. "
            raise ZeroDivisionError("secret")

    replace(app.services, gateway=Failing())
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    assert "message" in listener.events[0]
    assert listener.events[-1]["error"]["status"] == "INTERNAL"
    assert "secret" not in listener.text
    [line] = [each for each in caplog.records if each.message == "request" and each.function == "chat"]
    assert line.status == 500


async def test_an_outage_in_the_middle_is_told_as_unavailable(app, lesson):
    class BreaksOff(FixedGateway):
        async def stream(self, ask, payer):
            yield "A beginning, and more of it. " * 4
            raise Unavailable("the model broke off")

    replace(app.services, gateway=BreaksOff())
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    *messages, last = listener.events
    assert all("message" in each for each in messages)
    assert last["error"]["status"] == "UNAVAILABLE"


async def test_an_outage_before_the_first_piece_is_prepared_feedback(app, lesson):
    replace(app.services, gateway=FixedGateway(fails=True))
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    [message, last] = listener.events
    assert message["message"]["text"] == last["result"]["text"]
    assert last["result"]["degraded"] == "outage"
    assert not [path for path in app.services.documents.dump() if "assistance" in path]


async def test_silence_is_filled_with_pings(app, lesson, monkeypatch):
    class Slow(FixedGateway):
        async def stream(self, ask, payer):
            await asyncio.sleep(0.2)
            async for piece in super().stream(ask, payer):
                yield piece

    monkeypatch.setattr(streaming, "PING_SECONDS", 0.03)
    replace(app.services, gateway=Slow())
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    assert listener.text.count(": ping\n\n") >= 3
    assert "result" in listener.events[-1]


async def test_a_disconnect_ends_the_work_and_the_accounting_still_happens(app, lesson, caplog):
    settled = []

    class Endless(FixedGateway):
        async def stream(self, ask, payer):
            try:
                while True:
                    yield "More and more words, one after the other. "
                    await asyncio.sleep(0.01)
            finally:
                await asyncio.sleep(0.01)
                settled.append(True)

    replace(app.services, gateway=Endless())
    listener = Listener(lesson, {"data": lesson.about("Sky")})
    running = asyncio.create_task(listener.run())
    while b"message" not in await listener.chunks.get():
        pass
    listener.gone.set()
    await asyncio.wait_for(running, 2)
    assert settled == [True]
    lines = [each for each in caplog.records if each.message == "request" and each.function == "chat"]
    assert [each.status for each in lines] == [499]
    assert [path for path in app.services.documents.dump() if "users/ann/assistance" in path]


async def test_the_deadline_is_that_of_the_whole_stream(app, lesson, monkeypatch):
    class Hanging(FixedGateway):
        async def stream(self, ask, payer):
            yield "A beginning that is long enough to leave the guard, surely. "
            await asyncio.sleep(60)

    monkeypatch.setattr(exchange, "Deadline", lambda seconds: Deadline(seconds / 50))
    replace(app.services, gateway=Hanging())
    listener = await heard(lesson, {"data": lesson.about("Sky")})
    assert listener.events[-1]["error"]["status"] == "DEADLINE_EXCEEDED"


async def test_there_is_one_log_line_at_the_end_with_what_was_billed(lesson, caplog):
    await heard(lesson, {"data": lesson.about("Sky")})
    [line] = [each for each in caplog.records if each.message == "request" and each.function == "chat"]
    assert line.status == 200
