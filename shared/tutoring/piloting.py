"""
Trying a rubric on a sample of recorded answers before anybody relies on it: which, and at what price (B17).

What a preview shows is what runs: a pilot is named by its rubric, prompt, model, prices and sample together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import Field, StringConstraints

from shared.errors import InvalidRequest
from shared.learning.answers import canonical
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.learning.questions import AnswerKey
from shared.learning.rubrics import MAX_CRITERIA, Criterion, rubric_version
from shared.tutoring.agreement import Agreement, Decided, agreement, by_criterion
from shared.tutoring.evaluating import MAX_TOKENS, Evaluation

MAX_SAMPLE = 25

_ASCII_PER_TOKEN = 4
_OTHERS_PER_TOKEN = 2
_TOKENS_OF_FEEDBACK = 150
_TOKENS_OF_CRITERION = 90

Rubric = Annotated[tuple[Criterion, ...], Field(min_length=1, max_length=MAX_CRITERIA)]
AnswerT = TypeVar("AnswerT")


class SampledAnswer(Fact):
    """One answer of a sample; ``submittedAtMicros`` since 1970 says where it is found again."""

    event_id: Digest
    student_id: LearnerId
    submitted_at_micros: int
    characters: Annotated[int, Field(ge=0)]


class Pilot(Fact):
    """
    What was shown to a teacher and may run, immutable; ``pilots/{pilotId}``.

    ``draft``: the rubric came with the call, and is not the question's. ``price`` is in nano-dollars for a
    token that is sent, sent and found in the provider's cache, replied, and sent and put into that cache.
    """

    assignment_id: DocumentId
    question_id: DocumentId
    rubric: Rubric
    draft: bool
    prompt_version: str
    model: str
    price: tuple[int, int, int] | tuple[int, int, int, int]
    sample: Annotated[tuple[SampledAnswer, ...], Field(max_length=MAX_SAMPLE)]

    @property
    def pilot_id(self) -> str:
        """Its name: SHA-256 over all of it."""
        return _digest("lectern.pilot.v1", canonical(self.model_dump(mode="json", by_alias=True)))

    def evaluation_id(self, event_id: str) -> str:
        """Name the evaluation of an answer: the same answer, rubric, prompt and model make the same one."""
        parts = (event_id, self.prompt_version, rubric_version(self.rubric), self.model)
        return _digest("lectern.pilotEvaluation.v1", *parts)


class PilotEvaluation(Fact):
    """What a pilot found about one answer, and what that cost; ``pilotEvaluations/{id}``, immutable."""

    evaluation: Evaluation
    nanos: Annotated[int, Field(ge=0)]


class CriterionFigures(Fact):
    """How often each number of points was given for a criterion, from 0 to ``maxPoints``."""

    criterion_id: DocumentId
    title: Annotated[str, StringConstraints(max_length=120)]
    max_points: int
    counts: tuple[int, ...]


class PilotAgreement(Fact):
    """
    How far a pilot agrees with what teachers decided about the same answers.

    Where they decided by another rubric, its total is scaled to this one's, to the nearest point, and only
    criteria that both have, worth the same, are compared.
    """

    total: Agreement
    criteria: dict[str, Agreement]


def sampled(answers: Sequence[AnswerT], *, size: int, seed: int) -> list[AnswerT]:
    """
    At most *size* of *answers*, spread evenly over them: one from each of as many equal parts.

    The same *seed* takes the same.
    """
    count = len(answers)
    if count <= size:
        return list(answers)
    chosen = []
    for part in range(size):
        first, end = count * part // size, count * (part + 1) // size
        drawn = int(_digest("lectern.sample.v1", str(seed), str(part))[:16], 16)
        chosen.append(answers[first + drawn % (end - first)])
    return chosen


def checked(rubric: Rubric) -> Rubric:
    """
    *rubric*, if it can be scored by.

    Raises:
        InvalidRequest: two of its criteria have one id.
    """
    if len({each.criterion_id for each in rubric}) != len(rubric):
        raise InvalidRequest("each criterion needs an id of its own")
    return rubric


def with_rubric(key: AnswerKey, rubric: Rubric) -> AnswerKey:
    """*key* with another rubric, which is tried."""
    return key.model_copy(update={"key": key.key.model_copy(update={"rubric": rubric})})


def likely_prompt_tokens(body: bytes) -> int:
    """About how many tokens a request is: four ASCII characters to one, two of any others (Hebrew)."""
    text = body.decode()
    others = sum(not each.isascii() for each in text)
    return -(-(len(text) - others) // _ASCII_PER_TOKEN) - (-others // _OTHERS_PER_TOKEN)


def likely_reply_tokens(rubric: Rubric) -> int:
    """About how many tokens an evaluation by *rubric* is written in."""
    return min(_TOKENS_OF_FEEDBACK + _TOKENS_OF_CRITERION * len(rubric), MAX_TOKENS)


def for_all(nanos: int, *, sample: int, answers: int) -> int:
    """*nanos*, which a *sample* costs, as it would be for all *answers*; rounded up."""
    return -(-nanos * answers // sample) if sample else 0


def figures(rubric: Rubric, evaluations: Sequence[Evaluation]) -> tuple[CriterionFigures, ...]:
    """How points are distributed over *evaluations* by *rubric*, criterion by criterion."""
    given: dict[str, list[int]] = {each.criterion_id: [0] * (each.max_points + 1) for each in rubric}
    for evaluation in evaluations:
        for each in evaluation.criteria:
            given[each.criterion_id][each.points] += 1
    return tuple(
        CriterionFigures(
            criterion_id=each.criterion_id,
            title=each.title,
            max_points=each.max_points,
            counts=tuple(given[each.criterion_id]),
        )
        for each in rubric
    )


def compared(
    rubric: Rubric, usual: Sequence[Criterion], pairs: Sequence[tuple[Evaluation, Mapping[str, int]]]
) -> PilotAgreement:
    """How far evaluations by *rubric* agree with the points that were decided by the *usual* one."""
    worth = {each.criterion_id: each.max_points for each in usual}
    same = {each.criterion_id for each in rubric if worth.get(each.criterion_id) == each.max_points}
    most, usual_most = sum(each.max_points for each in rubric), sum(worth.values())
    totals = [
        (evaluation.points, (2 * sum(decided.values()) * most + usual_most) // (2 * usual_most))
        for evaluation, decided in pairs
    ]
    criteria = (
        Decided(
            {each.criterion_id: each.points for each in evaluation.criteria if each.criterion_id in same},
            decided,
        )
        for evaluation, decided in pairs
    )
    return PilotAgreement(total=agreement(totals), criteria=by_criterion(criteria))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
