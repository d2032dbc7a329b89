"""
Ledgers as releases of the past wrote them, kept so that every later release reads them alike.

``python -m tests.simulation.golden VERSION`` writes ``tests/data/golden/VERSION.json``. It is run once
for a release, and what it wrote is never changed.
"""

import base64
import json
import random
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.documents.base import Put
from shared.documents.memory import MemoryDocuments
from shared.learning import receipts
from shared.learning.answers import AnswerSubmitted, decode, encode, event_id, microseconds
from shared.learning.assignments import GradingPolicy
from shared.learning.attempts import AttemptsPolicy
from shared.ledger.merging import MergeSettings
from shared.topics.memory import MemoryTopic
from tests.checker import Form, Told, check
from tests.faults.services import FaultyServices, MemoryArchive
from tests.simulation import forms
from tests.simulation.loop import SimulatedLoop
from tests.simulation.world import EPOCH

FOLDER = Path(__file__).parents[1] / "data" / "golden"
RECEIPT_KEY = b"a key for receipts, for golden logs only"
POLICY = GradingPolicy(attempts=AttemptsPolicy.BEST, max_attempts=3)


def form() -> Form:
    """The form of every golden ledger: all question types."""
    return forms.make("golden", 7, POLICY)


class Ledger:
    """A golden ledger: its documents and archive, and what must come of them."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.archived = {name: base64.b64decode(data) for name, data in content["archive"].items()}
        self.told = Told()
        for text in content["answers"]:
            self.told.acknowledge(decode(text))

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        return cls(json.loads(path.read_text()))

    async def documents(self) -> MemoryDocuments:
        """A store that holds it."""
        store = MemoryDocuments()
        for path, fields in self.content["documents"].items():
            await store.commit([Put(path, _revived(fields))])
        return store

    def services(self, store: MemoryDocuments) -> FaultyServices:
        """Today's product over *store*."""
        loop_time = [0.0]
        return FaultyServices(
            documents=store,
            topic=MemoryTopic(),
            archive=MemoryArchive(self.archived),
            now=lambda: EPOCH + timedelta(days=1),
            clock=lambda: loop_time[0],
            jitter=lambda: 0.5,
            merging=MergeSettings(gather_seconds=0, merge_seconds=0, page_bytes=1200, rollup_seconds=0),
        )


async def _made() -> dict[str, Any]:
    rng = random.Random(20261120)
    golden = form()
    told = Told()
    ledger = Ledger({"documents": {}, "archive": {}, "answers": []})
    store = MemoryDocuments()
    await store.commit(forms.documents_of(golden, EPOCH))
    services = ledger.services(store)
    for wave in range(12):
        events = []
        for number in range(10):
            question = rng.choice(golden.questions).question_id
            event = AnswerSubmitted(
                assignment_id="golden",
                question_id=question,
                student_id=f"student-{rng.randrange(12)}",
                submission_id=f"wave-{wave}-{number}",
                answer=forms.some_answer(rng, question),
                submitted_at=microseconds(EPOCH) + rng.randrange(10**9),
                source=rng.choice(["function", "ingest"]),
            )
            events.append(event)
            told.acknowledge(event)
        await services.merger.merge(events, by="message")
        if wave == 8:
            await services.tidying.run()
            await services.tidying.run()
    await check(store, told, [golden], archive=MemoryArchive(ledger.archived))
    rebuilt = await services.history.rebuild(await services.catalog.grading("golden"))
    assert rebuilt.identical
    sample = replace(next(iter(told.offered.values())), source="function")
    return {
        "digest": rebuilt.digest,
        "events": rebuilt.events,
        "answers": [encode(event) for event in told.offered.values()],
        "receipt": receipts.issue(sample, encode(sample), key=RECEIPT_KEY),
        "receiptFor": encode(sample),
        "eventId": {
            "parts": ["a", "b", "c", "d"],
            "is": event_id("a", "b", "c", "d"),
        },
        "archive": {name: base64.b64encode(data).decode() for name, data in sorted(ledger.archived.items())},
        "documents": {path: _plain(fields) for path, fields in store.dump().items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$at": value.isoformat()}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        if value.keys() == {"$at"}:
            return datetime.fromisoformat(value["$at"])
        return {name: _revived(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_revived(each) for each in value]
    return value


def main() -> None:
    path = FOLDER / f"{sys.argv[1]}.json"
    if path.exists():
        sys.exit(f"{path} is there, and stays as it is")
    path.write_text(json.dumps(SimulatedLoop().run(_made()), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
