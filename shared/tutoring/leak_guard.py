"""
Keeps a tutor's reply from giving the answer away: what it compares with never was in the prompt.

A guard knows the secrets of one question: the right options' texts and places, numbers within the
accepted ranges, accepted short texts, right pairs. Texts are compared without case, accents' composition,
niqqud, final letters, punctuation and invisible characters (``shared.learning.plain_text``), also
with all spaces taken out and backwards. Numbers written in words are not recognised.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from string import ascii_lowercase

from shared.learning.plain_text import WILDCARD, folded, folded_pattern
from shared.learning.questions import (
    AnswerKey,
    ChoiceKey,
    MatchingKey,
    NumericKey,
    Question,
    QuestionType,
    ShortTextKey,
    TrueFalseKey,
)
from shared.tutoring.questions import plain_text
from shared.tutoring.rendering import visible

_NUMBER = re.compile(r"[+\-−]?\d[\d,.٫٬' \u00a0\u202f]*(?:[eE][+\-]?\d{1,3})?")
_NOT_A_LETTER = re.compile(r"[^\w]|_")
_SENTENCE_END = re.compile(r"[.!?…:;\n]\s|\n")
_SHORTEST_WITHIN = 4
_SHORTEST_HEBREW_WITHIN = 3
_SHORTEST_COMPACT = 5
_HELD_AT_LEAST = 24

_ORDINALS = {
    "en": ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"),
    "he": ("הראשונה", "השנייה", "השלישית", "הרביעית", "החמישית", "השישית", "השביעית", "השמינית"),
}
_HEBREW_LETTERS = "אבגדהוזחטיכלמנסעפצקרשת"
_SAID_TRUE = (
    "is true",
    "is correct",
    "is right",
    "answer true",
    "הטענה נכונה",
    "המשפט נכון",
    "התשובה נכון",
    "התשובה היא נכון",
)
_SAID_FALSE = (
    "is false", "is not true", "is incorrect", "is wrong", "is untrue", "isn t true", "answer false",
    "הטענה שגויה", "הטענה לא נכונה", "הטענה אינה נכונה", "המשפט שגוי", "המשפט לא נכון", "התשובה לא נכון",
)  # fmt: skip
_SAYING = (
    "answer is {}", "answer {}", "it is {}", "it s {}", "equals {}", "result is {}", "correct is {}",
    "choose {}",
    "התשובה היא {}", "התשובה {}", "התוצאה היא {}", "זה {}", "שווה {}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    What may not be said of one question; see :func:`secrets_of`.

    ``texts`` are folded; ``ranges`` inclusive; ``pairs`` are folded stems and choices that may not
    stand in one sentence.
    """

    texts: frozenset[str] = frozenset()
    ranges: tuple[tuple[Decimal, Decimal], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    known_numbers: frozenset[Decimal] = field(default_factory=frozenset)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.texts or self.ranges or self.pairs)


def spoken(text: str) -> str:
    """*text* as secrets are compared: folded, letters and digits only, one space between words."""
    return " ".join(_NOT_A_LETTER.sub(" ", folded(visible(text))).split())


def secrets_of(question: Question, key: AnswerKey) -> Secrets:
    """
    What a reply about *question* may not hold before the last rung.

    A text that stands in the question itself is secret only where it is said to be the answer
    (``the answer is …``); so is a number.
    """
    asked = f" {spoken(plain_text(question.text))} "
    match key.key:
        case ChoiceKey(options=outcomes):
            right = [
                index
                for index, option in enumerate(question.options)
                if option.option_id in outcomes and outcomes[option.option_id].credit > 0
            ]
            texts = [plain_text(question.options[index].text) for index in right]
            return Secrets(frozenset((*_texts(texts, asked), *_places(right, question))))
        case TrueFalseKey(value=value):
            return Secrets(frozenset(_SAID_TRUE if value else _SAID_FALSE))
        case NumericKey(ranges=ranges):
            known = frozenset(numbers_in(plain_text(question.text)))
            accepted = tuple((each.minimum, each.maximum) for each in ranges if each.credit > 0)
            said = _texts([_written(low) for low, high in accepted if low == high and low in known], asked)
            return Secrets(frozenset(said), accepted, known_numbers=known)
        case ShortTextKey(patterns=patterns):
            texts = [_longest_piece(each.pattern) for each in patterns if each.credit > 0]
            return Secrets(frozenset(_texts(texts, asked)))
        case MatchingKey(pairs=pairs):
            stems = {each.stem_id: spoken(plain_text(each.text)) for each in question.stems}
            choices = {each.choice_id: spoken(plain_text(each.text)) for each in question.choices}
            return Secrets(
                pairs=tuple((stems[s], choices[c]) for s, c in pairs.items() if stems[s] and choices[c])
            )
    return Secrets()


def _longest_piece(pattern: str) -> str:
    pieces = folded_pattern(pattern).split(WILDCARD)
    return max((each.strip() for each in pieces), key=len)


