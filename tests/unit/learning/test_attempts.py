"""Which attempt counts, by policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.learning.attempts import Attempt, AttemptsPolicy, effective
from shared.learning.questions import FULL_CREDIT

HALF = FULL_CREDIT // 2


def attempts(*credits_in_order: int | None) -> list[Attempt]:
    return [Attempt(at, f"e{at}", credit, at) for at, credit in enumerate(credits_in_order)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(AttemptsPolicy.FIRST, "e0"), (AttemptsPolicy.LAST, "e3"), (AttemptsPolicy.BEST, "e1")],
)
def test_policy_decides_between_attempts(policy, expected):
    assert effective(attempts(0, HALF, HALF, 0), policy).event_id == expected


def test_earliest_of_equally_good_attempts_is_the_best():
    assert effective(attempts(HALF, FULL_CREDIT, FULL_CREDIT), AttemptsPolicy.BEST).event_id == "e1"


def test_ungraded_attempt_ranks_below_a_negative_credit():
    assert effective(attempts(None, -HALF, None), AttemptsPolicy.BEST).event_id == "e1"


def test_first_of_only_ungraded_attempts_is_the_best():
    assert effective(attempts(None, None), AttemptsPolicy.BEST).event_id == "e0"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(AttemptsPolicy.FIRST, "e0"), (AttemptsPolicy.LAST, "e1"), (AttemptsPolicy.BEST, "e1")],
)
def test_attempts_beyond_the_limit_do_not_compete(policy, expected):
    assert effective(attempts(0, HALF, FULL_CREDIT), policy, 2).event_id == expected


@pytest.mark.parametrize("policy", list(AttemptsPolicy))
@pytest.mark.parametrize(("given_attempts", "limit"), [([], None), ([], 3), (attempts(HALF), 0)])
def test_without_attempts_none_counts(policy, given_attempts, limit):
    assert effective(given_attempts, policy, limit) is None


@given(
    st.lists(st.one_of(st.none(), st.integers(-FULL_CREDIT, FULL_CREDIT)), min_size=1),
    st.one_of(st.none(), st.integers(1, 10)),
)
def test_best_is_never_worse_than_last_or_first(credits_in_order, limit):
    tried = attempts(*credits_in_order)
    best = effective(tried, AttemptsPolicy.BEST, limit)
    for other in (AttemptsPolicy.FIRST, AttemptsPolicy.LAST):
        credit = effective(tried, other, limit).credit
        assert credit is None or (best.credit is not None and best.credit >= credit)


@given(st.lists(st.integers(-FULL_CREDIT, FULL_CREDIT), min_size=1), st.sampled_from(AttemptsPolicy))
def test_plain_tuples_do_as_well_as_named_ones(credits_in_order, policy):
    named = attempts(*credits_in_order)
    assert effective([tuple(each) for each in named], policy) == effective(named, policy)
