"""A learner is taken out of the ledger: out of every place, and out of no other learner's way."""

import asyncio
import functools
import gzip
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.documents.base import Create, Put
from shared.documents.memory import MemoryDocuments
from shared.errors import PreconditionLost, Unavailable
from shared.learning import receipts, segments
from shared.learning.answers import AnswerSubmitted, canonical, encode, microseconds
from shared.learning.assignments import GradingPolicy
from shared.learning.marks import mark
from shared.learning.sharding import named
from shared.ledger import erasing, shards, tidying
from shared.ledger.archive import SETTLED_AFTER
from shared.ledger.base import head_path
from shared.ledger.merging import MergeSettings
from shared.ledger.shards import BrokenChain
from shared.topics import doorbell
from shared.topics.base import Message
from shared.topics.memory import MemoryTopic
from tests.checker import Told, Wrong, check
from tests.faults.services import FaultyServices, MemoryArchive, merge_message
from tests.simulation import forms
from tests.simulation.loop import SimulatedLoop
from tests.simulation.world import EPOCH

CANARY = "canary"


def in_virtual_time(test):
    @functools.wraps(test)
    def run(**arguments):
        SimulatedLoop().run(test(**arguments))

    return run


class Store(MemoryDocuments):
    """A store that can be interfered with before each commit."""

    def __init__(self):
        super().__init__()
        self.before = []
        self.commits = []

    async def commit(self, writes):
        if self.before and (interfere := self.before.pop(0)) is not None:
            await interfere()
        self.commits.append([write.path for write in writes])
        return await super().commit(writes)


class School:
    """Learners at one assignment, and what the ledger has of them."""

    def __init__(self, *, page_bytes=400_000, policy=None):
        self.store = Store()
        self.kept = {}
        self.told = Told()
        self.form = forms.make("exam", 3, policy or GradingPolicy())
        self.ahead = timedelta(0)
        self.number = 0
        self.page_bytes = page_bytes

    async def open(self):
        await self.store.commit(forms.documents_of(self.form, EPOCH))
        self.services = self.process()
        return self

    def process(self):
        loop = asyncio.get_running_loop()
        return FaultyServices(
            documents=self.store,
            topic=MemoryTopic(),
            archive=MemoryArchive(self.kept),
            now=lambda: EPOCH + timedelta(seconds=loop.time()) + self.ahead,
            clock=loop.time,
            jitter=lambda: 0.5,
            merging=MergeSettings(
                gather_seconds=0,
                gather_events=1,
                merge_seconds=0,
                page_bytes=self.page_bytes,
                rollup_seconds=0,
            ),
            young=timedelta(0),
        )

    def answer(self, student, question="truth", which=0):
        self.number += 1
        return AnswerSubmitted(
            assignment_id="exam",
            question_id=question,
            student_id=student,
            submission_id=f"{CANARY}-{student}-{self.number}",
            answer=canonical(forms.ANSWERS[question][which]),
            submitted_at=microseconds(EPOCH) + self.number,
            source="function",
        )

    async def merged(self, *students, question="truth", which=0):
        events = [self.answer(student, question, which) for student in students]
        for event in events:
            self.told.acknowledge(event)
        await self.services.merger.merge(events, by="message")
        return events

    async def erase(self, *students, services=None):
        services = services or self.services
        marks = [mark(services.receipt_key, student) for student in students]
        await services.tombstones.add(marks, now=services.now())
        return await services.erasing.erase(marks)

    async def grading(self):
        return await self.services.catalog.grading("exam")

    async def rebuilt(self, **options):
        return await self.services.history.rebuild(await self.grading(), **options)

    async def settled(self, *gone):
        for student in gone:
            self.told.forget(student)
        await check(self.store, self.told, [self.form], archive=MemoryArchive(self.kept))
        assert (await self.rebuilt()).identical

    def residues(self, student):
        """Where something of *student* is: paths of documents and names of objects."""
        needle = f"{CANARY}-{student}-".encode()
        name = f"'{student}'".encode()
        found = []
        for path, fields in self.store.dump().items():
            text = repr(fields).encode()
            body = fields.get("body")
            if isinstance(body, bytes) and body:
                try:
                    packed = zlib.decompress(body)
                except zlib.error:
                    packed = body
                text += packed + packed.replace(b'"', b"'")
            if needle in text or name in text or f'"{student}"'.encode() in text:
                found.append(path)
        return found + [name for name, content in self.kept.items() if needle in gzip.decompress(content)]

    async def aged(self):
        """A class with answers in the archive, in joined segments and in single ones."""
        await self.merged("ann", "bob")
        await self.merged("ann", question="one")
        await self.services.tidying.run()
        await self.services.tidying.run()
        await self.merged("ann", "cid", question="number")
        await self.merged("ann", question="one", which=1)
        await self.merged("bob", question="one", which=1)
        assert len(self.kept) == 1
        return self


