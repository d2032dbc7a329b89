"""Firestore keeps the contract, and what it says no to arrives in our words."""

import pytest

from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from shared.documents.metering import bill
from shared.errors import Unavailable
from tests.documents_contract import DocumentsContract


class TestFirestoreDocuments(DocumentsContract):
    @pytest.fixture
    async def documents(self, project_id, emulators):
        documents = FirestoreDocuments(
            project=project_id, database="(default)", emulator_host=emulators.firestore
        )
        yield documents
        await documents.close()

    async def test_what_is_billed_is_counted(self, documents):
        with bill() as spent:
            await documents.create_each([Create(f"things/{n}", {}) for n in range(3)])
            await documents.get(["things/0", "things/none"])
            await documents.scan("things")
            await documents.delete_each(["things/0", "things/1"])
        assert (spent.writes, spent.reads, spent.deletes, spent.rpcs) == (3, 5, 2, 4)

    async def test_a_store_that_does_not_answer_is_unavailable(self):
        nowhere = FirestoreDocuments(project="demo-x", database="(default)", emulator_host="127.0.0.1:9")
        with pytest.raises(Unavailable):
            await nowhere.get(["things/a"])
        await nowhere.close()
