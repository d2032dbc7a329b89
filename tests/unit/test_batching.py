"""The queue of evaluations by itself: its bounds, what items go through, what a batch's replies cost."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.batching import items as rules
from shared.batching.items import Batch, BatchState, Item, ItemState, Reason, charge_id
from shared.batching.outcomes import Replies, cost, costs
from shared.batching.queue import EVALUATION_BATCHES, QUEUED_EVALUATIONS, EvaluationQueue
from shared.budgets.base import Payer
from shared.budgets.prices import BATCH_PERCENT, PriceTable, Usage
from shared.documents.expiring import EXPIRING, remove_expired
from shared.documents.memory import MemoryDocuments
from shared.errors import PreconditionLost, TooManyRequests
from shared.gateway.batches import Line

NOW = datetime(2026, 11, 12, 7, tzinfo=UTC)
PRICES = PriceTable({"model": (1_000, 100, 5_000)})
USED = {"prompt_tokens": 100, "completion_tokens": 10}
NANOS = PRICES.in_batch(PRICES.actual("model", Usage(100, 10)))


def item(number=0, **fields):
    given = {
        "evaluation_id": f"{number:064x}",
        "assignment_id": "assignment",
        "course_id": "course",
        "question_id": "question",
        "event_id": "e" * 64,
        "learner_id": f"learner-{number}",
        "submitted_at_micros": 5,
        "queued_at": NOW,
        "due_at": NOW,
        "expires_at": NOW + rules.KEPT,
    }
    return Item(**{**given, **fields})


def batch(*of, **fields):
    given = {
        "batch_id": "batch",
        "model": "model",
        "items": tuple(each.evaluation_id for each in of),
        "created_at": NOW,
        "expires_at": NOW + rules.KEPT,
    }
    return Batch(**{**given, **fields})


@pytest.fixture
def queue():
    return EvaluationQueue(MemoryDocuments())


async def read(queue, number=0):
    [found] = await queue.items([item(number).evaluation_id])
    return found


class TestPrices:
    def test_a_batch_costs_half_rounded_up(self):
        assert BATCH_PERCENT == 50
        assert [PRICES.in_batch(nanos) for nanos in (0, 1, 2, 3, 1_001)] == [0, 1, 1, 2, 501]

    def test_another_provider_has_another_part(self):
        assert PriceTable(batch_percent=100).in_batch(7) == 7
        assert PriceTable(batch_percent=25).in_batch(8) == 2


class TestCost:
    CHARGE = replace(item(), batch_id="batch", charged_at=NOW, nanos=10**6).charge("batch", "model")

    def of(self, *lines, name="a"):
        return cost(Replies.of(lines), self.CHARGE, name, PRICES)

    def answered(self, usage, name="a"):
        return Line(name, 200, json.dumps({"usage": usage, "choices": []}).encode())

    def test_what_was_answered_costs_what_it_used(self):
        assert self.of(self.answered(USED), Line("b", 0, b"")) == (NANOS, Usage(100, 10))

    def test_what_was_refused_or_never_sent_costs_nothing(self):
        for status in (0, 400, 429, 500):
            assert self.of(Line("a", status, b"null")) == (0, None)

    def test_what_nobody_knows_costs_its_worst(self):
        assert self.of() == (10**6, Usage())
        assert self.of(self.answered(USED, name="b")) == (10**6, Usage())
        assert self.of(Line("a", 200, b"null")) == (10**6, Usage())
        assert self.of(self.answered({"prompt_tokens": -1})) == (10**6, Usage())

    def test_what_came_twice_was_billed_twice(self):
        twice = self.of(self.answered(USED), self.answered(USED))
        assert twice == (2 * NANOS, Usage(200, 20))
        assert self.of(Line("a", 500, b"null"), self.answered(USED)) == (NANOS, Usage(100, 10))

    def test_a_model_that_has_no_price_any_more_costs_its_worst(self):
        gone = self.CHARGE._replace(model="gone")
        assert cost(Replies.of([self.answered(USED)]), gone, "a", PRICES)[0] == 10**6


class TestCosts:
    ONE = replace(item(1), batch_id="batch", charged_at=NOW, nanos=10**6)
    TWO = replace(item(2), batch_id="batch", charged_at=NOW, nanos=10**6)

    def of(self, used, *lines, of=(ONE, TWO)):
        charges = {each.evaluation_id: each.charge("batch", "model") for each in of}
        found = costs(Replies.of(lines, used), charges, PRICES)
        return [found[each.evaluation_id] for each in of]

    def lines(self):
        body = json.dumps({"usage": USED}).encode()
        return Line(self.ONE.evaluation_id, 200, body), Line(self.TWO.evaluation_id, 400, b"null")

    def test_each_costs_what_it_used_where_the_provider_says_the_same_or_nothing(self):
        assert self.of(None, *self.lines()) == [(NANOS, Usage(100, 10)), (0, None)]
        assert self.of(Usage(100, 10), *self.lines()) == [(NANOS, Usage(100, 10)), (0, None)]
        assert self.of(Usage(1, 1), *self.lines()) == [(NANOS, Usage(100, 10)), (0, None)]

    def test_what_the_provider_bills_beyond_its_replies_is_borne_by_all(self):
        told = PRICES.in_batch(PRICES.actual("model", Usage(201, 10)))
        one, two = self.of(Usage(201, 10), *self.lines())
        assert told <= one[0] + two[0] <= told + 1
        assert (one[0] - NANOS, two[1]) == (two[0], Usage())

    def test_what_nobody_knows_is_at_its_worst_already(self):
        only = self.lines()[:1]
        assert self.of(Usage(300, 10), *only) == [(NANOS, Usage(100, 10)), (10**6, Usage())]

    def test_what_was_used_for_a_learner_who_was_forgotten_is_not_the_others_to_bear(self):
        body = json.dumps({"usage": USED}).encode()
        both = (Line(self.ONE.evaluation_id, 200, body), Line(self.TWO.evaluation_id, 200, body))
        assert self.of(Usage(200, 20), *both, of=(self.ONE,)) == [(NANOS, Usage(100, 10))]
        assert self.of(Usage(200, 20), *both, of=()) == []


class TestItems:
    def test_what_is_stored_is_what_was_meant(self):
        one = item(attempts=2, reason="failed", batch_id="b", class_id="c.7b", nanos=5, charged_at=NOW)
        assert Item.of(one.fields(), name=one.evaluation_id, version=(0, 0)) == one
        made = batch(one, state=BatchState.BEGINNING, file_id="file-1", claimed_until=NOW, tries=3)
        assert Batch.of(made.fields(), name="batch", version=(1, 1)) == made
        assert made.fields()["open"]
        assert not replace(made, state=BatchState.SETTLED).fields()["open"]

    def test_it_comes_back_later_each_time_and_is_given_up_the_third(self):
        one, waits = item(), []
        for _ in range(3):
            one = one.counted().back(Reason.FAILED, NOW)
            waits.append((one.state, one.due_at - NOW))
        assert waits[:2] == [("queued", timedelta(hours=1)), ("queued", timedelta(hours=4))]
        assert waits[2][0] is ItemState.GIVEN_UP
        assert (one.afresh(NOW).attempts, one.afresh(NOW).state) == (0, ItemState.QUEUED)

    def test_what_counts_as_no_attempt_comes_back_at_once(self):
        back = item(batch_id="b").back(Reason.FAILED, NOW)
        assert (back.state, back.due_at, back.attempts, back.batch_id) == (ItemState.QUEUED, NOW, 0, "")

    def test_a_refusal_is_looked_at_again_within_an_hour(self):
        assert item().refused(90_000, NOW).due_at == NOW + timedelta(hours=1)
        assert item().refused(60, NOW).due_at == NOW + timedelta(minutes=1)

    def test_it_is_charged_as_a_part_of_its_batch_and_of_no_other(self):
        one = item(batch_id="batch", class_id="course.7b", nanos=7, charged_at=NOW)
        charge = one.charge("batch", "model")
        assert charge.payer == Payer("learner-0", "course", class_id="course.7b")
        assert (charge.nanos, charge.at, charge.id) == (7, NOW, charge_id("batch", one.evaluation_id))
        assert one.charge("other", "model") is None
        assert item().charge("", "model") is None


class TestQueue:
    async def test_the_same_twice_is_queued_once_and_what_was_given_up_begins_anew(self, queue):
        assert await queue.add([item(1), item(2)]) == 2
        assert await queue.add([item(1), item(2), item(3)]) == 1
        await queue.change((await read(queue, 1)).given_up(Reason.CHANGED))
        assert await queue.add([item(1, queued_at=NOW + timedelta(days=1))]) == 1
        again = await read(queue, 1)
        assert (again.state, again.queued_at) == (ItemState.QUEUED, NOW + timedelta(days=1))
        assert await queue.add([]) == 0

    async def test_those_that_wait_longest_come_first_and_those_that_are_not_due_never(self, queue):
        later = [item(n, due_at=NOW + timedelta(minutes=5 - n)) for n in range(10)]
        await queue.add(later)
        due = await queue.due(NOW, limit=3)
        assert [each.evaluation_id for each in due] == [item(n).evaluation_id for n in (9, 8, 7)]
        assert len(await queue.due(NOW, limit=100)) == 5

    async def test_an_assignment_and_a_learner_have_only_so_much_room(self, queue, monkeypatch):
        monkeypatch.setattr("shared.batching.queue.MOST_IN_QUEUE", 3)
        monkeypatch.setattr("shared.batching.queue.MOST_OF_LEARNER", 2)
        for number in range(2):
            await queue.add_one(item(number, learner_id="ann"))
        with pytest.raises(TooManyRequests):
            await queue.add_one(item(2, learner_id="ann"))
        await queue.add_one(item(1, learner_id="ann"))  # it is there already
        assert await queue.room("assignment") == 1
        await queue.add_one(item(3))
        with pytest.raises(TooManyRequests):
            await queue.add_one(item(4))
        await queue.add_one(item(4, assignment_id="other"))
        assert (await queue.room("assignment"), await queue.room("other")) == (0, 2)

    async def test_of_two_who_claim_one_does(self, queue):
        await queue.add([item()])
        one = await read(queue)
        claimed = await queue.claim(one, NOW)
        assert (claimed.attempts, claimed.due_at) == (1, NOW + rules.CLAIM)
        assert await queue.claim(one, NOW) is None
        assert await queue.change(claimed.back(Reason.FAILED, NOW))

    async def test_an_item_is_in_one_batch(self, queue):
        await queue.add([item(0), item(1)])
        first, second = await queue.items([item(0).evaluation_id, item(1).evaluation_id])
        mine = [replace(each, state=ItemState.BATCHED, batch_id="batch") for each in (first, second)]
        assert await queue.begin(batch(*mine), mine) is not None
        assert await queue.begin(batch(second, batch_id="other"), [replace(second, batch_id="other")]) is None
        assert await queue.batch("other") is None
        assert [each.batch_id for each in await queue.open_batches()] == ["batch"]
        assert await queue.due(NOW, limit=10) == []

    async def test_a_batch_is_settled_by_one_and_all_of_it(self, queue):
        await queue.add([item(0), item(1)])
        mine = [
            replace(each, state=ItemState.BATCHED, batch_id="batch")
            for each in await queue.items([item(0).evaluation_id, item(1).evaluation_id])
        ]
        begun = await queue.begin(batch(*mine), mine)
        gone, stays = await queue.items(begun.items)
        back = stays.counted().back(Reason.FAILED, NOW)
        assert await queue.settle(replace(begun, settled_by="me"), [gone], [back])
        assert not await queue.settle(replace(begun, settled_by="you"), [gone], [back])
        assert await queue.settle(replace(begun, settled_by="me"), [gone], [back]), "its reply may be lost"
        assert await read(queue, 0) is None
        assert (await read(queue, 1)).attempts == 1
        assert await queue.open_batches() == []

    async def test_an_item_that_changed_meanwhile_keeps_its_batch_open(self, queue):
        await queue.add([item()])
        mine = [replace(await read(queue), state=ItemState.BATCHED, batch_id="batch")]
        begun = await queue.begin(batch(*mine), mine)
        now = await read(queue)
        await queue.remove([now.evaluation_id])  # its learner was forgotten
        with pytest.raises(PreconditionLost):
            await queue.settle(replace(begun, settled_by="me"), [now], [])
        assert await queue.settle(replace(begun, settled_by="me"), [], [])

    async def test_all_of_it_expires(self, queue):
        await queue.add([item()])
        mine = [replace(await read(queue), batch_id="batch")]
        await queue.begin(batch(*mine), mine)
        assert {QUEUED_EVALUATIONS, EVALUATION_BATCHES} <= set(EXPIRING)
        later = NOW + rules.KEPT + timedelta(seconds=1)
        documents = queue._documents
        assert [await remove_expired(documents, each, later) for each in EXPIRING].count(1) == 2
        assert documents.dump() == {}
