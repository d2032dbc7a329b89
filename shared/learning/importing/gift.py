"""
Reads GIFT, Moodle's text format for questions.

A file means what Moodle's importer makes of it, with these differences: mistakes that Moodle passes
over or guesses about are problems with a line and a column; blank lines may stand between braces;
``true`` and ``false`` may be lower case; and a wrong number (``~7#…``) keeps its own feedback.

Sources: https://docs.moodle.org/en/GIFT_format and Moodle's ``question/format/gift/format.php``.
"""

import re
from collections.abc import Iterator

from shared.learning.importing.drafts import MAX_NAME, Draft, check
from shared.learning.importing.findings import Findings, Lines
from shared.learning.importing.gift_answers import answered
from shared.learning.importing.gift_text import WHITE_SPACE, Reading, Span, masked, unmasked
from shared.learning.questions import MAX_QUESTIONS, QuestionType, TextFormat

BLANK = "_____"
"""Shown where the answers of a missing-word question stand."""

_BRACE = re.compile("[{}]")
_CATEGORY = "$CATEGORY:"
_CATEGORY_LINE = re.compile(r"^[^\S\n]*\$CATEGORY:", re.MULTILINE)
_CONTEXT = re.compile(r"\$(?:course|system|module|cat|coursecat)[0-9]*\$(?:/top(?![^/]))?/?")
_MOODLE_FILE = "@@PLUGINFILE@@"


def drafts(source: str, lines: Lines, findings: Findings) -> list[Draft]:
    """Return the questions of *source* in their order; *findings* gets what is wrong or left out."""
    reader = _Reader(source, Reading(lines, findings))
    found: list[Draft] = []
    for block in reader.blocks():
        draft = reader.draft(block)
        if draft is not None:
            found.append(draft)
        if len(found) > MAX_QUESTIONS:
            break
    return found


class _Reader:
    def __init__(self, source: str, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self._category = ""

    def blocks(self) -> Iterator[Span]:
        """Yield what blank lines separate, if its braces pair; a comment is no blank line."""
        text = masked(self._source)
        starts = [0]
        blank = []
        for line in self._source.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
            blank.append(not line.strip(WHITE_SPACE))
        first = 0
        while first < len(blank):
            if blank[first]:
                first += 1
                continue
            past, sound = self._block_end(text, starts, blank, first)
            if sound:
                yield Span(text[starts[first] : starts[past] - 1], starts[first])
            first = past

    def _block_end(self, text: str, starts: list[int], blank: list[bool], first: int) -> tuple[int, bool]:
        """
        Return the line after the block that begins in line *first*, and whether its braces pair.

        A blank line between braces does not end a block. But if another brace opens after it, the
        first one was most likely forgotten, so the block is over at that blank line.
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
            for brace in _BRACE.finditer(text, starts[line], starts[line + 1] - 1):
                if brace[0] == "}" and opened is not None:
                    opened, was_closed = None, True
                elif brace[0] == "{" and opened is None and not was_closed:
                    opened = brace.start()
                elif brace[0] == "{" and opened is not None and blank_inside:
                    self._reading.problem(opened, "this { is never closed by a }")
                    return blank_inside, False
                else:
                    message = _misplaced(brace[0], inside=opened is not None)
                    self._reading.problem(brace.start(), message)
                    return _next_blank(blank, line), False
            line += 1
        if opened is not None:
            self._reading.problem(opened, "this { is never closed by a }")
        return line, opened is None

    def draft(self, block: Span) -> Draft | None:
        """Read a category, a question, or one after the other; None if it is no sound question."""
        found_before = self._reading.findings.problem_count
        block = block.stripped()
        while block.text.startswith(_CATEGORY):
            category, rest = block.since(len(_CATEGORY)).parted("\n")
            self._category = self._path(category.stripped())
            block = rest.stripped() if rest else Span("", block.offset)
        draft = self._question(block) if block.text else None
        return draft if self._reading.findings.problem_count == found_before else None

    def _path(self, category: Span) -> str:
        path = _CONTEXT.sub("", unmasked(category.text), count=1)
        if len(path) > MAX_NAME:
            self._reading.problem(category.offset, f"the category is longer than {MAX_NAME} characters")
        return path[:MAX_NAME]

    def _question(self, block: Span) -> Draft | None:
        reading = self._reading
        name, body = self._name(block)
        before, rest = body.parted("{")
        answers, after = rest.parted("}") if rest else (None, None)
        text = before.text
        if after and after.stripped().text:
            text += BLANK + after.text
        draft = Draft(
            place=reading.place(block.offset),
            type=QuestionType.DESCRIPTION,
            text=reading.rich(Span(text, body.offset), TextFormat.MOODLE),
            name=name,
            category=self._category,
        )
        category = _CATEGORY_LINE.search(block.text)
        if category:
            reading.problem(block.offset + category.start(), "leave a blank line before $CATEGORY:")
        file_at = block.text.find(_MOODLE_FILE)
        if file_at >= 0:
            reason = "a file from Moodle, which a GIFT file only mentions, is missing from the question"
            reading.skip(block.offset + file_at, reason)
        found_before = reading.findings.problem_count
        complete = answered(draft, answers, reading) if answers else draft
        if complete and reading.findings.problem_count == found_before:
            answers_at = reading.place(answers.offset - 1) if answers else None
            check(complete, reading.findings, answers_at=answers_at)
        return complete

    def _name(self, block: Span) -> tuple[str, Span]:
        if not block.text.startswith("::"):
            return "", block
        name, rest = block.since(2).parted("::")
        if rest is None or "{" in name.text:
            self._reading.problem(block.offset, "this name is not closed by a second ::")
            return "", block.since(2)
        words = " ".join(unmasked(name.text).strip(WHITE_SPACE).split())
        if len(words) > MAX_NAME:
            message = f"the name is longer than {MAX_NAME} characters"
            self._reading.problem(name.stripped().offset, message)
        return words[:MAX_NAME], rest.stripped()


def _misplaced(brace: str, *, inside: bool) -> str:
    if brace == "}":
        return r"this } closes nothing; write \} for a plain brace"
    if inside:
        return r"a { between braces is written \{"
    return r"a question has one pair of braces: leave a blank line before the next, or write \{"


def _next_blank(blank: list[bool], line: int) -> int:
    while line < len(blank) and not blank[line]:
        line += 1
    return line
