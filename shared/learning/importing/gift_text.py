r"""
The text of a GIFT file, ready to be taken apart without losing the place of anything.

Comments and escapes are masked by as many characters as they had, so an offset into the masked
text is an offset into the source, and every ``~ = # { } :`` that is left is a control character.
"""

import re
from typing import NamedTuple

from shared.learning.importing.drafts import rich_text
from shared.learning.importing.findings import Findings, Lines, Place
from shared.learning.questions import RichText, TextFormat

_COMMENTED = "\ufdda"
WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u061c\u200b\u200e\u200f\ufeff\ufdda"
"""White space, comments, and direction marks: editors for Hebrew and Arabic put these before anything."""

_COMMENT = re.compile(r"^(?:[^\S\n]|[\u061c\u200e\u200f])*//[^\n]*", re.MULTILINE)
_ESCAPE = re.compile(r"\\([~=#{}:n\\])")
_ESCAPED = "\ufdd1"
_MASKS = dict(zip("~=#{}:n\\", map(chr, range(0xFDD2, 0xFDDA)), strict=True))
_UNMASK = str.maketrans(
    {_ESCAPED: "", **{mask: "\n" if each == "n" else each for each, mask in _MASKS.items()}}
)
_FORMAT = re.compile(r"\[(html|moodle|plain|markdown)\]")


def masked(source: str) -> str:
    r"""Return *source* with marks for comment lines and for ``\~ \= \# \{ \} \: \n \\``."""
    source = _COMMENT.sub(lambda comment: _COMMENTED * len(comment[0]), source)
    return _ESCAPE.sub(lambda escape: _ESCAPED + _MASKS[escape[1]], source)


def unmasked(text: str) -> str:
    """Return what the author meant; indentation is kept, as it may matter to ``<pre>`` or Markdown."""
    if _COMMENTED in text:
        text = "\n".join(line for line in text.split("\n") if not line.startswith(_COMMENTED))
    return text.strip().translate(_UNMASK).strip()


class Span(NamedTuple):
    """A part of the masked text, and the offset at which it begins."""

    text: str
    offset: int

    def stripped(self) -> "Span":
        """Return the part without white space around it."""
        text = self.text.lstrip(WHITE_SPACE)
        leading = len(self.text) - len(text) if text else 0
        return Span(text.rstrip(WHITE_SPACE), self.offset + leading)

    def since(self, index: int) -> "Span":
        """Return what begins at *index* of this part."""
        return Span(self.text[index:], self.offset + index)

    def until(self, index: int) -> "Span":
        """Return what ends before *index* of this part."""
        return Span(self.text[:index], self.offset)

    def parted(self, separator: str) -> "tuple[Span, Span | None]":
        """Return what is before the first *separator*, and what is after it, if there is one."""
        index = self.text.find(separator)
        if index < 0:
            return self, None
        return self.until(index), self.since(index + len(separator))


class Reading:
    """One file's findings, by offset."""

    def __init__(self, lines: Lines, findings: Findings) -> None:
        """Note what is found in the file with these *lines*."""
        self._lines = lines
        self.findings = findings

    def place(self, offset: int) -> Place:
        """Return the place of the character at *offset*."""
        return self._lines.place(offset)

    def problem(self, offset: int, message: str) -> None:
        """Note what is wrong at *offset*."""
        self.findings.problem(self.place(offset), message)

    def skip(self, offset: int, reason: str) -> None:
        """Note that what stands at *offset* is left out."""
        self.findings.skip(self.place(offset), reason)

    def rich(self, span: Span, otherwise: TextFormat) -> RichText:
        """Read a text that may name its format; one that does not has the format *otherwise*."""
        span = span.stripped()
        named = _FORMAT.match(span.text)
        form = TextFormat(named[1]) if named else otherwise
        text = unmasked(span.text[named.end() :] if named else span.text)
        return rich_text(text, form, self.place(span.offset), self.findings)

    def remark(self, span: Span | None, otherwise: TextFormat) -> RichText | None:
        """Read feedback; None if there is nothing to say."""
        if span is None:
            return None
        text = self.rich(span, otherwise)
        return text if text.text else None
