"""What a release wrote, every later one reads, replays to the same bytes, and goes on from."""

import asyncio

import pytest

from shared.learning import receipts
from shared.learning.answers import decode, encode, event_id
from shared.learning.item_analysis import Sums, add, as_document, option_counts, statistics
from shared.learning.segments import compress, decompress, pack, unpack
from shared.ledger.base import shards_path
from tests.checker import Wrong, check
from tests.faults.services import MemoryArchive
from tests.simulation import golden
from tests.simulation.loop import SimulatedLoop

RELEASES = sorted(golden.FOLDER.glob("*.json"))
DIGESTS = {"0.1.0": "ec27b280073def448ee053a70e1c70d20722527156cc61b08bf8175e6f4b7cac"}


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def release(request):
    return request.param


@pytest.fixture
def ledger(release):
    return golden.Ledger.read(release)


async def shown_anew(ledger, store):
    """Today's product over *store*, once it has written what it shows."""
    services = ledger.services(store)
    await services.merger.figures.roll_up("golden", anew=True)
    return services


def test_there_is_a_ledger_for_every_release():
    assert [path.stem for path in RELEASES] == sorted(DIGESTS)


def test_its_history_replays_to_the_same_bytes(release, ledger):
    async def replayed():
        store = await ledger.documents()
        services = ledger.services(store)
        rebuilt = await services.history.rebuild(await services.catalog.grading("golden"))
        heads = [head for head in await store.scan(shards_path("golden")) if not head.fields.get("splitBits")]
        return rebuilt, heads

    rebuilt, heads = SimulatedLoop().run(replayed())
    assert rebuilt.identical
    assert rebuilt.events == ledger.content["events"]
    assert rebuilt.digest == ledger.content["digest"] == DIGESTS[release.stem]
    assert len(heads) > 1


def test_its_figures_are_those_of_a_batch_computation_and_of_today(ledger):
    async def figures():
        store = await ledger.documents()
        [assignment] = await store.get(["assignments/golden"])
        services = await shown_anew(ledger, store)
        await check(store, ledger.told, [golden.form()], archive=MemoryArchive(ledger.archived))
        return await services.shards.heads("golden"), assignment.fields["stats"]

    heads, shown = SimulatedLoop().run(figures())
    today = statistics(add(head.sums for head in heads), golden.form().questions)
    options = {name: each.pop("options") for name, each in shown["questions"].items() if "options" in each}
    assert as_document(today) == shown
    if options:  # 0.1.0 had them where students read
        assert option_counts(today) == {name: counts for name, counts in options.items() if counts}
    assert all(Sums.decode(head.sums.encode()) == head.sums for head in heads)


def test_its_assignment_document_loses_the_counts_of_options_at_the_next_roll_up(ledger):
    async def shown():
        store = await ledger.documents()
        await shown_anew(ledger, store)
        [assignment, options] = await store.get(["assignments/golden", "assignments/golden/figures/options"])
        return assignment.fields["stats"], options.fields["questions"]

    stats, options = SimulatedLoop().run(shown())
    names = set().union(*stats["questions"].values())
    assert names == {"answered", "correct", "facility", "discrimination"}
    assert options.keys() == {"one", "truth", "several", "pairs"}


def test_its_segments_are_written_alike_today(ledger):
    async def bodies():
        store = await ledger.documents()
        services = ledger.services(store)
        return [
            segment.packed
            for head in await services.shards.heads("golden")
            async for segment in services.history.segments("golden", head.shard, head.seq)
        ]

    packed = SimulatedLoop().run(bodies())
    assert len(packed) > 5
    for each in packed:
        assert pack("golden", unpack(each)) == each
        assert decompress(compress(each)) == each


def test_its_events_names_and_receipts_are_those_of_today(ledger):
    for text in ledger.content["answers"]:
        assert encode(decode(text)) == text
    names = ledger.content["eventId"]
    assert event_id(*names["parts"]) == names["is"]
    text = ledger.content["receiptFor"]
    assert receipts.issue(decode(text), text, key=golden.RECEIPT_KEY) == ledger.content["receipt"]


def test_answers_of_today_are_merged_into_it_and_its_own_are_known(ledger):
    async def merged():
        store = await ledger.documents()
        services = ledger.services(store)
        again = [decode(text) for text in ledger.content["answers"]]
        new = decode(ledger.content["answers"][0].replace('"submissionId":"', '"submissionId":"new-'))
        ledger.told.acknowledge(new)
        await services.merger.merge([*again, new], by="message")
        return await check(store, ledger.told, [golden.form()], archive=MemoryArchive(ledger.archived))

    assert SimulatedLoop().run(merged()).merged == ledger.content["events"] + 1


def test_an_altered_ledger_is_noticed(ledger):
    async def altered():
        store = await ledger.documents()
        await shown_anew(ledger, store)
        del store._documents[next(path for path in store.dump() if "/segments/" in path)]
        await check(store, ledger.told, [golden.form()], archive=MemoryArchive(ledger.archived))

    with pytest.raises(Wrong, match=r"segment|nowhere"):
        SimulatedLoop().run(altered())
    assert asyncio._get_running_loop() is None
