"""Trying a rubric on a sample of recorded answers, at a price that is shown first."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from shared.budgets.base import Payer
from shared.budgets.prices import AS_OF, Usage
from shared.catalog.base import CourseRole
from shared.catalog.catalog import Asked
from shared.catalog.payers import payer_in
from shared.edge import endpoint
from shared.edge.registry import RateClass
from shared.errors import BudgetSpent, Conflict, InvalidRequest, LecternError, Unavailable
from shared.gateway.base import Ask
from shared.learning.answers import AnswerSubmitted, microseconds, to_text
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.learning.rubrics import rubric_version
from shared.ledger.recorded import Place
from shared.tutoring import evaluating, piloting
from shared.tutoring.context import LearnerContext
from shared.tutoring.evaluating import About, Evaluation, Task
from shared.tutoring.leak_guard import secrets_of
from shared.tutoring.piloting import (
    MAX_SAMPLE,
    CriterionFigures,
    Pilot,
    PilotAgreement,
    PilotEvaluation,
    Rubric,
    SampledAnswer,
)
from shared.tutoring.records import Decision

PREVIEW_SECONDS = 30
RUN_SECONDS = 60
ANSWER_SECONDS = 20
"""The most that one answer may take; a run begins none that might not end in time."""

_MARGIN_SECONDS = 4.0
_AT_ONCE = 4
_MOST_FAILURES = 3


class PreviewPilot(Fact):
    """
    Which question's answers to try a rubric on: *rubric*, or without one the question's own.

    The same ``seed`` takes the same sample of the same answers.
    """

    assignment_id: DocumentId
    question_id: DocumentId
    rubric: Rubric | None = None
    sample_size: Annotated[int, Field(ge=1, le=MAX_SAMPLE)] = 10
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class PreviewedCriterion(Fact):
    """What would be looked for, and what it would be worth."""

    criterion_id: DocumentId
    title: str
    max_points: int


class PreviewedAnswer(Fact):
    """One answer of the sample."""

    event_id: Digest
    student_id: LearnerId
    characters: int


class PilotPreview(Fact):
    """
    What a run would do, and cost; nothing was spent.

    ``answers`` are recorded (of each learner the one that counts), of which ``sample`` would be tried. Money
    is in nano-dollars (1 USD = 1,000,000,000): ``estimatedNanos`` by a measure of the requests and prices as
    of ``pricesAsOf``, ``worstNanos`` if every byte were a token and every attempt billed; ``…ForAll`` the
    same for all answers; ``remainingNanos`` is what the tightest budget leaves. Answers that were evaluated
    by the same rubric before cost nothing again.
    """

    preview_id: Digest
    answers: int
    sample: tuple[PreviewedAnswer, ...]
    criteria: tuple[PreviewedCriterion, ...]
    rubric_version: str
    prompt_version: str
    model: str
    prices_as_of: str
    estimated_nanos: int
    worst_nanos: int
    estimated_nanos_for_all: int
    worst_nanos_for_all: int
    remaining_nanos: int


class RunPilot(Fact):
    """Which preview to carry out, or to go on with."""

    assignment_id: DocumentId
    preview_id: Digest


class PilotRow(Fact):
    """What was found about one answer, what that cost, and what a teacher decided about it (or null)."""

    evaluation: Evaluation
    nanos: int
    decision: Decision | None


class PilotReport(Fact):
    """
    What was found so far; suggestions to nobody, and in no queue.

    ``ended`` says why this call did: ``done``; ``time`` (call again at once); ``budget`` or ``outage`` (call
    again after ``retryAfterSeconds``). ``left`` answers were not evaluated. ``nanos`` is what the evaluations
    cost so far; the course's spending also has what failed.
    """

    preview_id: Digest
    ended: Literal["done", "time", "budget", "outage"]
    left: int
    retry_after_seconds: int
    nanos: int
    rows: tuple[PilotRow, ...]
    criteria: tuple[CriterionFigures, ...]
    agreement: PilotAgreement


@endpoint.client_call(sensitive=True, deadline_seconds=PREVIEW_SECONDS, max_body_bytes=32 * endpoint.KIB)
async def preview_pilot(command: PreviewPilot, call: endpoint.Call) -> PilotPreview:
    """Show on which recorded answers a rubric would be tried, and at what cost; for the course's teachers."""
    services = call.services
    at = await _question(command.assignment_id, command.question_id, call)
    usual = evaluating.rubric_of(at.key)
    rubric = piloting.checked(command.rubric) if command.rubric is not None else usual
    places = await services.recorded_answers.counting(at.grading, command.question_id)
    chosen = piloting.sampled(places, size=command.sample_size, seed=command.seed)
    events = await services.recorded_answers.events(at.grading, chosen)
    quotes = [services.gateway.quote(_ask(_task(at, rubric, event), event)) for event in events]
    model = services.gateway.quote(_ask(_task(at, rubric, None), None)).model
    price = services.prices.of(model)
    pilot = Pilot(
        assignment_id=command.assignment_id,
        question_id=command.question_id,
        rubric=rubric,
        draft=command.rubric is not None,
        prompt_version=evaluating.PROMPT,
        model=model,
        price=price.numbers,
        sample=tuple(
            SampledAnswer(
                event_id=event.event_id,
                student_id=event.student_id,
                submitted_at_micros=event.submitted_at,
                characters=len(_text(at, event)),
            )
            for event in events
        ),
    )
    await services.tutoring_records.add_pilot(pilot, at=call.now)
    written = piloting.likely_reply_tokens(rubric)
    estimated = sum(
        services.prices.actual(model, Usage(piloting.likely_prompt_tokens(each.body), written))
        for each in quotes
    )
    return PilotPreview(
        preview_id=pilot.pilot_id,
        answers=len(places),
        sample=tuple(
            PreviewedAnswer(event_id=each.event_id, student_id=each.student_id, characters=each.characters)
            for each in pilot.sample
        ),
        criteria=tuple(
            PreviewedCriterion(criterion_id=each.criterion_id, title=each.title, max_points=each.max_points)
            for each in rubric
        ),
        rubric_version=rubric_version(rubric),
        prompt_version=pilot.prompt_version,
        model=model,
        prices_as_of=AS_OF.isoformat(),
        estimated_nanos=estimated,
        worst_nanos=sum(each.worst_nanos for each in quotes),
        estimated_nanos_for_all=piloting.for_all(estimated, sample=len(quotes), answers=len(places)),
        worst_nanos_for_all=len(places) * max((each.worst_nanos for each in quotes), default=0),
        remaining_nanos=await services.budgets.remaining(await _payer(at, call)),
    )


