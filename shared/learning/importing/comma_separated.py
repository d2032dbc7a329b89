"""
Reads questions from a table, one a row, as a spreadsheet saves it.

The columns are described in ``docs/import.md``. What is wrong with a cell is reported with the line
and column of the cell's first character.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from shared.learning.importing.drafts import (
    Draft,
    DraftOption,
    DraftPair,
    around,
    check,
    choice_credits,
    credit_of_percent,
    number,
    question_weight,
    rich_text,
    text_pattern,
)
from shared.learning.importing.findings import Findings, Lines
from shared.learning.importing.table import Cell, table
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

MAX_COLUMNS = 400

_TYPES = {
    "single": QuestionType.SINGLE_CHOICE,
    "singlechoice": QuestionType.SINGLE_CHOICE,
    "multiple": QuestionType.MULTIPLE_CHOICE,
    "multiplechoice": QuestionType.MULTIPLE_CHOICE,
    "truefalse": QuestionType.TRUE_FALSE,
    "tf": QuestionType.TRUE_FALSE,
    "numeric": QuestionType.NUMERIC,
    "numerical": QuestionType.NUMERIC,
    "number": QuestionType.NUMERIC,
    "text": QuestionType.SHORT_TEXT,
    "shorttext": QuestionType.SHORT_TEXT,
    "shortanswer": QuestionType.SHORT_TEXT,
    "matching": QuestionType.MATCHING,
    "match": QuestionType.MATCHING,
    "essay": QuestionType.ESSAY,
    "description": QuestionType.DESCRIPTION,
}
_COLUMNS = {
    **{
        each: each
        for each in ("type", "name", "text", "format", "category", "weight", "correct", "tolerance")
    },
    **{
        each: each
        for each in ("feedback", "feedbackright", "feedbackwrong", "casesensitive", "shuffle", "notes")
    },
    "question": "text",
    "questiontext": "text",
    "answer": "correct",
    "correctanswer": "correct",
    "points": "weight",
    "generalfeedback": "feedback",
}
_NUMBERED = re.compile(r"(option|choice|answer|pair|credit|percent|feedback)([1-9][0-9]?)", re.ASCII)
_NUMBERED_COLUMNS = {"choice": "option", "answer": "option", "pair": "option", "percent": "credit"}
_YES = {"true", "t", "yes", "y", "1", "נכון", "אמת", "כן"}
_NO = {"false", "f", "no", "n", "0", "לא נכון", "שקר", "לא"}
_ARROW = re.compile("->|→")
_LIST = re.compile("[,;|]")


def drafts(source: str, lines: Lines, findings: Findings) -> list[Draft]:
    """Return the questions of *source* in their order; *findings* gets what is wrong or left out."""
    delimiter, rows = table(source, lines, findings)
    header = next(rows, None)
    if header is None:
        return []
    columns = _columns(header, findings)
    found: list[Draft] = []
    for cells in rows:
        before = findings.problem_count
        draft = _Row(columns, cells, findings, decimal_comma=delimiter == ";").draft()
        if draft is not None and findings.problem_count == before:
            check(draft, findings)
            found.append(draft)
        if len(found) > MAX_QUESTIONS:
            break
    return found


def _columns(header: Sequence[Cell], findings: Findings) -> list[str]:
    if len(header) > MAX_COLUMNS:
        findings.fatal(header[MAX_COLUMNS].place, f"there are more than {MAX_COLUMNS} columns")
    columns: list[str] = []
    for cell in header:
        name = _word(cell.text)
        numbered = _NUMBERED.fullmatch(name)
        if numbered and int(numbered[2]) <= MAX_OPTIONS:
            column = _NUMBERED_COLUMNS.get(numbered[1], numbered[1]) + numbered[2]
        else:
            column = _COLUMNS.get(name, "")
        if column and column in columns:
            findings.problem(cell.place, f"there are two columns for {column!r}")
        elif not column and cell.text:
            findings.skip(cell.place, f"there is no column {cell.text[:40]!r}; its cells are left out")
        columns.append(column)
    missing = [each for each in ("type", "text") if each not in columns]
    if missing:
        names = " and ".join(repr(each) for each in missing)
        findings.fatal(header[0].place, f"the first row names no column {names}")
    return columns


def _word(text: str) -> str:
    return re.sub(r"[\s_/-]+", "", text).casefold()


class _Row:
    def __init__(
        self, columns: Sequence[str], cells: Sequence[Cell], findings: Findings, *, decimal_comma: bool
    ) -> None:
        self._cells = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
        self._place = cells[0].place
        self._read: set[str] = set()
        self._findings = findings
        self._decimal_comma = decimal_comma
        self._format = TextFormat.PLAIN
        for cell in cells[len(columns) :]:
            if cell.text:
                findings.problem(cell.place, "this cell has no column: the row is longer than the header")

    def draft(self) -> Draft | None:
        kind = self._kind()
        self._format = self._text_format()
        draft = Draft(
            place=self._place,
            type=kind or QuestionType.DESCRIPTION,
            text=self._rich(self._cell("text")) or RichText(text=""),
            name=" ".join(self._cell("name").text.split()),
            category=self._cell("category").text,
            weight=self._weight(),
            general_feedback=self._rich(self._cell("feedback")),
            shuffle=self._yes("shuffle", otherwise=True),
        )
        if kind is None:
            return None
        readers: dict[QuestionType, Callable[[Draft], Draft]] = {
            QuestionType.SINGLE_CHOICE: self._choice,
            QuestionType.MULTIPLE_CHOICE: self._choice,
            QuestionType.TRUE_FALSE: self._true_false,
            QuestionType.NUMERIC: self._numeric,
            QuestionType.SHORT_TEXT: self._short_text,
            QuestionType.MATCHING: self._matching,
            QuestionType.ESSAY: self._manual,
            QuestionType.DESCRIPTION: self._manual,
        }
        complete = readers[kind](draft)
        for name, cell in self._cells.items():
            if cell.text and name not in self._read:
                reason = f"a {kind.value} question has no {name!r}; the cell is left out"
                self._findings.skip(cell.place, reason)
        return complete

    # Cells that every row has

    def _cell(self, name: str) -> Cell:
        self._read.add(name)
        return self._cells.get(name) or Cell("", self._place)

    def _problem(self, cell: Cell, message: str) -> None:
        self._findings.problem(cell.place, message)

    def _rich(self, cell: Cell) -> RichText | None:
        if not cell.text:
            return None
        return rich_text(cell.text, self._format, cell.place, self._findings)

    def _kind(self) -> QuestionType | None:
        cell = self._cell("type")
        kind = _TYPES.get(_word(cell.text))
        if kind is None:
            known = "single, multiple, truefalse, numeric, text, matching, essay, description"
            self._problem(cell, f"{cell.text[:40]!r} is no type of question: use one of {known}")
        return kind

    def _text_format(self) -> TextFormat:
        cell = self._cell("format")
        try:
            return TextFormat(cell.text.lower() or "plain")
        except ValueError:
            self._problem(cell, f"{cell.text[:40]!r} is no format: use plain, html, markdown or moodle")
            return TextFormat.PLAIN

    def _weight(self) -> Decimal:
        cell = self._cell("weight")
        if not cell.text:
            return Decimal(1)
        value = self._number(cell)
        weight = None if value is None else question_weight(value)
        if value is not None and weight is None:
            self._problem(cell, "a weight lies between 0.001 and 1000 and has at most three decimals")
        return weight or Decimal(1)

    def _yes(self, name: str, *, otherwise: bool) -> bool:
        cell = self._cell(name)
        if not cell.text:
            return otherwise
        return self._truth(cell) is True

    def _truth(self, cell: Cell) -> bool | None:
        word = " ".join(cell.text.casefold().split())
        if word not in _YES | _NO:
            self._problem(cell, f"{cell.text[:40]!r} is neither true nor false")
            return None
        return word in _YES

    def _number(self, cell: Cell, text: str | None = None) -> Decimal | None:
        text = (cell.text if text is None else text).strip()
        if self._decimal_comma and "." not in text:
            text = text.replace(",", ".", 1)
        value = number(text)
        if value is None:
            self._problem(cell, f"{text[:40]!r} is not a number" if text else "a number is missing")
        return value

    # Cells that come in numbers: option1, credit1, feedback1, option2, …

    def _options(self) -> list[tuple[int, Cell]]:
        numbered = ((index, self._cell(f"option{index}")) for index in range(1, MAX_OPTIONS + 1))
        options = [(index, cell) for index, cell in numbered if cell.text]
        known = {index for index, _ in options}
        for name, cell in self._cells.items():
            kind = name.rstrip("0123456789")
            if cell.text and kind in {"credit", "feedback"} and name != kind:
                index = int(name.removeprefix(kind))
                if index not in known:
                    self._problem(cell, f"there is no option{index} that this {kind} could belong to")
        return options

    def _credit(self, index: int) -> int | None:
        cell = self._cell(f"credit{index}")
        if not cell.text:
            return None
        percent = self._number(cell, cell.text.removesuffix("%"))
        credit = None if percent is None else credit_of_percent(percent)
        if percent is not None and credit is None:
            self._problem(cell, "a credit lies between -100 % and 100 %")
        return credit

    def _feedback(self, index: int) -> RichText | None:
        return self._rich(self._cell(f"feedback{index}"))

    # One reader for each type of question

    def _manual(self, draft: Draft) -> Draft:
        return replace(draft, key=ManualKey(notes=self._rich(self._cell("notes"))))

    def _true_false(self, draft: Draft) -> Draft:
        key = TrueFalseKey(
            value=self._truth(self._cell("correct")) is True,
            when_right=self._rich(self._cell("feedbackright")),
            when_wrong=self._rich(self._cell("feedbackwrong")),
        )
        return replace(draft, key=key)

    def _choice(self, draft: Draft) -> Draft:
        options = self._options()
        right = self._right(options)
        explicit = [self._credit(index) for index, _ in options]
        earned = choice_credits(draft.type, [index in right for index, _ in options], explicit)
        return replace(
            draft,
            options=[
                DraftOption(self._rich(cell) or RichText(text=""), credit, self._feedback(index))
                for (index, cell), credit in zip(options, earned, strict=True)
            ],
        )

    def _right(self, options: Sequence[tuple[int, Cell]]) -> set[int]:
        """Return the numbers of the options that ``correct`` names, by number or by text."""
        cell = self._cell("correct")
        by_text = {option.text: index for index, option in options}
        if cell.text in by_text and not cell.text.isdecimal():
            return {by_text[cell.text]}
        right = set()
        by_name = {f"{prefix}{index}": index for index, _ in options for prefix in ("", "option")}
        for each in filter(None, map(str.strip, _LIST.split(cell.text))):
            named = {by_name.get(each.lower()), by_text.get(each)} - {None}
            if len(named) == 1:
                right |= named
            elif named:
                self._problem(
                    cell, f"{each!r} is the number of one option and the text of another: write option{each}"
                )
            else:
                self._problem(cell, f"{each[:40]!r} is neither the number nor the text of an option")
        return {index for index in right if index is not None}

    def _accepted(self) -> list[tuple[str, Cell, int, RichText | None]]:
        """Return the accepted answers: those in ``correct``, separated by ``|``, then the options."""
        cell = self._cell("correct")
        right = self._rich(self._cell("feedbackright"))
        accepted = [(each.strip(), cell, FULL_CREDIT, right) for each in cell.text.split("|") if each.strip()]
        for index, option in self._options():
            credit = self._credit(index)
            feedback = self._feedback(index)
            accepted.append((option.text, option, FULL_CREDIT if credit is None else credit, feedback))
        if not accepted or len(accepted) > MAX_OPTIONS:
            self._problem(
                cell, f"a question has 1 to {MAX_OPTIONS} accepted answers, this has {len(accepted)}"
            )
            return []
        return accepted

    def _numeric(self, draft: Draft) -> Draft:
        ranges = []
        for text, cell, credit, feedback in self._accepted():
            bounds = self._bounds(text, cell)
            if bounds:
                low, high = bounds
                ranges.append(NumericRange(minimum=low, maximum=high, credit=credit, feedback=feedback))
        if not ranges:
            return draft
        otherwise = self._rich(self._cell("feedbackwrong"))
        return replace(draft, key=NumericKey(ranges=tuple(ranges), otherwise=otherwise))

    def _bounds(self, text: str, cell: Cell) -> tuple[Decimal, Decimal] | None:
        low, dots, high = text.partition("..")
        value, colon, margin = text.partition(":")
        if dots:
            first, second = self._number(cell, low), self._number(cell, high)
        else:
            tolerance = self._cell("tolerance")
            first = self._number(cell, value)
            if colon:
                second = self._number(cell, margin)
            else:
                second = self._number(tolerance) if tolerance.text else Decimal(0)
        if first is None or second is None:
            return None
        bounds = (first, second) if dots else around(first, second)
        if bounds[0] > bounds[1]:
            self._problem(cell, "the range ends before it begins, or its tolerance is negative")
            return None
        return bounds

    def _short_text(self, draft: Draft) -> Draft:
        patterns = [
            text_pattern(text, credit, feedback, cell.place, self._findings)
            for text, cell, credit, feedback in self._accepted()
        ]
        wrong = self._cell("feedbackwrong")
        if wrong.text:
            patterns.append(text_pattern("*", 0, self._rich(wrong), wrong.place, self._findings))
        usable = tuple(pattern for pattern in patterns if pattern is not None)
        if not usable:
            return draft
        if len(usable) > MAX_OPTIONS:
            self._problem(wrong, f"a question has at most {MAX_OPTIONS} answers, and what is wrong is one")
            return draft
        case_sensitive = self._yes("casesensitive", otherwise=False)
        return replace(draft, key=ShortTextKey(patterns=usable, case_sensitive=case_sensitive))

    def _matching(self, draft: Draft) -> Draft:
        pairs = []
        for _, cell in self._options():
            left, *right = _ARROW.split(cell.text, maxsplit=1)
            if not right or not right[0].strip():
                self._problem(cell, "a pair is written as left -> right")
                continue
            stem = self._rich(Cell(left.strip(), cell.place))
            choice = rich_text(right[0].strip(), TextFormat.PLAIN, cell.place, self._findings)
            pairs.append(DraftPair(stem, choice))
        return replace(draft, pairs=pairs)
