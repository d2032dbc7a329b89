"""What the local runner decides by itself, without starting anything."""

import asyncio
import base64
import json
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.pubsub_v1.types import pubsub

from local import bootstrap, relay
from local.cron import Job
from local.folder import RunFolder
from local.host import all_local
from local.jars import Machine, Missing
from local.pages import Pages
from local.ports import Ports
from local.posting import Poster


def job(schedule: str, time_zone: str = "Etc/UTC") -> Job:
    return Job(name="n", path="/p", schedule=schedule, time_zone=time_zone, timeout_seconds=1)


@pytest.mark.parametrize(
    ("schedule", "time_zone", "expected"),
    [
        ("*/5 * * * *", "Etc/UTC", "2026-03-29T00:05:00"),
        ("0 2 * * *", "Etc/UTC", "2026-03-29T02:00:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("0 12 * * 1", "Asia/Jerusalem", "2026-03-30T09:00:00"),
    ],
)
def test_next_time_of_a_schedule_is_in_its_own_time_zone(
    schedule: str, time_zone: str, expected: str
) -> None:
    after = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert job(schedule, time_zone).next_after(after) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_backoff_doubles_up_to_its_maximum() -> None:
    route = relay.Route(
        subscription="projects/p/subscriptions/s",
        path="/p",
        dead_letter_topic="projects/p/topics/d",
        max_delivery_attempts=10,
        minimum_backoff_seconds=1,
        maximum_backoff_seconds=60,
        ack_deadline_seconds=10,
        ordered=False,
        timeout_seconds=10,
    )
    assert [route.pause(attempt) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_envelope_has_every_field_of_a_push() -> None:
    message = pubsub.PubsubMessage.pb()(
        data=b"\x00\xff",
        attributes={"a": "b"},
        message_id="7",
        ordering_key="k",
        publish_time=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert json.loads(relay.envelope(message, "projects/p/subscriptions/s", 3)) == {
        "message": {
            "attributes": {"a": "b"},
            "data": base64.b64encode(b"\x00\xff").decode(),
            "messageId": "7",
            "message_id": "7",
            "publishTime": "2026-01-02T00:00:00Z",
            "publish_time": "2026-01-02T00:00:00Z",
            "orderingKey": "k",
        },
        "subscription": "projects/p/subscriptions/s",
        "deliveryAttempt": 3,
    }


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("127.0.0.1:1", "localhost:2", "[::1]:3"), True),
        (("127.0.0.1:1", "localhost:2", ""), False),
        (("127.0.0.1:1", "10.0.0.1:2", "127.0.0.1:3"), False),
        (("127.0.0.1:1", "localhost.example.com:2", "127.0.0.1:3"), False),
    ],
)
def test_page_configuration_needs_every_emulator_on_this_machine(
    hosts: tuple[str, ...], *, expected: bool
) -> None:
    names = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST")
    assert all_local(dict(zip(names, hosts, strict=True))) is expected


def test_jar_is_looked_for_in_the_override_then_gcloud_then_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cached = cache / "pubsub-emulator-0.8.14/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.14-all.jar"
    sdk = tmp_path / "sdk"
    in_gcloud = sdk / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"
    named = tmp_path / "mine.jar"
    for path in (cached, in_gcloud, named, sdk / "bin/gcloud"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = str(sdk / "bin")
    assert (
        Machine(environ={"LECTERN_PUBSUB_JAR": str(named), "PATH": path}, cache=cache).jar("pubsub") == named
    )
    assert Machine(environ={"PATH": path}, cache=cache).jar("pubsub") == in_gcloud
    assert Machine(environ={}, cache=cache).jar("pubsub") == cached


def test_newest_cached_jar_wins(tmp_path: Path) -> None:
    for version in ("1.9.9", "1.19.8", "1.19.10"):
        (tmp_path / f"cloud-firestore-emulator-v{version}.jar").touch()
    assert (
        Machine(environ={}, cache=tmp_path).jar("firestore").name == "cloud-firestore-emulator-v1.19.10.jar"
    )


def test_missing_jars_are_named_with_the_commands_that_install_them(tmp_path: Path) -> None:
    with pytest.raises(Missing) as caught:
        Machine(environ={}, cache=tmp_path).jars()
    for line in (
        "npx firebase-tools setup:emulators:firestore",
        "npx firebase-tools setup:emulators:pubsub",
        "LECTERN_FIRESTORE_JAR",
    ):
        assert line in str(caught.value)


def test_override_that_names_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="LECTERN_FIRESTORE_JAR names"):
        Machine(environ={"LECTERN_FIRESTORE_JAR": str(tmp_path / "none.jar")}, cache=tmp_path).jar(
            "firestore"
        )


