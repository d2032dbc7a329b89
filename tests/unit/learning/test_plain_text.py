"""When two short texts are the same answer."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.learning.plain_text import WILDCARD, folded, folded_pattern


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "  pARIS\t\n"),
        ("New   Delhi", "new\u00a0delhi"),
        ("Caf\u00e9", "cafe\u0301"),
        ("Straße", "STRASSE"),
        ("it’s", "it's"),
        ("“so”", '"so"'),
        ("1914–1918", "1914-1918"),
        ("−5", "-5"),
        ("\u2067שלום\u2069", "שלום"),
        ("a\u200fb", "ab"),
    ],
)
def test_differences_in_typing_do_not_matter(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("שָׁלוֹם", "שלום"),
        ("בְּרֵאשִׁ֖ית", "בראשית"),
        ("שלום", "שלומ"),
        ("ארץ", "ארצ"),
        ("צה״ל", 'צה"ל'),
        ("צה״ל", "צהל"),
        ("ג׳ירפה", "ג'ירפה"),
        ("בית־ספר", "בית ספר"),
        ("בית-ספר", "בית ספר"),
        ("כדור הארץ.", "כדור הארץ"),
        ('"ירושלים!"', "ירושלים"),
        ("\ufb2aלום", "שלום"),  # shin with shin dot as one code point
        ("\ufb4f", "אל"),
        ("\u05f2דיש", "יידיש"),
        ("צדק, שבתאי", "צדק שבתאי"),
    ],
)
def test_spellings_of_hebrew_count_as_one(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", "cafe"),
        ("a-b", "a b"),
        ("can't", "cant"),
        ("3.5", "35"),
        ("end.", "end"),
        ("שלום", "שלו"),
        ("ב.ג", "בג"),
        ("5'", "5"),
    ],
)
def test_what_carries_meaning_stays(one, other):
    assert folded(one) != folded(other)


def test_case_counts_when_asked_for():
    assert folded("NaCl", case_sensitive=True) != folded("nacl", case_sensitive=True)
    assert folded("É a", case_sensitive=True) == folded("E\u0301  a", case_sensitive=True)


def test_only_unescaped_asterisks_are_wildcards():
    assert folded_pattern(r"a*b\*C*") == f"a{WILDCARD}b*c{WILDCARD}"


@given(st.text(), st.booleans())
def test_folding_twice_changes_nothing_more(text, case_sensitive):
    once = folded(text, case_sensitive=case_sensitive)
    assert folded(once, case_sensitive=case_sensitive) == once


@given(st.text(alphabet="אבםשׁ'\"-.,־׳״ xX\u05b8\u200f"))
def test_folding_hebrew_twice_changes_nothing_more(text):
    assert folded(folded(text)) == folded(text)


@given(st.text())
def test_white_space_around_and_bidirectional_marks_do_not_matter(text):
    assert folded(f" \u2067{text}\u2069 ") == folded(text)


@pytest.mark.parametrize("unit", ["'", "א'", "'x", "א.", "א-", ".", "א.'", "ש\u05c1"])
def test_folding_takes_linear_time(unit):
    text = "א" + unit * (400_000 // len(unit)) + "x"
    began = time.perf_counter()
    folded(text)
    assert time.perf_counter() - began < 2
