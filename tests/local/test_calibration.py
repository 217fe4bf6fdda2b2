"""Calibration of raw scores."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import calibration
from cohere_rerank.local.calibration import Evidence, calibrate

RAW = st.floats(0, 2.5).map(lambda score: round(score, 6))
LISTS = st.lists(RAW, min_size=1, max_size=40)
SHARES = st.floats(0, 1)
EVIDENCE = st.builds(
    Evidence,
    coverage=SHARES,
    missing=SHARES,
    sounds=SHARES,
    terms=SHARES,
    is_foreign=st.booleans(),
    gap=SHARES,
    gap_elsewhere=SHARES,
    other_coverage=SHARES,
    window=SHARES,
    n_letters=st.integers(0, 10_000),
)


@given(LISTS, EVIDENCE)
def test_order_is_kept_and_ties_stay_ties(raw, evidence):
    """Calibration is strictly monotone: the order stays the same, and all scores are in [0, 1]."""
    scores = calibrate(raw, evidence)
    assert all(0.0 <= score <= 1.0 for score in scores)
    order = sorted(range(len(raw)), key=raw.__getitem__)
    for a, b in pairwise(order):
        assert (scores[a] < scores[b]) == (raw[a] < raw[b])


@given(LISTS, EVIDENCE, st.randoms())
def test_positions_do_not_matter(raw, evidence, random):
    """The score of a document does not depend on its position."""
    shuffled = list(range(len(raw)))
    random.shuffle(shuffled)
    scores = calibrate(raw, evidence)
    assert calibrate([raw[i] for i in shuffled], evidence) == [scores[i] for i in shuffled]


@given(LISTS, EVIDENCE, SHARES, SHARES)
def test_higher_coverage_raises_the_scores(raw, evidence, a, b):
    """If the best document contains more of the query, all scores of the list are higher."""
    low = calibrate(raw, evidence._replace(coverage=min(a, b)))
    high = calibrate(raw, evidence._replace(coverage=max(a, b)))
    assert all(x <= y for x, y in zip(low, high))


@given(LISTS, EVIDENCE)
def test_a_clear_winner_scores_higher(raw, evidence):
    """A larger margin of the best document means a higher score."""
    raw = [0.5, *raw]
    top = raw.index(max(raw))
    ahead = [score + 0.5 * (i == top) for i, score in enumerate(raw)]
    assert calibrate(ahead, evidence)[top] >= calibrate(raw, evidence)[top]


@given(LISTS, EVIDENCE, SHARES, SHARES)
def test_a_missing_word_or_number_never_raises_a_score(raw, evidence, a, b):
    """If the best document lacks more of the query, no score is higher."""
    for name in ("gap", "gap_elsewhere", "missing"):
        low = calibrate(raw, evidence._replace(**{name: max(a, b)}))
        high = calibrate(raw, evidence._replace(**{name: min(a, b)}))
        assert all(x <= y for x, y in zip(low, high))


def test_a_missing_word_that_another_document_contains_counts_more():
    """A short document that lacks a word scores lower if another document of the list contains the word."""
    evidence = Evidence(coverage=0.8, window=0.8, gap=0.15, n_letters=40)
    alone, elsewhere = (calibrate([1.5, 0.2], evidence._replace(gap_elsewhere=gap))[0] for gap in (0.0, 0.15))
    assert elsewhere < 0.5 < alone


@given(LISTS)
def test_a_lead_without_a_match_counts_nothing(raw):
    """A document that contains nothing of the query stays near 0, however far it is ahead of the others."""
    assert max(calibrate([score + 2.0 * (score == max(raw)) for score in raw], Evidence())) < 0.01


def test_no_match_scores_nearly_zero():
    """All documents of a list that shares nothing with the query have the same score near 0."""
    scores = calibrate([0.0, 0.0, 0.0], Evidence())
    assert len(set(scores)) == 1
    assert scores[0] < 0.05


def test_no_documents():
    """An empty list has no scores."""
    assert calibrate([], Evidence()) == []


@given(st.floats(-700, 0))
def test_the_portable_exponential_is_correct(x):
    """The portable exponential agrees with that of the library to twelve digits."""
    assert math.isclose(calibration._exp(x), math.exp(x), rel_tol=1e-12)
