"""Raw scores to chances."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import calibration
from cohere_rerank.local.calibration import calibrate

RAW = st.floats(0, 2.5).map(lambda score: round(score, 6))
LISTS = st.lists(RAW, min_size=1, max_size=40)
SHARES = st.floats(0, 1)


@given(LISTS, SHARES)
def test_order_is_kept_and_ties_stay_ties(raw, coverage):
    """Strictly monotone: higher stays higher, equal stays equal, all within [0, 1]."""
    scores = calibrate(raw, coverage)
    assert all(0.0 <= score <= 1.0 for score in scores)
    order = sorted(range(len(raw)), key=raw.__getitem__)
    for a, b in pairwise(order):
        assert (scores[a] < scores[b]) == (raw[a] < raw[b])


@given(LISTS, SHARES, st.randoms())
def test_places_do_not_matter(raw, coverage, random):
    """Shuffling a list shuffles its scores."""
    shuffled = list(range(len(raw)))
    random.shuffle(shuffled)
    scores = calibrate(raw, coverage)
    assert calibrate([raw[i] for i in shuffled], coverage) == [scores[i] for i in shuffled]


@given(LISTS, SHARES, SHARES)
def test_finding_more_of_the_query_raises_the_scores(raw, a, b):
    """A list whose best holds more of the query scores higher as a whole."""
    low, high = calibrate(raw, min(a, b)), calibrate(raw, max(a, b))
    assert all(x <= y for x, y in zip(low, high))


@given(LISTS, SHARES)
def test_a_clear_winner_scores_higher(raw, coverage):
    """The further the best stands above the rest, the higher its score."""
    raw = [0.5, *raw]
    top = raw.index(max(raw))
    ahead = [score + 0.5 * (i == top) for i, score in enumerate(raw)]
    assert calibrate(ahead, coverage)[top] >= calibrate(raw, coverage)[top]


def test_nothing_found_is_nearly_zero():
    """A list that shares nothing with the query scores near 0, all alike."""
    scores = calibrate([0.0, 0.0, 0.0], 0.0)
    assert len(set(scores)) == 1
    assert scores[0] < 0.05


def test_no_documents():
    """An empty list has no scores."""
    assert calibrate([], 0.0) == []


@given(st.floats(-700, 0))
def test_own_exp_is_exp(x):
    """The portable exponential agrees with the library's to twelve digits."""
    assert math.isclose(calibration._exp(x), math.exp(x), rel_tol=1e-12)
