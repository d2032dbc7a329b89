"""A slice of the access matrix on real Firestore: the same table, one request per function and caller."""

import json
from typing import Any

import httpx
import pytest

from tests.deployed import deployed
from tests.security.matrix import REQUESTS, expected, status_of
from tests.security.school import CALLERS, client_calls, filled

UNSIGNED = {name: caller for name, caller in CALLERS.items() if caller.forgery in {"", "expired"}}
"""Forged signatures are not told apart from others here: the Auth emulator signs nothing."""


class Store:
    """Everything in one project of the Firestore emulator."""

    def __init__(self, host: str, project: str) -> None:
        self._http = httpx.Client(
            base_url=f"http://{host}/v1/", headers={"Authorization": "Bearer owner"}, timeout=30
        )
        self._root = f"projects/{project}/databases/(default)/documents"

    def dump(self) -> dict[str, Any]:
        """Fields and times of change, by path: one query for all collections at every depth."""
        everything = {"structuredQuery": {"from": [{"allDescendants": True}]}}
        answer = self._http.post(f"{self._root}:runQuery", json=everything).raise_for_status().json()
        found = [each["document"] for each in answer if "document" in each]
        return {each["name"]: (each.get("fields"), each["updateTime"]) for each in found}

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def unlimited(self) -> dict[str, Any]:
        """The same without rate limits: a call that is refused counts, too."""
        return {path: found for path, found in self.dump().items() if "/rateLimits/" not in path}


@pytest.fixture
async def lessons(id_token):
    async with deployed(id_token) as app:
        yield await filled(app)


async def test_each_caller_gets_what_the_table_says(lessons, id_token, emulators, project_id):
    store = Store(emulators.firestore, project_id)
    try:
        asked = await _ask_everything(lessons, id_token, store)
    finally:
        store.close()
    assert asked == 2 * len(UNSIGNED) * len(client_calls())


async def _ask_everything(lessons, id_token, store):
    asked = 0
    for function in client_calls():
        for caller in UNSIGNED.values():
            for course in ("own", "other"):
                decided = expected(function.name, caller, course)
                request = REQUESTS[function.name](lessons, course)[0]
                headers = {"content-type": "application/json"}
                if caller.uid:
                    over = {"exp": 1, "iat": 0, "auth_time": 0} if caller.forgery else {}
                    headers["authorization"] = f"Bearer {id_token(caller.uid, **caller.claims, **over)}"
                before = store.unlimited() if decided != 200 else None
                response = await lessons.app.post(function.name, json.dumps(request).encode(), headers)
                # Who may decide about an evaluation hears of it when somebody else has.
                may = {200, 409} if decided == 200 else {decided}
                assert status_of(response) in may, (function.name, caller.name, course, response.text)
                if before is not None:
                    assert {"courses", "members", "forms", "answerKeys"} <= {
                        path.rsplit("/", 2)[1] for path in before
                    }
                    assert store.unlimited() == before, (function.name, caller.name, course)
                asked += 1
    return asked
