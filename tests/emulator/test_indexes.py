"""The emulator answers queries without their indexes; production does not: compare what was used with the file."""

import json
from pathlib import Path

import httpx
import pytest

from shared.ledger.base import FROM_BROWSERS, PENDING, REJECTED
from shared.ledger.dead_letters import DEAD_LETTERS
from tests.deployed import deployed

INDEXES = json.loads((Path(__file__).parents[2] / "firestore.indexes.json").read_text())


@pytest.fixture
async def used(id_token, emulators, project_id, tmp_path):
    """The indexes that a journey of an assignment needed; `test_budgets.py` asks the same of every function."""
    async with deployed(id_token, archive_url=f"file://{tmp_path}", archive_after_days=0) as app:
        form = await app.imported("::sum:: 2 + 2 is {#4}")
        assignment = {"assignmentId": form["assignmentId"]}
        answer = {"questionId": form["questions"][0]["questionId"], "answer": {"number": 4}}
        await app.ok("submit_answer", {**assignment, **answer}, uid="ann")
        await app.deliver()
        await app.ok("list_assignments", {"courseId": form["courseId"]}, uid="ann")
        await app.ok("my_results", assignment, uid="ann")
        await app.ok("get_gradebook", assignment, uid="teacher")
        await app.ok("rebuild_assignment", assignment, uid="teacher")
        await app.ok("get_assignment_as_of", {**assignment, "at": "2030-01-01T00:00:00Z"}, uid="teacher")
        await app.ok("sweep_pending", {})
        await app.ok("clean_up", {})
        await app.services.evaluation_queue.due(app.services.now(), limit=1)
    return await indexes_used(emulators, project_id)


async def indexes_used(emulators, project_id):
    """The indexes that queries in a project needed: (collection group, ((field, order), …))."""
    database = f"projects/{project_id}/databases/(default)"
    url = f"http://{emulators.firestore}/emulator/v1/projects/{project_id}:indexUsage"
    async with httpx.AsyncClient() as client:
        response = await client.get(url, params={"database": database})
    response.raise_for_status()
    return {
        (
            report["index"]["name"].split("/collectionGroups/")[1].split("/")[0],
            tuple(
                (field["fieldPath"], field["order"])
                for field in report["index"]["fields"]
                if field["fieldPath"] != "__name__"
            ),
        )
        for report in response.json().get("reports", [])
    }


def listed():
    return {
        (index["collectionGroup"], tuple((field["fieldPath"], field["order"]) for field in index["fields"]))
        for index in INDEXES["indexes"]
    }


MERGED = {
    ("spendEntries", (("courseId", "ASCENDING"), ("day", "ASCENDING"))),
    (
        "queuedEvaluations",
        (("assignmentId", "ASCENDING"), ("questionId", "ASCENDING"), ("state", "ASCENDING")),
    ),
}
"""Queries for what is equal in several fields, in no order: Firestore merges the fields' own indexes."""


def composite(used):
    """Those of more than one field, which somebody has to make."""
    return {(group, fields) for group, fields in used - MERGED if len(fields) > 1}


async def test_every_composite_index_that_queries_need_is_listed_and_none_in_vain(used):
    assert composite(used) == listed()
    assert composite(used), "the emulator reported nothing: this test would pass for any file"


@pytest.mark.parametrize("collection", [PENDING, FROM_BROWSERS, REJECTED, DEAD_LETTERS, "shards", "segments"])
def test_collections_written_in_bulk_have_no_indexed_field(collection):
    exempt = {each["collectionGroup"] for each in INDEXES["fieldOverrides"] if each["fieldPath"] == "*"}
    assert collection in exempt
