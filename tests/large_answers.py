"""Answers as large as they may be, which no compressor makes smaller."""

from random import Random

from shared.learning.answers import AnswerSubmitted, canonical
from shared.learning.assignments import GradingPolicy
from shared.learning.responses import MAX_TEXT_BYTES
from tests.simulation import forms

FORM = forms.make("assignment", len(forms.ANSWERS), GradingPolicy())


def texts(count, characters=MAX_TEXT_BYTES, *, beyond_ascii=False):
    """*count* texts of random *characters*; with *beyond_ascii*, of four bytes each."""
    rng = Random(characters)
    first, last = (0x10000, 0x10FFFF) if beyond_ascii else (0x20, 0x7E)
    return ["".join(map(chr, rng.choices(range(first, last + 1), k=characters))) for _ in range(count)]


def answers(some, *, student="learner"):
    """An answer of a learner's own for each of the texts in *some*."""
    return [
        AnswerSubmitted(
            FORM.assignment.assignment_id,
            "essay",
            f"{student}-{number}",
            f"submission-{number}",
            canonical({"text": text}),
            1_000_000 + number,
            "function",
        )
        for number, text in enumerate(some)
    ]
