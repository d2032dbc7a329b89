"""
Keeps queued evaluations and batches, each change on condition that nobody else made one.

A change of many is one commit: an item is in a batch exactly if the batch has it, and a batch is settled
exactly if all its items have gone or are back. So of two workers one wins, and knows it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.batching.items import (
    CLAIM,
    MOST_IN_QUEUE,
    MOST_OF_LEARNER,
    MOST_OPEN,
    Batch,
    BatchState,
    Item,
    ItemState,
)
from shared.documents.base import Create, Delete, Document, Documents, Find, Replace, Write, Written
from shared.errors import Conflict, PreconditionLost, TooManyRequests, Unavailable

QUEUED_EVALUATIONS = "queuedEvaluations"
EVALUATION_BATCHES = "evaluationBatches"

_MOST_GIVEN_UP = 50
_TOMORROW_SECONDS = 86_400


class EvaluationQueue:
    """The queue and its batches, in the document store."""

    def __init__(self, documents: Documents) -> None:
        """Keep them in *documents*."""
        self._documents = documents

    async def room(self, assignment_id: str) -> int:
        """How many more items the queue takes of an assignment; a read."""
        there = await self._documents.count(QUEUED_EVALUATIONS, where={"assignmentId": assignment_id})
        return max(MOST_IN_QUEUE - there, 0)

    async def add_one(self, item: Item) -> None:
        """
        Queue what a learner asked for; that it is queued already is as good.

        Raises:
            TooManyRequests: there is no room for more of this learner's, or of this assignment's.
        """
        mine = await self._documents.count(QUEUED_EVALUATIONS, where={"learnerId": item.learner_id})
        if mine >= MOST_OF_LEARNER or not await self.room(item.assignment_id):
            if (await self.items([item.evaluation_id]))[0] is not None:
                return
            message = "the queue of evaluations is full"
            raise TooManyRequests(message, retry_after_seconds=_TOMORROW_SECONDS)
        await self.add([item])

    async def add(self, items: Sequence[Item]) -> int:
        """
        Queue *items*, 200 at most, and return how many of them were not waiting already.

        What was given up begins anew.
        """
        if not items:
            return 0
        written = await self._documents.create_each([_create(each) for each in items])
        added = sum(each is Written.DONE for each in written)
        there = [each for each, done in zip(items, written, strict=True) if done is Written.EXISTS]
        for known, wanted in zip(
            await self.items([each.evaluation_id for each in there]), there, strict=True
        ):
            if known is not None and known.state is ItemState.GIVEN_UP:
                added += await self.change(known.afresh(wanted.queued_at))
        return added

    async def items(self, evaluation_ids: Sequence[str]) -> list[Item | None]:
        """Items by id, in the order asked."""
        found = await self._documents.get([_path(each) for each in evaluation_ids])
        return [_item(each) if each is not None else None for each in found]

    async def due(self, now: datetime, *, limit: int) -> list[Item]:
        """The items that may be asked for, those that wait longest first."""
        query = Find(QUEUED_EVALUATIONS, where={"state": "queued"}, order=("dueAt",), limit=limit)
        return [item for each in await self._documents.find(query) if (item := _item(each)).due_at <= now]

    async def counts(self, assignment_id: str, question_id: str) -> dict[ItemState, int]:
        """How many items a question has in each state; a read for each."""
        about = {"assignmentId": assignment_id, "questionId": question_id}
        return {
            state: await self._documents.count(QUEUED_EVALUATIONS, where={**about, "state": state.value})
            for state in ItemState
        }

    async def given_up(self, assignment_id: str, question_id: str) -> list[Item]:
        """The items of a question that were given up, 50 at most."""
        about = {"assignmentId": assignment_id, "questionId": question_id, "state": "givenUp"}
        found = await self._documents.find(Find(QUEUED_EVALUATIONS, where=about, limit=_MOST_GIVEN_UP))
        return [_item(each) for each in found]

    async def change(self, item: Item) -> bool:
        """Write *item* in the place of what was read; False if somebody else was faster."""
        try:
            await self._documents.commit([_replace(item)])
        except PreconditionLost:
            return False
        return True

    async def claim(self, item: Item, now: datetime) -> Item | None:
        """
        *item*, for the next quarter of an hour this worker's own to evaluate; None if it is another's.

        The attempt counts from now, so that one that no worker survives is given up in the end.
        """
        mine = replace(item, due_at=now + CLAIM, attempts=item.attempts + 1)
        try:
            [version] = await self._documents.commit([_replace(mine)])
        except PreconditionLost:
            return None
        return replace(mine, version=version)

    async def remove(self, evaluation_ids: Sequence[str]) -> None:
        """Take out what has its evaluation."""
        if evaluation_ids:
            await self._documents.delete_each([_path(each) for each in evaluation_ids])

    async def open_batches(self) -> list[Batch]:
        """The batches that are not settled."""
        # As many as may be, and some that two workers began at once.
        query = Find(EVALUATION_BATCHES, where={"open": True}, limit=2 * MOST_OPEN)
        return [_batch(each) for each in await self._documents.find(query)]

    async def batch(self, batch_id: str) -> Batch | None:
        """A batch by its id."""
        [found] = await self._documents.get([f"{EVALUATION_BATCHES}/{batch_id}"])
        return _batch(found) if found is not None else None

    async def begin(self, batch: Batch, items: Sequence[Item]) -> Batch | None:
        """
        Put *batch* on record, with its *items* in it; None if one of them is another's by now.

        Raises:
            Unavailable: whether it is on record is not known.
        """
        path = f"{EVALUATION_BATCHES}/{batch.batch_id}"
        try:
            versions = await self._documents.commit(
                [Create(path, batch.fields()), *(_replace(each) for each in items)]
            )
        except (Conflict, PreconditionLost):
            return None
        return replace(batch, version=versions[0])

    async def go_on(self, batch: Batch) -> Batch | None:
        """*batch* as it is now on record; None if somebody else was faster."""
        try:
            [version] = await self._documents.commit(
                [Replace(f"{EVALUATION_BATCHES}/{batch.batch_id}", batch.fields(), batch.version)]
            )
        except PreconditionLost:
            return None
        return replace(batch, version=version)

    async def settle(self, batch: Batch, gone: Sequence[Item], back: Sequence[Item]) -> bool:
        """
        End *batch*: what is *gone* has its evaluation, the others are *back*. False: another ended it.

        What is said stays said: if the reply is lost, the record tells who settled it.

        Raises:
            PreconditionLost: an item has changed meanwhile; read them again.
            Unavailable: whether this worker settled it is not known.
        """
        settled = replace(batch, state=BatchState.SETTLED)
        writes: list[Write] = [
            Replace(f"{EVALUATION_BATCHES}/{batch.batch_id}", settled.fields(), batch.version),
            *(Delete(_path(each.evaluation_id), each.version) for each in gone),
            *(_replace(each) for each in back),
        ]
        try:
            await self._documents.commit(writes)
        except Unavailable:
            known = await self.batch(batch.batch_id)
            if known is None or known.state is not BatchState.SETTLED:
                raise
            return known.settled_by == batch.settled_by
        return True


def _path(evaluation_id: str) -> str:
    return f"{QUEUED_EVALUATIONS}/{evaluation_id}"


def _create(item: Item) -> Create:
    return Create(_path(item.evaluation_id), item.fields())


def _replace(item: Item) -> Replace:
    return Replace(_path(item.evaluation_id), item.fields(), item.version)


def _item(document: Document) -> Item:
    return Item.of(document.fields, name=document.id, version=document.version)


def _batch(document: Document) -> Batch:
    return Batch.of(document.fields, name=document.id, version=document.version)
