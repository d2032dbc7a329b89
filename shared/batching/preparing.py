"""Makes queued evaluations into requests as ``evaluate_answer`` sends them, and replies into evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.batching.items import Item, Reason
from shared.budgets.base import Payer
from shared.budgets.prices import PriceTable
from shared.catalog.catalog import Asked, Catalog
from shared.catalog.payers import payer_for
from shared.errors import InvalidRequest, NotFound
from shared.gateway.base import Ask, Reply
from shared.gateway.gateway import Gateway
from shared.learning.answers import microseconds, to_text
from shared.learning.attempts import Attempt
from shared.ledger.recorded import RecordedAnswers
from shared.tutoring import evaluating
from shared.tutoring.chatting import may_be_told
from shared.tutoring.evaluating import About, Evaluation, Task
from shared.tutoring.records import TutoringRecords

ANSWER_SECONDS = 20
"""The most that one answer may take where it is asked for by itself."""


class Prepared(NamedTuple):
    """One queued evaluation, ready to be asked for: the request's *body*, and the most that it can cost."""

    item: Item
    at: Asked
    task: Task
    attempts: tuple[Attempt, ...]
    ask: Ask
    payer: Payer
    model: str
    body: bytes
    worst_nanos: int

    def concluded(self, reply: Reply, now: datetime) -> Evaluation:
        """
        What *reply* comes to, by the rules of ``evaluate_answer``.

        Raises:
            Unusable: it is no evaluation.
        """
        item = self.item
        return evaluating.concluded(
            self.task,
            reply,
            about=About(item.event_id, item.assignment_id, item.course_id, item.learner_id),
            told=may_be_told(self.attempts, self.at.assignment.policy),
            evaluated_at=to_text(microseconds(now)),
        )


@dataclass(frozen=True, slots=True)
class Preparation:
    """What became of items: *ready*, *evaluated* by now, or *lost*, and why."""

    ready: list[Prepared] = field(default_factory=list)
    evaluated: list[Item] = field(default_factory=list)
    lost: list[tuple[Item, Reason]] = field(default_factory=list)


class Preparing:
    """Reads what a queued evaluation is about."""

    def __init__(
        self,
        catalog: Catalog,
        recorded: RecordedAnswers,
        records: TutoringRecords,
        gateway: Gateway,
        prices: PriceTable,
    ) -> None:
        """Find questions in *catalog*, answers in *recorded*, contexts and evaluations in *records*."""
        self._catalog = catalog
        self._recorded = recorded
        self._records = records
        self._gateway = gateway
        self._prices = prices

    async def prepare(self, items: Sequence[Item], *, paid: bool = False) -> Preparation:
        """
        Make *items* ready; each question's answers are read together.

        What is *paid* already has no request, payer or price: only its reply is to be read.

        Raises:
            NotAllowed: nobody knows the price of the model.
        """
        done = Preparation()
        groups: dict[tuple[str, str], list[Item]] = {}
        for item in items:
            groups.setdefault((item.assignment_id, item.question_id), []).append(item)
        for (assignment_id, question_id), group in groups.items():
            try:
                at = await self._asked(assignment_id, question_id)
            except (NotFound, InvalidRequest):
                done.lost.extend((item, Reason.NOT_ON_RECORD) for item in group)
            else:
                await self._prepare(at, group, done, paid=paid)
        return done

    async def _asked(self, assignment_id: str, question_id: str) -> Asked:
        assignment = await self._catalog.unscoped_assignment(assignment_id)
        grading = await self._catalog.grading(assignment_id)
        return Asked(assignment, assignment.question(question_id), grading)

    async def _prepare(self, at: Asked, items: Sequence[Item], done: Preparation, *, paid: bool) -> None:
        places = [item.place for item in items]
        standings = await self._recorded.standings(at.grading, at.question.question_id, places)
        known = await self._records.known_of({item.evaluation_id: item.learner_id for item in items})
        rubric = evaluating.rubric_of(at.key)
        for item, standing in zip(items, standings, strict=True):
            evaluation, context = known[item.evaluation_id]
            if evaluation is not None:
                done.evaluated.append(item)
            elif standing.event is None:
                done.lost.append((item, Reason.NOT_ON_RECORD))
            elif evaluating.evaluation_id(item.event_id, rubric) != item.evaluation_id:
                done.lost.append((item, Reason.CHANGED))
            else:
                task = Task(at.question, at.key, evaluating.written(standing.event, at.question), context)
                ask = evaluating.ask(task, item.learner_id, deadline_seconds=ANSWER_SECONDS, one_model=True)
                cost = _PAID if paid else await self._cost(item, ask)
                done.ready.append(Prepared(item, at, task, standing.attempts, ask, *cost))

    async def _cost(self, item: Item, ask: Ask) -> "_Cost":
        quote = self._gateway.quote(ask)
        worst = self._prices.worst(quote.model, len(quote.body), ask.max_tokens)
        payer = await payer_for(self._catalog, item.learner_id, item.course_id)
        return _Cost(payer, quote.model, quote.body, self._prices.in_batch(worst))


class _Cost(NamedTuple):
    """The last four fields of what is prepared."""

    payer: Payer
    model: str
    body: bytes
    worst_nanos: int


_PAID = _Cost(Payer(""), "", b"", 0)
