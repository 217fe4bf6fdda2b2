"""Ranking metrics of one list: pure functions of the grades in ranked order.

*ranked* holds the grades of **all** documents of the list, best-ranked first; a grade is 0 for "not relevant" and
larger for "more relevant". All metrics are in [0, 1], and None where the list has no relevant document, for there is
nothing to find in it.

Source: the definitions of trec_eval (linear gain, logarithmic discount).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cohere_rerank.errors import InvalidRequestError

Metric = Callable[[Sequence[float], int], "float | None"]


def ndcg(ranked: Sequence[float], k: int) -> float | None:
    """Normalised discounted cumulative gain of the first k: 1 for the best order there is."""
    best = _gain(sorted(ranked, reverse=True)[:k])
    return _gain(ranked[:k]) / best if best > 0 else None


def _gain(grades: Sequence[float]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def reciprocal_rank(ranked: Sequence[float], k: int) -> float | None:
    """1 over the rank of the first relevant document; 0 if it is not among the first k."""
    if not any(ranked):
        return None
    return next((1 / rank for rank, grade in enumerate(ranked[:k], start=1) if grade > 0), 0.0)


def recall(ranked: Sequence[float], k: int) -> float | None:
    """The share of the relevant documents that is among the first k."""
    n_relevant = sum(grade > 0 for grade in ranked)
    return sum(grade > 0 for grade in ranked[:k]) / n_relevant if n_relevant else None


def average_precision(ranked: Sequence[float], k: int) -> float | None:
    """The precision at each relevant document among the first k, averaged over all relevant ones."""
    n_relevant = sum(grade > 0 for grade in ranked)
    if not n_relevant:
        return None
    n_found, total = 0, 0.0
    for rank, grade in enumerate(ranked[:k], start=1):
        if grade > 0:
            n_found += 1
            total += n_found / rank
    return total / n_relevant


_METRICS: dict[str, Metric] = {
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "recall": recall,
    "map": average_precision,
}


def measure(name: str, ranked: Sequence[float]) -> float | None:
    """The metric of that name: ``ndcg``, ``mrr``, ``recall`` or ``map``, with a cut as in ``ndcg@10`` or without.

    Raises:
        InvalidRequestError: There is no such metric, or the cut is no whole number from 1 on.
    """
    metric, k = parse(name)
    return metric(ranked, len(ranked) if k is None else k)


def parse(name: str) -> tuple[Metric, int | None]:
    """The function and the cut that a name stands for."""
    stem, at, cut = name.partition("@")
    if stem not in _METRICS or (at and not (cut.isdecimal() and int(cut) >= 1)):
        known = ", ".join(_METRICS)
        raise InvalidRequestError(f"{name!r} is no metric; known are {known}, alone or with a cut as in ndcg@10")
    return _METRICS[stem], int(cut) if at else None
