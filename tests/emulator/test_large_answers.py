"""Firestore takes the segments of answers that are as large as they may be."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.firestore import FirestoreDocuments
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.checker import Told, check
from tests.faults.services import FaultyServices, MemoryArchive
from tests.large_answers import FORM, answers, texts
from tests.simulation import forms
from tests.simulation.world import EPOCH


@pytest.fixture
async def services(project_id, emulators):
    documents = FirestoreDocuments(
        project=project_id, database="(default)", emulator_host=emulators.firestore
    )
    await documents.commit(forms.documents_of(FORM, EPOCH))
    yield FaultyServices(
        documents=documents,
        topic=MemoryTopic(),
        archive=MemoryArchive({}),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: 0.5,
        merging=MergeSettings(gather_seconds=0, merge_seconds=0, rollup_seconds=0),
        young=timedelta(0),
    )
    await documents.close()


async def test_a_sweep_merges_more_large_answers_than_a_document_holds(services):
    told = Told()
    for event in answers(texts(120, 4_096, beyond_ascii=True)):
        told.acknowledge((await services.pending_answers.record(event)).event)
    assert (await services.sweep.run()).answers == 120
    assert (await check(services.documents, told, [FORM])).merged == 120
