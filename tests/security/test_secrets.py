"""Secrets and learners' words stay where they belong, whatever fails; and an unsafe process does not start."""

import asyncio
import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from shared.edge.logs import JsonLines
from shared.errors import Conflict, DeadlineExceeded, LecternError, PreconditionLost, Unavailable
from tests.security.canaries import seen
from tests.security.matrix import REQUESTS
from tests.security.school import CALLERS, client_calls, school

ROOT = Path(__file__).parents[2]
SECRETS = {
    "receipt key": "CanaryReceiptKey-0123456789-0123456789",
    "ingest key": "CanaryIngestKey-0123456789-0123456789",
    "answer": "CanaryAnswerOfAnn5520",
    "e-mail": "canary.ann.7712@school.example",
    "port": "CanaryOfALibrary8841",
}
ORIGINS = [
    "https://school.example.evil.com",
    "https://evil.com",
    "https://evil.com/https://school.example",
    "https://evil.com#https://school.example",
    "https://school.example@evil.com",
    "https://SCHOOL.example",
    "https://school.example:443",
    "https://school.example:8443",
    "https://school.example/",
    "http://school.example",
    "https://sub.school.example",
    "https://schoolxexample",
    " https://school.example",
    "https://school.example, https://evil.com",
    "file://",
    "null",
    "*",
    "",
]


