"""Prices are integers, never too low, and unknown models have none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import main
from shared.budgets.ladder import Degree, crossed, degree
from shared.budgets.prices import (
    FRAMING_TOKENS,
    LONG_PROMPT_TOKENS,
    PRICES,
    PriceTable,
    Usage,
    actual,
    worst,
)
from shared.edge.registry import deployments
from shared.errors import NotAllowed
from shared.gateway.reading import usage_of
from shared.settings import Settings


def test_a_call_costs_what_the_list_says():
    assert actual("gpt-4o-mini", Usage(1_000_000, 0)) == 150_000_000
    assert actual("gpt-4o-mini", Usage(1_000_000, 0, 1_000_000)) == 75_000_000
    assert actual("gpt-5", Usage(0, 1_000_000)) == 10_000_000_000
    assert actual("gpt-6-luna", Usage(1_000_000, 1_000_000)) == 600_000_000
    assert (
        actual("gpt-6.1-terra", Usage(1_000_000, 0, 200_000, 300_000))
        == 500_000_000 + 10_000_000 + 375_000_000
    )
    assert actual("gpt-4o-mini", Usage(1_000_000, 0, 0, 1_000_000)) == 150_000_000
    assert actual("text-embedding-3-small", Usage(1_000_000)) == 20_000_000
    assert actual("gpt-4o-mini-2024-07-18", Usage(10, 10)) == actual("gpt-4o-mini", Usage(10, 10))
    assert actual("gpt-5", Usage(10, 0, 99)) == 10 * 125
    assert actual("gpt-6-luna", Usage(10, 0, 6, 99)) == 6 * 10 + 4 * 125


def test_what_has_no_price_is_not_spent_on():
    for model in ("gpt-9", "", "gpt-4o-mini-2024", "GPT-5"):
        with pytest.raises(NotAllowed):
            worst(model, 1, 1)


def test_settings_come_before_the_table():
    table = PriceTable({"canned": (1, 2, 3), "llama": (5, 5, 5), "opus": (5, 5, 5, 6)})
    assert table.actual("canned", Usage(1, 1)) == 4
    assert table.worst("llama", 0, 10) == 5 * 64 + 50
    assert table.worst("opus", 0, 10) == 6 * 64 + 50
    assert table.of("opus").numbers == (5, 5, 5, 6)
    assert table.of("llama").numbers == (5, 5, 5, 5)
    assert table.of("gpt-5") == PRICES["gpt-5"]


@given(
    st.sampled_from(sorted(PRICES)),
    st.text(max_size=300),
    st.integers(0, 500),
    st.integers(1, 3),
    st.integers(0, 400),
    st.integers(0, 400),
)
def test_the_worst_case_is_never_less_than_what_comes(model, prompt, completion, attempts, cached, written):
    """A token is at least a byte, so no more tokens than bytes can come of a prompt."""
    size = len(prompt.encode())
    usage = Usage(size, completion, cached, written)
    assert attempts * actual(model, usage) <= worst(model, size, completion, attempts=attempts)


def test_no_request_is_large_enough_for_the_price_of_large_ones():
    main.load_all()
    added_when_it_is_rebuilt = 1000
    largest = deployments()["openai_proxy"].max_body_bytes + added_when_it_is_rebuilt
    assert largest + FRAMING_TOKENS < LONG_PROMPT_TOKENS


def test_the_models_of_a_new_deployment_have_prices():
    settings = Settings(project="demo")
    for model in (settings.small_model, settings.large_model, settings.embedding_model):
        assert PRICES[model].prompt > 0


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


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, Usage(9, 2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
            },
            Usage(9, 2, 3, 4),
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 2,
                "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
            },
            Usage(9, 2, 3, 4),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": None},
            },
            Usage(9, 2, 3),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(9, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": -1}}, None),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": -1}}, None),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": "all"}}, None),
        ({"completion_tokens": 2}, None),
        ([9, 2], None),
    ],
)
def test_what_a_provider_says_it_used_is_read_in_both_interfaces(told, usage):
    assert usage_of(told) == usage