@endpoint.client_call(
    sensitive=True, deadline_seconds=RUN_SECONDS, max_body_bytes=4 * endpoint.KIB, rate=RateClass.AI
)
async def run_pilot(command: RunPilot, call: endpoint.Call) -> PilotReport:
    """
    Try a rubric on the sample that was previewed, as far as time and budgets go; for teachers of the course.

    What was evaluated before is not evaluated again. A rubric, prompt, model or price that has changed since
    the preview is a conflict.
    """
    until = asyncio.get_running_loop().time() + RUN_SECONDS - _MARGIN_SECONDS
    services = call.services
    records = services.tutoring_records
    await services.catalog.assignment(call.principal, command.assignment_id, at_least=CourseRole.TEACHER)
    pilot = await records.pilot(command.assignment_id, command.preview_id)
    at = await _question(pilot.assignment_id, pilot.question_id, call)
    _check_unchanged(pilot, at, call)
    names = {each.event_id: pilot.evaluation_id(each.event_id) for each in pilot.sample}
    known = await records.piloted(list(names.values()))
    waiting = [
        Place(each.student_id, each.event_id, each.submitted_at_micros)
        for each in pilot.sample
        if names[each.event_id] not in known
    ]
    events = await services.recorded_answers.events(at.grading, waiting)
    batch = _Batch(pilot, at, call, events, until)
    await batch.work()
    found = [made for name in names.values() if (made := known.get(name) or batch.made.get(name)) is not None]
    return await _report(pilot, at, call, batch, found)


async def _question(assignment_id: str, question_id: str, call: endpoint.Call) -> Asked:
    """A text question of an assignment whose course the caller teaches."""
    catalog = call.services.catalog
    at = await catalog.asked(call.principal, assignment_id, question_id, at_least=CourseRole.TEACHER)
    if at.question.type not in evaluating.EVALUATED:
        raise InvalidRequest("only essays and short texts are evaluated")
    return at


async def _payer(at: Asked, call: endpoint.Call) -> Payer:
    return await payer_in(call.services.catalog, call.principal, at.assignment.course_id)


def _text(at: Asked, event: AnswerSubmitted) -> str:
    return evaluating.written(event, at.question)


def _task(at: Asked, rubric: Rubric, event: AnswerSubmitted | None) -> Task:
    """An answer (or none) to be evaluated by *rubric*, whoever gave it: without their learner context."""
    answer = _text(at, event) if event is not None else ""
    return Task(at.question, piloting.with_rubric(at.key, rubric), answer, LearnerContext())


def _ask(task: Task, event: AnswerSubmitted | None) -> Ask:
    uid = event.student_id if event is not None else "-"
    # What was shown is what runs: another model's evaluation would be none of this pilot.
    return evaluating.ask(task, uid, kind="run_pilot", deadline_seconds=ANSWER_SECONDS, one_model=True)


