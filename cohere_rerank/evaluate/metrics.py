"""Ranking metrics of one list: pure functions of the grades in ranked order.

*ranked* has the grades of **all** documents of the list, best-ranked first. A grade is 0 for "not relevant" and larger
for "more relevant". Only the first *k* documents count, k >= 1. Without *k* all of them count. Every metric is in
[0, 1]. It is None if the list has no relevant document, because there is nothing to find.

Source: the definitions of trec_eval (linear gain, logarithmic discount).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import fsum, log2

from cohere_rerank.errors import InvalidRequestError

__all__ = ["average_precision", "measure", "ndcg", "parse", "recall", "reciprocal_rank"]

Metric = Callable[[Sequence[float], "int | None"], "float | None"]


def ndcg(ranked: Sequence[float], k: int | None = None) -> float | None:
    """Return the normalised discounted cumulative gain of the first k documents. 1 is the best order."""
    best = _gain(_first(sorted(ranked, reverse=True), k))
    return _gain(_first(ranked, k)) / best if best > 0 else None


def _gain(grades: Sequence[float]) -> float:
    return fsum(grade / log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def reciprocal_rank(ranked: Sequence[float], k: int | None = None) -> float | None:
    """Return 1 divided by the rank of the first relevant document, or 0 if it is not among the first k."""
    found = (1 / rank for rank, grade in enumerate(_first(ranked, k), start=1) if grade > 0)
    return next(found, 0.0) if _n_relevant(ranked) else None


def recall(ranked: Sequence[float], k: int | None = None) -> float | None:
    """Return the share of the relevant documents that is among the first k."""
    n_found, n_relevant = _n_relevant(_first(ranked, k)), _n_relevant(ranked)
    return n_found / n_relevant if n_relevant else None


def average_precision(ranked: Sequence[float], k: int | None = None) -> float | None:
    """Return the precision at each relevant document among the first k, averaged over all relevant documents."""
    ranks = [rank for rank, grade in enumerate(_first(ranked, k), start=1) if grade > 0]
    n_relevant = _n_relevant(ranked)
    return fsum(n_found / rank for n_found, rank in enumerate(ranks, start=1)) / n_relevant if n_relevant else None


def _n_relevant(grades: Sequence[float]) -> int:
    return sum(grade > 0 for grade in grades)


def _first(grades: Sequence[float], k: int | None) -> Sequence[float]:
    if k is not None and k < 1:
        raise InvalidRequestError(f"k must be at least 1, got {k}")
    return grades[:k]


_METRICS: dict[str, Metric] = {
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "recall": recall,
    "map": average_precision,
}
_NAME = re.compile(r"([a-z]+)(?:@([1-9][0-9]{0,5}))?")


def measure(name: str, ranked: Sequence[float]) -> float | None:
    """Return a metric by its name: ``ndcg``, ``mrr``, ``recall`` or ``map``, alone or with a cutoff as in ``ndcg@10``.

    Raises:
        InvalidRequestError: The metric is unknown, or the cutoff is not a whole number >= 1.
    """
    metric, k = parse(name)
    return metric(ranked, k)


def parse(name: str) -> tuple[Metric, int | None]:
    """Return the function and the cutoff of a metric's name.

    Raises:
        InvalidRequestError: As `measure`.
    """
    found = _NAME.fullmatch(str(name))
    if found is None or found[1] not in _METRICS:
        known = ", ".join(_METRICS)
        raise InvalidRequestError(f"{name!r} is not a metric; use {known}, alone or with a cutoff as in ndcg@10")
    return _METRICS[found[1]], int(found[2]) if found[2] else None
