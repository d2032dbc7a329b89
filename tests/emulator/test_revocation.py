"""Sessions revoked and accounts closed in the real Auth emulator (SEC-03)."""

import time

import pytest

from tests.accounts import Auth
from tests.deployed import deployed
from tests.security.matrix import NEEDS


@pytest.fixture
def auth(emulators, project_id):
    auth = Auth(emulators.auth, project_id)
    auth.account("tess")
    yield auth
    auth.close()


@pytest.fixture
def old():
    """A teacher's claims, five minutes old."""
    then = int(time.time()) - 300
    return {"role": "teacher", "auth_time": then, "iat": then}


@pytest.mark.parametrize(
    "close",
    [
        lambda auth: auth.change("tess", validSince=str(int(time.time()))),
        lambda auth: auth.change("tess", disableUser=True),
        lambda auth: auth.delete("tess"),
    ],
    ids=["revoked", "disabled", "deleted"],
)
async def test_a_closed_account_is_refused_by_every_kind_of_function(auth, id_token, old, close):
    auth.change("tess", validSince=str(int(time.time()) - 600))
    async with deployed(id_token, check_revoked=True) as app:
        course = await app.ok("create_course", {"title": "Course"}, uid="tess", **old)
        close(auth)
        refused = await app.call("create_course", {"title": "Another"}, uid="tess", **old)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        # What a sensitive function has learnt holds for the others; they would have asked in a minute.
        refused = await app.call("list_assignments", {"courseId": course["courseId"]}, uid="tess", **old)
        assert refused.status_code == 401


@pytest.mark.parametrize("name", sorted(each for each, needs in NEEDS.items() if needs == "teacher"))
async def test_a_revoked_teacher_does_nothing_more_with_a_token_of_a_moment_ago(auth, id_token, name):
    now = int(time.time())
    claims = {"role": "teacher", "auth_time": now - 20, "iat": now - 20}
    auth.change("tess", validSince=str(now - 600))
    async with deployed(id_token, check_revoked=True) as app:
        auth.change("tess", validSince=str(now))
        assert (await app.call("list_assignments", {}, uid="tess", **claims)).status_code == 400
        assert (await app.call(name, {}, uid="tess", **claims)).status_code == 401


async def test_an_unreachable_directory_closes_sensitive_functions_only(auth, id_token, old):
    async with deployed(id_token, check_revoked=True) as app:
        auth.change("tess", validSince=str(int(time.time()) - 600))
        course = await app.ok("create_course", {"title": "Course"}, uid="tess", **old)
        app.services.identity._accounts._directory._url = "http://127.0.0.1:9/nobody"
        app.services.identity._accounts._known.clear()
        refused = await app.call("create_course", {"title": "Another"}, uid="tess", **old)
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        await app.ok("list_assignments", {"courseId": course["courseId"]}, uid="tess", **old)
