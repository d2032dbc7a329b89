"""What starting a function loads: whatever it need not, every first answer would wait for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NOT_ON_IMPORT = (
    *("google", "grpc", "requests", "firebase_admin", "cachecontrol"),
    *("pydantic_settings", "dotenv", "prometheus_client", "pydantic.mypy", "pydantic.v1"),
    *("openai", "httpx", "httpx2", "redis", "cachetools"),
    *("shared.gateway", "shared.caching", "shared.budgets", "shared.tutoring", "shared.archives"),
    *("shared.ledger.merging", "shared.ledger.history", "shared.ledger.sweeping", "shared.ledger.tidying"),
    *("shared.ledger.recorded", "shared.ledger.results", "shared.ledger.shards", "shared.ledger.rolling_up"),
    *("shared.learning.registers", "shared.learning.item_analysis", "shared.learning.grading"),
    *("shared.learning.segments", "shared.learning.gift"),
)
NOT_ON_FIRST_USE = (
    *("google.protobuf.descriptor_pb2", "google.protobuf.descriptor_pool", "google.protobuf.text_format"),
    *("google.protobuf.internal.python_message", "google.cloud.firestore", "google.pubsub_v1"),
    *("google.api_core", "google.auth", "requests", "firebase_admin"),
)


def _after(script: str) -> dict:
    run = subprocess.run(
        [sys.executable, "-c", f"import functions_framework.aio, gc, json, sys\n{script}"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
            "FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def _among(loaded: list[str], names: tuple[str, ...]) -> list[str]:
    return [each for each in loaded if any(each == name or each.startswith(f"{name}.") for name in names)]


@pytest.fixture(scope="module")
def started():
    return _after(
        "before = set(sys.modules)\n"
        "import main\n"
        "main.submit_answer\n"
        "imported = sorted(set(sys.modules) - before)\n"
        "from shared.wiring import services\n"
        "provided = services()\n"
        "provided.identity, provided.documents, provided.answers_waiting, provided.catalog\n"
        "import shared.learning.questions as questions\n"
        "print(json.dumps({\n"
        "    'imported': imported,\n"
        "    'used': sorted(set(sys.modules) - before),\n"
        "    'collecting': gc.isenabled(),\n"
        "    'frozen': gc.get_freeze_count(),\n"
        "    'keys': questions.AnswerKey.__pydantic_complete__,\n"
        "    'plugins': sys.modules['pydantic.plugin._loader'].get_plugins(),\n"
        "}))\n"
    )


def test_importing_submit_answer_loads_nothing_that_its_first_answer_does_not_need(started):
    assert _among(started["imported"], NOT_ON_IMPORT) == []


def test_its_adapters_load_neither_client_libraries_nor_the_rest_of_protobuf(started):
    assert "grpc.aio" in started["used"]
    assert _among(started["used"], NOT_ON_FIRST_USE) == []


def test_no_installed_package_may_change_how_models_validate(started):
    assert started["plugins"] == []


def test_models_that_are_not_used_are_not_built(started):
    assert started["keys"] is False


def test_the_collector_rests_only_while_modules_are_imported(started):
    assert started["collecting"] is True
    assert started["frozen"] > 10_000