def _written(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _texts(texts: Iterable[str], asked: str) -> Iterable[str]:
    for text in texts:
        secret = spoken(text)
        if not secret:
            continue
        if f" {secret} " in asked or (len(secret) == 1 and secret.isalpha()):
            yield from (spoken(each.format(secret)) for each in _SAYING)
        else:
            yield secret


def _places(right: list[int], question: Question) -> Iterable[str]:
    if question.type is QuestionType.TRUE_FALSE:
        return
    for index in right:
        for word in ("option", "answer", "choice", "number"):
            yield f"{word} {index + 1}"
        if index < len(ascii_lowercase):
            letter = ascii_lowercase[index]
            yield from (
                f"option {letter}",
                f"answer {letter}",
                f"answer is {letter}",
                f"choice {letter}",
                f"choose {letter}",
            )
        if index < len(_ORDINALS["en"]):
            ordinal = _ORDINALS["en"][index]
            yield from (f"{ordinal} option", f"{ordinal} answer", f"{ordinal} choice", f"{ordinal} one")
            hebrew = spoken(_ORDINALS["he"][index])
            yield from (f"{spoken('האפשרות')} {hebrew}", f"{spoken('התשובה')} {hebrew}")
        if index < len(_HEBREW_LETTERS):
            letter = spoken(_HEBREW_LETTERS[index])
            yield from (
                f"{word} {letter}" for word in ("תשובה", "התשובה", "אפשרות", "האפשרות", "סעיפ", "אופציה")
            )


def numbers_in(text: str) -> set[Decimal]:
    """Every number in *text* that is written in digits of any script, with or without thousands marks."""
    found: set[Decimal] = set()
    even = "".join(
        str(unicodedata.digit(each))
        if not each.isascii() and unicodedata.digit(each, None) is not None
        else each
        for each in visible(text)
    ).replace("−", "-")
    for match in _NUMBER.finditer(even):
        written = match.group().strip(" ,.'\u00a0\u202f")
        candidates = {
            written,
            re.sub(r"[,' \u00a0\u202f٬]", "", written).replace("٫", "."),  # 1,822.5 and 1 822
            re.sub(r"[.' \u00a0\u202f]", "", written).replace(",", "."),  # 1.822,5
            *re.split(r"[ ,\u00a0\u202f]", written),
        }
        for each in candidates:
            try:
                found.add(Decimal(each))
            except InvalidOperation:
                continue
    return found | {-each for each in found if each < 0}


def leaks(text: str, secrets: Secrets) -> bool:
    """Whether *text* says what *secrets* keep."""
    if secrets.nothing:
        return False
    return _leaks_text(text, secrets) or _leaks_number(text, secrets) or _leaks_pair(text, secrets)


def _leaks_text(text: str, secrets: Secrets) -> bool:
    words = f" {spoken(text)} " if secrets.texts else ""
    compact = words.replace(" ", "")
    backwards = compact[::-1]
    for secret in secrets.texts:
        if f" {secret} " in words:
            return True
        hebrew = "\u05d0" <= secret[0] <= "\u05ea"
        if len(secret) >= (_SHORTEST_HEBREW_WITHIN if hebrew else _SHORTEST_WITHIN) and not secret.isdigit():
            if f" {secret}" in words or (
                hebrew and re.search(rf" [ובהלמכש]{{1,3}}{re.escape(secret)}", words)
            ):
                return True
            squeezed = secret.replace(" ", "")
            if len(squeezed) >= _SHORTEST_COMPACT and (squeezed in compact or squeezed in backwards):
                return True
    return False


def _leaks_number(text: str, secrets: Secrets) -> bool:
    if not secrets.ranges:
        return False
    new = numbers_in(text) - secrets.known_numbers
    return any(low <= number <= high for number in new for low, high in secrets.ranges)


def _leaks_pair(text: str, secrets: Secrets) -> bool:
    for sentence in _SENTENCE_END.split(text) if secrets.pairs else ():
        said = f" {spoken(sentence)} "
        if any(stem in said and choice in said for stem, choice in secrets.pairs):
            return True
    return False


class LeakGuard:
    """
    Lets a text through in pieces, as long as it gives nothing away.

    As many letters are held back as the longest secret has, counted without spaces, so that no part of a
    secret leaves before all of it was seen; where pairs are secret, whole sentences. Once *leaked*,
    nothing more leaves.
    """

    def __init__(self, secrets: Secrets) -> None:
        """Keep *secrets*."""
        self._secrets = secrets
        longest = max((len(each.replace(" ", "")) for each in secrets.texts), default=0)
        self._hold = 0 if secrets.nothing else max(_HELD_AT_LEAST, longest + 4)
        self._seen = ""
        self._out = 0
        self.leaked = False

    def feed(self, piece: str) -> str:
        """Take the next *piece*; what may be shown by now."""
        if self.leaked or not piece:
            return ""
        self._seen += piece
        if leaks(self._window(), self._secrets):
            self.leaked = True
            return ""
        return self._release(self._safe_end())

    def finish(self) -> str:
        """What was held back, if it gives nothing away either."""
        if self.leaked or leaks(self._window(), self._secrets):
            self.leaked = True
            return ""
        return self._release(len(self._seen))

    def _window(self) -> str:
        """What is held, and as much of what left as a secret could reach back into."""
        return self._seen[max(0, self._out - 4 * self._hold) :]

    def _safe_end(self) -> int:
        if self._hold == 0:
            return len(self._seen)
        held = 0
        for end in range(len(self._seen), self._out, -1):
            held += self._seen[end - 1].isalnum()
            if held > self._hold and self._seen[end - 1].isspace():
                if not self._secrets.pairs:
                    return end
                sentences = [each.end() for each in _SENTENCE_END.finditer(self._seen, self._out, end)]
                return sentences[-1] if sentences else self._out
        return self._out

    def _release(self, end: int) -> str:
        ready = self._seen[self._out : end]
        self._out = max(self._out, end)
        return ready
