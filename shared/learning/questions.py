"""Questions as learners see them, and the keys that only grading reads."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.learning.facts import DocumentId, Fact
from shared.learning.rubrics import MAX_CRITERIA, Criterion

FULL_CREDIT = 10_000_000
"""Credit of a fully right answer. Credits are integers, so that sums are exact in any order:
1 % is 100,000, and GIFT's five decimals of a percentage (33.33333 %) are still whole."""

MAX_OPTIONS = 60
MAX_QUESTIONS = 500

Credit = Annotated[int, Field(ge=-FULL_CREDIT, le=FULL_CREDIT)]
"""A share of full credit, from -10,000,000 (-100 %) to 10,000,000 (100 %)."""

Weight = Annotated[Decimal, Field(gt=0, le=1000, decimal_places=3)]
"""How many points a question is worth, 0.001 to 1000, three decimals."""


class QuestionType(StrEnum):
    """What a learner is asked to do."""

    SINGLE_CHOICE = "singleChoice"
    MULTIPLE_CHOICE = "multipleChoice"
    TRUE_FALSE = "trueFalse"
    NUMERIC = "numeric"
    SHORT_TEXT = "shortText"
    MATCHING = "matching"
    ESSAY = "essay"
    DESCRIPTION = "description"


GRADED_LATER = frozenset({QuestionType.ESSAY})
NOT_ANSWERED = frozenset({QuestionType.DESCRIPTION})


class TextFormat(StrEnum):
    """How a text is marked up, in Moodle's four formats."""

    MOODLE = "moodle"
    PLAIN = "plain"
    HTML = "html"
    MARKDOWN = "markdown"


class RichText(Fact):
    """A text together with its mark-up; untrusted, to be escaped or sanitised by whoever shows it."""

    format: TextFormat = TextFormat.PLAIN
    text: Annotated[str, StringConstraints(max_length=16_000)]


class Option(Fact):
    """One choice of a choice question; its id stays the same however options are shown."""

    option_id: DocumentId
    text: RichText


class Stem(Fact):
    """The left side of a pair in a matching question."""

    stem_id: DocumentId
    text: RichText


class Choice(Fact):
    """The right side of a pair in a matching question; may belong to no stem or to several."""

    choice_id: DocumentId
    text: RichText


class Question(Fact):
    """
    A question without its key: everything in here may be shown to learners.

    ``options`` belong to the choice types, ``stems`` and ``choices`` to matching; the others have none.
    """

    question_id: DocumentId
    type: QuestionType
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    text: RichText
    category: Annotated[str, StringConstraints(max_length=255)] = ""
    weight: Weight = Decimal(1)
    options: Annotated[tuple[Option, ...], Field(max_length=MAX_OPTIONS)] = ()
    stems: Annotated[tuple[Stem, ...], Field(max_length=MAX_OPTIONS)] = ()
    choices: Annotated[tuple[Choice, ...], Field(max_length=MAX_OPTIONS)] = ()


class Outcome(Fact):
    """What one possible response earns, and what the learner is told about it."""

    credit: Credit
    feedback: RichText | None = None


class ChoiceKey(Fact):
    """
    Outcomes per option id; an option without one earns nothing.

    Single choice and true/false take the outcome of the chosen option; multiple choice sums the
    chosen options' credits and keeps the sum within [0, full].
    """

    kind: Literal["choice"] = "choice"
    options: dict[DocumentId, Outcome]


class TrueFalseKey(Fact):
    """The right truth value, and feedback for either answer."""

    kind: Literal["trueFalse"] = "trueFalse"
    value: bool
    when_right: RichText | None = None
    when_wrong: RichText | None = None


class NumericRange(Outcome):
    """An inclusive range of numbers; a value with a tolerance is the range around it."""

    minimum: Decimal
    maximum: Decimal

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            message = "minimum is greater than maximum"
            raise ValueError(message)
        return self


class NumericKey(Fact):
    """Ranges in the author's order; the first that contains the number decides. None: no credit."""

    kind: Literal["numeric"] = "numeric"
    ranges: Annotated[tuple[NumericRange, ...], Field(min_length=1, max_length=MAX_OPTIONS)]
    otherwise: RichText | None = None


class TextPattern(Outcome):
    r"""A text to match, where ``*`` stands for any run of characters and ``\*`` for an asterisk."""

    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class ShortTextKey(Fact):
    """Patterns in the author's order; the first that matches the whole answer decides."""

    kind: Literal["shortText"] = "shortText"
    patterns: Annotated[tuple[TextPattern, ...], Field(min_length=1, max_length=MAX_OPTIONS)]
    case_sensitive: bool = False
    rubric: Annotated[tuple[Criterion, ...], Field(max_length=MAX_CRITERIA)] = ()


class MatchingKey(Fact):
    """The right choice id per stem id; every stem is worth the same share of the credit."""

    kind: Literal["matching"] = "matching"
    pairs: Annotated[dict[DocumentId, DocumentId], Field(min_length=1)]


class ManualKey(Fact):
    """No key: a person grades. ``notes`` are for the grader, ``rubric`` also for a model's suggestions."""

    kind: Literal["manual"] = "manual"
    notes: RichText | None = None
    rubric: Annotated[tuple[Criterion, ...], Field(max_length=MAX_CRITERIA)] = ()


Key = Annotated[
    ChoiceKey | TrueFalseKey | NumericKey | ShortTextKey | MatchingKey | ManualKey,
    Field(discriminator="kind"),
]


class AnswerKey(Fact):
    """The secret half of a question; stored where no client may read."""

    question_id: DocumentId
    key: Key
    general_feedback: RichText | None = None


class KeyedQuestion(Fact):
    """A question with its key, as authored: what importing yields and nothing else returns."""

    question: Question
    answer_key: AnswerKey
