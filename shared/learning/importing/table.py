"""
Reads RFC 4180 tables and keeps the place of every cell.

Cells are separated by commas, semicolons or tabs, whichever the first row has most of; Excel's
``sep=;`` before it is understood. Spaces around a cell, also outside its quotation marks, are no
part of it. A quotation mark inside an unquoted cell is an ordinary character.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from shared.learning.importing.findings import Findings, Lines, Place

_DELIMITERS = ",;\t"
_PLAIN = {each: re.compile(f"[^{each}\n]*") for each in _DELIMITERS}
_QUOTED_END = {each: re.compile(f"[^\\S\n{each}]*(?=[{each}\n]|\\Z)") for each in _DELIMITERS}
_QUOTE = re.compile('[^\\S\n\t]*"')


class Cell(NamedTuple):
    """What one cell says, and where it begins."""

    text: str
    place: Place


class Table(NamedTuple):
    """The rows that are not blank, and what separates their cells."""

    delimiter: str
    rows: Iterator[list[Cell]]


def table(source: str, lines: Lines, findings: Findings) -> Table:
    """Return the table in *source*; a quotation mark in a wrong place ends the reading."""
    delimiter, start = _delimiter(source)
    rows = _rows(source, start, delimiter, lines, findings)
    return Table(delimiter, (row for row in rows if any(cell.text for cell in row)))


def _delimiter(source: str) -> tuple[str, int]:
    """Return what separates the cells, and where the header begins (Excel may say ``sep=;`` before)."""
    first_line, _, _ = source.partition("\n")
    if first_line[:4].lower() == "sep=" and first_line[4:].rstrip(" ") in tuple(_DELIMITERS):
        return first_line[4], len(first_line) + 1
    header, _, _ = source.lstrip().partition("\n")
    outside_quotes = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside_quotes.count), 0


def _rows(source: str, start: int, delimiter: str, lines: Lines, findings: Findings) -> Iterator[list[Cell]]:
    row: list[Cell] = []
    while start < len(source) or row:
        text, end = _cell(source, start, delimiter, lines, findings)
        row.append(Cell(text.strip(), lines.place(start)))
        if source[end : end + 1] != delimiter:
            yield row
            row = []
        start = end + 1


def _cell(source: str, start: int, delimiter: str, lines: Lines, findings: Findings) -> tuple[str, int]:
    """Return the text of the cell that begins at *start*, and the offset of what follows it."""
    quote = _QUOTE.match(source, start)
    if not quote:
        plain = _PLAIN[delimiter].match(source, start)
        return (plain[0], plain.end()) if plain else ("", start)
    parts = []
    begin = quote.end()
    while (end := source.find('"', begin)) >= 0:
        parts.append(source[begin:end])
        if source[end + 1 : end + 2] != '"':
            break
        parts.append('"')
        begin = end + 2
    else:
        findings.fatal(lines.place(quote.end() - 1), "this quotation mark is never closed")
    closed = _QUOTED_END[delimiter].match(source, end + 1)
    if not closed:
        message = 'text follows the closing quotation mark; inside a quoted cell write "" for "'
        findings.fatal(lines.place(end + 1), message)
    return "".join(parts), closed.end()
