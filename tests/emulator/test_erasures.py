"""A learner is erased everywhere, and nobody else is touched (SEC-34, G18)."""

import io
import logging
from datetime import timedelta

import pytest

from shared.caching.base import Kept
from shared.caching.registry import QUESTION_CHANGED
from shared.documents.base import Create
from shared.edge.logs import JsonLines, configure
from shared.erasures.collections import FATES, Fate
from shared.erasures.record import QUIET
from shared.errors import Unavailable
from shared.learning.marks import mark
from tests.accounts import Auth
from tests.deployed import deployed, replace
from tests.dumping import dump
from tests.erasing import UID, WORDS, Clock, life
from tests.tutoring import a_class

TEACHER = "tess.Kx9"
ADMIN = {"uid": "ada.Qv3", "role": "admin"}


@pytest.fixture
def auth(emulators, project_id):
    auth = Auth(emulators.auth, project_id)
    for uid in (ADMIN["uid"], "teacher", "ben", TEACHER, UID):
        auth.account(uid)
    yield auth
    auth.close()


@pytest.fixture
async def lesson(id_token, tutor, auth, tmp_path):
    settings = {"cache": "firestore", "check_revoked": True, "archive_url": f"file://{tmp_path}/archive"}
    async with deployed(id_token, openai_base_url=tutor.url, rate_ai_points=10_000, **settings) as app:
        app.services.now = Clock()
        yield await a_class(app)


@pytest.fixture
def everything(emulators, project_id):
    return lambda: dump(emulators.firestore, project_id)


def erase(app, uid=UID):
    return app.ok("erase_learner", {"learnerId": uid, "confirm": uid}, **ADMIN)


def kept_messages(app):
    """All doorbell messages from here on, also when they were delivered."""
    messages, deliver = [], app.deliver

    async def keeping(again=None):
        messages.extend(app.doorbell.messages)
        await deliver(again)

    app.deliver = keeping
    return messages


async def closed(app, erasure_id):
    """Let the time pass in which anything may still be written, and go on, until the erasure is closed."""
    for _ in range(3):
        app.services.now.ahead += QUIET
        await app.ok("continue_erasures", {})
        found = await app.ok("get_erasure", {"erasureId": erasure_id}, **ADMIN)
        if found["state"] == "closed":
            return found
    raise AssertionError(found)


async def test_nothing_is_left_of_an_erased_learner_and_others_are_as_they_were(lesson, everything, auth):
    app = lesson.app
    messages = kept_messages(app)
    await life(lesson, "ben", "quartz")
    await life(lesson, UID, WORDS)
    results = await app.ok("my_results", {"assignmentId": lesson.assignment_id}, uid="ben")
    before = await everything()
    assert {path.split("/")[-2] for path in before.naming(UID)} >= {
        *("evaluations", "decisions", "context", "assistance", "waiting", "decided", "members"),
        *("pilots", "pilotEvaluations", "cachedReplies", "spendEntries", "spending", "budgets"),
        "queuedEvaluations",
    }
    assert before.naming(WORDS)

    asked = await erase(app)
    assert (asked["state"], asked["passes"]) == ("waiting", 1)
    at_once = await everything()
    assert at_once.naming(UID) == {f"erasures/{asked['erasureId']}"}
    assert at_once.naming(WORDS) == set()
    assert UID not in auth.uids()

    found = await closed(app, asked["erasureId"])
    after = await everything()
    assert after.naming(UID) == after.naming(WORDS) == set()
    assert found["counts"]["answers"] == 5

    # Byte for byte, with the times of their last writes; what names several people is told of below.
    shared = {"spendEntries", "pilots", "ledgers"}
    theirs = {path for path in before.naming("ben") if path.split("/")[0] not in shared}
    assert len(theirs) > 10
    assert {path: after.documents[path] for path in theirs} == {
        path: before.documents[path] for path in theirs
    }
    assert before.naming("quartz") == after.naming("quartz") != set()
    assert await app.ok("my_results", {"assignmentId": lesson.assignment_id}, uid="ben") == results

    # Messages may come again for days, and bring back nobody.
    await app.deliver(messages)
    await app.ok("sweep_pending", {})
    # A batch ends without the answers that are gone.
    for _ in range(3):
        await app.ok("run_evaluation_queue", {})
    again = await everything()
    assert again.naming(UID) == again.naming(WORDS) == set()


