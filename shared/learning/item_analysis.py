"""
Item analysis that is exact at every moment: integer sums that add up over shards, and their figures.

Facility, corrected item-total correlation and Cronbach's alpha are functions of sums, so a shard
keeps the sums, adds what an answer changes, and the assignment's are the shards' added together.
Integers, not floats: addition is then exact, and the same in every order.

Sources: L. Crocker and J. Algina, "Introduction to Classical and Modern Test Theory" (1986), ch. 7
(alpha) and ch. 14 (item difficulty, corrected item-total correlation).
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import orjson

from shared.learning.facts import Fact
from shared.learning.questions import FULL_CREDIT, GRADED_LATER, Question, QuestionType

_BEYOND_64_BITS = re.compile(r"\d{19}")

BITMASK_TYPES = frozenset(
    {
        QuestionType.SINGLE_CHOICE,
        QuestionType.MULTIPLE_CHOICE,
        QuestionType.TRUE_FALSE,
        QuestionType.MATCHING,
    }
)


@dataclass(slots=True)
class ItemSums:
    """
    What is summed per question.

    ``answered``, ``graded``, ``correct`` and ``credit`` run over everybody who answered it;
    ``scores``, ``squares`` and ``products`` (with the total) over those who answered everything.
    Scores are credit times the weight in thousandths of a point.
    """

    answered: int = 0
    graded: int = 0
    correct: int = 0
    credit: int = 0
    scores: int = 0
    squares: int = 0
    products: int = 0
    options: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Sums:
    """An element of a commutative group: adding is merging, subtracting is taking back."""

    students: int = 0
    answers: int = 0
    complete: int = 0
    total: int = 0
    total_squares: int = 0
    items: list[ItemSums] = field(default_factory=list)

    @classmethod
    def zero(cls, questions: Sequence[Question]) -> "Sums":
        """The sums of nobody, for the answerable *questions* of a form."""
        return cls(items=[ItemSums(options=[0] * counted_options(question)) for question in questions])

    def encode(self) -> str:
        """One JSON text; integers of any size stay whole."""
        sums = [
            [self.students, self.answers, self.complete, self.total, self.total_squares],
            [
                [i.answered, i.graded, i.correct, i.credit, i.scores, i.squares, i.products, i.options]
                for i in self.items
            ],
        ]
        try:
            return orjson.dumps(sums).decode()
        except orjson.JSONEncodeError:  # beyond 64 bits; the text is the same, and takes longer
            return json.dumps(sums, separators=(",", ":"))

    def copy(self) -> "Sums":
        """The same sums, to go on with."""
        items = [replace(item, options=list(item.options)) for item in self.items]
        return replace(self, items=items)

    @classmethod
    def decode(cls, text: str) -> "Sums":
        """Read back what :meth:`encode` wrote."""
        # orjson would make a float of a number beyond 64 bits.
        head, items = json.loads(text) if _BEYOND_64_BITS.search(text) else orjson.loads(text)
        students, answers, complete, total, total_squares = head
        return cls(students, answers, complete, total, total_squares, [ItemSums(*item) for item in items])


def add(parts: Iterable[Sums]) -> Sums:
    """The sum of at least one part; all of the same form."""
    result: Sums | None = None
    for part in parts:
        if result is None:
            result = part.copy()
            continue
        result.students += part.students
        result.answers += part.answers
        result.complete += part.complete
        result.total += part.total
        result.total_squares += part.total_squares
        for into, item in zip(result.items, part.items, strict=True):
            into.answered += item.answered
            into.graded += item.graded
            into.correct += item.correct
            into.credit += item.credit
            into.scores += item.scores
            into.squares += item.squares
            into.products += item.products
            into.options = [a + b for a, b in zip(into.options, item.options, strict=True)]
    if result is None:
        message = "nothing to add"
        raise ValueError(message)
    return result


def counted_options(question: Question) -> int:
    """For how many options choices are counted: two for true/false, none where there are no options."""
    if question.type is QuestionType.TRUE_FALSE:
        return 2
    if question.type is QuestionType.MATCHING:
        return len(question.stems)
    return len(question.options)


def option_names(question: Question) -> list[str]:
    """The ids under which :func:`counted_options` counts appear; matching counts right pairs by stem."""
    if question.type is QuestionType.TRUE_FALSE:
        return ["true", "false"]
    if question.type is QuestionType.MATCHING:
        return [stem.stem_id for stem in question.stems]
    return [option.option_id for option in question.options]


class ItemFigures(Fact):
    """
    What is known about one question.

    ``facility`` is the mean share of full credit, 0 to 1 (below 0 where wrong answers cost);
    ``discrimination`` the correlation of the score with the total of the other questions, -1 to 1,
    over students who answered everything; either is null while it is not defined.
    """

    answered: int
    correct: int
    facility: float | None
    discrimination: float | None
    options: dict[str, int]


class Reliability(Fact):
    """Cronbach's alpha over the ``students`` who answered everything; null while it is not defined."""

    alpha: float | None
    students: int