def test_what_the_machine_lacks_is_named_with_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "BIN", tmp_path)
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10))
    text = "\n".join(bootstrap.missing(browser=True))
    for package in ("install python3\n", "python3-venv", "nodejs", "default-jre-headless", "redis-server"):
        assert f"sudo apt-get install {package}" in f"{text}\n" or package in text
    assert len(bootstrap.missing(browser=True)) == 6
    assert len(bootstrap.missing(browser=False)) == 4


def test_prepared_step_is_not_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run", lambda command, _: done.append(command))
    for state in ("one", "one", "two"):
        bootstrap.once("Step", tmp_path / "stamp", state, [["make", state]])
    assert done == [["make", "one"], ["make", "two"]]


def test_second_run_gets_a_folder_of_its_own_and_the_same_keys(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path, 8080), RunFolder(tmp_path, 8090)
    first.publish({"LECTERN_URL": "http://127.0.0.1:8080"})
    second.publish({"LECTERN_URL": 'it\'s "quoted"'})
    assert (first.path, second.path) == (tmp_path, tmp_path / "8090")
    assert first.keys() == second.keys()
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    second.close()
    assert not second.path.exists()
    assert first.env.read_text() == "export LECTERN_URL=http://127.0.0.1:8080\n"
    first.close()
    assert not first.env.exists()
    third = RunFolder(tmp_path, 8080)
    assert third.path == tmp_path
    third.close()


def test_port_chosen_by_one_run_is_left_alone_by_another(socket_enabled: None) -> None:
    one, other = Ports(), Ports()
    chosen = one.choose()
    assert one.choose(chosen) != chosen
    assert other.choose(chosen) != chosen
    one.release()
    assert other.choose(chosen) == chosen
    other.release()


def test_bound_port_is_not_chosen(socket_enabled: None) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        ports = Ports()
        assert ports.choose(taken) != taken
        ports.release()


async def page(path: str, folder: Path) -> tuple[int, dict[str, str], bytes]:
    """Ask *folder*'s pages for *path*, without a server."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "headers": [],
        "query_string": b"",
    }
    await Pages(folder, connect=["http://127.0.0.1:8081"])(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:])


@pytest.mark.parametrize(
    ("path", "content_type", "caching"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/page-messages.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/assets/main-4F7KQ2ZD.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/style-AAAA1111.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
    ],
)
async def test_pages_have_types_and_caching(
    path: str, content_type: str, caching: str, tmp_path: Path
) -> None:
    target = tmp_path / (path.lstrip("/") or "index.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("content")
    if path != "/":
        (tmp_path / "index.html").write_text("index")
    status, headers, body = await page(path, tmp_path)
    assert (status, body) == (200, b"content")
    assert headers["content-type"] == content_type
    assert headers["cache-control"] == caching
    assert headers["x-content-type-options"] == "nosniff"
    assert "connect-src 'self' http://127.0.0.1:8081;" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/missing.js", "/../secret", "/assets/../../secret", "/assets/gone-4F7KQ2ZD.js"]
)
async def test_what_is_not_a_page_is_not_found_nor_cached(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("index")
    (tmp_path / "secret").write_text("secret")
    status, headers, body = await page(path, folder)
    assert status == 404
    assert b"secret" not in body
    assert headers["cache-control"] == "no-cache"


async def test_missing_build_is_explained(tmp_path: Path) -> None:
    status, _, body = await page("/", tmp_path)
    assert status == 503
    assert b"web/dist" in body


async def test_poster_keeps_connections_and_survives_their_end(tmp_path: Path, socket_enabled: None) -> None:
    accepted = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    poster = Poster("127.0.0.1", server.sockets[0].getsockname()[1])
    statuses = [await poster.post("/", b"x", {}, timeout_seconds=5) for _ in range(4)]
    poster.close()
    server.close()
    assert statuses == [503] * 4
    assert accepted == 2
