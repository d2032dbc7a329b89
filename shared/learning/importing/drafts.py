"""Questions as their authors wrote them: in the authored order and without ids."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import NamedTuple

from shared.learning.importing.findings import Findings, Place
from shared.learning.plain_text import folded_pattern
from shared.learning.questions import (
    FULL_CREDIT,
    MAX_OPTIONS,
    ManualKey,
    NumericKey,
    QuestionType,
    RichText,
    ShortTextKey,
    TextFormat,
    TextPattern,
    TrueFalseKey,
)

MAX_NAME = 255
MAX_TEXT = 16_000
MAX_PATTERN = 1000
MAX_DERIVED_NAME = 80

EVERY_NUMBER = Decimal("1E300")
"""No learner's number is further from zero (``shared.learning.responses``)."""

_EXACT = Context(prec=700)
_SMALLEST_WEIGHT = Decimal("0.001")
_LARGEST_WEIGHT = Decimal(1000)
_PERCENT = FULL_CREDIT // 100
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST_NUMBER = 60
_TAG = re.compile("<[^<>]*>")


class DraftOption(NamedTuple):
    """One choice with what it earns."""

    text: RichText
    credit: int
    feedback: RichText | None = None


class DraftPair(NamedTuple):
    """A stem and the choice that belongs to it; without a stem, a choice that belongs to none."""

    stem: RichText | None
    choice: RichText


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """
    One question and its key.

    ``options`` belong to the choice types, ``pairs`` to matching, ``key`` to all the others.
    ``shuffle`` hides the authored order of options and choices.
    """

    place: Place
    type: QuestionType
    text: RichText
    name: str = ""
    category: str = ""
    weight: Decimal = Decimal(1)
    options: Sequence[DraftOption] = ()
    pairs: Sequence[DraftPair] = ()
    key: TrueFalseKey | NumericKey | ShortTextKey | ManualKey = field(default_factory=ManualKey)
    general_feedback: RichText | None = None
    shuffle: bool = True


def check(draft: Draft, findings: Findings, *, answers_at: Place | None = None) -> None:
    """Note what would make *draft* a question that nobody can answer rightly, or that is too large."""
    if not draft.text.text:
        findings.problem(draft.place, "the question has no text")
    for what, text in (("name", draft.name), ("category", draft.category)):
        if len(text) > MAX_NAME:
            findings.problem(draft.place, f"the {what} is longer than {MAX_NAME} characters")
    message = _wrong_with_answers(draft)
    if message:
        findings.problem(answers_at or draft.place, message)


def _wrong_with_answers(draft: Draft) -> str:
    match draft.type:
        case QuestionType.SINGLE_CHOICE | QuestionType.MULTIPLE_CHOICE:
            return _wrong_with_choices([option.credit for option in draft.options], at_least=2)
        case QuestionType.SHORT_TEXT if isinstance(draft.key, ShortTextKey):
            return _wrong_with_choices([pattern.credit for pattern in draft.key.patterns], at_least=1)
        case QuestionType.NUMERIC if isinstance(draft.key, NumericKey):
            return _wrong_with_choices([each.credit for each in draft.key.ranges], at_least=1)
        case QuestionType.MATCHING:
            return _wrong_with_pairs(draft.pairs)
        case _:
            return ""


def _wrong_with_choices(credits_: Sequence[int], *, at_least: int) -> str:
    if len(credits_) < at_least:
        return f"the question needs at least {at_least} answers"
    if len(credits_) > MAX_OPTIONS:
        return f"the question has more than {MAX_OPTIONS} answers"
    if max(credits_) <= 0:
        return "no answer earns credit: mark at least one as right"
    return ""


def _wrong_with_pairs(pairs: Sequence[DraftPair]) -> str:
    if len(pairs) < 2 or all(pair.stem is None for pair in pairs):  # noqa: PLR2004  (one pair is no question)
        return "a matching question needs at least two pairs"
    if len(pairs) > MAX_OPTIONS:
        return f"the question has more than {MAX_OPTIONS} pairs"
    return ""


def rich_text(text: str, form: TextFormat, place: Place, findings: Findings) -> RichText:
    """Return *text* with its mark-up; one that is too long is a problem."""
    if len(text) > MAX_TEXT:
        findings.problem(place, f"the text is longer than {MAX_TEXT} characters")
    return RichText(format=form, text=text[:MAX_TEXT])


