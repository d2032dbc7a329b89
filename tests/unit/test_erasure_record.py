"""How an erasure goes on, exactly: passes, rounds, what was cut off, and what its receipt vouches for."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents.base import Document
from shared.erasures import receipts
from shared.erasures.base import State
from shared.erasures.receipts import Erased
from shared.erasures.record import ACTING, QUIET, Erasure
from shared.errors import InvalidRequest

KEY, OTHER = b"k" * 32, b"o" * 32
BEGUN = datetime(2026, 11, 28, 9, tzinfo=UTC)
LATER = BEGUN + timedelta(hours=3)
NEW = Erasure("ab" * 16, "ann", BEGUN)


def test_it_is_stored_and_read_back_whole():
    for each in (
        NEW,
        NEW.about_to_act(LATER),
        NEW.met({"members": 2}, place="users", after="x"),
        NEW.passed(LATER, key=KEY),
        NEW.next_pass().passed(LATER, key=KEY).closed(),
    ):
        assert Erasure.of(Document(each.path, each.stored(), (1, 0))) == each
    assert NEW.path == f"erasures/{'ab' * 16}"


def test_steps_add_up_by_collection_and_count_what_the_pass_has_found():
    once = NEW.met({"members": 2}, place="members", after="c7")
    twice = once.met({"members": 1, "decided": 4}, place="users/evaluations", after=None)
    assert twice.counts == {"members": 3, "decided": 4}
    assert (once.found, twice.found) == (2, 7)
    assert (once.place, once.after) == ("members", "c7")
    assert (twice.place, twice.after) == ("users/evaluations", None)
    assert NEW.met({}, place="x", after=None).found == 0
    assert NEW.met({}, place="x", after=None, settled=False).found == 1
    assert NEW.counts == {}


def test_a_first_pass_waits_and_a_later_one_that_found_nothing_closes():
    first = NEW.passed(LATER, key=KEY)
    assert (first.state, first.resume_at) == (State.WAITING, LATER + QUIET)
    second = first.next_pass()
    assert (second.state, second.passes, second.found, second.resume_at) == (State.ERASING, 2, 0, None)
    assert second.passed(LATER, key=KEY).state is State.CLOSING
    assert second.met({"members": 1}, place="", after=None).passed(LATER, key=KEY).state is State.WAITING
    assert second.met({}, place="", after=None, settled=False).passed(LATER, key=KEY).state is State.WAITING
    assert timedelta(minutes=10) < QUIET
    assert timedelta(hours=1) < QUIET  # the life of an ID token


def test_another_pass_begins_at_the_first_place_with_what_was_counted():
    at = NEW.met({"members": 1}, place="pilots", after="p").passed(LATER, key=KEY).next_pass()
    assert (at.place, at.after, at.counts, at.found) == ("", None, {"members": 1}, 0)


def test_who_is_cut_off_while_a_place_acts_makes_the_pass_count_as_if_it_had_found_something():
    acting = NEW.next_pass().about_to_act(LATER)
    assert (acting.acting_until, acting.found) == (LATER + ACTING, 0)
    assert acting.met({}, place="x", after=None).acting_until is None
    again = acting.about_to_act(LATER + ACTING)
    assert (again.acting_until, again.found) == (LATER + ACTING * 2, 1)
    failed = acting.cut_off()
    assert (failed.acting_until, failed.found) == (None, 1)
    assert failed.passed(LATER, key=KEY).state is State.WAITING
    assert timedelta(seconds=540) < ACTING  # the longest deadline of a function


def test_a_closed_erasure_has_no_uid_and_a_receipt_for_what_it_was():
    closing = NEW.met({"members": 1}, place="", after=None).passed(BEGUN, key=KEY).next_pass()
    closed = closing.passed(LATER, key=KEY).closed()
    assert (closed.state, closed.learner_id, closed.closed_at) == (State.CLOSED, None, LATER)
    assert "ann" not in str(closed.stored())
    assert receipts.read(closed.receipt, key=KEY) == Erased(
        erasure_id="ab" * 16, round=1, requested_at=BEGUN, closed_at=LATER, passes=2, counts={"members": 1}
    )
    again = closed.again("ann", LATER)
    assert again == Erasure("ab" * 16, "ann", LATER, round=2)
    assert again.next_pass().passed(LATER, key=KEY).receipt != closed.receipt


def test_a_receipt_of_another_key_or_with_another_word_is_none_of_ours():
    receipt = NEW.next_pass().passed(LATER, key=KEY).receipt
    head, claims, mac = receipt.split(".")
    forged = base64.urlsafe_b64encode(b'{"erasureId": "' + b"cd" * 16 + b'"}').decode().rstrip("=")
    for altered in (
        f"{head}.{forged}.{mac}",
        f"v2.{claims}.{mac}",
        f"{claims}.{mac}",
        f"{receipt}A",
        receipt[:-1],
        mac,
        "",
        "..",
        "é.é.é",
    ):
        with pytest.raises(InvalidRequest):
            receipts.read(altered, key=KEY)
    with pytest.raises(InvalidRequest):
        receipts.read(receipt, key=OTHER)
    assert receipts.read(receipt, key=KEY).passes == 2