@pytest.mark.parametrize("page_bytes", [400_000, 300])
@in_virtual_time
async def test_nothing_of_a_learner_is_left_and_everything_of_the_others(page_bytes):
    school = await (await School(page_bytes=page_bytes).open()).aged()
    await school.merged("dee", "eve", "fay", "gus")
    await school.merged("ann", "dee", "eve", "fay")
    grading = await school.grading()
    others = [await school.services.results.of(grading, each) for each in ("bob", "cid", "dee")]
    assert school.residues("ann")

    erased = await school.erase("ann")
    assert (erased.answers, erased.settled) == (5, False)
    assert [path for path in school.residues("ann") if "/shards/" not in path or "/segments/" in path] == []
    assert [await school.services.results.of(grading, each) for each in ("bob", "cid", "dee")] == others
    assert (await school.services.results.of(grading, "ann")).questions == ()
    await school.settled("ann")

    assert not (await school.erase("ann")).settled
    school.ahead = SETTLED_AFTER
    again = await school.erase("ann")
    assert (again.answers, again.settled) == (0, True)
    assert school.residues("ann") == []
    await school.settled("ann")
    [shown] = await school.store.get(["assignments/exam"])
    assert shown.fields["asOf"]["erased"] == 5
    assert shown.fields["asOf"]["events"] == len(school.told.acknowledged)


@in_virtual_time
async def test_without_anything_in_the_archive_one_pass_settles_it():
    school = await School().open()
    await school.merged("ann", "bob")
    await school.merged("ann", question="one")
    erased = await school.erase("ann")
    assert (erased.answers, erased.settled) == (2, True)
    assert school.residues("ann") == []
    await school.settled("ann")
    assert (await school.erase("ann")).answers == 0


@in_virtual_time
async def test_a_segment_of_nobody_else_stays_in_the_chain_and_is_empty():
    school = await School().open()
    await school.merged("bob")
    await school.merged("ann")
    await school.merged("bob", question="one")
    await school.erase("ann")
    documents = await school.store.scan("ledgers/exam/shards/0-0/segments")
    assert [part["count"] for each in documents for part in each.fields["parts"]] == [1, 0, 1, 0]
    assert [bool(part.get("kept")) for each in documents for part in each.fields["parts"]] == [
        False,
        True,
        False,
        False,
    ]
    for _ in range(2):  # joined, archived and dropped like any other
        await school.services.tidying.run()
    await school.settled("ann")
    assert school.residues("ann") == []


@in_virtual_time
async def test_several_are_erased_at_once_and_one_after_another():
    school = await (await School().open()).aged()
    assert (await school.erase("ann", "cid")).answers == 5
    assert (await school.erase("bob")).answers == 2
    school.ahead = 2 * SETTLED_AFTER
    assert (await school.erase("ann", "bob", "cid")).settled
    await school.settled("ann", "bob", "cid")
    assert [each for name in ("ann", "bob", "cid") for each in school.residues(name)] == []


@in_virtual_time
async def test_a_crowd_is_erased_a_hundred_at_a_time():
    school = await School().open()
    crowd = [f"learner-{number:03d}" for number in range(150)]
    await school.merged("bob", *crowd)
    assert (await school.erase(*crowd)).answers == 150
    documents = await school.store.scan("ledgers/exam/shards/0-0/segments")
    assert sum(bool(part.get("erased")) for each in documents for part in each.fields["parts"]) == 2
    await school.settled(*crowd)


