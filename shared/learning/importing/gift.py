r"""
Reads GIFT, Moodle's text format for questions.

What the format means is what Moodle's importer makes of it, with two differences: mistakes that
Moodle passes over or guesses about are problems with a line and a column, and the answers between
braces may contain blank lines.

The text is never copied into tokens with positions of their own. Comments and escapes are masked
by as many characters as they had, so an offset into the masked text is an offset into the source,
and whatever is left of ``~ = # { } :`` is a control character.

Sources: https://docs.moodle.org/en/GIFT_format, ``question/format/gift/format.php`` in Moodle.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from shared.learning.importing.drafts import (
    EVERY_NUMBER,
    Draft,
    DraftOption,
    DraftPair,
    around,
    check,
    credit_of_percent,
    number,
    number_range,
    rich_text,
    text_pattern,
)
from shared.learning.importing.findings import Findings, Lines, Place
from shared.learning.questions import (
    FULL_CREDIT,
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

BLANK = "_____"
"""Shown where the answers of a missing-word question stand."""

_COMMENT = re.compile(r"^[^\S\n]*//[^\n]*", re.MULTILINE)
_ESCAPE = re.compile(r"\\([~=#{}:n\\])")
_ESCAPED = "\ufdd1"
_MASKS = dict(zip("~=#{}:n\\", map(chr, range(0xFDD2, 0xFDDA)), strict=True))
_UNMASK = str.maketrans(
    {_ESCAPED: "", **{mask: "\n" if each == "n" else each for each, mask in _MASKS.items()}}
)

_LINE_END = re.compile(r"[^\S\n]*\n\s*")
_BRACE = re.compile("[{}]")
_MARKER = re.compile("[~=]")
_FORMAT = re.compile(r"\[(html|moodle|plain|markdown)\]\s*")
_CATEGORY = "$CATEGORY:"
_COURSE_PREFIX = re.compile(r"^\$\w+\$/(?:top/)?")
_WEIGHT = re.compile(r"%\s*([+-]?[0-9]{1,3}(?:[.,][0-9]{0,15})?)\s*%")
_ALMOST_WEIGHT = re.compile(r"%(?=[^%\s]*[0-9])[^%\s]{1,12}%")
_TRUTH = {"T": True, "TRUE": True, "F": False, "FALSE": False}
_MOODLE_FILE = "@@PLUGINFILE@@"


class _Span(NamedTuple):
    """A part of the masked text, and the offset at which it begins."""

    text: str
    offset: int

    def stripped(self) -> "_Span":
        text = self.text.lstrip()
        return _Span(text.rstrip(), self.offset + len(self.text) - len(text))

    def since(self, index: int) -> "_Span":
        return _Span(self.text[index:], self.offset + index)

    def until(self, index: int) -> "_Span":
        return _Span(self.text[:index], self.offset)

    def parted(self, separator: str) -> tuple["_Span", "_Span | None"]:
        """Return what is before the first *separator*, and what is after it if there is one."""
        index = self.text.find(separator)
        if index < 0:
            return self, None
        return self.until(index), self.since(index + len(separator))


class _Answer(NamedTuple):
    """One of several answers: the marker before it, or none, and the rest up to the next marker."""

    marker: str
    body: _Span


def drafts(source: str, lines: Lines, findings: Findings) -> list[Draft]:
    """Return the questions of *source* in their order; *findings* gets what is wrong or left out."""
    return _Reader(source, lines, findings).drafts()


class _Reader:
    def __init__(self, source: str, lines: Lines, findings: Findings) -> None:
        self._source = source
        self._lines = lines
        self._findings = findings
        self._category = ""

    def drafts(self) -> list[Draft]:
        found: list[Draft] = []
        for block in self._blocks():
            before = self._findings.problem_count
            draft = self._draft(block)
            if draft is not None and self._findings.problem_count == before:
                check(draft, self._findings)
                found.append(draft)
                if len(found) > MAX_QUESTIONS:
                    break
        return found

    # The file: blocks that blank lines separate

    def _blocks(self) -> Iterator[_Span]:
        raw_lines = self._source.split("\n")
        masked = _COMMENT.sub(lambda comment: " " * len(comment[0]), self._source)
        masked = _ESCAPE.sub(lambda escape: _ESCAPED + _MASKS[escape[1]], masked)
        starts = [0]
        for line in raw_lines:
            starts.append(starts[-1] + len(line) + 1)
        blank = [not line or line.isspace() for line in raw_lines]
        first = 0
        while first < len(blank):
            if blank[first]:
                first += 1
                continue
            past, sound = self._block_end(masked, starts, blank, first)
            if sound:
                yield _Span(masked[starts[first] : starts[past] - 1], starts[first])
            first = past

    def _block_end(self, masked: str, starts: list[int], blank: list[bool], first: int) -> tuple[int, bool]:
        """
        Return the line after the block that begins in line *first*, and whether its braces pair.

        A blank line ends a block except between braces; but if another brace opens after it, the
        first one was most likely forgotten, and the block ended at the blank line.
        """
        opened: int | None = None
        was_closed = False
        blank_inside = 0
        line = first
        while line < len(blank):
            if blank[line]:
                if opened is None:
                    return line, True
                blank_inside = line
            for brace in _BRACE.finditer(masked, starts[line], starts[line + 1] - 1):
                offset = brace.start()
                if brace[0] == "}" and opened is not None:
                    opened, was_closed = None, True
                elif brace[0] == "{" and opened is None and not was_closed:
                    opened = offset
                elif opened is not None and blank_inside:
                    self._problem(opened, "this { is never closed by a }")
                    return blank_inside, False
                else:
                    self._problem(offset, _brace_message(brace[0], inside=opened is not None))
                    return _next_blank(blank, line), False
            line += 1
        if opened is not None:
            self._problem(opened, "this { is never closed by a }")
            return line, False
        return line, True

    # One block: a category, a question, or both

    def _draft(self, block: _Span) -> Draft | None:
        rest = block.stripped()
        while rest.text.startswith(_CATEGORY):
            category, following = rest.since(len(_CATEGORY)).parted("\n")
            path = _unmasked(category.text)
            self._category = _COURSE_PREFIX.sub("", path) if path != "$course$" else ""
            if len(self._category) > MAX_CATEGORY:
                self._problem(category.stripped().offset, f"the category is longer than {MAX_CATEGORY} characters")
            rest = (following or rest.since(len(rest.text))).stripped()
        return self._question(rest) if rest.text else None

    def _question(self, block: _Span) -> Draft | None:
        place = self._place(block)
        name, body = self._name(block)
        start, end = body.text.find("{"), body.text.find("}")
        if (start < 0) != (end < 0) or end < start:
            self._problem(body.offset + max(start, end), "this brace has no counterpart in the question")
            return None
        before, after = (body, None) if start < 0 else (body.until(start), body.since(end + 1))
        blank = BLANK if after and after.text.strip() else ""
        text = self._rich(
            _Span(before.text + blank + (after.text if after and blank else ""), before.offset),
            TextFormat.MOODLE,
        )
        self._note_files(block)
        draft = Draft(
            place=place, type=QuestionType.DESCRIPTION, text=text, name=name, category=self._category
        )
        if start < 0:
            return draft
        return self._answered(draft, _Span(body.text[start + 1 : end], body.offset + start + 1))

    def _name(self, block: _Span) -> tuple[str, _Span]:
        if not block.text.startswith("::"):
            return "", block
        name, rest = block.since(2).parted("::")
        brace = name.text.find("{")
        if rest is None or brace >= 0:
            self._problem(block.offset, "this name is not closed by a second ::")
            return "", block.since(2).stripped()
        words = " ".join(_unmasked(name.text).split())
        if len(words) > MAX_NAME:
            self._problem(name.stripped().offset, f"the name is longer than {MAX_NAME} characters")
            words = ""
        return words, rest.stripped()

    def _note_files(self, block: _Span) -> None:
        index = block.text.find(_MOODLE_FILE)
        if index >= 0:
            reason = "a file of the Moodle course, which a GIFT file only mentions; the question is kept"
            self._findings.skip(self._lines.place(block.offset + index), reason)

    # The answers between the braces

    def _answered(self, draft: Draft, answers: _Span) -> Draft | None:
        form = draft.text.format
        feedback_at = answers.text.rfind("####")
        general = None
        if feedback_at >= 0:
            general = self._feedback(answers.since(feedback_at + 4), form)
            answers = answers.until(feedback_at)
        answers = answers.stripped()
        ...
