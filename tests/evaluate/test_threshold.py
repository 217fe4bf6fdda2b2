"""Thresholds: operating points against a direct count, minimum precision and recall, borderline pairs."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cohere_rerank
from cohere_rerank.errors import InvalidRequestError, ScorerError
from cohere_rerank.evaluate import LabelledList, borderline_threshold, recommend_threshold
from tests.fake_server import reply

share = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0])
judged_lists = st.lists(st.lists(st.tuples(share, st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4)


def by_text(query, documents):
    """Return the scores that the texts start with."""
    return [float(text.split()[0]) for text in documents]


def lists_of(judged):
    return [
        LabelledList(
            "q", [f"{score} {i}" for i, (score, _) in enumerate(pairs)], [2 * relevant for _, relevant in pairs]
        )
        for pairs in judged
    ]


def counted(judged, min_score):
    """Return precision, recall, F1 and the number kept, by their definitions."""
    kept = [relevant for score, relevant in judged if score >= min_score]
    n_relevant = sum(relevant for _, relevant in judged)
    precision, recall = sum(kept) / len(kept), sum(kept) / n_relevant
    return precision, recall, 2 * precision * recall / (precision + recall) if sum(kept) else 0.0, len(kept)


@settings(max_examples=50, deadline=None)
@given(judged_lists.filter(lambda lists: any(relevant for pairs in lists for _, relevant in pairs)))
def test_operating_points_agree_with_a_direct_count(judged):
    """There is one per score, lowest first. The recommendation has the best F1, and of equals the highest score."""
    threshold = recommend_threshold(lists_of(judged), by_text)
    pairs = [pair for pairs in judged for pair in pairs]
    scores = sorted({score for score, _ in pairs})
    assert [point.min_score for point in threshold.operating_points] == scores
    for point in threshold.operating_points:
        assert astuple(point)[1:] == pytest.approx(counted(pairs, point.min_score))
        assert threshold.at(point.min_score) == point
    best = max(point.f1 for point in threshold.operating_points)
    wanted = max(point.min_score for point in threshold.operating_points if point.f1 == best)
    assert threshold.at(threshold.min_score).min_score == wanted
    assert threshold.n_documents == len(pairs)
    assert threshold.standard_error is None


@settings(max_examples=50, deadline=None)
@given(judged_lists.filter(lambda lists: any(r for pairs in lists for _, r in pairs)), st.floats(0, 1), st.booleans())
def test_a_minimum_is_reached_at_the_least_cost(judged, minimum, of_precision):
    """Of the thresholds that reach one minimum, it has the most of the other. If none reaches it, that is an error."""
    arguments = {"min_precision" if of_precision else "min_recall": minimum}
    pairs = [pair for pairs in judged for pair in pairs]
    figures = {score: counted(pairs, score)[:2] for score, _ in pairs}
    kept = {score: (p, r) if of_precision else (r, p) for score, (p, r) in figures.items()}
    kept = {score: pair for score, pair in kept.items() if pair[0] >= minimum}
    if not kept:
        with pytest.raises(
            InvalidRequestError, match=f"no threshold reaches a {'precision' if of_precision else 'recall'}"
        ):
            recommend_threshold(lists_of(judged), by_text, **arguments)
        return
    threshold = recommend_threshold(lists_of(judged), by_text, **arguments)
    chosen = threshold.at(threshold.min_score).min_score
    assert kept[chosen][1] == max(other for _, other in kept.values())


JUDGED = [[(0.9, True), (0.8, False), (0.2, True)], [(0.1, False), (0.3, False)]]


def test_the_operating_point_between_two_scores():
    """It is the point of the next higher score. Above all scores there is none."""
    threshold = recommend_threshold(lists_of(JUDGED), by_text)
    assert threshold.at(0.25).min_score == 0.3
    assert threshold.at(0.0).n_kept == 5
    with pytest.raises(InvalidRequestError, match=r"no document has a score of 0.95 or more; the highest score is 0.9"):
        threshold.at(0.95)


def test_a_recommendation_keeps_as_many_documents_as_it_says():
    """As min_score of rerank, it keeps the documents that the operating point counted."""
    threshold = recommend_threshold(lists_of(JUDGED), by_text, min_recall=1.0)
    client = cohere_rerank.ClientV2(base_url="local:", scorer=by_text)
    kept = [
        client.rerank(model="m", query=item.query, documents=item.documents, min_score=threshold.min_score).results
        for item in lists_of(JUDGED)
    ]
    assert sum(map(len, kept)) == threshold.at(threshold.min_score).n_kept == 4


def test_table_shows_the_recommendation_and_some_twenty_rows():
    """This holds for any number of scores. The recommended score can be typed."""
    judged = [[(i / 997, i > 600) for i in range(997)]]
    threshold = recommend_threshold(lists_of(judged), by_text)
    first, *table = str(threshold).splitlines()
    assert first == "recommended min_score 0.602, from 997 judged documents"
    assert table[0] == "it keeps 396: precision 1.000 [0.990, 1.000], recall 1.000 [0.990, 1.000] (95 %)"
    assert len(table) <= 23
    (marked,) = [line for line in table if line.endswith("<-")]
    assert marked.split() == ["0.6028", "1.000", "1.000", "1.000", "396", "<-"]


def test_small_tables_show_every_operating_point():
    """Each row has the figures of one threshold, lowest first."""
    assert str(recommend_threshold(lists_of(JUDGED), by_text, min_precision=1.0)).splitlines() == [
        "recommended min_score 0.9, from 5 judged documents",
        "it keeps 1: precision 1.000 [0.207, 1.000], recall 0.500 [0.095, 0.905] (95 %)",
        "min_score  precision  recall     F1   kept",
        "   0.1000      0.400   1.000  0.571      5",
        "   0.2000      0.500   1.000  0.667      4",
        "   0.3000      0.333   0.500  0.400      3",
        "   0.8000      0.500   0.500  0.500      2",
        "   0.9000      1.000   0.500  0.667      1  <-",
    ]


def test_lists_without_a_relevant_document_lower_precision():
    """None of their documents should be kept."""
    with_answer = recommend_threshold(lists_of(JUDGED[:1]), by_text).at(0.1)
    both = recommend_threshold(lists_of(JUDGED), by_text).at(0.1)
    assert (with_answer.n_kept, both.n_kept) == (3, 5)
    assert both.precision < with_answer.precision


def test_documents_that_are_not_returned_are_never_kept(make_client, server):
    """They have no operating point, but relevant ones count as missed."""
    server.script(reply(json={"results": [{"index": 1, "relevance_score": 0.5}]}))
    item = LabelledList("q", ["a", "b", "c"], [1, 1, 0])
    threshold = recommend_threshold([item], (make_client(strict=False), "m"))
    assert [astuple(point) for point in threshold.operating_points] == [(0.5, 1.0, 0.5, pytest.approx(2 / 3), 1)]
    server.script(reply(json={"results": []}))
    with pytest.raises(InvalidRequestError, match="no score for any"):
        recommend_threshold([item], (make_client(strict=False), "m"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"min_precision": 0.9, "min_recall": 0.9}, "mutually exclusive"),
        ({"min_precision": 90}, "min_precision must be from 0 to 1, got 90"),
        ({"min_recall": -0.1}, "min_recall must be from 0 to 1, got -0.1"),
        ({"min_recall": float("nan")}, "min_recall must be from 0 to 1, got nan"),
    ],
)
def test_minimums_that_are_not_valid_are_rejected(arguments, problem):
    """The error comes before the first score."""
    seen = []
    with pytest.raises(InvalidRequestError, match=problem):
        recommend_threshold(lists_of(JUDGED), lambda query, documents: seen.append(query), **arguments)
    assert seen == []


def test_lists_without_any_relevant_document_are_rejected_before_the_first_score():
    """Without a relevant document there is no recall."""
    seen = []
    with pytest.raises(InvalidRequestError, match="none of the 1 lists has a relevant document"):
        recommend_threshold(lists_of(JUDGED[1:]), lambda query, documents: seen.append(query))
    assert seen == []


def test_borderline_pairs_return_their_mean_and_its_standard_error():
    """Mean and standard error agree with a calculation by hand. Each pair is scored as a list of its own."""
    seen = []

    def score(query, documents):
        seen.append((query, list(documents)))
        return by_text(query, documents)

    pairs = [("a", "0.2"), ["b", "0.4"], ("c", "0.6")]
    threshold = borderline_threshold(iter(pairs), score)
    assert threshold.min_score == pytest.approx(0.4)
    assert threshold.standard_error == pytest.approx(0.2 / 3**0.5)
    assert threshold.n_documents == 3
    assert seen == [("a", ["0.2"]), ("b", ["0.4"]), ("c", ["0.6"])]
    assert str(borderline_threshold([("q", "0.5")] * 4, by_text)) == (
        "recommended min_score 0.5, the mean of 4 borderline pairs (standard error 0)"
    )


def test_borderline_pairs_have_no_precision():
    """The error says what to judge instead."""
    with pytest.raises(InvalidRequestError, match="judge whole lists"):
        borderline_threshold([("q", "0.5")] * 4, by_text).at(0.5)


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([], "at least two borderline pairs, got 0"),
        ([("q", "0.5")], "at least two borderline pairs, got 1"),
        ([("q", "0.5"), "qd"], r"pairs\[1\] must be a query and a document, got str"),
        ([("q", "0.5"), ("q",)], r"pairs\[1\] must be a query and a document, got tuple"),
    ],
)
def test_too_few_or_invalid_pairs_are_rejected(pairs, problem):
    """The error comes before the first score."""
    with pytest.raises(InvalidRequestError, match=problem):
        borderline_threshold(pairs, lambda query, documents: pytest.fail("scored"))


def test_a_pair_without_a_score_is_an_error(make_client, server):
    """The pair is not left out of the mean."""
    server.script(
        reply(json={"results": [{"index": 0, "relevance_score": 0.5}]}),
        reply(json={"results": []}),
    )
    with pytest.raises(InvalidRequestError, match="no score for the pair at index 1"):
        borderline_threshold([("q", "a"), ("q", "b")], (make_client(strict=False), "m"))


def test_the_error_of_a_failed_scorer_names_the_place():
    """The error keeps its type and names the list or the pair."""

    def fails(query, documents):
        return by_text(query, documents) if query == "q" else []

    lists = [*lists_of(JUDGED), LabelledList("other", ["a"], [0])]
    with pytest.raises(ScorerError, match=r"\(lists\[2\]\)"):
        recommend_threshold(lists, fails)
    with pytest.raises(ScorerError, match=r"\(pairs\[1\]\)"):
        borderline_threshold([("q", "0.5"), ("other", "0.5")], fails)


def test_the_error_of_an_invalid_pair_names_the_pair():
    """The message does not show the document."""
    with pytest.raises(InvalidRequestError, match=r"\(pairs\[1\]\)"):
        borderline_threshold([("q", "0.5"), (" ", "0.5")], by_text)


def test_a_threshold_of_no_use_is_a_warning():
    """No value separates the relevant documents from the others."""
    judged = [[(0.5, True), *[(0.5 + i / 100, False) for i in range(5)]]]
    threshold = recommend_threshold(lists_of(judged), by_text)
    assert "no value has a precision of 0.5: the best one has 0.167" in (threshold.warning or "")
    assert "warning: no value has a precision" in str(threshold)
    assert recommend_threshold(lists_of(JUDGED), by_text).warning is None
