"""The local runner, with small functions of its own: what it starts, how it delivers, what it leaves."""

import base64
import itertools
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.ports import is_free
from tests.running import ROOT, LocalRun, assert_nothing_remains, ports, processes_of

MAKE = ["make", "--no-print-directory", "run"]
SAMPLE = Path(__file__).parent / "sample_functions" / "main.py"


@dataclass
class Stage:
    """A run that the tests of this module share; it ends by `kill -9` of its `make`, and must leave nothing."""

    run: LocalRun
    env: dict[str, str]
    client: httpx.Client

    @property
    def functions(self) -> str:
        return f"/{self.env['GOOGLE_CLOUD_PROJECT']}/{self.env['FIREBASE_REGION']}"

    def publish(self, topic: str, text: str, key: str = "", **attributes: str) -> None:
        message = {
            "data": base64.b64encode(text.encode()).decode(),
            "orderingKey": key,
            "attributes": attributes,
        }
        url = f"http://{self.env['PUBSUB_EMULATOR_HOST']}/v1/projects/{self.env['GOOGLE_CLOUD_PROJECT']}/topics/{topic}"
        self.client.post(f"{url}:publish", json={"messages": [message]}).raise_for_status()

    def create(self, path: str) -> None:
        collection, _, name = path.rpartition("/")
        url = f"http://{self.env['FIRESTORE_EMULATOR_HOST']}/v1/projects/{self.env['GOOGLE_CLOUD_PROJECT']}"
        self.client.post(
            f"{url}/databases/(default)/documents/{collection}?documentId={name}",
            json={"fields": {"text": {"stringValue": "x"}}},
            headers={"authorization": "Bearer owner"},
        ).raise_for_status()

    def calls(
        self, function: str, having: Callable[[dict[str, Any]], bool], number: int
    ) -> list[dict[str, Any]]:
        """Wait until *function* was called *number* times with what is wanted, and a moment for one too many."""
        deadline = time.monotonic() + 30
        found: list[dict[str, Any]] = []
        while len(found) < number and time.monotonic() < deadline:
            time.sleep(0.05)
            found = self._calls(function, having)
        time.sleep(0.1)
        return self._calls(function, having)

    def _calls(self, function: str, having: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        reply = self.client.get(f"{self.functions}/recall", params={"function": function})
        return [call for call in reply.json() if having(call)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage") / "local"
    run = LocalRun(folder, command=MAKE, LECTERN_SOURCE=str(SAMPLE))
    try:
        env = run.ready()
        with httpx.Client(base_url=env["LECTERN_URL"], trust_env=False, timeout=30) as client:
            yield Stage(run, env, client)
        run.process.kill()
        run.process.wait()
        assert_nothing_remains(folder, ports(env), within_seconds=15)
    finally:
        run.kill_everything()


def test_env_file_says_where_everything_listens(stage: Stage) -> None:
    assert list(stage.env) == [
        "LECTERN_URL",
        "GOOGLE_CLOUD_PROJECT",
        "FIREBASE_REGION",
        "FIRESTORE_EMULATOR_HOST",
        "PUBSUB_EMULATOR_HOST",
        "FIREBASE_AUTH_EMULATOR_HOST",
        "FIREBASE_API_KEY",
        "DEMO_COURSE_ID",
        "DEMO_TEACHER_EMAIL",
        "DEMO_STUDENT_EMAIL",
        "DEMO_PASSWORD",
    ]
    assert stage.client.get("/healthz").json() == {"status": "ok", "functions": 7}


def test_keys_are_readable_by_their_owner_only(stage: Stage) -> None:
    keys = stage.run.folder / "keys"
    assert keys.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in keys.read_text().splitlines())
    assert {name: len(value) >= 32 for name, value in values.items()} == {
        "LECTERN_RECEIPT_KEY": True,
        "LECTERN_INGEST_KEY": True,
    }


def test_function_sees_the_path_behind_its_name(stage: Stage) -> None:
    at_its_name = stage.client.post(f"{stage.functions}/echo", content="hello")
    below = stage.client.get(f"{stage.functions}/echo/a/b", params={"q": "1"})
    assert at_its_name.json() == {"method": "POST", "path": "/", "query": {}, "body": "hello"}
    assert below.json() == {"method": "GET", "path": "/a/b", "query": {"q": "1"}, "body": ""}


@pytest.mark.parametrize("path", ["/nobody", "/echoes", ""])
def test_unknown_function_is_not_found(stage: Stage, path: str) -> None:
    assert stage.client.post(f"{stage.functions}{path}").status_code == 404


def test_page_configuration_names_emulators_and_accounts(stage: Stage) -> None:
    reply = stage.client.get("/__lectern/config.json")
    config = reply.json()
    assert reply.headers["cache-control"] == "no-store"
    assert config["firestoreHost"] == stage.env["FIRESTORE_EMULATOR_HOST"]
    assert config["functionsOrigin"] == stage.env["LECTERN_URL"]
    assert [account["role"] for account in config["accounts"]].count("teacher") == 1


@pytest.mark.parametrize("who", ["DEMO_TEACHER_EMAIL", "DEMO_STUDENT_EMAIL"])
def test_demo_accounts_sign_in_and_only_the_teacher_carries_a_role(stage: Stage, who: str) -> None:
    env = stage.env
    reply = stage.client.post(
        f"http://{env['FIREBASE_AUTH_EMULATOR_HOST']}/identitytoolkit.googleapis.com/v1/accounts:signInWithPassword",
        params={"key": env["FIREBASE_API_KEY"]},
        json={"email": env[who], "password": env["DEMO_PASSWORD"], "returnSecureToken": True},
    )
    payload = reply.json()["idToken"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == env["GOOGLE_CLOUD_PROJECT"]
    assert claims.get("role") == ("teacher" if who == "DEMO_TEACHER_EMAIL" else None)


def test_demo_questions_are_imported_by_the_teacher_through_the_function(stage: Stage) -> None:
    (call,) = stage.calls("import_assignment", lambda _: True, 1)
    request = json.loads(call["body"])
    assert call["headers"]["authorization"].startswith("Bearer ey")
    assert (request["courseId"], request["format"]) == (stage.env["DEMO_COURSE_ID"], "gift")
    assert request["source"] == (ROOT / "local/demo/demo_assignment.gift").read_text()


def test_push_envelope_is_the_clouds(stage: Stage) -> None:
    stage.publish("parcels", "one parcel", colour="blue")
    (call,) = stage.calls("take_parcel", lambda call: call["text"] == "one parcel", 1)
    envelope = json.loads(call["body"])
    message = envelope["message"]
    assert (
        envelope["subscription"] == f"projects/{stage.env['GOOGLE_CLOUD_PROJECT']}/subscriptions/take-parcel"
    )
    assert envelope["deliveryAttempt"] == 1
    assert message["attributes"] == {"colour": "blue"}
    assert message["messageId"] == message["message_id"] != ""
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", message["publishTime"])
    assert "orderingKey" not in message


def test_refused_message_comes_again_after_its_backoff(stage: Stage) -> None:
    stage.publish("parcels", "fail-twice")
    calls = stage.calls("take_parcel", lambda call: call["text"] == "fail-twice", 3)
    assert [json.loads(call["body"])["deliveryAttempt"] for call in calls] == [1, 2, 3]
    first, second, third = (call["began"] for call in calls)
    assert second - first >= 0.9
    assert third - second >= 1.9


def test_poison_ends_in_the_dead_letter_topic(stage: Stage) -> None:
    stage.publish("parcels", "poison", colour="green")
    calls = stage.calls("take_parcel", lambda call: call["text"] == "poison", 3)
    assert len(calls) == 3
    dead = f"projects/{stage.env['GOOGLE_CLOUD_PROJECT']}/subscriptions/parcels-dead"
    reply = stage.client.post(
        f"http://{stage.env['PUBSUB_EMULATOR_HOST']}/v1/{dead}:pull", json={"maxMessages": 5}
    ).json()
    (received,) = reply["receivedMessages"]
    assert base64.b64decode(received["message"]["data"]) == b"poison"
    attributes = received["message"]["attributes"]
    assert attributes["colour"] == "green"
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "3"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "take-parcel"


def test_messages_of_one_key_come_one_at_a_time_and_in_order(stage: Stage) -> None:
    for number in range(4):
        stage.publish("letters", f"slow {number}", key="ann")
        stage.publish(
            "letters", f"fail-twice for ben {number}" if number == 1 else f"for ben {number}", key="ben"
        )
    ann = stage.calls("take_letter", lambda call: "slow" in call["text"], 4)
    ben = stage.calls("take_letter", lambda call: "ben" in call["text"], 6)
    assert [call["text"] for call in ann] == [f"slow {number}" for number in range(4)]
    assert all(before["ended"] <= after["began"] for before, after in itertools.pairwise(ann))
    assert [int(call["text"][-1]) for call in ben] == [0, 1, 1, 1, 2, 3]
    assert json.loads(ann[0]["body"])["message"]["orderingKey"] == "ann"


def test_created_document_reaches_its_function_as_in_the_cloud(stage: Stage) -> None:
    stage.create("notes/first")
    (call,) = stage.calls("on_note_created", lambda call: "notes/first" in call["body"], 1)
    project = stage.env["GOOGLE_CLOUD_PROJECT"]
    assert call["headers"]["ce-type"] == "google.cloud.firestore.document.v1.created"
    assert (
        call["headers"]["ce-source"] == f"//firestore.googleapis.com/projects/{project}/databases/(default)"
    )
    assert call["headers"]["ce-document"] == "notes/first"
    assert call["headers"]["content-type"] == "application/protobuf"
    assert call["body"].startswith("\n"), "the body is the protobuf itself, not base64 of it"


def test_refused_document_event_comes_again(stage: Stage) -> None:
    stage.create("notes/fail-twice")
    calls = stage.calls("on_note_created", lambda call: "fail-twice" in call["body"], 3)
    assert len({call["headers"]["ce-id"] for call in calls}) == 1
    assert len(calls) == 3


def test_slow_document_events_do_not_wait_for_one_another(stage: Stage) -> None:
    for number in range(6):
        stage.create(f"notes/leisurely-{number}")
    calls = stage.calls("on_note_created", lambda call: "leisurely-" in call["body"], 6)
    assert len(calls) == 6
    # The last began before the first, which takes three seconds, was over.
    assert max(call["began"] for call in calls) - min(call["began"] for call in calls) < 3.0


def test_run_beside_another_is_ended_by_an_interrupt_of_its_make_alone(stage: Stage) -> None:
    folder = stage.run.folder
    beside = LocalRun(folder, command=MAKE, LECTERN_SOURCE=str(SAMPLE))
    try:
        while not (envs := list(folder.glob("*/env"))):
            assert beside.process.poll() is None, beside.output
            time.sleep(0.05)
        env = beside.ready(envs[0])
        assert envs[0].parent.name == str(ports(env)[0])
        assert not set(ports(env)) & set(ports(stage.env))
        assert beside.stop() in {0, 2, -signal.SIGINT}
        assert not envs[0].parent.exists()
        assert not [line for line in processes_of(folder) if str(ports(env)[0]) in line]
        assert all(map(is_free, ports(env)))
        assert stage.client.get("/healthz").status_code == 200
    finally:
        beside.kill_everything()


def test_killed_runner_takes_grandchildren_and_env_file_along(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    source = tmp_path / "main.py"
    source.write_text(SAMPLE.read_text() + "\n\nimport subprocess\nsubprocess.Popen(['sleep', '600'])\n")
    run = LocalRun(folder, LECTERN_SOURCE=str(source))
    env = run.ready()
    assert any("sleep 600" in line for line in processes_of(folder))
    run.process.kill()
    run.process.wait()
    assert_nothing_remains(folder, ports(env))


def test_child_that_dies_early_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    source.write_text("raise RuntimeError('no such luck')\n")
    run = LocalRun(tmp_path / "local", LECTERN_SOURCE=str(source))
    assert run.process.wait(60) == 1
    assert "ended with status 1" in run.output
    assert "RuntimeError: no such luck" in run.output
    assert "Traceback" not in run.output.split("The end of")[0]
    assert_nothing_remains(tmp_path / "local", [])


def test_interrupt_during_the_start_leaves_nothing_and_shows_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    run = LocalRun(folder, LECTERN_SOURCE=str(SAMPLE))
    while not (folder / "logs" / "firestore.log").exists():
        assert run.process.poll() is None, run.output
        time.sleep(0.05)
    assert run.stop() == 0
    assert "Traceback" not in run.output
    assert_nothing_remains(folder, [])


def test_taken_port_is_named(stage: Stage, tmp_path: Path) -> None:
    taken = str(ports(stage.env)[0])
    run = LocalRun(tmp_path / "local", LECTERN_PORT=taken)
    assert run.process.wait(30) == 1
    assert f"Port {taken} is taken" in run.output
