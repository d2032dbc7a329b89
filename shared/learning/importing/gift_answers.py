"""Reads the answers of a GIFT question, all that stands between its braces."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from shared.learning.importing.drafts import (
    EVERY_NUMBER,
    Draft,
    DraftOption,
    DraftPair,
    around,
    credit_of_percent,
    number,
    text_pattern,
)
from shared.learning.importing.gift_text import WHITE_SPACE, Reading, Span, unmasked
from shared.learning.questions import (
    FULL_CREDIT,
    MAX_OPTIONS,
    NumericKey,
    NumericRange,
    QuestionType,
    RichText,
    ShortTextKey,
    TextFormat,
    TrueFalseKey,
)

_MARKER = re.compile("[~=]")
_WEIGHT = re.compile(r"%[^\S\n]?([+-]?[0-9]{1,3}(?:[.,][0-9]{0,15})?)[^\S\n]?%")
_ALMOST_WEIGHT = re.compile(r"%(?=[^%\s]{0,11}[0-9])[^%\s]{1,12}%")
_TRUTH = {"T": True, "TRUE": True, "F": False, "FALSE": False}


class _Answer(NamedTuple):
    """One of several answers, up to the next marker; the marker is empty before the first."""

    marker: str
    body: Span
    credit: int
    feedback: RichText | None


def answered(draft: Draft, answers: Span, reading: Reading) -> Draft | None:
    """Return *draft* with its type and its key; None, and the reason noted, if it has to be left out."""
    feedback_at = answers.text.rfind("####")
    if feedback_at >= 0:
        general = reading.remark(answers.since(feedback_at + 4), draft.text.format)
        draft = replace(draft, general_feedback=general)
        answers = answers.until(feedback_at)
    answers = answers.stripped()
    text = answers.text
    foreign = _of_a_plugin(text)
    if foreign:
        reading.skip(answers.offset, foreign)
        return None
    if not text:
        return replace(draft, type=QuestionType.ESSAY)
    return _reader_of(text)(draft, answers, reading)


def _reader_of(text: str) -> Callable[[Draft, Span, Reading], Draft]:
    """Tell the type of a question from its answers, by the rules that Moodle applies in this order."""
    if text.startswith("#"):
        return _numeric
    if "~" in text:
        return _choice
    if "=" in text and "->" in text:
        return _matching
    return _short_text if _truth(text) is None else _true_false


def _truth(text: str) -> bool | None:
    return _TRUTH.get(text.partition("#")[0].strip(WHITE_SPACE).upper())


def _of_a_plugin(text: str) -> str:
    if text.startswith(">") and "\n" in text:
        return "ordering questions are not supported; the question is left out"
    if text.startswith("=="):
        return "regular-expression questions are not supported; the question is left out"
    return ""


def _split(answers: Span, reading: Reading) -> Iterator[tuple[str, Span]]:
    """Yield each answer with the marker before it; what stands before the first has none."""
    markers = list(_MARKER.finditer(answers.text))
    starts = [*(each.start() for each in markers), len(answers.text)]
    first = answers.until(starts[0])
    most = MAX_OPTIONS - bool(first.stripped().text)
    if len(markers) > most:
        offset = answers.offset + markers[most].start()
        reading.problem(offset, f"the question has more than {MAX_OPTIONS} answers")
        return
    if first.stripped().text:
        yield "", first.stripped()
    for start, end in pairwise(starts):
        yield answers.text[start], Span(answers.text[start + 1 : end], answers.offset + start + 1).stripped()


def _weighted(answers: Span, form: TextFormat, reading: Reading) -> Iterator[_Answer]:
    for marker, body in _split(answers, reading):
        yield _answer(marker, body, form, reading)


def _answer(marker: str, body: Span, form: TextFormat, reading: Reading) -> _Answer:
    credit = 0 if marker == "~" else FULL_CREDIT
    weight = _WEIGHT.match(body.text)
    if weight:
        earned = credit_of_percent(Decimal(weight[1].replace(",", ".")))
        if earned is None:
            reading.problem(body.offset, "a weight lies between %-100% and %100%")
        credit = earned or 0
        body = body.since(weight.end())
    elif _ALMOST_WEIGHT.match(body.text):
        reading.problem(body.offset, "this is not a weight such as %50% or %-33.333%")
    body, feedback = body.parted("#")
    return _Answer(marker, body.stripped(), credit, reading.remark(feedback, form))


def _choice(draft: Draft, answers: Span, reading: Reading) -> Draft:
    options = []
    form = draft.text.format
    for each in _weighted(answers, form, reading):
        text = reading.rich(each.body, form)
        if not each.marker:
            reading.problem(each.body.offset, "an answer begins with = if it is right or ~ if it is wrong")
        elif not text.text:
            reading.problem(each.body.offset, "the answer is empty")
        options.append(DraftOption(text, each.credit, each.feedback))
    kind = QuestionType.SINGLE_CHOICE if "=" in answers.text else QuestionType.MULTIPLE_CHOICE
    return replace(draft, type=kind, options=options)


def _matching(draft: Draft, answers: Span, reading: Reading) -> Draft:
    pairs = []
    for marker, pair in _split(answers, reading):
        left, right = pair.parted("->")
        if right is None or not marker:
            reading.problem(pair.offset, "a pair is written as = left -> right")
            continue
        choice = reading.rich(right, TextFormat.PLAIN)
        if not choice.text:
            reading.problem(right.offset, "the right side of the pair is empty")
        pairs.append(DraftPair(reading.remark(left, draft.text.format), choice))
    return replace(draft, type=QuestionType.MATCHING, pairs=pairs)


def _true_false(draft: Draft, answers: Span, reading: Reading) -> Draft:
    form = draft.text.format
    _, remarks = answers.parted("#")
    wrong, right = (None, None) if remarks is None else remarks.parted("#")
    key = TrueFalseKey(
        value=_truth(answers.text) is True,
        when_right=reading.remark(right, form),
        when_wrong=reading.remark(wrong, form),
    )
    return replace(draft, type=QuestionType.TRUE_FALSE, key=key)


def _short_text(draft: Draft, answers: Span, reading: Reading) -> Draft:
    patterns = []
    for each in _weighted(answers, draft.text.format, reading):
        text = reading.rich(each.body, draft.text.format).text
        place = reading.place(each.body.offset)
        patterns.append(text_pattern(text, each.credit, each.feedback, place, reading.findings))
    usable = tuple(pattern for pattern in patterns if pattern is not None)
    if usable:
        draft = replace(draft, key=ShortTextKey(patterns=usable))
    return replace(draft, type=QuestionType.SHORT_TEXT)


def _numeric(draft: Draft, answers: Span, reading: Reading) -> Draft:
    ranges = []
    otherwise = None
    found_before = reading.findings.problem_count
    for each in _weighted(answers.since(1), draft.text.format, reading):
        if each.marker == "~" and each.body.text in {"", "*"}:
            otherwise = each.feedback
            continue
        bounds = _bounds(each.body, reading)
        if bounds is not None:
            low, high = bounds
            ranges.append(NumericRange(minimum=low, maximum=high, credit=each.credit, feedback=each.feedback))
    if ranges:
        draft = replace(draft, key=NumericKey(ranges=tuple(ranges), otherwise=otherwise))
    elif reading.findings.problem_count == found_before:
        reading.problem(answers.offset, "the question has no number as an answer")
    return replace(draft, type=QuestionType.NUMERIC)


def _bounds(body: Span, reading: Reading) -> tuple[Decimal, Decimal] | None:
    """Read ``value``, ``value:tolerance``, ``low..high`` or ``*``."""
    if body.text == "*":
        return -EVERY_NUMBER, EVERY_NUMBER
    low, high = body.parted("..")
    if high is not None:
        return _interval(low, high, reading)
    value, tolerance = body.parted(":")
    middle = _number(value, reading)
    margin = Decimal(0) if tolerance is None else _number(tolerance, reading)
    if middle is None or margin is None:
        return None
    if tolerance is not None and margin < 0:
        reading.problem(tolerance.stripped().offset, "a tolerance is not negative")
        return None
    return around(middle, margin)


def _interval(low: Span, high: Span, reading: Reading) -> tuple[Decimal, Decimal] | None:
    first, last = _number(low, reading), _number(high, reading)
    if first is None or last is None:
        return None
    if first > last:
        reading.problem(low.stripped().offset, "the range ends before it begins")
        return None
    return first, last


def _number(span: Span, reading: Reading) -> Decimal | None:
    span = span.stripped()
    value = number(span.text)
    if value is None:
        shown = unmasked(span.text[:40])
        reading.problem(span.offset, f"{shown!r} is not a number" if shown else "a number is missing")
    return value
