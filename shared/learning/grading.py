"""
Turns responses into credit: each question is compiled once, then graded without looking back.

Nothing in here raises because of what a learner wrote: a response of another shape, or one that
names unknown ids, earns nothing (``shared.learning.responses.check`` refuses it earlier).
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from shared.errors import InvalidRequest
from shared.learning.plain_text import WILDCARD, folded, folded_pattern
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    ChoiceKey,
    Key,
    ManualKey,
    MatchingKey,
    NumericKey,
    Question,
    QuestionType,
    RichText,
    ShortTextKey,
    TrueFalseKey,
)
from shared.learning.responses import (
    NumberResponse,
    OptionResponse,
    OptionsResponse,
    PairsResponse,
    Response,
    TextResponse,
    TruthResponse,
)

ALMOST_FULL = FULL_CREDIT - 100
"""Three times 33.33333 % is meant to be all of it: a sum that misses full credit by at most
0.001 % is full credit (Moodle calls 0.999999 right)."""

TRUE_CODE = 1
FALSE_CODE = 2


class Grade(NamedTuple):
    """
    What one response earns.

    ``credit`` is in units of ``FULL_CREDIT``, None while a person has to grade. ``response_code``
    says in one number what was answered, for counting:

    - choice types and matching: a bit mask; bit *i* is set if ``options[i]`` was chosen, or if
      ``stems[i]`` was paired rightly
    - true/false: 1 for true, 2 for false
    - numeric and short text: the position of the range or pattern that matched, from 1; 0 for none
    - essay: 0
    """

    credit: int | None
    response_code: int


NO_CREDIT = Grade(0, 0)
UNGRADED = Grade(None, 0)

Grader = Callable[[Response], Grade]

KEY_OF: dict[QuestionType, type[Key]] = {
    QuestionType.SINGLE_CHOICE: ChoiceKey,
    QuestionType.MULTIPLE_CHOICE: ChoiceKey,
    QuestionType.TRUE_FALSE: TrueFalseKey,
    QuestionType.NUMERIC: NumericKey,
    QuestionType.SHORT_TEXT: ShortTextKey,
    QuestionType.MATCHING: MatchingKey,
    QuestionType.ESSAY: ManualKey,
    QuestionType.DESCRIPTION: ManualKey,
}


def compile_grader(question: Question, key: AnswerKey) -> Grader:
    """
    Return a function that grades responses to *question*; it holds no reference to either argument.

    - Single choice: the credit of the chosen option, from -full to full.
    - Multiple choice: the sum over the chosen options, kept within [0, full].
    - Numeric: exact decimal comparison; the first range that contains the number decides.
    - Short text: the first pattern that matches the whole answer decides; how texts are compared
      is told in ``shared.learning.plain_text``.
    - Matching: an equal share for each right pair, rounded half to even once, over their sum.

    Raises:
        InvalidRequest: the key belongs to another question, or to another type of question.
    """
    if key.question_id != question.question_id or not isinstance(key.key, KEY_OF[question.type]):
        message = f"this key does not belong to question {question.question_id}"
        raise InvalidRequest(message)
    match key.key:
        case ChoiceKey() as choice:
            single = question.type == QuestionType.SINGLE_CHOICE
            return _single_choice(question, choice) if single else _multiple_choice(question, choice)
        case TrueFalseKey(value=value):
            return _true_false(value=value)
        case NumericKey() as numeric:
            return _numeric(numeric)
        case ShortTextKey() as short_text:
            return _short_text(short_text)
        case MatchingKey() as matching:
            return _matching(question, matching)
        case ManualKey():
            return _ungraded


def feedback_for(question: Question, key: AnswerKey, response_code: int) -> tuple[RichText, ...]:
    """
    Return what the author has to say about a response of that code: the particular first, then the general.

    Several texts can apply (one for each chosen option), each with its own mark-up; none is empty.
    """
    texts = (*_particular_feedback(question, key.key, response_code), key.general_feedback)
    return tuple(text for text in texts if text is not None and text.text)


def _particular_feedback(question: Question, key: Key, code: int) -> Iterator[RichText | None]:
    match key:
        case ChoiceKey(options=outcomes):
            for position, option in enumerate(question.options):
                if code >> position & 1 and option.option_id in outcomes:
                    yield outcomes[option.option_id].feedback
        case TrueFalseKey(value=value) if code:
            yield key.when_right if (code == TRUE_CODE) == value else key.when_wrong
        case NumericKey():
            yield key.ranges[code - 1].feedback if code else key.otherwise
        case ShortTextKey() if code:
            yield key.patterns[code - 1].feedback
        case _:
            pass


def _ungraded(_response: Response) -> Grade:
    return UNGRADED


def _single_choice(question: Question, key: ChoiceKey) -> Grader:
    grades = {}
    for position, option in enumerate(question.options):
        outcome = key.options.get(option.option_id)
        grades[option.option_id] = Grade(outcome.credit if outcome else 0, 1 << position)

    def grade(response: Response) -> Grade:
        if not isinstance(response, OptionResponse):
            return NO_CREDIT
        return grades.get(response.option_id, NO_CREDIT)

    return grade


def _multiple_choice(question: Question, key: ChoiceKey) -> Grader:
    bits = {option.option_id: 1 << position for position, option in enumerate(question.options)}
    credits_by_bit = {
        bit: key.options[option_id].credit for option_id, bit in bits.items() if option_id in key.options
    }

    def grade(response: Response) -> Grade:
        if not isinstance(response, OptionsResponse):
            return NO_CREDIT
        code = total = 0
        for option_id in response.option_ids:
            bit = bits.get(option_id, 0)
            if not code & bit:  # an option named twice counts once
                code |= bit
                total += credits_by_bit.get(bit, 0)
        return Grade(FULL_CREDIT if total >= ALMOST_FULL else max(total, 0), code)

    return grade


def _true_false(*, value: bool) -> Grader:
    if_true = Grade(FULL_CREDIT if value else 0, TRUE_CODE)
    if_false = Grade(0 if value else FULL_CREDIT, FALSE_CODE)

    def grade(response: Response) -> Grade:
        if not isinstance(response, TruthResponse):
            return NO_CREDIT
        return if_true if response.value else if_false

    return grade


def _numeric(key: NumericKey) -> Grader:
    ranges = [
        (each.minimum, each.maximum, Grade(each.credit, position))
        for position, each in enumerate(key.ranges, start=1)
    ]

    def grade(response: Response) -> Grade:
        if not isinstance(response, NumberResponse):
            return NO_CREDIT
        # The shortest text that reads back as this float is what the learner typed.
        number = Decimal(str(response.number))
        for minimum, maximum, earned in ranges:
            if minimum <= number <= maximum:
                return earned
        return NO_CREDIT

    return grade


def _short_text(key: ShortTextKey) -> Grader:
    literal: dict[str, int] = {}
    with_wildcards: list[tuple[int, list[str]]] = []
    grades = [NO_CREDIT]
    for position, each in enumerate(key.patterns, start=1):
        grades.append(Grade(each.credit, position))
        pieces = folded_pattern(each.pattern, case_sensitive=key.case_sensitive).split(WILDCARD)
        if len(pieces) == 1:
            literal.setdefault(pieces[0], position)
        else:
            with_wildcards.append((position, pieces))

    def grade(response: Response) -> Grade:
        if not isinstance(response, TextResponse):
            return NO_CREDIT
        text = folded(response.text, case_sensitive=key.case_sensitive)
        found = literal.get(text, 0)
        for position, pieces in with_wildcards:
            if found and found < position:
                break
            if _matches(text, pieces):
                found = position
                break
        return grades[found]

    return grade


def _matches(text: str, pieces: list[str]) -> bool:
    """
    Say whether *text* is the *pieces* in their order, with anything between them.

    The leftmost place for each piece is always good enough, so nothing is ever tried twice.
    """
    start = len(pieces[0])
    end = len(text) - len(pieces[-1])
    if start > end or not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    for piece in pieces[1:-1]:
        found = text.find(piece, start, end)
        if found < 0:
            return False
        start = found + len(piece)
    return True


def _matching(question: Question, key: MatchingKey) -> Grader:
    right_pairs = {
        (stem.stem_id, key.pairs[stem.stem_id]): 1 << position
        for position, stem in enumerate(question.stems)
        if stem.stem_id in key.pairs
    }
    pair_count = max(len(right_pairs), 1)
    shares = [_rounded_half_even(FULL_CREDIT * right, pair_count) for right in range(pair_count + 1)]

    def grade(response: Response) -> Grade:
        if not isinstance(response, PairsResponse):
            return NO_CREDIT
        code = 0
        for pair in response.pairs.items():
            code |= right_pairs.get(pair, 0)
        return Grade(shares[code.bit_count()], code)

    return grade


def _rounded_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    if 2 * remainder > denominator or (2 * remainder == denominator and quotient % 2):
        quotient += 1
    return quotient
