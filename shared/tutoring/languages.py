"""Which language a text is in, as far as the tutor needs it, and which way it runs."""

from typing import Literal

Language = Literal["en", "he", "ar"]
Direction = Literal["ltr", "rtl"]

NAMES: dict[Language, str] = {"en": "English", "he": "Hebrew", "ar": "Arabic"}

_HEBREW = range(0x0590, 0x0600)
_HEBREW_FORMS = range(0xFB1D, 0xFB50)
_ARABIC = range(0x0600, 0x0780)


def language_of(*texts: str) -> Language:
    """
    The language that most letters of the first of *texts* that has any letters belong to.

    Hebrew and Arabic are told by their letters; everything else counts as English, the language
    in which prompts are written, and the model is told to follow the question's own.
    """
    for text in texts:
        hebrew = arabic = other = 0
        for letter in text[:4000]:
            if not letter.isalpha():
                continue
            point = ord(letter)
            if point in _HEBREW or point in _HEBREW_FORMS:
                hebrew += 1
            elif point in _ARABIC:
                arabic += 1
            else:
                other += 1
        if hebrew + arabic + other:
            if max(hebrew, arabic) * 2 >= hebrew + arabic + other:
                return "he" if hebrew >= arabic else "ar"
            return "en"
    return "en"


def direction_of(language: Language) -> Direction:
    """Which way *language* runs."""
    return "rtl" if language in {"he", "ar"} else "ltr"