@in_virtual_time
async def test_while_it_is_under_way_a_replay_and_the_past_are_those_of_the_end():
    school = await (await School().open()).aged()
    grading = await school.grading()
    state = await school.services.shards.load(grading, named("0-0"))
    ann = {"ann": mark(school.services.receipt_key, "ann")}
    await school.services.shards.erase(state, ann, now=school.services.now())
    # The answers are in the segments and in the archive as yet, and nobody counts them.
    old_objects = dict(school.kept)
    assert school.residues("ann")
    assert (await school.rebuilt()).identical
    assert (await school.rebuilt()).events == 3
    later = EPOCH + timedelta(days=1)
    assert (await school.services.history.as_of(grading, later)).answers == 3
    assert await school.services.history.as_of(grading, EPOCH - timedelta(days=1)) == (
        await school.process().history.as_of(grading, EPOCH - timedelta(days=1))
    )
    # So it is for whoever has read some segments before they were rewritten, and others after.
    before = [document async for document in school.services.shards.segments("exam", named("0-0"))]
    await school.erase("ann")
    after = [document async for document in school.services.shards.segments("exam", named("0-0"))]
    reading = school.process()

    async def some_of_each(_assignment_id, _shard):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield old if number % 2 else new

    reading.history._shards.segments = some_of_each
    reading.history._archive = MemoryArchive({**school.kept, **old_objects})
    assert (await reading.history.rebuild(grading)).identical
    # Whoever comes next sees to the rest.
    assert (await school.erase("ann")).answers == 0
    await school.settled("ann")
    assert (await school.services.history.as_of(grading, later)).answers == 3


@in_virtual_time
async def test_what_waits_or_was_set_aside_goes_and_that_of_others_stays():
    school = await School().open()
    waiting = {name: school.answer(name) for name in ("ann", "bob")}
    for name, event in waiting.items():
        fields = {"studentId": name, "answer": {"text": CANARY}}
        await school.store.commit(
            [
                Create(f"pendingAnswers/{event.event_id}", {"event": encode(event)}),
                Put(f"pendingAnswers/unreadable-{name}", {"event": f'{{"studentId":"{name}"'}),
                Put(f"browserAnswers/nonsense-{name}", fields),
                Put(f"rejectedAnswers/{event.event_id}", {"event": encode(event), "reason": "why"}),
                Put(
                    f"deadLetters/letter-{name}",
                    {"function": "f", "body": f'x"{name}"y'.encode(), "reason": "r"},
                ),
                Put(
                    f"deadLetters/list-{name}",
                    {"function": "f", "body": b"", "ids": [{"is": name}], "cut": True},
                ),
            ]
        )
    told = replace(waiting["bob"], answer=canonical({"text": "ann"}), submission_id="tells-of-her")
    await school.store.commit(
        [
            Create(f"pendingAnswers/{told.event_id}", {"event": encode(told)}),
            Create(f"rejectedAnswers/{told.event_id}", {"event": encode(told), "reason": "why"}),
            Put("browserAnswers/of-bob", {"studentId": "bob", "answer": {"text": "ann"}}),
        ]
    )
    bobs = [path for path in school.store.dump() if path.endswith("bob")]
    assert (await school.erase("ann")).answers == 6
    stored = school.store.dump()
    assert [path for path in stored if path.endswith("ann")] == []
    assert [path for path in stored if path.endswith("bob")] == bobs
    for event in (waiting["bob"], told):
        assert f"pendingAnswers/{event.event_id}" in stored
        assert f"rejectedAnswers/{event.event_id}" in stored
    assert "browserAnswers/of-bob" in stored
    assert f"pendingAnswers/{waiting['ann'].event_id}" not in stored
    assert f"rejectedAnswers/{waiting['ann'].event_id}" not in stored


@in_virtual_time
async def test_more_than_a_page_of_pending_answers_is_seen():
    school = await School().open()
    for number in range(450):
        event = school.answer("ann" if number % 2 else "bob")
        await school.store.commit([Create(f"pendingAnswers/{event.event_id}", {"event": encode(event)})])
    assert (await school.erase("ann")).answers == 225
    assert await school.store.count("pendingAnswers") == 225


@in_virtual_time
async def test_an_answer_that_comes_late_is_dropped_with_its_pending_document():
    school = await School().open()
    events = await school.merged("ann", "bob")
    await school.erase("ann")
    late = [school.answer("ann"), school.answer("bob"), *events]
    for event in late:
        await school.store.commit([Put(f"pendingAnswers/{event.event_id}", {"event": encode(event)})])
    school.told.acknowledge(late[1])
    key = school.services.receipt_key
    sealed = [
        doorbell.Sealed(encode(each), receipts.seal_of(receipts.issue(each, encode(each), key=key)))
        for each in late
    ]
    message = Message(doorbell.write(sealed), ordering_key="x")
    await merge_message(school.services, message)
    await school.settled("ann")
    assert await school.store.count("pendingAnswers") == 0
    assert await school.store.count("rejectedAnswers") == 0
    # So is one that no message brings.
    event = school.answer("ann")
    await school.store.commit([Create(f"pendingAnswers/{event.event_id}", {"event": encode(event)})])
    await school.services.sweep.run()
    assert await school.store.count("pendingAnswers") == 0
    await school.settled("ann")