class Statistics(Fact):
    """The figures of an assignment; ``answers`` counts one answer per student and question."""

    students: int
    answers: int
    questions: dict[str, ItemFigures]
    reliability: Reliability


def statistics(sums: Sums, questions: Sequence[Question]) -> Statistics:
    """The figures that follow from *sums*, for the answerable *questions* in form order."""
    machine_graded = [i for i, question in enumerate(questions) if question.type not in GRADED_LATER]
    return Statistics(
        students=sums.students,
        answers=sums.answers,
        questions={
            question.question_id: ItemFigures(
                answered=item.answered,
                correct=item.correct,
                facility=_ratio(item.credit, item.graded * FULL_CREDIT),
                discrimination=_discrimination(item, sums) if question.type not in GRADED_LATER else None,
                options=dict(zip(option_names(question), item.options, strict=True)),
            )
            for question, item in zip(questions, sums.items, strict=True)
        },
        reliability=Reliability(
            alpha=_alpha([sums.items[i] for i in machine_graded], sums), students=sums.complete
        ),
    )


def _ratio(part: int, whole: int) -> float | None:
    return float(Fraction(part, whole)) if whole else None


def _discrimination(item: ItemSums, sums: Sums) -> float | None:
    n = sums.complete
    item_variance = n * item.squares - item.scores**2
    covariance = n * item.products - item.scores * sums.total
    total_variance = n * sums.total_squares - sums.total**2
    rest_variance = total_variance + item_variance - 2 * covariance
    if item_variance <= 0 or rest_variance <= 0:
        return None
    value = (covariance - item_variance) / (math.sqrt(item_variance) * math.sqrt(rest_variance))
    return max(-1.0, min(1.0, value))


def _alpha(items: Sequence[ItemSums], sums: Sums) -> float | None:
    n, k = sums.complete, len(items)
    total_variance = n * sums.total_squares - sums.total**2
    if k < 2 or total_variance <= 0:  # noqa: PLR2004  one item has no inner consistency
        return None
    item_variances = sum(n * item.squares - item.scores**2 for item in items)
    return float(Fraction(k, k - 1) * (1 - Fraction(item_variances, total_variance)))


def counts_options(question: Question) -> bool:
    """Whether the response codes of *question* are bit masks of its counted options."""
    return question.type in BITMASK_TYPES


@lru_cache(maxsize=4096)
def chosen(response_code: int) -> tuple[int, ...]:
    """Which of the counted options a bit mask stands for, by index."""
    return tuple(bit for bit in range(response_code.bit_length()) if response_code >> bit & 1)


def as_document(figures: Statistics) -> dict[str, Any]:
    """*figures* as the assignment document holds them: without the counts of options, which tell the key."""
    return figures.model_dump(by_alias=True, exclude={"questions": {"__all__": {"options"}}})


def option_counts(figures: Statistics) -> dict[str, dict[str, int]]:
    """How often each option was chosen, by question; of those that have options. For teachers only."""
    return {name: dict(each.options) for name, each in figures.questions.items() if each.options}
