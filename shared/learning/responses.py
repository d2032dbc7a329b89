"""What a learner answers: one shape per question type, checked against the question."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.errors import InvalidRequest
from shared.learning.facts import DocumentId, Fact
from shared.learning.questions import MAX_OPTIONS, Question, QuestionType

MAX_TEXT_BYTES = 16_384
MAX_NUMBER = 2**53

Number = Annotated[int, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)] | Annotated[float, Field(ge=-1e300, le=1e300)]


class OptionResponse(Fact):
    """``{"optionId": "a"}``: single choice."""

    option_id: DocumentId


class OptionsResponse(Fact):
    """``{"optionIds": ["a", "c"]}``: multiple choice; the empty list is an answer."""

    option_ids: Annotated[tuple[DocumentId, ...], Field(max_length=MAX_OPTIONS)]


class TruthResponse(Fact):
    """``{"value": true}``: true/false."""

    value: bool


class NumberResponse(Fact):
    """``{"number": 1822}``: numeric."""

    number: Number


class TextResponse(Fact):
    """``{"text": "four"}``: short text and essay; at most 16 KiB of UTF-8, kept verbatim."""

    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_BYTES)]


class PairsResponse(Fact):
    """``{"pairs": {"<stemId>": "<choiceId>"}}``: matching; unanswered stems may be absent."""

    pairs: Annotated[dict[DocumentId, DocumentId], Field(max_length=MAX_OPTIONS)]


Response = OptionResponse | OptionsResponse | TruthResponse | NumberResponse | TextResponse | PairsResponse

SHAPE_OF: dict[QuestionType, type[Response]] = {
    QuestionType.SINGLE_CHOICE: OptionResponse,
    QuestionType.MULTIPLE_CHOICE: OptionsResponse,
    QuestionType.TRUE_FALSE: TruthResponse,
    QuestionType.NUMERIC: NumberResponse,
    QuestionType.SHORT_TEXT: TextResponse,
    QuestionType.ESSAY: TextResponse,
    QuestionType.MATCHING: PairsResponse,
}


def check(response: Response, question: Question) -> None:
    """
    Accept *response* as an answer to *question*, right or wrong.

    Raises:
        InvalidRequest: the shape does not belong to the question's type, an id is not the
            question's, an id is named twice, or a text is too long.
    """
    shape = SHAPE_OF.get(question.type)
    if shape is None:
        message = f"question {question.question_id} takes no answer"
        raise InvalidRequest(message)
    if not isinstance(response, shape):
        field = next(iter(shape.model_fields.values())).alias
        message = f"a {question.type.value} question is answered with {{{field!r}: …}}"
        raise InvalidRequest(message)
    match response:
        case OptionResponse(option_id=option_id):
            _known([option_id], {option.option_id for option in question.options}, "optionId")
        case OptionsResponse(option_ids=option_ids):
            _known(option_ids, {option.option_id for option in question.options}, "optionId")
            if len(set(option_ids)) != len(option_ids):
                message = "an optionId is named twice"
                raise InvalidRequest(message)
        case PairsResponse(pairs=pairs):
            _known(pairs.keys(), {stem.stem_id for stem in question.stems}, "stemId")
            _known(pairs.values(), {choice.choice_id for choice in question.choices}, "choiceId")
        case TextResponse(text=text):
            if len(text.encode()) > MAX_TEXT_BYTES:
                message = f"text is longer than {MAX_TEXT_BYTES} bytes of UTF-8"
                raise InvalidRequest(message)
        case _:
            pass


def _known(named: Iterable[str], known: set[str], what: str) -> None:
    for each in named:
        if each not in known:
            message = f"{each!r} is not a {what} of this question"
            raise InvalidRequest(message)
