"""Prices are integers, never too low, and unknown models have none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.budgets.ladder import Degree, crossed, degree
from shared.budgets.prices import PRICES, PriceTable, Usage, actual, worst
from shared.errors import NotAllowed


def test_a_call_costs_what_the_list_says():
    assert actual("gpt-4o-mini", Usage(1_000_000, 0)) == 150_000_000
    assert actual("gpt-4o-mini", Usage(1_000_000, 0, 1_000_000)) == 75_000_000
    assert actual("gpt-5", Usage(0, 1_000_000)) == 10_000_000_000
    assert actual("text-embedding-3-small", Usage(1_000_000)) == 20_000_000
    assert actual("gpt-4o-mini-2024-07-18", Usage(10, 10)) == actual("gpt-4o-mini", Usage(10, 10))
    assert actual("gpt-5", Usage(10, 0, 99)) == 10 * 125


def test_what_has_no_price_is_not_spent_on():
    for model in ("gpt-9", "", "gpt-4o-mini-2024", "GPT-5"):
        with pytest.raises(NotAllowed):
            worst(model, 1, 1)


def test_settings_come_before_the_table():
    table = PriceTable({"canned": (1, 2, 3), "llama": (5, 5, 5)})
    assert table.actual("canned", Usage(1, 1)) == 4
    assert table.worst("llama", 0, 10) == 5 * 64 + 50
    assert table.of("gpt-5") == PRICES["gpt-5"]


@given(st.sampled_from(sorted(PRICES)), st.text(max_size=300), st.integers(0, 500), st.integers(1, 3))
def test_the_worst_case_is_never_less_than_what_comes(model, prompt, completion, attempts):
    """A token is at least a byte, so no more tokens than bytes can come of a prompt."""
    size = len(prompt.encode())
    usage = Usage(size, completion)
    assert attempts * actual(model, usage) <= worst(model, size, completion, attempts=attempts)


def test_thresholds_are_crossed_once():
    assert crossed(0, 49, 100) == []
    assert crossed(0, 50, 100) == [50]
    assert crossed(50, 79, 100) == []
    assert crossed(10, 100, 100) == [50, 80, 100]
    assert crossed(100, 120, 100) == []


@pytest.mark.parametrize(
    ("remaining", "cache", "expected"),
    [
        (1000, True, Degree.FULL),
        (200, True, Degree.FULL),
        (199, True, Degree.SMALL),
        (100, True, Degree.SMALL),
        (10, True, Degree.SMALL),
        (9, True, Degree.CACHED_ONLY),
        (9, False, Degree.DETERMINISTIC),
        (0, True, Degree.CACHED_ONLY),
    ],
)
def test_with_less_money_a_request_is_served_less_well(remaining, cache, expected):
    assert degree(remaining, ceiling=1000, full=100, small=10, cache=cache) is expected
