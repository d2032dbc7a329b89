"""Reads what learners have achieved, from the registers of their shards."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from shared.learning.assignments import Grading
from shared.learning.attempts import Attempt
from shared.learning.questions import FULL_CREDIT, GRADED_LATER, Question
from shared.learning.registers import Row
from shared.learning.sharding import LINE_BITS, WHOLE, Shard, position
from shared.ledger.shards import HasSplit, Shards, ShardState

_END = 1 << LINE_BITS


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """What one student has at one question; ``attempt`` is the one that counts."""

    question: Question
    attempt: Attempt
    attempts: int


@dataclass(frozen=True, slots=True)
class StudentResult:
    """What one student has; scores in points, to three decimals."""

    student_id: str
    score: Decimal
    max_score: Decimal
    ungraded: int
    questions: tuple[QuestionResult, ...]


class Results:
    """Results as of the newest merge: one or two document reads a student or a page of a small class."""

    def __init__(self, shards: Shards) -> None:
        """Read from *shards*."""
        self._shards = shards

    async def of(self, grading: Grading, student_id: str) -> StudentResult:
        """One student's result."""
        state = await self.holding(grading, position(student_id))
        row = state.registers.rows.get(student_id) or Row()
        return result_of(grading, student_id, row)

    async def page(
        self, grading: Grading, *, after: tuple[int, str] | None, size: int
    ) -> tuple[list[StudentResult], tuple[int, str] | None]:
        """
        At most *size* students behind *after*, and where the next page begins (None: this was the last).

        The order is that of the line of learners: it does not change when shards are split while
        somebody pages.
        """
        found: list[StudentResult] = []
        async for state in self.shards(grading, after[0] if after else 0):
            for student_id in state.registers.in_order():
                place = (position(student_id), student_id)
                if after is not None and place <= after:
                    continue
                if len(found) == size:
                    last = found[-1].student_id
                    return found, (position(last), last)
                found.append(result_of(grading, student_id, state.registers.rows[student_id]))
        return found, None

    async def shards(self, grading: Grading, place: int = 0) -> AsyncIterator[ShardState]:
        """The shards from that which holds *place* to the end of the line of learners."""
        while place < _END:
            state = await self.holding(grading, place)
            yield state
            place = state.shard.first + (1 << (LINE_BITS - state.shard.bits))

    async def holding(self, grading: Grading, place: int) -> ShardState:
        """The shard that holds the learners at *place* of the line."""
        shard: Shard = WHOLE
        while True:
            loaded = await self._shards.load(grading, shard)
            if not isinstance(loaded, HasSplit):
                return loaded
            shard = shard.child(place, loaded.by_bits)


def result_of(grading: Grading, student_id: str, row: Row) -> StudentResult:
    """What *row* comes to."""
    score = Fraction(0)
    questions = []
    ungraded = 0
    for index, question in enumerate(grading.questions):
        attempt = row.effective.get(index)
        if attempt is None:
            continue
        if attempt.credit is None:
            ungraded += 1
        else:
            score += Fraction(attempt.credit * grading.weights[index], FULL_CREDIT * 1000)
        questions.append(QuestionResult(question, attempt, len(row.attempts[index])))
    return StudentResult(
        student_id,
        _points(score),
        sum((q.weight for q in grading.questions if q.type not in GRADED_LATER), Decimal(0)),
        ungraded,
        tuple(questions),
    )


def _points(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.001")).normalize() + 0
