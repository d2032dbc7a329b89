"""Before the last rung no reply holds the answer, however it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tutoring.leak_guard import LeakGuard, leaks, secrets_of, spoken
from tests.unit.tutoring.golden import questions

EXTRA = """
::Small:: What is 7 times 8? {=56 ~54 ~48}

::Echo:: Is it 4 or 5? {#4:0}

::Pi:: Give pi to two decimals. {#3.13..3.15}

::Decimal:: How many litres? {#1822.5:0}

::Shalom:: איך אומרים peace? {=שלום =שָׁלוֹם לך}
"""
KEYED = {**questions(), **questions(EXTRA)}


def secrets(name):
    return secrets_of(KEYED[name].question, KEYED[name].answer_key)


GIVEN_AWAY = [
    ("Capital", "It is Canberra."),
    ("Capital", "CANBERRA!"),
    ("Capital", "Think of C-a-n-b-e-r-r-a"),
    ("Capital", "C a n b e r r a"),
    ("Capital", "Can\u200bber\u00adra"),
    ("Capital", "**Can**berra"),
    ("Capital", "arrebnaC, read backwards"),
    ("Capital", "Canberra's parliament"),
    ("Capital", "Choose option {place}."),
    ("Capital", "The {ordinal} option is right."),
    ("Capital", "The answer is {letter}."),
    ("Primes", "seventeen has no divisors"),
    ("Sun", "The statement is true."),
    ("Sun", "Yes: the answer is: True"),
    ("Grant", "He was born in 1822."),
    ("Grant", "1 822"),
    ("Grant", "1,822"),
    ("Grant", "١٨٢٢"),
    ("Grant", "1822.0"),
    ("Decimal", "1.822,5 litres"),
    ("Decimal", "1,822.5 litres"),
    ("Pi", "about 3.14"),
    ("Small", "It is 56."),
    ("Echo", "The answer is 4."),
    ("Word", "carbon-dioxide"),
    ("Word", "Carbon\nDioxide is the gas"),
    ("Word", "co2"),
    ("Match", "Italy belongs with Rome."),
    ("עברית", "התשובה היא ירושלים"),
    ("עברית", "יְרוּשָׁלַיִם"),
    ("עברית", "גרים בירושלים"),
    ("עברית", "יר-ושל-ים"),
    ("Shalom", "אומרים שלומ"),
]
HARMLESS = [
    ("Capital", "Sydney is the largest city, but is it where parliament sits?"),
    ("Capital", "Which cities do you know? Compare the options one by one."),
    ("Grant", "He was a general in the war of 1861 to 1865."),
    ("Grant", "Think of the decade: what happened in the early 19th century?"),
    ("Pi", "It is a bit more than 3, and less than 4."),
    ("Echo", "Is it 4 or 5? Count again."),
    ("Sun", "What makes a body a star?"),
    ("Match", "Rome was not built in a day. Canada is in North America."),
    ("Small", "What is 7 times 7, and how much more do you need?"),
    ("עברית", "איפה נמצאת הכנסת?"),
    ("Sky", "Anything at all may be said: scattering of blue light."),
]


def filled(name, text):
    question = KEYED[name].question
    place = next((i for i, each in enumerate(question.options) if each.text.text == "Canberra"), 0)
    ordinal = ("first", "second", "third")[place]
    return text.format(place=place + 1, ordinal=ordinal, letter="ABC"[place])


@pytest.mark.parametrize(("name", "text"), GIVEN_AWAY)
def test_what_gives_the_answer_away_is_noticed(name, text):
    text = filled(name, text)
    assert leaks(text, secrets(name))
    for size in (1, 3, 1000):
        guard = LeakGuard(secrets(name))
        whole = f"Let us see what we know about this question first. {text} And so it goes on and on."
        shown = "".join(guard.feed(whole[i : i + size]) for i in range(0, len(whole), size)) + guard.finish()
        assert guard.leaked
        assert not leaks(shown, secrets(name))
        assert whole.startswith(shown)


@pytest.mark.parametrize(("name", "text"), HARMLESS)
def test_what_gives_nothing_away_passes_unchanged(name, text):
    assert not leaks(text, secrets(name))
    for size in (1, 3, 1000):
        guard = LeakGuard(secrets(name))
        shown = "".join(guard.feed(text[i : i + size]) for i in range(0, len(text), size)) + guard.finish()
        assert shown == text
        assert not guard.leaked


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["Capital", "Grant", "Word", "עברית", "Match", "Small"]),
    st.lists(
        st.sampled_from(
            [
                *(
                    "Canberra",
                    "Can",
                    "berra",
                    "1822",
                    "18",
                    "22",
                    "carbon",
                    "dioxide",
                    "ירושלים",
                    "ירו",
                    "שלים",
                ),
                *(
                    "Italy",
                    "Rome",
                    "56",
                    "5",
                    "6",
                    " ",
                    " ",
                    ". ",
                    "\n",
                    "-",
                    "\u200b",
                    "and so",
                    "option 1",
                    "the",
                ),
            ]
        ),
        max_size=30,
    ),
    st.integers(1, 8),
)
def test_nothing_that_leaves_in_pieces_gives_the_answer_away(name, pieces, size):
    text = "".join(pieces)
    guard = LeakGuard(secrets(name))
    shown = "".join(guard.feed(text[i : i + size]) for i in range(0, len(text), size)) + guard.finish()
    assert not leaks(shown, secrets(name)), (text, shown)
    if not guard.leaked:
        assert shown == text


def test_a_long_harmless_text_leaves_while_it_comes():
    guard = LeakGuard(secrets("Capital"))
    pieces = [guard.feed("Some words about cities. ") for _ in range(20)]
    assert sum(map(bool, pieces)) > 15


def test_texts_are_compared_as_people_hear_them():
    assert spoken("יְרוּשָׁלַיִם!") == spoken("ירושלימ")
    assert spoken("Carbon-DIOXIDE.") == "carbon dioxide"
