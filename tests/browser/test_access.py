"""What the Firebase SDK gets out of, and into, the database from a page that somebody else wrote."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.windows import ROOT, Quiz, Stack, Window
from tests.emulator.rules_project import RulesProject

DENIED = "permission-denied"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled probe."""
    bundle = tmp_path_factory.mktemp("probe") / "probe.js"
    subprocess.run(
        [
            ROOT / "web/node_modules/.bin/esbuild",
            "tests/browser/probe.js",
            "--bundle",
            f"--outfile={bundle}",
            "--log-level=error",
        ],
        cwd=ROOT,
        check=True,
    )
    return bundle


@pytest.fixture
def probing(windows: Callable[..., Window], running: Stack, probe: Path) -> Page:
    """A page that runs the probe, signed in as nobody yet."""
    window = windows(complains=True, bypass_csp=True)  # the SDK notes each refusal
    window.page.goto(f"{running.url}/icon.svg")
    window.page.goto(running.url)
    window.page.add_script_tag(path=probe)
    window.page.evaluate("config => window.probe.open(config)", running.config)
    return window.page


def sign_in(page: Page, account: dict[str, str]) -> str:
    """Sign the probe in; its uid."""
    return page.evaluate(
        "([email, password]) => window.probe.signIn(email, password)", [account["email"], account["password"]]
    )


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_nobody_reads_keys_pending_answers_or_ledgers(
    probing: Page, running: Stack, quiz: Quiz, role: str
) -> None:
    sign_in(probing, running.accounts[role])
    hidden = [
        f"answerKeys/{quiz.assignment_id}",
        "pendingAnswers/x",
        f"ledgers/{quiz.assignment_id}",
        "browserAnswers/x",
        "users/x",
    ]
    assert running.document(hidden[0]) is not None

    assert {
        path: probing.evaluate("path => window.probe.read(path)", path) for path in hidden
    } == dict.fromkeys(hidden, DENIED)
    for collection in ("answerKeys", "pendingAnswers", "ledgers", "browserAnswers", "courses", "assignments"):
        assert probing.evaluate("path => window.probe.list(path)", collection) == DENIED
    for group in ("segments", "members", "forms", "answerKeys"):
        assert probing.evaluate("id => window.probe.listGroup(id)", group) == DENIED
    assert probing.evaluate("path => window.probe.read(path)", f"assignments/{quiz.assignment_id}") == "done"
    assert (
        probing.evaluate("path => window.probe.read(path)", f"assignments/{quiz.assignment_id}/forms/1")
        == "done"
    )


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_nobody_writes_but_answers(probing: Page, running: Stack, quiz: Quiz, role: str) -> None:
    uid = sign_in(probing, running.accounts[role])
    targets = [
        f"assignments/{quiz.assignment_id}",
        f"assignments/{quiz.assignment_id}/forms/1",
        f"answerKeys/{quiz.assignment_id}",
        f"courses/{running.course_id}",
        f"courses/{running.course_id}/members/{uid}",
        "pendingAnswers/x",
        "browserAnswers/x",
    ]

    for path in targets:
        assert probing.evaluate("path => window.probe.write(path, {role: 'teacher'})", path) == DENIED
        assert probing.evaluate("path => window.probe.remove(path)", path) == DENIED


def test_whoever_is_not_signed_in_or_is_anonymous_reads_nothing(probing: Page, quiz: Quiz) -> None:
    path = f"assignments/{quiz.assignment_id}"

    assert probing.evaluate("path => window.probe.read(path)", path) == DENIED
    probing.evaluate("window.probe.signInAnonymously()")
    assert probing.evaluate("path => window.probe.read(path)", path) == DENIED


def test_browser_and_server_derive_the_same_event_id(probing: Page) -> None:
    parts = ["assignment-1", "uid|with.odd:signs@x", "q_1", "a-submission"]
    derived = probing.evaluate("([a, s, q, i]) => window.probe.eventIdOf(a, s, q, i)", parts)

    assert derived == hashlib.sha256("\n".join(["lectern.answer.v1", *parts]).encode()).hexdigest()


def test_resending_the_browsers_own_way_is_known_for_what_it_is(
    probing: Page, running: Stack, stack: dict[str, str]
) -> None:
    """In a project where no function takes the answer away again, so that the second create is denied."""
    project = RulesProject(stack["FIRESTORE_EMULATOR_HOST"])
    project.owner_sets("courses/c", title="C", openEnrollment=True)
    project.owner_sets("assignments/a", courseId="c")
    probing.evaluate("config => window.probe.open(config)", {**running.config, "projectId": project.project})
    uid = sign_in(probing, running.students[0])
    answer = {
        "uid": uid,
        "assignmentId": "a",
        "questionId": "q",
        "submissionId": "resent-later",
        "answer": {"value": True},
    }

    def sent(**changes: str) -> dict[str, object]:
        return probing.evaluate("answer => window.probe.send(answer)", {**answer, **changes})

    first, second = sent(), sent()
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["eventId"] == second["eventId"]
    assert project.owner_reads(f"browserAnswers/{first['eventId']}") is not None
    assert sent(uid="somebody-else") == {"error": "permission-denied"}
    assert sent(assignmentId="missing") == {"error": "permission-denied"}
    project.close()
