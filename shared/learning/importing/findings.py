"""What an importer has to report: problems that refuse the whole file, and things it left out."""

import re
from bisect import bisect_right
from typing import NamedTuple, NoReturn

from shared.errors import InvalidRequest

MAX_PROBLEMS = 100
"""After so many problems the rest of the file is not read."""

MAX_SKIPPED = 500

UNREADABLE = re.compile("[\x00\ud800-\udfff\ufdd0-\ufdef]")
"""No text holds these on purpose: NUL, halves of surrogate pairs, and code points that will never be
assigned, which the importers use as marks."""


class Place(NamedTuple):
    """Where something stands in the source: line and column, in characters, both from 1."""

    line: int
    column: int


BEGINNING = Place(1, 1)


class Skipped(NamedTuple):
    """Something that the file has and the assignment will not have."""

    line: int
    column: int
    reason: str


class Lines:
    """Tells line and column of an offset into a text whose lines end in a line feed."""

    def __init__(self, text: str) -> None:
        """Remember where the lines of *text* begin."""
        self._starts = [0, *(line_end.end() for line_end in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        """Return the place of the character at *offset*."""
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)


class Findings:
    """Gathers problems, so that an author sees all of them at once."""

    def __init__(self) -> None:
        """Start with nothing found."""
        self._problems: list[tuple[Place, str]] = []
        self.skipped: list[Skipped] = []

    @property
    def problem_count(self) -> int:
        """How many problems were found so far."""
        return len(self._problems)

    def problem(self, place: Place, message: str) -> None:
        """
        Note that the file cannot be imported because of *message*.

        Raises:
            InvalidRequest: this is the last problem that anybody would want to read.
        """
        self._problems.append((place, message))
        if len(self._problems) >= MAX_PROBLEMS:
            self.conclude()

    def fatal(self, place: Place, message: str) -> NoReturn:
        """Give up at once, with all that was found so far."""
        self._problems.append((place, message))
        raise self._refusal()

    def skip(self, place: Place, reason: str) -> None:
        """
        Note that something is left out of the assignment, and why.

        Raises:
            InvalidRequest: hardly anything would be left.
        """
        if len(self.skipped) >= MAX_SKIPPED:
            self.fatal(place, f"more than {MAX_SKIPPED} things would be left out: this is not such a file")
        self.skipped.append(Skipped(place.line, place.column, reason))

    def conclude(self) -> None:
        """
        Return if nothing stands in the way of importing.

        Raises:
            InvalidRequest: there are problems; ``details`` lists them by line and column.
        """
        if self._problems:
            raise self._refusal()

    def _refusal(self) -> InvalidRequest:
        found = sorted(self._problems)
        place, message = found[0]
        count = len(found)
        more = "" if count == 1 else f" (and {count - 1} more)"
        return InvalidRequest(
            f"line {place.line}, column {place.column}: {message}{more}",
            details=[
                {"line": place.line, "column": place.column, "message": message} for place, message in found
            ],
        )