def _check_unchanged(pilot: Pilot, at: Asked, call: endpoint.Call) -> None:
    """
    Compare what was shown with what would run.

    Raises:
        Conflict: it is not the same any more.
    """
    services = call.services
    model = services.gateway.quote(_ask(_task(at, pilot.rubric, None), None)).model
    price = services.prices.of(model)
    now = {
        "rubric": pilot.rubric if pilot.draft else evaluating.rubric_of(at.key),
        "prompt": evaluating.PROMPT,
        "model": model,
        "price": price.numbers,
    }
    shown = {
        "rubric": pilot.rubric,
        "prompt": pilot.prompt_version,
        "model": pilot.model,
        "price": pilot.price,
    }
    changed = [name for name, value in now.items() if value != shown[name]]
    if changed:
        raise Conflict(f"changed since the preview: {', '.join(changed)}; look at another preview first")


class _Batch:
    """The evaluations of one call: some at a time, none that might not end in time."""

    def __init__(
        self, pilot: Pilot, at: Asked, call: endpoint.Call, waiting: list[AnswerSubmitted], until: float
    ) -> None:
        """Evaluate *waiting* until the loop's time is *until*."""
        self._pilot = pilot
        self._at = at
        self._call = call
        self._waiting = waiting
        self._until = until
        self._refused: BudgetSpent | None = None
        self._failures: list[LecternError] = []
        self.made: dict[str, PilotEvaluation] = {}

    async def work(self) -> None:
        """Evaluate what can be evaluated now."""
        workers = [asyncio.create_task(self._work()) for _ in range(min(_AT_ONCE, len(self._waiting)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)  # what they spent is settled by then

    @property
    def ended(self) -> Literal["done", "time", "budget", "outage"]:
        """Why it did."""
        if self._waiting and self._refused is not None:
            return "budget"
        if self._failures and (not self._waiting or len(self._failures) >= _MOST_FAILURES):
            return "outage"
        return "time" if self._waiting else "done"

    @property
    def retry_after_seconds(self) -> int:
        """When to call again."""
        reason = {"budget": self._refused, "outage": self._failures[-1] if self._failures else None}
        error = reason.get(self.ended)
        return error.retry_after_seconds if isinstance(error, Unavailable) else 0

    async def _work(self) -> None:
        while self._waiting and len(self._failures) < _MOST_FAILURES:
            if asyncio.get_running_loop().time() + ANSWER_SECONDS > self._until:
                return
            event = self._waiting.pop(0)
            try:
                await self._evaluate(event)
            except BudgetSpent as error:
                # Others under way may hold what was missing; the last of them is refused for good.
                self._waiting.insert(0, event)
                self._refused = error
                return
            except LecternError as error:
                # One answer that a provider refuses to read does not keep the others from being read.
                self._failures.append(error)

    async def _evaluate(self, event: AnswerSubmitted) -> None:
        services, at, pilot = self._call.services, self._at, self._pilot
        task = _task(at, pilot.rubric, event)
        reply = await services.gateway.complete(_ask(task, event), await _payer(at, self._call))
        # As a learner would see it who may answer again: no function tells keys, not even to teachers.
        judgement = evaluating.without_answer(
            evaluating.read(reply.text, task), secrets_of(at.question, at.key), task
        )
        assignment = at.assignment
        evaluation = evaluating.evaluation(
            judgement,
            task,
            about=About(event.event_id, assignment.assignment_id, assignment.course_id, event.student_id),
            reply=reply,
            evaluated_at=to_text(microseconds(self._call.now)),
        )
        name = pilot.evaluation_id(event.event_id)
        made = PilotEvaluation(evaluation=evaluation, nanos=reply.nanos)
        self.made[name] = await services.tutoring_records.add_piloted(name, made, at=self._call.now)


async def _report(
    pilot: Pilot, at: Asked, call: endpoint.Call, batch: _Batch, found: Sequence[PilotEvaluation]
) -> PilotReport:
    usual = evaluating.rubric_of(at.key)
    decided_as = {
        each.evaluation.event_id: evaluating.evaluation_id(each.evaluation.event_id, usual) for each in found
    }
    decisions = await call.services.tutoring_records.decisions(
        {decided_as[each.evaluation.event_id]: each.evaluation.student_id for each in found}
    )
    rows = tuple(
        PilotRow(
            evaluation=each.evaluation,
            nanos=each.nanos,
            decision=decisions.get(decided_as[each.evaluation.event_id]),
        )
        for each in found
    )
    pairs = [(row.evaluation, row.decision.criteria) for row in rows if row.decision is not None]
    return PilotReport(
        preview_id=pilot.pilot_id,
        ended=batch.ended,
        left=len(pilot.sample) - len(found),
        retry_after_seconds=batch.retry_after_seconds,
        nanos=sum(each.nanos for each in found),
        rows=rows,
        criteria=piloting.figures(pilot.rubric, [each.evaluation for each in found]),
        agreement=piloting.compared(pilot.rubric, usual, pairs),
    )