async def test_every_collection_that_names_a_learner_says_what_becomes_of_it(lesson, everything):
    """Whoever adds a collection in which a uid may stand adds what erases it, or this fails."""
    app = lesson.app
    await life(lesson, "ben", "quartz")
    await life(lesson, UID, WORDS)
    await app.services.caches.ended(QUESTION_CHANGED, uid=UID)
    await strays(lesson)
    outline = await app.ok(
        "generate_skeleton", {"courseId": lesson.course_id, "topic": "Light"}, uid="teacher", role="teacher"
    )
    step = {"courseId": lesson.course_id, "version": outline["version"], "lesson": 0, "step": 0}
    await app.ok("generate_step", step, uid=UID)
    await app.services.caches._store.lease("0" * 64, "whoever makes it", 60)
    await erase(app, "cid")
    found = await everything()
    # Of two, only what lies beneath their ids is documents.
    assert found.collections == FATES.keys() - {"users", "ledgers"}
    named = {path.split("/")[-2] for path in found.naming(UID)}
    assert {FATES[each] for each in named} <= {Fate.REMOVED, Fate.UNNAMED, Fate.LEDGER}
    places = {place.name.rpartition("/")[2] for place in app.services.erasures._places}
    removed = {each for each, fate in FATES.items() if fate in {Fate.REMOVED, Fate.UNNAMED}}
    # Of a place that goes by evaluations, the review queue is a part.
    assert removed - {"users"} <= places | {"waiting", "decided"}
    # Rate limits and generations do not say whose they are, but could be told by whoever guesses it.
    assert removed - named == {"users", "rateLimits", "cacheGenerations"}


async def strays(lesson):
    """Answers that are on their way, or came to nothing."""
    app = lesson.app
    await lesson.answers("Sun", {"value": True}, uid=UID, merged=False)
    app.doorbell.messages.clear()
    fields = {"studentId": UID, "answer": {"text": WORDS}}
    paths = (f"{each}/{'0' * 64}" for each in ("browserAnswers", "rejectedAnswers", "deadLetters"))
    await app.services.documents.commit([Create(path, fields) for path in paths])


async def test_figures_sums_and_pages_stay_as_they_were_without_the_learner(lesson):
    app, teacher = lesson.app, {"uid": "teacher", "role": "teacher"}
    await life(lesson, "ben", "quartz")
    await life(lesson, UID, WORDS)
    about, course = {"assignmentId": lesson.assignment_id}, {"courseId": lesson.course_id}
    day = {**course, "day": app.services.now().date().isoformat()}
    agreement = await app.ok("get_agreement", about, **teacher)
    spent = await app.ok("get_spend", course, **teacher)
    entries = (await app.ok("export_spend", day, **teacher))["csv"].splitlines()
    assert agreement["total"]["count"] == 2

    await erase(app)

    assert await app.ok("get_agreement", about, **teacher) == agreement
    assert await app.ok("get_spend", course, **teacher) == spent
    unnamed = (await app.ok("export_spend", day, **teacher))["csv"].splitlines()
    assert [line.replace(UID, "") for line in entries] == unnamed != entries
    await app.ok("get_cost_advice", day, **teacher)
    for state in ("waiting", "decided"):
        page = await app.ok("list_evaluations", {**about, "state": state}, **teacher)
        assert [row["evaluation"]["studentId"] for row in page["rows"]] == ["ben"]


