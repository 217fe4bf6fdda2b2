"""The metrics compared with the code of trec_eval (through ir-measures), and at the limits of their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.evaluate import average_precision, measure, ndcg, recall, reciprocal_rank
from cohere_rerank.evaluate.metrics import parse

grades = st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(any)
ORACLES = {"ndcg": "nDCG", "mrr": "RR", "recall": "R", "map": "AP"}


def trec_eval_value(name, ranked):
    """Return the value of trec_eval (for RR@k: MS MARCO). All scores differ, so its ties do not matter."""
    ir_measures = pytest.importorskip("ir_measures")
    stem, _, cutoff = name.partition("@")
    measure_ = getattr(ir_measures, ORACLES[stem])  # its parser warns on Python 3.12
    measure_ = measure_ @ int(cutoff) if cutoff else measure_
    qrels = [ir_measures.Qrel("q", f"d{i}", grade) for i, grade in enumerate(ranked)]
    run = [ir_measures.ScoredDoc("q", f"d{i}", float(-i)) for i in range(len(ranked))]
    return ir_measures.calc_aggregate([measure_], qrels, run)[measure_]


@settings(max_examples=60, deadline=None)
@given(ranked=grades, stem=st.sampled_from(sorted(ORACLES)), k=st.integers(1, 35))
def test_metric_with_a_cutoff_agrees_with_trec_eval(ranked, stem, k):
    """nDCG, RR, R and AP agree at any cutoff, on any graded list."""
    assert measure(f"{stem}@{k}", ranked) == pytest.approx(trec_eval_value(f"{stem}@{k}", ranked), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(ranked=grades, stem=st.sampled_from(["ndcg", "mrr", "map"]))
def test_metric_without_a_cutoff_agrees_with_trec_eval(ranked, stem):
    """Without a cutoff the whole list counts."""
    assert measure(stem, ranked) == pytest.approx(trec_eval_value(stem, ranked), abs=1e-6)


@given(ranked=st.lists(st.floats(0, 1e6), max_size=30), k=st.none() | st.integers(1, 40))
def test_every_metric_is_in_0_to_1_and_none_without_a_relevant_document(ranked, k):
    """A metric is in [0, 1], or None if no document is relevant. Grades may be fractions."""
    for metric in (ndcg, reciprocal_rank, recall, average_precision):
        value = metric(ranked, k)
        if any(ranked):
            assert value is not None
            assert 0 <= value <= 1 + 1e-12
        else:
            assert value is None


@given(ranked=grades, k=st.integers(1, 40))
def test_the_best_order_has_the_best_value(ranked, k):
    """If the list is sorted by grade, nDCG and RR are 1, and no other order has a higher value."""
    best = sorted(ranked, reverse=True)
    assert ndcg(best, k) == reciprocal_rank(best, k) == 1
    for metric in (recall, average_precision):
        assert metric(best, k) >= metric(ranked, k)


def test_values_calculated_by_hand():
    """The values for the grades 0, 2, 0, 1 agree with a calculation by hand."""
    ranked = [0, 2, 0, 1]
    assert reciprocal_rank(ranked, 10) == 1 / 2
    assert reciprocal_rank(ranked, 1) == 0
    assert recall(ranked, 3) == 1 / 2
    assert average_precision(ranked) == (1 / 2 + 2 / 4) / 2
    assert average_precision(ranked, 2) == (1 / 2) / 2
    assert ndcg(ranked) == pytest.approx((2 / 1.584962501 + 1 / 2.321928095) / (2 + 1 / 1.584962501))


@pytest.mark.parametrize(
    "name", ["ndgc", "", "@10", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@ten", "map@1 ", 10]
)
def test_an_unknown_metric_is_rejected(name):
    """The message has the name and the known metrics."""
    with pytest.raises(InvalidRequestError) as caught:
        parse(name)
    assert repr(name) in str(caught.value)
    assert "ndcg, mrr, recall, map" in str(caught.value)


@pytest.mark.parametrize("metric", [ndcg, reciprocal_rank, recall, average_precision])
def test_a_cutoff_below_one_is_rejected(metric):
    """A negative end of a slice would have another meaning."""
    with pytest.raises(InvalidRequestError, match="k must be at least 1, got -1"):
        metric([1, 0], -1)