def text_pattern(
    pattern: str, credit: int, feedback: RichText | None, place: Place, findings: Findings
) -> TextPattern | None:
    """Return what a short text may match; a problem and None if it is empty or too long."""
    if not folded_pattern(pattern):
        findings.problem(place, "the answer is empty")
    elif len(pattern) > MAX_PATTERN:
        findings.problem(place, f"the answer is longer than {MAX_PATTERN} characters")
    else:
        return TextPattern(pattern=pattern, credit=credit, feedback=feedback)
    return None


def number(text: str) -> Decimal | None:
    """Read a decimal number such as ``-3``, ``.5`` or ``6.02e23``; None if *text* is not one."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    return value if abs(value) <= EVERY_NUMBER else None


def around(value: Decimal, tolerance: Decimal) -> tuple[Decimal, Decimal]:
    """Return the exact bounds of *value* ± *tolerance*."""
    return _EXACT.subtract(value, tolerance), _EXACT.add(value, tolerance)


def _rounded_fractions() -> dict[tuple[int, int], int]:
    fractions: dict[tuple[int, int], int] = {}
    for digits in range(1, 5):
        for denominator in (3, 6, 7, 9):
            for numerator in range(1, denominator):
                scaled, rest = divmod(100 * numerator * 10**digits, denominator)
                credit = (2 * FULL_CREDIT * numerator + denominator) // (2 * denominator)
                if rest:
                    fractions[digits, scaled + (2 * rest > denominator)] = credit
                    if digits > 1:
                        fractions[digits, scaled] = credit
    return fractions


_ROUNDED_FRACTIONS = _rounded_fractions()
"""Credits by (decimals, percentage without its point): 33.3 and 66.67 mean thirds, 14.29 a seventh."""


def credit_of_percent(percent: Decimal) -> int | None:
    """
    Return the credit of a percentage from -100 to 100; None if it is outside.

    A percentage written with one to four decimals that is some thirds, sixths, sevenths or ninths,
    rounded or cut off, means that fraction: 33.3, 66.66 and 66.67 are thirds.
    """
    try:
        if not -100 <= percent <= 100:  # noqa: PLR2004  the scale of per cent
            return None
    except InvalidOperation:  # not a number
        return None
    exponent = percent.as_tuple().exponent
    if isinstance(exponent, int) and -4 <= exponent <= -1:  # noqa: PLR2004  the docstring's numbers
        fraction = _ROUNDED_FRACTIONS.get((-exponent, int(abs(percent).scaleb(-exponent))))
        if fraction is not None:
            return fraction if percent > 0 else -fraction
    return int((percent * _PERCENT).to_integral_value(ROUND_HALF_EVEN))


def question_weight(value: Decimal) -> Decimal | None:
    """Return *value* as a weight without needless digits; None if it cannot be one."""
    if not _SMALLEST_WEIGHT <= value <= _LARGEST_WEIGHT or value != value.quantize(_SMALLEST_WEIGHT):
        return None
    return Decimal(f"{value.normalize():f}")


def choice_credits(kind: QuestionType, right: Sequence[bool], explicit: Sequence[int | None]) -> list[int]:
    """
    Return what each option earns: its *explicit* credit, or else what follows from being *right*.

    In multiple choice without any explicit credit the right options share it all equally, and each
    wrong one costs as much as a right one earns, so that choosing everything does not pay.
    """
    if kind == QuestionType.SINGLE_CHOICE or any(credit is not None for credit in explicit):
        implied = [FULL_CREDIT if each else 0 for each in right]
    else:
        share = round(FULL_CREDIT / max(sum(right), 1))
        implied = [share if each else -share for each in right]
    return [credit if given is None else given for credit, given in zip(implied, explicit, strict=True)]


def derived_name(text: RichText, index: int) -> str:
    """Return the beginning of *text* without mark-up, or a number where there is nothing to read."""
    words = text.text
    if text.format in {TextFormat.HTML, TextFormat.MOODLE}:
        words = html.unescape(_TAG.sub(" ", words))
    words = " ".join(words.split())
    if len(words) > MAX_DERIVED_NAME:
        words = words[: MAX_DERIVED_NAME - 1]
        words = words[: words.rfind(" ")] if " " in words else words
        words += "…"
    return words or f"Question {index + 1}"
