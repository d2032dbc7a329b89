"""Evaluations that may wait: queued by teachers, asked for in batches, at a price that is shown first."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from shared.batching.items import Item, ItemState, item_of
from shared.budgets.base import Scope
from shared.budgets.prices import AS_OF, Usage
from shared.catalog.base import CourseRole
from shared.catalog.catalog import Asked
from shared.edge import endpoint
from shared.edge.registry import Capacity
from shared.errors import InvalidRequest, LecternError, TooManyRequests
from shared.gateway.base import Ask
from shared.learning.answers import AnswerSubmitted
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.ledger.recorded import Place
from shared.tutoring import evaluating, piloting
from shared.tutoring.context import LearnerContext
from shared.tutoring.evaluating import Task
from shared.wiring import Services

MOST = 200
QUEUE_SECONDS = 60
_MARGIN_SECONDS = 20.0
_READ_AT_ONCE = 100
_FULL_PRICE = 100


class QueueEvaluations(Fact):
    """
    Which question's answers to have evaluated: at most so many of those that have no evaluation yet.

    With ``dryRun`` nothing is queued; the reply tells what it would cost.
    """

    assignment_id: DocumentId
    question_id: DocumentId
    limit: Annotated[int, Field(ge=1, le=MOST)] = MOST
    dry_run: bool = False


class QueuedEvaluations(Fact):
    """
    What was queued, or would be, and what that costs.

    Of the ``answers`` that count, ``evaluated`` have an evaluation, ``waiting`` wait for theirs and ``fresh``
    do neither: these are taken, up to the limit. ``more``: there are others. Money is in nano-dollars
    (1 USD = 1,000,000,000), at ``percent`` of the prices as of ``pricesAsOf``: ``estimatedNanos`` by a
    measure of the requests, ``worstNanos`` if every byte were a token and every attempt billed.
    ``remainingNanos`` is what the tightest of the course's and the tenant's budgets leaves; those of each
    learner and class hold as well.
    """

    queued: int
    answers: int
    evaluated: int
    waiting: int
    fresh: int
    more: bool
    model: str
    percent: int
    prices_as_of: str
    estimated_nanos: int
    worst_nanos: int
    remaining_nanos: int


class GetEvaluationQueue(Fact):
    """Of which question."""

    assignment_id: DocumentId
    question_id: DocumentId


class GivenUp(Fact):
    """
    An answer that nobody tries to evaluate any more, and why; queueing it again begins anew.

    ``failed``: the provider did not answer it, three times. ``unusable``: what it replied was no
    evaluation. ``notOnRecord``: the answer is not there any more. ``changed``: the prompt is another.
    """

    event_id: Digest
    student_id: LearnerId
    reason: Literal["failed", "unusable", "notOnRecord", "changed"]


class EvaluationQueueState(Fact):
    """
    How many of a question's evaluations wait for a turn, are with the provider, or were given up.

    ``way`` is how they are asked for: ``batches``, or ``alone`` where the provider takes none (at the full
    price, a few every five minutes), or ``none`` where no model is set up.
    """

    way: Literal["batches", "alone", "none"]
    queued: int
    batched: int
    given_up: int
    rows: tuple[GivenUp, ...]


class QueueReport(Fact):
    """
    What a run of the queue did.

    ``way`` is how items were asked for: in ``batches``, ``alone`` (the provider takes none, or settings say
    never), or not at all: ``none``. Batches that were ``submitted``, are ``waiting`` or were ``settled``;
    items that were ``evaluated``, ``cameBack``, were ``givenUp`` or ``refused`` for money.
    """

    way: Literal["batches", "alone", "none"]
    submitted: int
    waiting: int
    settled: int
    evaluated: int
    came_back: int
    given_up: int
    refused: int


class _Fresh(NamedTuple):
    """An answer that may be queued, and the request that would be sent for it."""

    item: Item
    body: bytes
    worst_nanos: int


@endpoint.client_call(
    sensitive=True, deadline_seconds=QUEUE_SECONDS, max_body_bytes=4 * endpoint.KIB, provider=True
)
async def queue_evaluations(command: QueueEvaluations, call: endpoint.Call) -> QueuedEvaluations:
    """
    Queue the recorded answers to a question that have no evaluation yet, or say what that would cost.

    For teachers of the course. The same again queues nothing twice; what was given up begins anew.
    """
    services = call.services
    at = await _question(command.assignment_id, command.question_id, call)
    in_batches = await _way(services) == "batches"
    looked = _Looked(at, call, in_batches=in_batches)
    places = await services.recorded_answers.counting(at.grading, command.question_id)
    await looked.at_answers(places, most=command.limit)
    chosen = looked.fresh
    if chosen and not command.dry_run:
        if await services.evaluation_queue.room(command.assignment_id) < len(chosen):
            message = "the queue of evaluations of this assignment is full"
            raise TooManyRequests(message, retry_after_seconds=3600)
        queued = await services.evaluation_queue.add([each.item for each in chosen])
    else:
        queued = 0
    model = services.gateway.quote(_ask(at, "", LearnerContext(), call.principal.uid)).model
    percent = services.settings.batch_percent if in_batches else _FULL_PRICE
    written = piloting.likely_reply_tokens(evaluating.rubric_of(at.key))
    estimated = sum(
        services.prices.actual(model, Usage(piloting.likely_prompt_tokens(each.body), written))
        for each in chosen
    )
    return QueuedEvaluations(
        queued=queued,
        answers=len(places),
        evaluated=looked.evaluated,
        waiting=looked.waiting,
        fresh=len(chosen),
        more=looked.more,
        model=model,
        percent=percent,
        prices_as_of=AS_OF.isoformat(),
        estimated_nanos=_part(estimated, percent),
        worst_nanos=_part(sum(each.worst_nanos for each in chosen), percent),
        remaining_nanos=await _remaining(at, services),
    )


@endpoint.client_call(sensitive=True, max_body_bytes=4 * endpoint.KIB, provider=True)
async def get_evaluation_queue(command: GetEvaluationQueue, call: endpoint.Call) -> EvaluationQueueState:
    """Say how many of a question's evaluations wait, and which were given up; for teachers of the course."""
    services = call.services
    await _question(command.assignment_id, command.question_id, call)
    about = (command.assignment_id, command.question_id)
    counts = await services.evaluation_queue.counts(*about)
    given_up = await services.evaluation_queue.given_up(*about) if counts[ItemState.GIVEN_UP] else []
    return EvaluationQueueState(
        way=await _way(services),
        queued=counts[ItemState.QUEUED],
        batched=counts[ItemState.BATCHED],
        given_up=counts[ItemState.GIVEN_UP],
        rows=tuple(
            GivenUp.model_validate(
                {"eventId": each.event_id, "studentId": each.learner_id, "reason": each.reason}
            )
            for each in given_up
        ),
    )


