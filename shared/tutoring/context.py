"""What the tutor remembers of a learner: one document of at most 4 KB, read at once (S8, S42, S43)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.learning.facts import Digest, Fact

MAX_BYTES = 4096
MAX_PATTERNS = 10
MAX_SCORES = 5

Level = Literal["unknown", "beginner", "intermediate", "advanced"]

_INTERMEDIATE_PER_MILLE = 400
_ADVANCED_PER_MILLE = 750


class ErrorPattern(Fact):
    """A misconception, and in how many evaluated answers it showed."""

    pattern: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    count: Annotated[int, Field(ge=1)]


class RecentScore(Fact):
    """One evaluated answer, in thousandths of what could be had."""

    evaluation_id: Digest
    per_mille: Annotated[int, Field(ge=0, le=1000)]


class LearnerContext(Fact):
    """Level, top 10 error patterns and last 5 scores; ``users/{uid}/context/current``."""

    level: Level = "unknown"
    error_patterns: Annotated[tuple[ErrorPattern, ...], Field(max_length=MAX_PATTERNS)] = ()
    recent_scores: Annotated[tuple[RecentScore, ...], Field(max_length=MAX_SCORES)] = ()
    evaluations: Annotated[int, Field(ge=0)] = 0

    def for_prompt(self) -> dict[str, Any] | None:
        """What a model may know of it: no ids, no counts of anything else; None for a new learner."""
        if self.evaluations == 0:
            return None
        return {
            "level": self.level,
            "errorPatterns": [each.pattern for each in self.error_patterns],
            "recentScoresPercent": [each.per_mille // 10 for each in self.recent_scores],
        }


def with_evaluation(
    context: LearnerContext, *, evaluation_id: str, per_mille: int, patterns: Sequence[str]
) -> LearnerContext:
    """
    *context* after one more evaluated answer; the same again while it is among the last five changes nothing.

    Patterns are kept by how often they showed, newer ones first among equals, at most ten and at
    most 4 KB in all.
    """
    if any(each.evaluation_id == evaluation_id for each in context.recent_scores):
        return context
    scores = (*context.recent_scores, RecentScore(evaluation_id=evaluation_id, per_mille=per_mille))[
        -MAX_SCORES:
    ]
    counts = {each.pattern: each.count for each in context.error_patterns}
    fresh = dict.fromkeys(each for each in (pattern.strip()[:80].strip() for pattern in patterns) if each)
    ranked = {
        **{each: counts.get(each, 0) + 1 for each in fresh},
        **{p: c for p, c in counts.items() if p not in fresh},
    }
    # Stable: among equals, what showed just now stands first. The last place is for the newest.
    kept = sorted(ranked.items(), key=lambda each: -each[1])
    if len(kept) > MAX_PATTERNS:
        newest = [each for each in kept if each[0] in fresh]
        others = [each for each in kept if each[0] not in fresh]
        kept = sorted([*newest, *others[: max(MAX_PATTERNS - len(newest), 0)]], key=lambda each: -each[1])[
            :MAX_PATTERNS
        ]
    result = LearnerContext(
        level=_level([each.per_mille for each in scores]),
        error_patterns=tuple(ErrorPattern(pattern=pattern, count=count) for pattern, count in kept),
        recent_scores=scores,
        evaluations=context.evaluations + 1,
    )
    while size_of(result) > MAX_BYTES and result.error_patterns:
        result = result.model_copy(update={"error_patterns": result.error_patterns[:-1]})
    return result


def size_of(context: LearnerContext) -> int:
    """How many bytes *context* takes as JSON, which is more than Firestore counts for it."""
    return len(context.model_dump_json(by_alias=True).encode())


def _level(per_mille: Sequence[int]) -> Level:
    mean = sum(per_mille) // len(per_mille)
    if mean < _INTERMEDIATE_PER_MILLE:
        return "beginner"
    return "intermediate" if mean < _ADVANCED_PER_MILLE else "advanced"