async def test_a_teacher_goes_and_their_course_and_what_they_decided_stay(lesson, everything):
    app, own = lesson.app, {"uid": "teacher", "role": "teacher"}
    await life(lesson, "ben", "quartz")
    await app.ok(
        "enroll_learner", {"courseId": lesson.course_id, "learnerId": TEACHER, "role": "teacher"}, **own
    )
    about = {"assignmentId": lesson.assignment_id}
    [row] = (await app.ok("list_evaluations", about, uid=TEACHER))["rows"]
    decide = {**about, "evaluationId": row["evaluation"]["evaluationId"]}
    await app.ok("accept_evaluation", decide, uid=TEACHER)
    named = {path.split("/")[-2] for path in (await everything()).naming(TEACHER)}
    assert named == {"members", "decisions"}
    asked = await erase(app, TEACHER)
    await closed(app, asked["erasureId"])
    after = await everything()
    assert after.naming(TEACHER) == set()
    by = [each["fields"]["decidedBy"] for path, each in after.documents.items() if "/decisions/" in path]
    assert sorted(each["stringValue"] for each in by) == ["-", "teacher"]
    assert f"courses/{lesson.course_id}" in after.documents
    assert f"assignments/{lesson.assignment_id}" in after.documents
    assert (await app.ok("get_assignment", {"assignmentId": lesson.assignment_id}, uid="ben"))["questions"]


async def test_an_erasure_is_asked_for_by_an_admin_who_has_just_signed_in_and_means_it(lesson, everything):
    app = lesson.app
    before = (await everything()).documents
    both = {"learnerId": UID, "confirm": UID}
    now = int(app.services.now().timestamp())
    for request, claims, status in (
        (both, {**ADMIN, "auth_time": now - 16 * 60, "iat": now - 5}, 401),
        (both, {"uid": "teacher", "role": "teacher"}, 403),
        (both, {"uid": "ben"}, 403),
        (both, {}, 401),
        ({**both, "confirm": "ben"}, ADMIN, 400),
        ({"learnerId": UID}, ADMIN, 400),
        ({"learnerId": "a/b", "confirm": "a/b"}, ADMIN, 400),
    ):
        refused = await app.call("erase_learner", request, **claims)
        assert refused.status_code == status, (request, claims, refused.text)
    assert (await everything()).documents == before


async def test_asking_again_tells_how_it_stands_and_erases_who_has_come_back(lesson, everything, auth):
    app = lesson.app
    first = await erase(app)
    assert await erase(app) == first
    found = await closed(app, first["erasureId"])
    assert found["round"] == 1
    auth.account(UID)
    app.services.now.ahead *= 0
    again = await erase(app)
    assert (again["erasureId"], again["round"], again["counts"]) == (first["erasureId"], 2, {"accounts": 1})
    assert UID not in auth.uids()
    audits = {
        path: each["fields"]
        for path, each in (await everything()).documents.items()
        if "auditRecords" in path
    }
    assert len(audits) == 2
    actor = mark(app.services.receipt_key, ADMIN["uid"]).hex()
    for fields in audits.values():
        assert fields["action"] == {"stringValue": "erase"}
        assert fields["actor"] == {"stringValue": actor}
        assert fields["erasureId"] == {"stringValue": first["erasureId"]}
    assert (await everything()).naming(ADMIN["uid"]) == set()


async def test_whom_nobody_knows_can_be_erased_as_well(lesson):
    asked = await erase(lesson.app, "nobody")
    found = await closed(lesson.app, asked["erasureId"])
    assert (found["counts"], found["passes"]) == ({}, 2)


async def test_a_receipt_can_be_verified_by_whoever_holds_it_and_not_be_altered(lesson):
    app = lesson.app
    asked = await erase(app)
    found = await closed(app, asked["erasureId"])
    vouched = await app.ok("verify_erasure", {"receipt": found["receipt"]}, uid="ben")
    assert vouched["erasureId"] == asked["erasureId"]
    assert vouched["counts"] == found["counts"] != {}
    assert UID not in found["receipt"]
    head, claims, mac = found["receipt"].split(".")
    for altered in (f"{head}.{claims[:-4]}AAAA.{mac}", f"{head}.{claims}.{mac[:-4]}AAAA", "v1..", "é", ""):
        assert (await app.call("verify_erasure", {"receipt": altered}, uid="ben")).status_code == 400
    missing = await app.call("get_erasure", {"erasureId": "0" * 32}, **ADMIN)
    assert missing.status_code == 404


