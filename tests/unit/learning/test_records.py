"""Events, receipts, segments and shards: what is written is what is read, and nothing else passes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.learning import receipts, segments
from shared.learning.answers import (
    AnswerSubmitted,
    canonical,
    decode,
    encode,
    event_id,
    from_text,
    microseconds,
    moment,
    payload_digest,
    to_text,
)
from shared.learning.sharding import WHOLE, at, named, position
from shared.ledger.archive import export, restore

ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
answers = st.one_of(
    st.builds(lambda value: {"text": value}, texts),
    st.builds(lambda value: {"number": value}, st.integers(-(2**53), 2**53)),
    st.builds(lambda value: {"number": value}, st.floats(-1e300, 1e300)),
    st.builds(lambda value: {"optionIds": value}, st.lists(ids)),
)
events = st.builds(
    AnswerSubmitted,
    st.just("a1"),
    ids,
    ids,
    ids,
    answers.map(canonical),
    st.integers(0, 4_000_000_000_000_000),
    st.sampled_from(["function", "browser", "ingest"]),
)
KEY = b"k" * 32


@given(events)
def test_an_event_is_read_back_from_its_one_text(event):
    text = encode(event)
    assert decode(text) == event
    assert encode(decode(text)) == text


def test_an_event_id_is_what_browsers_and_rules_compute():
    expected = hashlib.sha256(b"lectern.answer.v1\nassignment\nstudent\nquestion\nsubmission").hexdigest()
    assert event_id("assignment", "student", "question", "submission") == expected


@given(st.lists(ids, min_size=4, max_size=4), st.lists(ids, min_size=4, max_size=4))
def test_different_submissions_have_different_ids(one, other):
    assert (event_id(*one) == event_id(*other)) == (one == other)


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_keep_every_microsecond(micros):
    assert from_text(to_text(micros)) == micros
    assert microseconds(moment(micros)) == micros


@given(events, st.data())
def test_a_receipt_vouches_for_exactly_one_event(event, data):
    text = encode(event)
    receipt = receipts.issue(event, text, key=KEY)
    found = receipts.read(receipt, key=KEY)
    assert found.event_id == event.event_id
    assert found.digest == hashlib.sha256(text.encode()).hexdigest()
    assert found.submitted_at == event.submitted_at
    place = data.draw(st.integers(0, len(receipt) - 1))
    replacement = data.draw(st.sampled_from("0aZ.-_"))
    altered = receipt[:place] + replacement + receipt[place + 1 :]
    if altered != receipt:
        with pytest.raises(InvalidRequest):
            receipts.read(altered, key=KEY)
    with pytest.raises(InvalidRequest):
        receipts.read(receipt, key=b"another key, of another deployment")


@pytest.mark.parametrize("text", ["", "v1", "a.b.c.d.e", "v1.x.y.z.", "." * 9, "é.é.é.é.é"])
def test_what_is_no_receipt_is_refused(text):
    with pytest.raises(InvalidRequest):
        receipts.read(text, key=KEY)


@given(st.lists(events, min_size=1, max_size=30, unique_by=lambda each: each.event_id), st.randoms())
def test_a_segment_is_the_same_bytes_whatever_the_order(batch, chance):
    packed = segments.pack("a1", segments.ordered(batch))
    chance.shuffle(batch)
    assert segments.pack("a1", segments.ordered(batch)) == packed
    assert segments.unpack(segments.decompress(segments.compress(packed))) == segments.ordered(batch)
    assert b"\n" not in packed


@given(st.lists(st.lists(events, min_size=1, max_size=5), min_size=1, max_size=5))
def test_an_archived_object_restores_the_packed_texts(batches):
    packed = [segments.pack("a1", segments.ordered(batch)) for batch in batches]
    content = export(packed)
    assert content == export(packed)
    assert restore(content, [{"count": len(batch)} for batch in batches], assignment_id="a1") == b"\n".join(
        packed
    )


def test_a_chain_tells_every_change():
    first = segments.chain(segments.GENESIS, b"one")
    assert segments.chain(first, b"two") != segments.chain(first, b"too")
    assert segments.chain(first, b"two") != segments.chain(segments.GENESIS, b"two")


@given(ids, st.integers(0, 8), st.integers(1, 4))
def test_exactly_one_part_of_a_split_holds_a_learner(student, bits, by_bits):
    place = position(student)
    shard = at(place, bits)
    assert shard.holds(place)
    holders = [part for part in shard.split(by_bits) if part.holds(place)]
    assert holders == [shard.child(place, by_bits)]
    assert named(shard.name) == shard
    assert WHOLE.holds(place)


@given(events)
def test_the_payload_digest_ignores_when_and_by_which_door(event):
    other = AnswerSubmitted(
        event.assignment_id,
        event.question_id,
        event.student_id,
        event.submission_id,
        event.answer,
        event.submitted_at + 1,
        "ingest",
    )
    assert payload_digest(other) == payload_digest(event)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"type":"other"}', "\x00"])
def test_what_is_no_event_is_refused(text):
    with pytest.raises(InvalidRequest):
        decode(text)