@endpoint.schedule("*/5 * * * *", capacity=Capacity(concurrency=1), provider=True)
async def run_evaluation_queue(services: Services) -> QueueReport:
    """Ask for queued evaluations, in batches where the provider takes them, and keep what came back."""
    tally = await services.queue_run().work()
    return QueueReport.model_validate({name: getattr(tally, name) for name in QueueReport.model_fields})


async def _question(assignment_id: str, question_id: str, call: endpoint.Call) -> Asked:
    """A text question of an assignment whose course the caller teaches."""
    catalog = call.services.catalog
    at = await catalog.asked(call.principal, assignment_id, question_id, at_least=CourseRole.TEACHER)
    if at.question.type not in evaluating.EVALUATED:
        raise InvalidRequest("only essays and short texts are evaluated")
    return at


async def _way(services: Services) -> Literal["batches", "alone", "none"]:
    """How queued evaluations are asked for here; while the provider does not say, as it costs more."""
    if not services.gateway.is_set_up:
        return "none"
    if services.settings.evaluation_batches == "never":
        return "alone"
    try:
        return "batches" if await services.batches.offered() else "alone"
    except LecternError:
        return "alone"


async def _remaining(at: Asked, services: Services) -> int:
    course, tenant = await asyncio.gather(
        services.budgets.spent(Scope.COURSE, at.assignment.course_id),
        services.budgets.spent(Scope.TENANT, "default"),
    )
    return min(each.remaining_nanos for each in (*course, *tenant))


def _ask(at: Asked, text: str, context: LearnerContext, uid: str) -> Ask:
    return evaluating.ask(Task(at.question, at.key, text, context), uid, deadline_seconds=1, one_model=True)


def _part(nanos: int, percent: int) -> int:
    return -(-nanos * percent // _FULL_PRICE)


class _Looked:
    """What was found among recorded answers: which of them are fresh, and what the others are."""

    def __init__(self, at: Asked, call: endpoint.Call, *, in_batches: bool) -> None:
        """Look at the answers to a question; what is found would be asked *in_batches*, or not."""
        self._in_batches = in_batches
        self._at = at
        self._call = call
        self.fresh: list[_Fresh] = []
        self.evaluated = 0
        self.waiting = 0
        self.more = False

    async def at_answers(self, places: Sequence[Place], *, most: int) -> None:
        """Look at *places*, the oldest first, until so many are fresh or time is short."""
        for some in _portions(places):
            if len(self.fresh) >= most or self._call.left_of(QUEUE_SECONDS) < _MARGIN_SECONDS:
                self.more = True
                return
            await self._look(some)
        self.more = len(self.fresh) > most
        del self.fresh[most:]

    async def _look(self, places: Sequence[Place]) -> None:
        services, at = self._call.services, self._at
        standings = await services.recorded_answers.standings(at.grading, at.question.question_id, places)
        rubric = evaluating.rubric_of(at.key)
        found = {
            evaluating.evaluation_id(each.event.event_id, rubric): each.event
            for each in standings
            if each.event is not None
        }
        if not found:
            return
        names = {name: event.student_id for name, event in found.items()}
        known = await services.tutoring_records.known_of(names)
        queued = await services.evaluation_queue.items(list(found))
        for (name, event), item in zip(found.items(), queued, strict=True):
            evaluation, context = known[name]
            if evaluation is not None:
                self.evaluated += 1
            elif item is not None and item.state is not ItemState.GIVEN_UP:
                self.waiting += 1
            else:
                self.fresh.append(self._fresh(name, event, context))

    def _fresh(self, name: str, event: AnswerSubmitted, context: LearnerContext) -> _Fresh:
        services, at = self._call.services, self._at
        ask = _ask(at, evaluating.written(event, at.question), context, event.student_id)
        quote = services.gateway.quote(ask)
        worst = quote.worst_nanos
        if self._in_batches:  # where one attempt is all that is ever billed
            worst = services.prices.worst(quote.model, len(quote.body), ask.max_tokens)
        return _Fresh(item_of(event, at, name, at=self._call.now), quote.body, worst)


def _portions(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    for start in range(0, len(places), _READ_AT_ONCE):
        yield places[start : start + _READ_AT_ONCE]
