"""
Reads questions from JSON.

The models below are the format; ``docs/import.md`` explains it. What does not fit is reported with
the line and column of the value, or of the key where no such key is expected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from shared.learning.importing.drafts import (
    EVERY_NUMBER,
    MAX_NAME,
    Draft,
    DraftOption,
    DraftPair,
    around,
    check,
    choice_credits,
    credit_of_percent,
    question_weight,
    rich_text,
    text_pattern,
)
from shared.learning.importing.findings import Findings, Lines, Place
from shared.learning.importing.json_places import Node, read
from shared.learning.questions import (
    MAX_OPTIONS,
    MAX_QUESTIONS,
    ManualKey,
    NumericKey,
    NumericRange,
    QuestionType,
    RichText,
    ShortTextKey,
    TextFormat,
    TrueFalseKey,
)
from shared.learning.rubrics import MAX_CRITERIA, Criterion

Path = tuple[str | int, ...]
FormatName = Literal["plain", "html", "markdown", "moodle"]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, allow_inf_nan=False
    )


def _as(name: str) -> BeforeValidator:
    """Let a bare value stand for an object that has it as *name*."""
    return BeforeValidator(lambda value: value if isinstance(value, Mapping) else {name: value})


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Text(_Part):
    text: str
    format: FormatName | None = None


AnyText = Annotated[_Text, _as("text")]
Percent = Annotated[Decimal, Field(ge=-100, le=100)]
Number = Annotated[Decimal, Field(ge=-EVERY_NUMBER, le=EVERY_NUMBER)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME)]


class _Option(_Text):
    credit: Percent | None = None
    correct: bool = False
    feedback: AnyText | None = None


class _NumericAnswer(_Part):
    value: Number | None = None
    tolerance: Annotated[Number, Field(ge=0)] = Decimal(0)
    minimum: Number | None = None
    maximum: Number | None = None
    credit: Percent = Decimal(100)
    feedback: AnyText | None = None

    @model_validator(mode="after")
    def _one_of_two_forms(self) -> "_NumericAnswer":
        ends = [self.minimum, self.maximum]
        if (self.value is None) == (ends == [None, None]) or ends.count(None) == 1:
            message = "give either value (and tolerance), or minimum and maximum"
            raise ValueError(message)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            message = "minimum is greater than maximum"
            raise ValueError(message)
        return self

    def bounds(self) -> tuple[Decimal, Decimal]:
        if self.minimum is not None and self.maximum is not None:
            return self.minimum, self.maximum
        return around(self.value or Decimal(0), self.tolerance)


class _TextAnswer(_Part):
    text: str
    credit: Percent = Decimal(100)
    feedback: AnyText | None = None


class _Criterion(_Part):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
    description: Annotated[str, StringConstraints(max_length=600)] = ""
    max_points: Annotated[Decimal, Field(ge=1, le=20, multiple_of=1)] = Decimal(4)


Rubric = Annotated[list[Annotated[_Criterion, _as("title")]], Field(max_length=MAX_CRITERIA)]


class _Pair(_Part):
    left: AnyText
    right: AnyText


class _Question(_Part):
    type: str
    text: AnyText
    name: Label = ""
    format: FormatName = "plain"
    category: Label = ""
    weight: Decimal = Decimal(1)
    general_feedback: AnyText | None = None


class _Choice(_Question):
    type: Literal["singleChoice", "multipleChoice"]
    options: Annotated[list[Annotated[_Option, _as("text")]], Field(min_length=2, max_length=MAX_OPTIONS)]
    correct: Annotated[list[str], BeforeValidator(_listed)] = []
    shuffle: bool = True


class _TrueFalse(_Question):
    type: Literal["trueFalse"]
    correct: bool
    feedback_right: AnyText | None = None
    feedback_wrong: AnyText | None = None


class _Numeric(_Question):
    type: Literal["numeric"]
    answers: Annotated[
        list[Annotated[_NumericAnswer, _as("value")]], Field(min_length=1, max_length=MAX_OPTIONS)
    ]
    feedback_wrong: AnyText | None = None


class _ShortText(_Question):
    type: Literal["shortText"]
    answers: Annotated[list[Annotated[_TextAnswer, _as("text")]], Field(min_length=1, max_length=MAX_OPTIONS)]
    case_sensitive: bool = False
    rubric: Rubric = []


class _Matching(_Question):
    type: Literal["matching"]
    pairs: Annotated[list[_Pair], Field(min_length=1, max_length=MAX_OPTIONS)]
    extra_choices: Annotated[list[AnyText], Field(max_length=MAX_OPTIONS)] = []
    shuffle: bool = True


class _Essay(_Question):
    type: Literal["essay"]
    notes: AnyText | None = None
    rubric: Rubric = []


class _Description(_Question):
    type: Literal["description"]


AnyQuestion = Annotated[
    _Choice | _TrueFalse | _Numeric | _ShortText | _Matching | _Essay | _Description,
    Field(discriminator="type"),
]


class QuestionSet(_Part):
    """The whole file; a bare list of questions stands for it."""

    questions: Annotated[list[AnyQuestion], Field(max_length=MAX_QUESTIONS)]


def drafts(source: str, lines: Lines, findings: Findings) -> list[Draft]:
    """Return the questions of *source* in their order; *findings* gets what is wrong."""
    root = read(source, lines, findings)
    if isinstance(root.value, list):
        root = Node(root.offset, {"questions": root.value}, {"questions": root})
    try:
        question_set = QuestionSet.model_validate(root.value)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            offset, message = _explained(root, each["loc"], each["type"], each["msg"])
            findings.problem(lines.place(offset), message)
        return []
    return [
        _Reader(root.at(("questions", index)), question, lines, findings).draft()
        for index, question in enumerate(question_set.questions)
    ]


_EXPECTED = {
    "string_type": "a text is expected here",
    "bool_type": "true or false is expected here",
    "is_instance_of": "a number is expected here",
    "list_type": "a list is expected here",
    "model_type": "an object is expected here",
    "model_attributes_type": "an object is expected here",
}


def _explained(root: Node, path: Path, kind: str, message: str) -> tuple[int, str]:
    """Return where the problem that pydantic found stands, and what it is."""
    node = root.at(path)
    last = path[-1] if path else ""
    match kind:
        case "missing":
            return node.offset, f"{last!r} is missing here"
        case "extra_forbidden":
            parent = root.at(path[:-1])
            return parent.key_offsets.get(str(last), node.offset), f"nothing is called {last!r} here"
        case "union_tag_not_found":
            return node.offset, "'type' is missing here"
        case "union_tag_invalid":
            known = ", ".join(each.value for each in QuestionType)
            return node.at(("type",)).offset, f"this is no type of question: use one of {known}"
        case _:
            return node.offset, _EXPECTED.get(kind, message.removeprefix("Value error, "))


class _Reader:
    def __init__(self, node: Node, question: _Question, lines: Lines, findings: Findings) -> None:
        self._node = node
        self._question = question
        self._lines = lines
        self._findings = findings

    def draft(self) -> Draft:
        question = self._question
        weight = question_weight(question.weight)
        if weight is None:
            message = "a weight lies between 0.001 and 1000 and has at most three decimals"
            self._findings.problem(self._place("weight"), message)
        draft = Draft(
            place=self._place(),
            type=QuestionType(question.type),
            text=self._rich(question.text, "text") or RichText(text=""),
            name=" ".join(question.name.split()),
            category=question.category,
            weight=weight or Decimal(1),
            general_feedback=self._rich(question.general_feedback, "generalFeedback"),
        )
        found_before = self._findings.problem_count
        draft = self._keyed(draft)
        if self._findings.problem_count == found_before:
            check(draft, self._findings)
        return draft

    def _place(self, *path: str | int) -> Place:
        return self._lines.place(self._node.at(path).offset)

    def _rich(self, text: _Text | None, *path: str | int) -> RichText | None:
        if text is None or not text.text.strip():
            return None
        form = TextFormat(text.format or self._question.format)
        return rich_text(text.text.strip(), form, self._place(*path), self._findings)

    def _required(self, text: _Text, *path: str | int) -> RichText:
        rich = self._rich(text, *path)
        if rich is None:
            self._findings.problem(self._place(*path), "the text is empty")
        return rich or RichText(text="")

    def _keyed(self, draft: Draft) -> Draft:
        match self._question:
            case _Choice() as question:
                return replace(draft, options=self._options(question, draft.type), shuffle=question.shuffle)
            case _Matching() as question:
                return replace(draft, pairs=self._pairs(question), shuffle=question.shuffle)
            case _:
                return replace(draft, key=self._key())

    def _key(self) -> TrueFalseKey | NumericKey | ShortTextKey | ManualKey:
        match self._question:
            case _TrueFalse() as question:
                return TrueFalseKey(
                    value=question.correct,
                    when_right=self._rich(question.feedback_right, "feedbackRight"),
                    when_wrong=self._rich(question.feedback_wrong, "feedbackWrong"),
                )
            case _Numeric() as question:
                return NumericKey(
                    ranges=tuple(self._ranges(question.answers)),
                    otherwise=self._rich(question.feedback_wrong, "feedbackWrong"),
                )
            case _ShortText() as question:
                return self._short_text(question)
            case _Essay() as question:
                return ManualKey(notes=self._rich(question.notes, "notes"), rubric=_rubric(question.rubric))
            case _:
                return ManualKey()

    def _options(self, question: _Choice, kind: QuestionType) -> list[DraftOption]:
        texts = [option.text.strip() for option in question.options]
        right = [option.correct for option in question.options]
        for index, each in enumerate(question.correct):
            if texts.count(each.strip()) != 1:
                message = f"{each[:40]!r} is not the text of exactly one option"
                self._findings.problem(self._place("correct", index), message)
            else:
                right[texts.index(each.strip())] = True
        explicit = [
            None if option.credit is None else credit_of_percent(option.credit) for option in question.options
        ]
        return [
            DraftOption(
                self._required(option, "options", index),
                credit,
                self._rich(option.feedback, "options", index, "feedback"),
            )
            for index, (option, credit) in enumerate(
                zip(question.options, choice_credits(kind, right, explicit), strict=True)
            )
        ]

    def _pairs(self, question: _Matching) -> list[DraftPair]:
        pairs = [
            DraftPair(
                self._required(pair.left, "pairs", index, "left"),
                self._required(pair.right, "pairs", index, "right"),
            )
            for index, pair in enumerate(question.pairs)
        ]
        extra = (
            DraftPair(None, self._required(choice, "extraChoices", index))
            for index, choice in enumerate(question.extra_choices)
        )
        return [*pairs, *extra]

    def _ranges(self, answers: Sequence[_NumericAnswer]) -> list[NumericRange]:
        ranges = []
        for index, answer in enumerate(answers):
            low, high = answer.bounds()
            feedback = self._rich(answer.feedback, "answers", index, "feedback")
            credit = credit_of_percent(answer.credit) or 0
            ranges.append(NumericRange(minimum=low, maximum=high, credit=credit, feedback=feedback))
        return ranges

    def _short_text(self, question: _ShortText) -> ShortTextKey | ManualKey:
        patterns = []
        for index, answer in enumerate(question.answers):
            feedback = self._rich(answer.feedback, "answers", index, "feedback")
            credit = credit_of_percent(answer.credit) or 0
            place = self._place("answers", index)
            patterns.append(text_pattern(answer.text.strip(), credit, feedback, place, self._findings))
        usable = tuple(pattern for pattern in patterns if pattern is not None)
        if not usable:
            return ManualKey()
        return ShortTextKey(
            patterns=usable, case_sensitive=question.case_sensitive, rubric=_rubric(question.rubric)
        )


def _rubric(criteria: Sequence[_Criterion]) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(
            criterion_id=f"c{number}",
            title=each.title,
            description=each.description,
            max_points=int(each.max_points),
        )
        for number, each in enumerate(criteria, start=1)
    )
