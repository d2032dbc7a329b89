"""Takes out of a learner's text, before it reaches a model, what says who they are."""

import re
from typing import NamedTuple

_EMAIL = re.compile(
    r"[\w.+%-]{1,64}\s?(?:@|\(at\)|\[at\]|＠)\s?[\w-]{1,63}(?:\s?(?:\.|\(dot\)|\[dot\])\s?[\w-]{2,63}){1,4}"
)
_PHONE = re.compile(
    r"(?<![\w.,])(?:\+\d{1,3}[\s.-]?|00\d{1,3}[\s.-]?)(?:\(?\d{1,4}\)?[\s.-]?){2,5}\d{2,4}(?!\w)"
    r"|(?<![\w.,])\(?0\d{1,2}\)?[\s.-]?\d{3}[\s.-]?\d{2}[\s.-]?\d{2}(?!\w)"
    r"|(?<![\w.,])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?!\w)"
)
_LONG_NUMBER = re.compile(r"(?<![\w.,])\d(?:[\s-]?\d){8,18}(?![\w.,]?\d)(?!\w)")
_LABELLED = re.compile(
    r"(?i)\b(?:id|passport|student\s+(?:no|number|id)|t\.?z\.?|ת\.?\s?ז\.?|תעודת זהות|מספר זהות|דרכון)"
    # No two runs of spaces side by side: they could be told apart in as many ways as there are spaces, cubed.
    r"\s*(?:(?:no|number|num|is|#|:|=|הוא)\s*)?(?:[:#=]\s*)?([a-z]{0,2}\d{5,12})\b"
)

EMAIL, PHONE, NUMBER = "[email]", "[phone]", "[number]"


class Redacted(NamedTuple):
    """A text without what was recognised, and how much that was."""

    text: str
    found: int


def redacted(text: str) -> Redacted:
    """
    Replace e-mail addresses, telephone and identity numbers by ``[email]``, ``[phone]``, ``[number]``.

    An identity number is one of nine or more digits, or one that follows a word for it. Shorter
    numbers stay: they may be the answer. Names are not recognised; what the server itself adds to
    a prompt never holds any.
    """
    text, emails = _EMAIL.subn(EMAIL, text)
    labelled = 0

    def without(match: re.Match[str]) -> str:
        nonlocal labelled
        labelled += 1
        return match.group(0).replace(match.group(1), NUMBER)

    text = _LABELLED.sub(without, text)
    text, phones = _PHONE.subn(PHONE, text)
    text, numbers = _LONG_NUMBER.subn(NUMBER, text)
    return Redacted(text, emails + labelled + phones + numbers)
