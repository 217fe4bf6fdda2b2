"""The bootstrap and the randomisation test: deterministic, plausible on simulated data."""

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
    """low <= high, both between the least and the largest value; the same again for the same seed."""
    interval = bootstrap(values, 100, seed)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert bootstrap(values, 100, seed) == interval


@settings(max_examples=20, deadline=None)
@given(values=shares)
def test_interval_cuts_off_as_much_at_either_end(values):
    """Values turned around give the interval turned around."""
    interval, turned = bootstrap(values, 80), bootstrap([-value for value in values], 80)
    assert (turned.mean, turned.low, turned.high) == (-interval.mean, -interval.high, -interval.low)


@settings(max_examples=20, deadline=None)
@given(values=shares)
def test_interval_contains_the_mean(values):
    """With as many resamples as are usual."""
    interval = bootstrap(values)
    assert interval.low - 1e-12 <= interval.mean <= interval.high + 1e-12


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("n", [1, 3, 7, 100])
def test_equal_values_leave_no_doubt(value, n):
    """Not even by rounding: the interval is a point, which a plot can draw."""
    interval = bootstrap([value] * n)
    assert interval.low == interval.mean == interval.high


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    """Of 150 simulated evaluations with 40 lists, close to 95 % have the true mean in their interval."""
    draw = random.Random(1)
    intervals = [bootstrap([draw.random() for _ in range(40)], 150) for _ in range(150)]
    assert 0.88 <= sum(interval.low <= 0.5 <= interval.high for interval in intervals) / 150 <= 0.99


def test_interval_narrows_with_the_square_root_of_the_lists():
    """16 times the lists, about a quarter of the width."""
    draw = random.Random(2)
    few, many = (bootstrap([draw.random() for _ in range(n)], 400) for n in (40, 640))
    assert 3 < (few.high - few.low) / (many.high - many.low) < 5.5


@settings(max_examples=25, deadline=None)
@given(values=differences)
def test_p_value_is_near_that_of_all_the_ways_to_swap(values):
    """The exact test over every combination of signs is the oracle."""
    observed = abs(sum(values)) - 1e-9
    totals = [abs(sum(signed)) for signed in itertools.product(*((-value, value) for value in values))]
    exact = sum(total >= observed for total in totals) / len(totals)
    assert p_value(values, 2000) == pytest.approx(exact, abs=0.06)


@given(values=differences, seed=st.integers(0, 5))
def test_p_value_is_two_sided_and_fixed_by_its_seed(values, seed):
    """In (0, 1], the same again, and the same for the systems in the other order."""
    p = p_value(values, 50, seed)
    assert 0 < p <= 1
    assert p_value(values, 50, seed) == p
    assert p_value([-value for value in values], 50, seed) == p


def test_no_difference_gives_one_and_a_clear_one_a_small_value():
    """Identical systems, then one that is better on 30 of 30 lists, then on 30 of 60."""
    assert p_value([0.0] * 50) == 1.0
    assert p_value([0.1] * 30) < 0.005
    assert p_value([0.1, -0.1] * 30) > 0.9


def test_chance_is_called_a_difference_about_as_often_as_agreed():
    """Two systems that differ by chance only: p < 0.05 in about 5 % of 300 simulated evaluations."""
    draw = random.Random(3)
    p_values = [p_value([draw.random() - draw.random() for _ in range(25)], 199, seed) for seed in range(300)]
    assert 0.02 <= sum(p < 0.05 for p in p_values) / 300 <= 0.085
    assert 0.4 <= sum(p_values) / 300 <= 0.6


def test_lists_on_which_both_are_equal_do_not_count_as_evidence():
    """They change neither side of the test."""
    assert p_value([0.2, 0.1, 0.3, -0.1] + [0.0] * 100) == p_value([0.2, 0.1, 0.3, -0.1])


@pytest.mark.parametrize("function", [bootstrap, p_value])
@pytest.mark.parametrize("n_resamples", [0, -1])
def test_at_least_one_resample_is_needed(function, n_resamples):
    """Zero would divide by nothing or find nothing."""
    with pytest.raises(InvalidRequestError, match=f"n_resamples must be at least 1, got {n_resamples}"):
        function([0.5], n_resamples)
