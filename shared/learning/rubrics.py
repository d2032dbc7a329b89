"""Rubrics: what a person, or a model on a person's behalf, looks for in an answer, and what it is worth."""

import hashlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.learning.facts import DocumentId, Fact

MAX_CRITERIA = 8


class Criterion(Fact):
    """One thing to look for, worth 0 to ``maxPoints`` whole points."""

    criterion_id: DocumentId
    title: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    description: Annotated[str, StringConstraints(max_length=600)] = ""
    max_points: Annotated[int, Field(ge=1, le=20)] = 4


DEFAULT_RUBRIC = (
    Criterion(
        criterion_id="correctness",
        title="Correctness",
        description="What is said is true, and answers what was asked.",
    ),
    Criterion(
        criterion_id="completeness",
        title="Completeness",
        description="The essential points that the question asks for are there.",
    ),
    Criterion(
        criterion_id="reasoning",
        title="Reasoning",
        description="Claims are explained: causes, steps or examples, in the learner's own words.",
        max_points=2,
    ),
)
"""For questions whose author wrote none."""


def rubric_version(rubric: Sequence[Criterion]) -> str:
    """16 hexadecimal digits that change with any word or number of *rubric*."""
    text = "\n".join(each.model_dump_json(by_alias=True) for each in rubric)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
