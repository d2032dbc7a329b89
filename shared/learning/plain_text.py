"""
Decides when two short texts count as the same answer.

Ignored everywhere: the case of letters (unless asked for), how an accented letter is composed,
the amount of white space, invisible characters (bidirectional controls, soft hyphens), and which
of the look-alike quotation marks, apostrophes and dashes was typed.

Ignored in Hebrew: niqqud and cantillation, final forms (``שלום`` = ``שלומ``), ligatures and
presentation forms, quotation marks and apostrophes that touch a Hebrew letter (``צה״ל`` =
``צה"ל`` = ``צהל``), a maqaf or hyphen between two Hebrew letters (the same as a space), and
sentence punctuation after a Hebrew word. Accents of other scripts are part of the answer.
"""

import re
from unicodedata import normalize

WILDCARD = "\ufdd0"
"""Stands for ``*`` in a folded pattern: a code point that Unicode promises never to assign."""

_INVISIBLE = (
    "\u00ad\u034f\u061c\u200b\u200e\u200f\u2060\ufeff"  # soft hyphen, joiners, marks
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # embeddings, overrides, isolates
)
_HEBREW_POINTS = "".join(map(chr, range(0x0591, 0x05C8)))
_HEBREW_PUNCTUATION = {
    "\u05be": "-",  # maqaf
    "\u05c0": "|",  # paseq
    "\u05c3": ":",  # sof pasuq
    "\u05f3": "'",  # geresh
    "\u05f4": '"',  # gershayim
}
_HEBREW_LETTERS = {
    **dict(zip("ךםןףץ", "כמנפצ", strict=True)),
    **dict(zip(map(chr, range(0xFB20, 0xFB2A)), "עאדהכלמרת+", strict=True)),  # wide and variant forms
    **dict(zip("\u05f0\u05f1\u05f2\ufb4f", ("וו", "וי", "יי", "אל"), strict=True)),  # ligatures
}
_LOOKALIKES = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
}
_TABLE = str.maketrans(
    {
        **dict.fromkeys(_INVISIBLE + _HEBREW_POINTS, ""),
        **_HEBREW_PUNCTUATION,
        **_HEBREW_LETTERS,
        **_LOOKALIKES,
    }
)

_HEBREW = re.compile("[א-ת]")
# Each alternative can begin at one place of a run only, so a run is read once, however long.
_SILENT_IN_HEBREW = re.compile(r"""(?<=[א-ת])[.,:;!?'"]+(?!\S)|(?<=[א-ת])['"]+|(?<!['"])['"]+(?=[א-ת])""")
_JOINING_HYPHEN = re.compile("(?<=[א-ת])-(?=[א-ת])")


def folded(text: str, *, case_sensitive: bool = False) -> str:
    """Return *text* in the form in which answers are compared; folding twice changes nothing more."""
    if not text.isascii():
        text = normalize("NFD", text).translate(_TABLE)
        if not case_sensitive:
            text = text.casefold()
        text = normalize("NFC", text)
        if _HEBREW.search(text):
            text = _JOINING_HYPHEN.sub(" ", _SILENT_IN_HEBREW.sub("", text))
    elif not case_sensitive:
        text = text.lower()
    return " ".join(text.split())


def folded_pattern(pattern: str, *, case_sensitive: bool = False) -> str:
    r"""Fold *pattern* like a text, with ``WILDCARD`` for each ``*`` and a plain asterisk for each ``\*``."""
    pieces = [piece.replace("*", WILDCARD) for piece in pattern.split("\\*")]
    return folded("*".join(pieces), case_sensitive=case_sensitive)
