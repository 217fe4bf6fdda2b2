"""The metrics compared with the code of trec_eval (through ir-measures), and at the limits of their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.evaluate import average_precision, measure, ndcg, recall, reciprocal_rank
from cohere_rerank.evaluate.metrics import parse
from cohere_rerank.evaluate.ties import rankings

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


TREC_NAMES = (
    "ndcg", "ndcg_cut_1", "ndcg_cut_3", "ndcg_cut_10", "map", "map_cut_3", "recip_rank", "recall_3", "recall_10", "P_3",
    "P_10", "success_1", "success_3", "Rprec",
)  # fmt: skip
judgements = st.dictionaries(st.integers(0, 14), st.integers(-1, 3), min_size=1).filter(lambda q: max(q.values()) > 0)
scores = st.sampled_from([0.1, 0.2, 1.0, 1.0 + 1e-9]) | st.floats(-10, 10)


@settings(max_examples=100, deadline=None)
@given(qrels=judgements, run=st.dictionaries(st.integers(0, 14), scores, min_size=1), level=st.integers(1, 3))
def test_every_metric_is_that_of_trec_eval(qrels, run, level):
    """With missed documents, negative grades, equal scores and any level of relevance, to 1e-12."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    grades_by_id = {f"d{number}": grade for number, grade in qrels.items()}
    scores_by_id = {f"d{number}": float(score) for number, score in run.items()}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": grades_by_id}, {"ndcg", "ndcg_cut.1,3,10", "map", "map_cut.3",
        "recip_rank", "recall.3,10", "P.3,10", "success.1,3", "Rprec"}, relevance_level=level)  # fmt: skip
    wanted = evaluator.evaluate({"q": scores_by_id})["q"]
    ids = list(scores_by_id)
    (ranked,) = rankings(list(scores_by_id.values()), [grades_by_id.get(each, 0) for each in ids], ids, 0)
    for name in TREC_NAMES:
        value = measure(name, ranked, list(grades_by_id.values()), relevance_level=level)
        assert (value or 0.0) == pytest.approx(wanted[name], abs=1e-12), name


@pytest.mark.parametrize(
    ("names", "same"),
    [
        (["ndcg_cut_10", "ndcg_cut.10", "nDCG@10", "NDCG@10"], "ndcg@10"),
        (["map", "AP", "MAP"], "map"),
        (["recip_rank", "RR", "mrr"], "mrr"),
        (["P_5", "P.5", "P@5", "precision@5"], "p@5"),
        (["recall_5", "R@5", "recall@5"], "recall@5"),
        (["success_1", "Success@1", "hit_rate@1"], "success@1"),
        (["Rprec", "r-precision", "r_precision"], "rprec"),
        (["AP(rel=2)@5"], None),
    ],
)
def test_names_of_other_tools_are_known(names, same):
    """Those of trec_eval, ir_measures and ranx."""
    ranked = [0, 2, 1, 0, 3, 1, 0]
    for name in names:
        wanted = measure("map@5", ranked, relevance_level=2) if same is None else measure(same, ranked)
        assert measure(name, ranked) == wanted


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
    assert "ndcg, mrr, map, recall" in str(caught.value)


@pytest.mark.parametrize("metric", [ndcg, reciprocal_rank, recall, average_precision])
def test_a_cutoff_below_one_is_rejected(metric):
    """A negative end of a slice would have another meaning."""
    with pytest.raises(InvalidRequestError, match="k must be at least 1, got -1"):
        metric([1, 0], -1)
