"""Forms to answer, of every type that is graded, and answers to them."""

from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any

from shared.catalog.catalog import _KEYS, _QUESTIONS
from shared.documents.base import Put, Write
from shared.learning.answers import canonical
from shared.learning.assignments import Assignment, GradingPolicy
from shared.learning.attempts import AttemptsPolicy
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    Choice,
    ChoiceKey,
    ManualKey,
    MatchingKey,
    NumericKey,
    NumericRange,
    Option,
    Outcome,
    Question,
    QuestionType,
    RichText,
    ShortTextKey,
    Stem,
    TextPattern,
    TrueFalseKey,
)
from tests.checker import Form

_OPTIONS = tuple(Option(option_id=name, text=RichText(text=name)) for name in ("a", "b", "c"))


def _question(name: str, kind: QuestionType, **parts: Any) -> Question:
    return Question(question_id=name, type=kind, name=name, text=RichText(text=name), **parts)


_KEYED: list[tuple[Question, Any, list[dict[str, Any]]]] = [
    (
        _question("one", QuestionType.SINGLE_CHOICE, options=_OPTIONS, weight=Decimal("2.5")),
        ChoiceKey(
            options={
                "a": Outcome(credit=FULL_CREDIT),
                "b": Outcome(credit=3_333_333),
                "c": Outcome(credit=-2_500_000),
            }
        ),
        [{"optionId": "a"}, {"optionId": "b"}, {"optionId": "c"}],
    ),
    (
        _question("truth", QuestionType.TRUE_FALSE),
        TrueFalseKey(value=True),
        [{"value": True}, {"value": False}],
    ),
    (
        _question("number", QuestionType.NUMERIC, weight=Decimal("0.125")),
        NumericKey(
            ranges=(
                NumericRange(credit=FULL_CREDIT, minimum=Decimal("3.9"), maximum=Decimal("4.1")),
                NumericRange(credit=5_000_000, minimum=Decimal(3), maximum=Decimal(5)),
            )
        ),
        [{"number": 4}, {"number": 4.1}, {"number": 3.5}, {"number": -7}],
    ),
    (
        _question("several", QuestionType.MULTIPLE_CHOICE, options=_OPTIONS),
        ChoiceKey(
            options={
                "a": Outcome(credit=6_666_667),
                "b": Outcome(credit=3_333_333),
                "c": Outcome(credit=-FULL_CREDIT),
            }
        ),
        [
            {"optionIds": []},
            {"optionIds": ["a"]},
            {"optionIds": ["a", "b"]},
            {"optionIds": ["a", "b", "c"]},
        ],
    ),
    (
        _question("word", QuestionType.SHORT_TEXT),
        ShortTextKey(
            patterns=(
                TextPattern(credit=FULL_CREDIT, pattern="four"),
                TextPattern(credit=2_000_000, pattern="five"),
            )
        ),
        [{"text": "Four"}, {"text": "five"}, {"text": "six"}],
    ),
    (
        _question(
            "pairs",
            QuestionType.MATCHING,
            stems=tuple(Stem(stem_id=f"s{n}", text=RichText(text=str(n))) for n in range(3)),
            choices=tuple(Choice(choice_id=f"c{n}", text=RichText(text=str(n))) for n in range(3)),
        ),
        MatchingKey(pairs={f"s{n}": f"c{n}" for n in range(3)}),
        [
            {"pairs": {"s0": "c0", "s1": "c1", "s2": "c2"}},
            {"pairs": {"s0": "c0"}},
            {"pairs": {"s0": "c1", "s1": "c1", "s2": "c0"}},
            {"pairs": {}},
        ],
    ),
    (
        _question("essay", QuestionType.ESSAY),
        ManualKey(),
        [{"text": "It was a dark and stormy night."}, {"text": ""}],
    ),
]

ANSWERS = {question.question_id: answers for question, _, answers in _KEYED}
"""Answers to each question, right and wrong."""

WIDTHS = (2, 3, 4, 7)
POLICIES = tuple(
    GradingPolicy(attempts=attempts, max_attempts=most)
    for attempts in AttemptsPolicy
    for most in (None, 1, 2)
)


def make(assignment_id: str, questions: int, policy: GradingPolicy) -> Form:
    """A form of the first so many *questions*."""
    kept = _KEYED[:questions]
    return Form(
        Assignment(
            assignment_id=assignment_id,
            course_id="course",
            title=assignment_id,
            policy=policy,
            questions=tuple(question for question, _, _ in kept),
        ),
        {
            question.question_id: AnswerKey(question_id=question.question_id, key=key)
            for question, key, _ in kept
        },
    )


def documents_of(form: Form, created_at: Any) -> Sequence[Write]:
    """*form* as the catalog stores it."""
    assignment = form.assignment
    path = f"assignments/{assignment.assignment_id}"
    return [
        Put(
            path,
            {
                "courseId": assignment.course_id,
                "title": assignment.title,
                "createdAt": created_at,
                "questionCount": len(assignment.questions),
                "formVersion": assignment.form_version,
                "policy": assignment.policy.model_dump(mode="json"),
            },
        ),
        Put(
            f"{path}/forms/{assignment.form_version}",
            {"questions": _QUESTIONS.dump_python(assignment.questions, mode="json", by_alias=True)},
        ),
        Put(
            f"answerKeys/{assignment.assignment_id}",
            {
                "formVersion": assignment.form_version,
                "keys": canonical(_KEYS.dump_python(tuple(form.keys.values()), mode="json", by_alias=True)),
            },
        ),
    ]


def some_answer(rng: Random, question_id: str) -> str:
    """The canonical text of some answer to a question."""
    return canonical(rng.choice(ANSWERS[question_id]))
