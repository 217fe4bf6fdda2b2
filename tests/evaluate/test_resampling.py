"""The bootstrap and the randomisation test: deterministic, and correct on simulated data."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.evaluate.resampling import bootstrap, p_value

shares = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=20)
differences = st.lists(st.sampled_from([-1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(values=shares, seed=st.integers(0, 5))
def test_interval_is_ordered_within_the_values_and_fixed_by_its_seed(values, seed):
    """low <= high, and both are between the smallest and the largest value. The same seed returns the same interval."""
    interval = bootstrap(values, 100, seed)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert bootstrap(values, 100, seed) == interval


@settings(max_examples=20, deadline=None)
@given(values=shares)
def test_interval_is_symmetric(values):
    """The interval of the negated values is the negated interval."""
    interval, turned = bootstrap(values, 80), bootstrap([-value for value in values], 80)
    assert (turned.mean, turned.low, turned.high) == (-interval.mean, -interval.high, -interval.low)


@settings(max_examples=20, deadline=None)
@given(values=shares)
def test_interval_contains_the_mean(values):
    """This holds with the default number of resamples."""
    interval = bootstrap(values)
    assert interval.low - 1e-12 <= interval.mean <= interval.high + 1e-12


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("n", [1, 3, 7, 100])
def test_equal_values_have_an_interval_of_width_zero(value, n):
    """The interval is exactly one point, also after rounding, so a plot can draw it."""
    interval = bootstrap([value] * n)
    assert interval.low == interval.mean == interval.high


def test_intervals_contain_the_true_mean_in_95_percent():
    """About 95 % of 150 simulated evaluations with 40 lists have the true mean in their interval."""
    draw = random.Random(1)
    intervals = [bootstrap([draw.random() for _ in range(40)], 150) for _ in range(150)]
    assert 0.88 <= sum(interval.low <= 0.5 <= interval.high for interval in intervals) / 150 <= 0.99


def test_interval_narrows_with_the_square_root_of_the_lists():
    """With 16 times as many lists the interval is about a quarter as wide."""
    draw = random.Random(2)
    few, many = (bootstrap([draw.random() for _ in range(n)], 400) for n in (40, 640))
    assert 3 < (few.high - few.low) / (many.high - many.low) < 5.5


@settings(max_examples=25, deadline=None)
@given(values=differences)
def test_p_value_is_close_to_the_exact_test(values):
    """The expected value is the exact test over every combination of signs."""
    observed = abs(sum(values)) - 1e-9
    totals = [abs(sum(signed)) for signed in itertools.product(*((-value, value) for value in values))]
    exact = sum(total >= observed for total in totals) / len(totals)
    assert p_value(values, 2000) == pytest.approx(exact, abs=0.06)


@given(values=differences, seed=st.integers(0, 5))
def test_p_value_is_two_sided_and_fixed_by_its_seed(values, seed):
    """p is in (0, 1]. It is the same for the same seed, and for the systems in the other order."""
    p = p_value(values, 50, seed)
    assert 0 < p <= 1
    assert p_value(values, 50, seed) == p
    assert p_value([-value for value in values], 50, seed) == p


def test_p_value_of_no_difference_and_of_a_clear_difference():
    """p for equal systems, for a system that is better on 30 of 30 lists, and for one that is better on 30 of 60."""
    assert p_value([0.0] * 50) == 1.0
    assert p_value([0.1] * 30) < 0.005
    assert p_value([0.1, -0.1] * 30) > 0.9


def test_a_difference_by_chance_is_significant_in_5_percent():
    """If two systems differ by chance only, p < 0.05 in about 5 % of 300 simulated evaluations."""
    draw = random.Random(3)
    p_values = [p_value([draw.random() - draw.random() for _ in range(25)], 199, seed) for seed in range(300)]
    assert 0.02 <= sum(p < 0.05 for p in p_values) / 300 <= 0.085
    assert 0.4 <= sum(p_values) / 300 <= 0.6


def test_lists_on_which_both_are_equal_do_not_count_as_evidence():
    """Lists with equal values do not change p."""
    assert p_value([0.2, 0.1, 0.3, -0.1] + [0.0] * 100) == p_value([0.2, 0.1, 0.3, -0.1])


@pytest.mark.parametrize("function", [bootstrap, p_value])
@pytest.mark.parametrize("n_resamples", [0, -1])
def test_at_least_one_resample_is_needed(function, n_resamples):
    """Fewer resamples raise an error."""
    with pytest.raises(InvalidRequestError, match=f"n_resamples must be at least 1, got {n_resamples}"):
        function([0.5], n_resamples)
