"""The scanners of ``make check`` find what they are for; a tool that finds nothing proves nothing."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from shared.edge.rates import points
from shared.edge.registry import DocumentTrigger, PassThrough, RateClass, TopicTrigger
from shared.erasures.collections import FATES
from shared.settings import Settings
from tests.security.school import functions
from tooling.generate import deploy_manifest
from tooling.generate.__main__ import generated
from tooling.scale.tiers import TIERS
from tooling.security.__main__ import TOOLS, shipped

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
RULES = ROOT / "tooling/semgrep/lectern.yaml"

BAD = {
    "firestore-only-behind-its-port": ("shared/catalog/bad.py", "from google.cloud import firestore\n"),
    "no-paths-in-functions": ("functions/bad.py", 'x = call.services.documents.get([f"a/{command.id}"])\n'),
    "no-update-with-a-clients-names": ("shared/catalog/bad.py", "document.update(command.fields)\n"),
    "environment-only-in-settings": ("shared/bad.py", 'import os\nx = os.environ["KEY"]\n'),
    "secrets-are-compared-in-constant-time": ("shared/bad.py", "if found.seal == seal:\n    pass\n"),
    "constant-time-on-bytes": ("shared/bad.py", "import hmac\nhmac.compare_digest(seal, given)\n"),
    "a-log-line-is-a-name": ("functions/bad.py", 'log.info(f"answer {answer}")\n'),
    "errors-do-not-quote-other-errors": (
        "functions/bad.py",
        "try:\n    f()\nexcept ValueError as error:\n    raise InvalidRequest(str(error)) from error\n",
    ),
    "identity-is-asked-of-the-port": ("functions/bad.py", "import jwt\n"),
    "clients-get-no-unscoped-reads": (
        "functions/bad.py",
        "@endpoint.client_call()\nasync def f(c, call):\n    catalog.unscoped_assignment(c.id)\n",
    ),
}


def semgrep(folder):
    command = [BIN / "semgrep", "scan", "--json", "--quiet", "--metrics=off", "--disable-version-check"]
    done = subprocess.run(
        [*command, "--no-git-ignore", "--config", RULES, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {each["check_id"].rpartition(".")[2] for each in json.loads(done.stdout)["results"]}


def test_each_rule_of_ours_finds_what_it_forbids(tmp_path):
    assert {each["id"] for each in yaml.safe_load(RULES.read_text())["rules"]} == BAD.keys()
    for number, (place, text) in enumerate(BAD.values()):
        path = tmp_path / place.replace("bad", f"bad{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert semgrep(tmp_path) == BAD.keys()


@pytest.mark.parametrize("name", ["workflows", "licences", "hashes"])
def test_the_quick_tools_find_nothing_here(name):
    clean, said = TOOLS[name]()
    assert clean, said


def test_a_key_would_be_found(tmp_path):
    (tmp_path / "settings.py").write_text('aws_key = "AKIA' + "IOSFODNN7EXAMPLQ" + '"\n')
    command = [BIN / "detect-secrets-hook", tmp_path / "settings.py"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0


def test_an_action_that_is_not_pinned_would_be_found(tmp_path):
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/bad.yml").write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - uses: someone/action@main\n"
    )
    command = [BIN / "zizmor", "--offline", "--quiet", ".github"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60).returncode != 0


def test_the_bill_of_materials_names_everything_that_is_deployed(tmp_path):
    out = tmp_path / "sbom.json"
    command = [BIN / "cyclonedx-py", "requirements", "requirements.txt", "--of", "JSON", "-o", out]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    components = json.loads(out.read_text())["components"]
    assert {each["name"].lower() for each in components} == shipped()
    assert all(each["version"] for each in components)
    assert len(components) > 30


COLLECTIONS = {
    "answerKeys": "server",
    "assignments": "clients read",
    "assistance": "server",
    "auditRecords": "server",
    "browserAnswers": "clients create",
    "budgets": "server",
    "cacheGenerations": "server",
    "cacheLeases": "server",
    "cachedReplies": "server",
    "context": "server",
    "courses": "clients read",
    "deadLetters": "server",
    "decided": "server",
    "decisions": "clients read",
    "evaluationBatches": "server",
    "erasures": "server",
    "evaluations": "clients read",
    "figures": "clients read",
    "forms": "clients read",
    "ledgers": "server",
    "members": "clients read",
    "pendingAnswers": "server",
    "pilotEvaluations": "server",
    "pilots": "server",
    "queuedEvaluations": "server",
    "rateLimits": "server",
    "rejectedAnswers": "server",
    "segments": "server",
    "shards": "server",
    "skeletons": "server",
    "spendEntries": "server",
    "spending": "server",
    "tombstones": "server",
    "users": "clients read",
    "waiting": "server",
}
"""Every collection, and who else than the server touches it: the inventory (SEC-32)."""


def test_the_rules_open_exactly_the_listed_collections():
    rules = re.sub(r"//[^\n]*", "", (ROOT / "firestore.rules").read_text())
    paths = re.findall(r"match (/\S+)", rules)
    matched = {name for path in paths for name in re.findall(r"/(\w+)/\{\w+\}", path)} - {"databases"}
    assert matched == {name for name, who in COLLECTIONS.items() if who != "server"}
    assert re.findall(r"allow ([a-z, ]+):", rules).count("create") == 1


def test_every_collection_has_its_fate_when_a_learner_is_erased():
    assert FATES.keys() == COLLECTIONS.keys()


def test_the_indexes_name_only_listed_collections():
    indexes = json.loads((ROOT / "firestore.indexes.json").read_text())
    named = {each["collectionGroup"] for part in ("indexes", "fieldOverrides") for each in indexes[part]}
    assert named <= COLLECTIONS.keys()


def test_the_source_names_only_listed_collections():
    """Every constant that is a collection's name, and every path that is written out."""
    found = set()
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        text = path.read_text()
        found |= set(re.findall(r'^[A-Z_]+ = "([a-z]+[A-Za-z]*s)"$', text, re.MULTILINE))
        found |= set(re.findall(r'f"\{[^}"]+\}/([a-z]+[A-Za-z]*)/\{', text))
    known = {each for each in found if each in COLLECTIONS}
    strange = found - COLLECTIONS.keys()
    assert {"courses", "assignments", "answerKeys", "deadLetters"} <= known
    assert strange == set()


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_a_tier_comes_with_its_settings_and_its_secrets(tier, monkeypatch):
    made = generated(tier, deploy_manifest.OPTIONAL_SECRETS)
    [line] = [each for each in made[".env"].splitlines() if not each.startswith("#")]
    monkeypatch.setenv(*line.split("=", 1))
    assert points(RateClass.AI, Settings()) == (10 if tier.name == "small" else 20)
    endpoints = yaml.safe_load(made["functions.yaml"])["endpoints"]
    for endpoint in endpoints.values():
        bound = {each["key"] for each in endpoint["secretEnvironmentVariables"]}
        assert bound >= {"LECTERN_RECEIPT_KEY", "LECTERN_REDIS_URL", "LECTERN_CACHE_KEY"}
    assert endpoints["submit_answer"]["minInstances"] == tier.min_instances
    assert "LECTERN_REDIS_URL" not in generated(tier)["functions.yaml"]
    elsewhere = yaml.safe_load(generated(tier, region="europe-west1")["functions.yaml"])["endpoints"]
    assert {tuple(endpoint["region"]) for endpoint in elsewhere.values()} == {("europe-west1",)}


def test_the_deployment_declares_exactly_the_registrys_functions_and_triggers():
    endpoints = yaml.safe_load((ROOT / "functions.yaml").read_text())["endpoints"]
    registry = {each.name: each for each in functions()}
    assert endpoints.keys() == registry.keys()
    documented = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    for name, function in registry.items():
        endpoint = endpoints[name]
        is_client = function.for_clients
        passed = function.trigger.paths if isinstance(function.trigger, PassThrough) else ()
        paths = {f"/{name}{each.path}" for each in passed} or {f"/{name}"}
        assert (paths <= documented.keys()) is is_client
        # Only what clients call is open to the internet; everything else is the platform's alone.
        assert (endpoint.get("httpsTrigger", {}).get("invoker") == ["public"]) is is_client, name
        assert endpoint.get("httpsTrigger", {}).get("invoker") != ["private"], (
            "whoever calls it is let in by name"
        )
        if isinstance(function.trigger, DocumentTrigger):
            assert endpoint["eventTrigger"]["retry"] is True
        if isinstance(function.trigger, TopicTrigger) and function.trigger.doorbell:
            assert endpoint["eventTrigger"]["retry"] is True