@in_virtual_time
async def test_a_worker_that_does_not_know_yet_is_made_good_by_the_next_pass():
    school = await School().open()
    stale = school.process()
    await stale.tombstones.known()
    [first] = await school.merged("ann")
    await stale.merger.merge([school.answer("bob"), first], by="message")
    assert (await school.erase("ann")).answers == 1
    late = school.answer("ann")
    await stale.merger.merge([late, first], by="message")  # it has its own memory of the shard, too
    assert (await school.rebuilt()).events == 3
    assert (await school.erase("ann")).answers == 2
    assert school.residues("ann") == []
    assert (await school.rebuilt()).identical


@in_virtual_time
async def test_a_lost_race_is_run_again_from_the_shard_as_it_is_then():
    school = await School().open()
    await school.merged("ann", "bob")
    rival = school.process()

    async def another():
        event = school.answer("cid")
        school.told.acknowledge(event)
        await rival.merger.merge([event], by="message")

    async def tombstone_then_race():
        school.store.before = [another]

    school.store.before = [tombstone_then_race]
    assert (await school.erase("ann")).answers == 1
    await school.settled("ann")
    assert (await school.rebuilt()).events == 2


@in_virtual_time
async def test_who_always_loses_is_told_to_come_again():
    school = await School().open()
    await school.merged("ann", "bob")

    tries = []

    async def lost(_state, _learners, *, now):
        tries.append(now)
        message = "another was first"
        raise PreconditionLost(message)

    school.services.shards.erase = lost
    with pytest.raises(Unavailable, match="keeps changing"):
        await school.erase("ann")
    assert len(tries) == erasing._TRIES == 20
    del school.services.shards.erase
    assert (await school.erase("ann")).answers == 1
    await school.settled("ann")


@pytest.mark.parametrize("joined", [4, 200])
@in_virtual_time
async def test_segments_that_are_joined_behind_its_back_are_not_passed_over(monkeypatch, joined):
    monkeypatch.setattr(shards, "_SCAN", 1)
    monkeypatch.setattr(tidying, "_MOST_JOINED", joined)
    school = await School().open()
    for _ in range(4):
        await school.merged("bob")
        await school.merged("ann")
    school.services.archive = None
    real, calls = school.services.erasing._from_document, []

    async def tidied_after_the_first(assignment_id, document, learners):
        result = await real(assignment_id, document, learners)
        calls.append(document.path)
        if len(calls) == 1:
            other = school.process()
            other.archive = None
            await other.tidying.run()
        return result

    school.services.erasing._from_document = tidied_after_the_first
    await school.erase("ann")
    assert len(calls) > len(set(calls))  # it began again
    school.ahead = SETTLED_AFTER
    assert (await school.erase("ann")).settled
    assert school.residues("ann") == []
    await school.settled("ann")


@in_virtual_time
async def test_a_shard_that_splits_meanwhile_hands_on_what_is_left_to_do():
    school = await School().open()
    await school.merged("ann", "bob", "cid", "dee", "eve")
    grading = await school.grading()
    real = school.services.erasing._from_segments
    split = []

    async def split_first(assignment_id, state):
        if not split:
            split.append(state.shard)
            rival = await school.services.shards.load(grading, state.shard)
            children = await school.services.shards.split(rival, 2)
            assert sorted(len(each.erasing) for each in children) == [0, 0, 0, 1]
            assert sum(each.erased for each in children) == 1
        return await real(assignment_id, state)

    school.services.erasing._from_segments = split_first
    assert (await school.erase("ann")).answers == 1
    assert school.residues("ann") == []
    await school.settled("ann")
    heads = await school.services.shards.heads("exam")
    assert len(heads) == 4
    assert all(head.erasing == () for head in heads)


@in_virtual_time
async def test_an_object_that_was_on_its_way_is_known_by_its_document_and_removed_again():
    school = await School().open()
    await school.merged("ann")
    await school.merged("bob")
    archive = school.services.archive
    written = []

    async def cut_off(name, content):
        written.append((name, content))
        message = "cut off"
        raise Unavailable(message)

    real, archive.put = archive.put, cut_off
    with pytest.raises(Unavailable):
        await school.services.tidying.run()
    archive.put = real
    assert not (await school.erase("ann")).settled
    for name, content in written:  # only now does it get there
        await archive.put(name, content)
    assert school.residues("ann")
    school.ahead = SETTLED_AFTER
    assert (await school.erase("ann")).settled
    assert school.residues("ann") == []
    await school.settled("ann")
    for _ in range(2):
        await school.services.tidying.run()
    await school.settled("ann")
    assert len(school.kept) == 1


