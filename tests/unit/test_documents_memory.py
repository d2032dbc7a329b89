"""The in-memory store keeps the contract that simulation relies on."""

import pytest

from shared.documents.memory import MemoryDocuments
from tests.documents_contract import DocumentsContract


class TestMemoryDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self):
        return MemoryDocuments()