@pytest.fixture
def written(monkeypatch):
    """What the product logs, in the form in which it leaves the process."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("lectern")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.DEBUG)
    return stream


@pytest.mark.parametrize("function", client_calls(), ids=lambda each: each.name)
async def test_no_secret_is_in_any_log_reply_or_message_whatever_fails(  # noqa: C901  every failure of every function
    function, caplog, written
):
    """G20: with every part failing in every way, in the words of a library that quotes all it knows."""
    caplog.set_level(logging.DEBUG)
    everything = " ".join(SECRETS.values())
    failures = [
        None,
        RuntimeError(everything),
        KeyError(everything),
        Unavailable("Firestore: UNAVAILABLE"),
        DeadlineExceeded("no answer in time"),
        PreconditionLost("the document has changed"),
        Conflict("the document exists"),
        LecternError("broken"),
        TimeoutError(everything),
        OSError(5, everything),
    ]
    texts = []
    async with school(receipt_key=SECRETS["receipt key"], ingest_key=SECRETS["ingest key"]) as lessons:
        who = CALLERS["the course's student"]
        documents = lessons.app.services.documents
        working = documents._before
        for failure in failures:

            async def before(operation, failure=failure):
                await working(operation)
                if failure is not None:
                    raise failure

            for request in REQUESTS[function.name](lessons, "own"):
                if "answer" in request and "text" in request["answer"]:
                    request = {**request, "answer": {"text": SECRETS["answer"]}}  # noqa: PLW2901  the same request, with a secret
                documents._before = before
                for caller in (who, CALLERS["the course's teacher"], CALLERS["admin"]):
                    lessons.app.services.__dict__.pop("catalog", None)
                    response = await lessons.call(function.name, request, caller)
                    texts += [response.content, repr(response.headers).encode()]
                    assert response.status_code not in {502, 505}
                    if response.status_code >= 500:
                        for inside in ("Traceback", "google.", "/usr", ".py", "Canary", "canary"):
                            assert inside not in response.text
                documents._before = working
        tokens = [who.token(), CALLERS["the course's teacher"].token(), CALLERS["admin"].token()]
        stored = json.dumps(documents.dump(), default=str).encode()
        messages = b"".join(each.data for each in lessons.app.doorbell.messages)
    logs = written.getvalue()
    others = "\n".join(record.getMessage() for record in caplog.records if record.name != "lectern")
    seen_by_readers = [*texts, logs.encode(), others.encode()]
    for name, secret in SECRETS.items():
        for text in seen_by_readers:
            assert seen(secret, text) == [], (name, text[max(text.find(secret.encode()) - 300, 0) :][:600])
    for name in ("receipt key", "ingest key", "e-mail", "port"):
        assert seen(SECRETS[name], stored) == []
        assert seen(SECRETS[name], messages) == []
    for token in tokens:
        for text in (*seen_by_readers, stored, messages):
            assert token.encode() not in text
            assert token.rpartition(".")[2].encode() not in text
    assert "request" in logs
    assert "stack_trace" in logs or function.name in {"verify_receipt", "verify_erasure"}


def test_settings_show_no_key():
    from shared.settings import Settings

    settings = Settings(receipt_key=SECRETS["receipt key"], ingest_key=SECRETS["ingest key"])
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "Canary" not in shown


@pytest.mark.parametrize("origin", ORIGINS)
async def test_only_listed_origins_exactly(origin):
    """SEC-26: no reflection, on answers, errors and preflights alike, and never a cookie."""
    async with school() as lessons:
        app = lessons.app
        await app.post("get_assignment", b"{}", {"content-type": "application/json"})
        transport = httpx.ASGITransport(app=app._apps["get_assignment"])
        async with httpx.AsyncClient(transport=transport, base_url="http://functions.test") as client:
            for method in ("OPTIONS", "POST", "GET"):
                for asked, allowed in ((origin, None), ("https://school.example", "https://school.example")):
                    before = app.services.documents.dump()
                    headers = {"origin": asked, "content-type": "application/json"}
                    response = await client.request(method, "/", headers=headers, content=b"{}")
                    assert response.headers.get("access-control-allow-origin") == allowed, method
                    assert response.headers["vary"] == "Origin"
                    assert "access-control-allow-credentials" not in response.headers
                    assert "set-cookie" not in response.headers
                    assert response.status_code == {"OPTIONS": 204, "POST": 401, "GET": 405}[method]
                    assert app.services.documents.dump() == before


EMULATORS = ["FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST"]


def clean_environment(**more):
    left_out = (*EMULATORS, "K_SERVICE", "K_REVISION", "FUNCTIONS_EMULATOR", "GOOGLE_CLOUD_PROJECT")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "LECTERN_RECEIPT_KEY": "x" * 40, **more}


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("cloud", ["K_SERVICE", "K_REVISION"])
def test_an_emulator_variable_in_the_cloud_stops_the_process(emulator, cloud):
    """SEC-02: it would accept unsigned tokens."""
    environment = clean_environment(
        **{emulator: "127.0.0.1:1", cloud: "x", "GOOGLE_CLOUD_PROJECT": "school-prod"}
    )
    command = [sys.executable, "-c", "from shared.wiring import services; services()"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "emulator" in done.stderr


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.fixture(scope="module")
def server():
    """One function as Cloud Run starts it: functions-framework in a process of its own."""
    port = free_port()
    command = [
        str(ROOT / ".venv/bin/functions-framework"), "--asgi", "--target", "get_assignment",
        "--source", str(ROOT / "main.py"), "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(GOOGLE_CLOUD_PROJECT="school-prod"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                httpx.options(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except httpx.TransportError:
                assert process.poll() is None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


async def test_clients_that_drip_are_cut_off_and_hold_up_nobody(server):
    """SEC-30: 40 requests whose bodies never end; others are answered, and they end at the deadline."""
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer x\r\nContent-Length: 60000\r\n\r\n{"
    )
    drips = []
    for _ in range(40):
        reader, writer = await asyncio.open_connection("127.0.0.1", server)
        writer.write(head)
        await writer.drain()
        drips.append((reader, writer))
    began = time.monotonic()
    async with httpx.AsyncClient() as client:
        for _ in range(20):
            for _, writer in drips:
                writer.write(b" ")
            response = await client.options(f"http://127.0.0.1:{server}/", timeout=9)
            assert response.status_code == 204
    answers = await asyncio.gather(*(asyncio.wait_for(reader.readline(), 90) for reader, _ in drips))
    assert all(b" 504 " in answer for answer in answers), answers[:2]
    assert time.monotonic() - began > 8
    for _, writer in drips:
        writer.close()


async def test_a_request_line_or_header_without_end_is_refused(server):
    for flood in (b"GET /" + b"x" * 200_000, b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", server)
        writer.write(flood)
        try:
            await asyncio.wait_for(writer.drain(), 5)
            writer.write(b"\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(100), 10)
        except (ConnectionError, BrokenPipeError):
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        writer.close()
    async with httpx.AsyncClient() as client:
        assert (await client.options(f"http://127.0.0.1:{server}/", timeout=9)).status_code == 204
