"""A restore must not resurrect the erased: export, erase, destroy, restore what was before, and erase again."""

import pytest

from shared.errors import DeadlineExceeded, Unavailable
from shared.learning.marks import mark
from tests.accounts import Auth
from tests.deployed import deployed
from tests.dumping import dump
from tests.emulator.test_erasures import ADMIN, closed, erase
from tests.erasing import UID, WORDS, Clock, life
from tests.restoring import databases, patiently
from tests.tutoring import a_class

GONE = "gone.Wd4"


@pytest.fixture
async def started(tmp_path):
    async with databases(tmp_path / "logs") as start:
        yield start


@pytest.fixture
def auth(emulators, project_id):
    auth = Auth(emulators.auth, project_id)
    for uid in (ADMIN["uid"], "teacher", "ben", UID):
        auth.account(uid)
    yield auth
    auth.close()


@pytest.fixture
def at(id_token, tutor, tmp_path):
    """The functions over one database; the archive is the same for all."""

    def at(database):
        return deployed(
            id_token,
            firestore_emulator_host=database.address,
            openai_base_url=tutor.url,
            cache="firestore",
            limiter="memory",
            rate_ai_points=10_000,
            archive_url=f"file://{tmp_path}/archive",
        )

    return at


async def over(app):
    """A new instance over *app*'s database, which has just been started."""
    app.services.now = Clock()
    await patiently(lambda: app.services.documents.get(["courses/none"]))


async def reapplied(app):
    """Erase again whom the archive knows, as the operations page says; how many were met, and answers."""
    met = answers = 0
    cursor = None
    while True:
        try:
            reply = await app.ok("reapply_erasures", {"cursor": cursor} if cursor else {}, **ADMIN)
        except (Unavailable, DeadlineExceeded):
            continue
        met += reply["met"]
        answers += reply["answers"] or 0
        cursor = reply["nextCursor"]
        if cursor is None:
            return met, answers


async def test_whoever_was_erased_is_erased_again_after_a_restore(started, at, auth, project_id, tmp_path):
    first = await started()
    async with at(first) as app:
        await over(app)
        lesson = await a_class(app)
        await life(lesson, "ben", "quartz")
        await life(lesson, UID, WORDS)
        await lesson.answers("Sun", {"value": True}, uid=GONE)
        before = await dump(first.address, project_id)
        seed = await first.export(project_id, tmp_path)
        asked = await erase(app)
        # Of another nothing but answers is there: no place could be asked for their uid.
        only_answers = await erase(app, GONE)
        for each in (asked, only_answers):
            await closed(app, each["erasureId"])
        erased = await dump(first.address, project_id)
        assert erased.naming(UID) == erased.naming(GONE) == set()
    await first.destroy()

    second = await started(seed)
    async with at(second) as app:
        await over(app)
        restored = await dump(second.address, project_id)
        assert restored.naming(UID) == before.naming(UID) != set()
        assert {path.split("/")[0] for path in restored.naming(GONE)} == {"ledgers"}
        auth.account(UID)  # as accounts are restored, too

        met, answers = await reapplied(app)
        assert (met, answers) == (1, 6)
        await closed(app, asked["erasureId"])
        assert await reapplied(app) == (0, 0)

        after = await dump(second.address, project_id)
        assert after.naming(UID) == after.naming(WORDS) == after.naming(GONE) == set()
        assert UID not in auth.uids()
        theirs = {
            path
            for path in before.naming("ben")
            if path.split("/")[0] not in {"spendEntries", "pilots", "ledgers"}
        }
        fields = {path: before.documents[path]["fields"] for path in theirs}
        assert {path: after.documents[path]["fields"] for path in theirs} == fields
        audits = [each for path, each in after.documents.items() if path.startswith("auditRecords/")]
        assert [each["fields"]["action"] for each in audits] == [{"stringValue": "reapply"}]
        marks = {mark(app.services.receipt_key, uid) for uid in (UID, GONE)}
        assert await app.services.tombstones.known() == marks
    await second.destroy()


async def test_reapplying_needs_an_archive_and_its_own_cursor(id_token, auth):
    async with deployed(id_token) as app:
        assert (await app.call("reapply_erasures", {}, **ADMIN)).status_code == 400
        assert (await app.call("reapply_erasures", {"cursor": "AAAA"}, **ADMIN)).status_code == 400
        assert (await app.call("reapply_erasures", {}, uid="teacher", role="teacher")).status_code == 403