@in_virtual_time
async def test_who_was_moving_the_body_takes_back_what_it_moved():
    school = await School().open()
    await school.merged("ann")
    await school.merged("bob")
    mover, names = school.process(), []
    real = mover.archive.put

    async def erased_meanwhile(name, content):
        names.append(name)
        await school.erase("ann")
        await real(name, content)

    mover.archive.put = erased_meanwhile
    await mover.tidying.run()
    assert names
    assert not set(names) & school.kept.keys()
    school.ahead = SETTLED_AFTER
    await school.erase("ann")
    assert school.residues("ann") == []
    await school.settled("ann")


@in_virtual_time
async def test_what_was_not_theirs_is_left_as_it_was_written():
    school = await (await School().open()).aged()
    await school.services.tidying.run()  # the joined body has left the store for the archive
    [first, *_] = await school.store.scan("ledgers/exam/shards/0-0/segments")
    assert not first.fields["body"]
    before = first.fields["parts"]
    await school.erase("ann")
    [after] = await school.store.get([first.path])
    assert not after.fields["body"]
    assert after.fields["archive"].startswith("2026-11/exam/0-0/0000000001-")
    assert after.fields["archive"] != first.fields["archive"]
    counts = [part["count"] for part in after.fields["parts"]]
    assert sum(part["count"] for part in before) - sum(counts) == 2
    assert [part == old for part, old in zip(after.fields["parts"], before, strict=True)] == [
        part["count"] == old["count"] for part, old in zip(after.fields["parts"], before, strict=True)
    ]
    await school.merged("bob", "cid", question="one")
    await school.services.tidying.run()
    await school.settled("ann")


@in_virtual_time
async def test_two_who_erase_at_once_do_it_once():
    school = await (await School().open()).aged()
    found = await asyncio.gather(*(school.erase("ann", services=school.process()) for _ in range(3)))
    assert sum(each.answers for each in found) == 4
    school.ahead = SETTLED_AFTER
    assert (await school.erase("ann")).settled
    assert school.residues("ann") == []
    await school.settled("ann")


@in_virtual_time
async def test_an_altered_segment_is_noticed_also_where_somebody_was_erased():
    school = await School().open()
    await school.merged("ann", "bob")
    await school.erase("ann")
    [first, *_] = await school.store.scan("ledgers/exam/shards/0-0/segments")
    [text] = segments.decompress(first.fields["body"]).split(b"\n")
    forged = text.replace(b'"truth"', b'"one"')
    assert forged != text
    await school.store.commit([Put(first.path, {**first.fields, "body": segments.compress(forged)})])
    with pytest.raises(BrokenChain, match="altered"):
        await school.rebuilt()
    [part] = first.fields["parts"]
    lies = {**part, "content": "0" * 64}
    await school.store.commit([Put(first.path, {**first.fields, "parts": [lies]})])
    with pytest.raises(BrokenChain, match="altered"):
        await school.rebuilt()
    with pytest.raises(Wrong, match="chain"):
        await check(school.store, school.told, [school.form], archive=MemoryArchive(school.kept))


@in_virtual_time
async def test_an_assignment_in_which_they_never_were_is_not_written():
    school = await School().open()
    await school.merged("bob")
    before = school.store.dump()
    assert (await school.erase("ann")).answers == 0
    assert {
        path: fields for path, fields in school.store.dump().items() if "tombstones" not in path
    } == before


@in_virtual_time
async def test_an_empty_shard_has_nobody_to_erase():
    school = await School().open()
    state = await school.services.shards.load(await school.grading(), named("0-0"))
    with pytest.raises(ValueError, match="empty"):
        await school.services.shards.erase(state, {"ann": b"mark"}, now=EPOCH)
    await school.services.shards.erased(state)
    assert await school.store.get([head_path("exam", state.shard)]) == [None]


def test_an_id_is_found_in_whatever_a_dead_letter_holds():
    fields = {"a": [b'{"b":"ann@x"}', {"c": "dee"}], "ann:|+": 7, "n": None}
    tokens = set(erasing._TOKEN.findall(erasing._text(fields)))
    assert {b"ann@x", b"dee", b"ann:|+"} <= tokens
