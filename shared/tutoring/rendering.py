"""
What a model wrote, as plain text that may be shown anywhere (SEC-23).

The contract, whatever the model sends: no HTML tag, no markdown link or image, no address that a
browser or a chat window would open or load, no control, bidirectional or invisible character, and at
most the given number of characters. Emphasis and code marks stay: they are only characters.
"""

import re
from unicodedata import category, normalize

MAX_CHARACTERS = 4000
LINK = "[…]"
"""Stands where an address was."""

_DROPPED_ELEMENTS = re.compile(
    r"<\s*(script|style|iframe|object|svg|math|template|noscript|textarea|title)\b[^>]*>"
    r".{0,20000}?(?:<\s*/\s*\1\s*>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_BEGUN = re.compile(
    r"<\s*(script|style|iframe|object|svg|math|template|noscript|textarea|title)\b", re.IGNORECASE
)
_TAG = re.compile(r"<[A-Za-z/!?][^<>]{0,2000}>")
_OPEN_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE_OR_LINK = re.compile(
    r"!?\[([^\[\]]{0,500})\](?:\([^()]{0,4000}(?:\([^()]{0,1000}\)[^()]{0,1000})?\)?)"
)
_REFERENCE = re.compile(r"!?\[([^\[\]]{1,500})\]\[[^\[\]]{0,200}\]")
_DEFINITION = re.compile(r"^\s{0,3}\[[^\[\]]{1,200}\]:.*$", re.MULTILINE)
_ADDRESS = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]{1,30}:\s?//|(?<![A-Za-z0-9])(?:javascript|vbscript|data|mailto|tel|blob|file|intent)\s?:(?=\S)"
    r"|(?<![A-Za-z0-9])www\.|(?<![:\w])//(?=[\w-]+\.))[^\s<>\"'\])}]*",
    re.IGNORECASE,
)
_BARE_HOST = re.compile(
    r"(?<![\w.@/])(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?::\d{1,5})?[/?#][^\s<>\"'\])}]*"
)
_KEPT_CONTROLS = "\n\t"
_INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u3164\uffa0"
)
_JOINERS = frozenset("\u200c\u200d")


def _is_kept(character: str) -> bool:
    if character in _KEPT_CONTROLS or character in _JOINERS:
        return True
    if character in _INVISIBLE:
        return False
    # Controls, surrogates, private use, unassigned, and format characters: bidi overrides, tags.
    return category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def visible(text: str) -> str:
    """*text*, composed, without characters that are not seen or that turn around what follows."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return normalize("NFC", "".join(filter(_is_kept, text)))


def plain(text: str, most: int = MAX_CHARACTERS) -> str:
    """*text* by the module's contract, at most *most* characters (at least 1) of it."""
    text = visible(text[: 8 * most])
    for _ in range(4):
        before = text
        text = _DROPPED_ELEMENTS.sub("", text)
        text = _TAG.sub("", text)
        text = _IMAGE_OR_LINK.sub(r"\1", text)
        text = _REFERENCE.sub(r"\1", text)
        text = _DEFINITION.sub("", text)
        text = _ADDRESS.sub(LINK, text)
        text = _BARE_HOST.sub(LINK, text)
        if text == before:
            break
    # What is still open, or was nested deeper than anybody writes, cannot become mark-up any more.
    text = _OPEN_TAG.sub("‹", text)
    text = text.replace("](", "] (").replace("][", "] [").replace("![", "! [")
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…"
    return text


_BREAK = re.compile(r"\s")
_LONGEST_HELD = 1500
_UNCLOSED = re.compile(r"<[A-Za-z/!?][^<>]*\Z|!?\[[^\[\]]*\]?\Z|\]\([^()]*(?:\([^()]*\)[^()]*)*\Z", re.DOTALL)


class PlainStream:
    """
    The same for a text that arrives in pieces.

    Pieces leave at white space outside of anything that could be a link or a tag; what is still
    open after 1,500 characters is closed by force.
    """

    def __init__(self, most: int = MAX_CHARACTERS) -> None:
        """Let at most *most* characters through."""
        self._held = ""
        self._left = most

    @property
    def full(self) -> bool:
        """Whether nothing more will come out."""
        return self._left <= 0

    def feed(self, piece: str) -> str:
        """Take the next *piece*; what may be shown by now."""
        if self.full:
            return ""
        self._held += piece
        end = self._safe_end()
        if end == 0 and len(self._held) > _LONGEST_HELD:
            end = len(self._held)
        ready, self._held = self._held[:end], self._held[end:]
        return self._out(ready)

    def finish(self) -> str:
        """What was held back."""
        ready, self._held = self._held, ""
        return self._out(ready)

    def _safe_end(self) -> int:
        """The end of the last white space before which everything is closed."""
        unclosed = _UNCLOSED.search(self._held[-_LONGEST_HELD:])
        until = (
            len(self._held)
            if unclosed is None
            else max(len(self._held) - _LONGEST_HELD, 0) + unclosed.start()
        )
        for element in _BEGUN.finditer(self._held):
            if not re.search(rf"<\s*/\s*{element.group(1)}", self._held[element.end() :], re.IGNORECASE):
                until = min(until, element.start())
        # White space inside of a whole tag or link is no place to part it either.
        even = self._held[:until]
        for whole in (_DROPPED_ELEMENTS, _TAG, _IMAGE_OR_LINK, _REFERENCE):
            even = whole.sub(lambda match: "x" * len(match.group()), even)
        last = 0
        for match in _BREAK.finditer(even):
            last = match.end()
        return last

    def _out(self, ready: str) -> str:
        if not ready or self.full:
            return ""
        text = plain(ready, self._left)
        self._left -= len(text)
        return text