async def test_what_cannot_be_reached_now_is_reached_later(lesson, auth, everything):
    app = lesson.app
    await life(lesson, UID, WORDS)
    directory = app.services.account_directory
    working, directory._url = directory._url, "http://127.0.0.1:9/nobody"
    replace(app.services, identity=_AlwaysFresh(app.services.identity))
    asked = await erase(app)
    assert asked["state"] == "erasing"
    assert (await app.call("continue_erasures", {})).status_code == 503
    directory._url = working
    assert (await app.ok("continue_erasures", {}))["open"] == 1
    assert UID not in auth.uids()
    found = await closed(app, asked["erasureId"])
    assert found["counts"]["evaluations"] == 2
    assert (await everything()).naming(UID) == set()


class _AlwaysFresh:
    """Identity that asks no directory."""

    def __init__(self, identity):
        self._identity = identity

    async def principal(self, token, *, at_once=False):
        self._identity._accounts = None
        return await self._identity.principal(token, at_once=at_once)

    async def close(self):
        await self._identity.close()


async def test_without_an_archive_that_takes_it_nothing_is_begun(lesson, everything, tmp_path):
    app = lesson.app
    (tmp_path / "archive").write_text("this is no folder")
    before = (await everything()).documents
    refused = await app.call("erase_learner", {"learnerId": UID, "confirm": UID}, **ADMIN)
    assert refused.status_code == 503
    assert (await everything()).documents == before


async def test_no_log_line_names_whom_it_is_about(lesson, monkeypatch):
    app = lesson.app
    await life(lesson, UID, WORDS)
    written = io.StringIO()
    configure()
    handlers = logging.getLogger("lectern").handlers
    [handler] = [each for each in handlers if isinstance(each.formatter, JsonLines)]
    monkeypatch.setattr(handler, "stream", written)
    broken = app.services.erasures._places[5]
    working = broken.step
    monkeypatch.setattr(broken, "step", _failing)
    asked = await erase(app)
    assert (await app.call("continue_erasures", {})).status_code == 503
    monkeypatch.setattr(broken, "step", working)
    await closed(app, asked["erasureId"])
    told = written.getvalue()
    for line in ("erasure_waits", "erasure_incomplete", '"function":"erase_learner"', "stack_trace"):
        assert line in told
    assert UID not in told
    assert WORDS not in told


async def _failing(learner_id, after):
    message = "this place does not answer"
    raise Unavailable(message)


async def test_an_instance_forgets_the_replies_that_it_remembers(lesson):
    app = lesson.app
    await life(lesson, UID, WORDS)
    await life(lesson, "ben", "quartz")
    remembered = app.services.caches._memory._kept
    assert {UID, "ben"} <= {each.owner for each in remembered.values()}
    await erase(app)
    app.services.now.ahead += timedelta(seconds=31)
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Something new."}]}
    await app.call("openai_proxy", body, uid="ben", path="/v1/chat/completions")
    assert UID not in {each.owner for each in remembered.values()}
    assert "ben" in {each.owner for each in remembered.values()}


async def test_replies_in_redis_go_as_well(id_token, auth, redis_url, tmp_path):
    archive = f"file://{tmp_path}/archive"
    async with deployed(id_token, cache="redis", redis_url=redis_url, archive_url=archive) as app:
        app.services.now = Clock()
        store = app.services.redis_replies
        until = app.services.now().timestamp() + 3600
        for number in range(1200):  # more than one look finds
            owner = (UID, "ben", "")[number % 3]
            await store.put(f"{app.services.settings.project}{number}", Kept(b"x" * 9, owner, until))
        asked = await erase(app)
        assert asked["counts"]["cachedReplies"] == 400
        owners, cursor = await store.owners(0)
        while cursor:
            more, cursor = await store.owners(cursor)
            owners |= more
        assert UID not in owners
        assert "ben" in owners
        assert (await closed(app, asked["erasureId"]))["passes"] == 2
