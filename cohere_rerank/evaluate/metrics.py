"""Ranking metrics of one list: pure functions of the grades in ranked order.

*ranked* has the grades of **all** retrieved documents of the list, best-ranked first. A grade above 0 means "relevant",
and a larger one "more relevant". Grades of 0 and below mean "not relevant". *judged* has the grades of all judged
documents of the query, with those that retrieval missed. Without it, there are no other documents.

Only the first *k* documents count, k >= 1. Without *k* all of them count. Every metric is in [0, 1]. It is None if no
judged document is relevant, because there is nothing to find.

Source: the definitions of trec_eval (linear gain, logarithmic discount).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import fsum, log2
from typing import NamedTuple

from cohere_rerank.errors import InvalidRequestError

__all__ = [
    "Metric",
    "average_precision",
    "measure",
    "ndcg",
    "parse",
    "precision",
    "r_precision",
    "recall",
    "reciprocal_rank",
    "success",
]

Grades = Sequence[float]
_Function = Callable[[Grades, "int | None", "Grades | None"], "float | None"]


def ndcg(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return the normalised discounted cumulative gain of the first k documents. 1 is the best order."""
    best = _gain(_first(sorted(_all(ranked, judged), reverse=True), k))
    return _gain(_first(ranked, k)) / best if best > 0 else None


def _gain(grades: Grades) -> float:
    return fsum(grade / log2(rank + 1) for rank, grade in enumerate(grades, start=1) if grade > 0)


def reciprocal_rank(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return 1 divided by the rank of the first relevant document, or 0 if it is not among the first k."""
    found = (1 / rank for rank, grade in enumerate(_first(ranked, k), start=1) if grade > 0)
    return next(found, 0.0) if _n_relevant(_all(ranked, judged)) else None


def recall(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return the share of the relevant documents that is among the first k."""
    n_found, n_relevant = _n_relevant(_first(ranked, k)), _n_relevant(_all(ranked, judged))
    return n_found / n_relevant if n_relevant else None


def precision(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return the share of relevant documents among the first k. A list of fewer than k documents counts as k."""
    if not _n_relevant(_all(ranked, judged)):
        return None
    return _n_relevant(_first(ranked, k)) / max(len(ranked) if k is None else k, 1)


def r_precision(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:  # noqa: ARG001
    """Return the precision at the rank R, where R is the number of relevant documents. It has no cutoff."""
    n_relevant = _n_relevant(_all(ranked, judged))
    return _n_relevant(ranked[:n_relevant]) / n_relevant if n_relevant else None


def success(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return 1 if a relevant document is among the first k, else 0. The mean over lists is the hit rate."""
    if not _n_relevant(_all(ranked, judged)):
        return None
    return 1.0 if _n_relevant(_first(ranked, k)) else 0.0


def average_precision(ranked: Grades, k: int | None = None, judged: Grades | None = None) -> float | None:
    """Return the precision at each relevant document among the first k, averaged over all relevant documents."""
    ranks = [rank for rank, grade in enumerate(_first(ranked, k), start=1) if grade > 0]
    n_relevant = _n_relevant(_all(ranked, judged))
    return fsum(n_found / rank for n_found, rank in enumerate(ranks, start=1)) / n_relevant if n_relevant else None


def _all(ranked: Grades, judged: Grades | None) -> Grades:
    return ranked if judged is None else judged


def _n_relevant(grades: Grades) -> int:
    return sum(grade > 0 for grade in grades)


def _first(grades: Grades, k: int | None) -> Grades:
    if k is not None and k < 1:
        raise InvalidRequestError(f"k must be at least 1, got {k}")
    return grades[:k]


class Metric(NamedTuple):
    """A metric with its cutoff.

    Attributes:
        function: One of the functions above.
        k: The cutoff, or None.
        level: The lowest grade that counts as relevant. None: any grade above 0.
    """

    function: _Function
    k: int | None
    level: float | None = None

    def __call__(self, ranked: Grades, judged: Grades | None = None) -> float | None:
        """Return the value for one list. nDCG uses all grades, whatever the level."""
        if self.level is not None and self.function is not ndcg:
            ranked = [float(grade >= self.level) for grade in ranked]
            judged = None if judged is None else [float(grade >= self.level) for grade in judged]
        return self.function(ranked, self.k, judged)


# The names of this package, trec_eval, ir_measures and ranx, in lower case and without marks.
_METRICS: dict[str, _Function] = {
    "ndcg": ndcg,
    "ndcgcut": ndcg,
    "mrr": reciprocal_rank,
    "rr": reciprocal_rank,
    "reciprank": reciprocal_rank,
    "recall": recall,
    "r": recall,
    "map": average_precision,
    "ap": average_precision,
    "mapcut": average_precision,
    "p": precision,
    "precision": precision,
    "success": success,
    "hitrate": success,
    "rprec": r_precision,
    "rprecision": r_precision,
}
_NAME = re.compile(r"([A-Za-z_-]+?)(?:\(rel=([0-9]{1,7}(?:\.[0-9]{1,6})?)\))?(?:[@._]([1-9][0-9]{0,5}))?")
_SHOWN = "ndcg, mrr, map, recall, p, success or hit_rate, rprec"


def measure(
    name: str, ranked: Grades, judged: Grades | None = None, *, relevance_level: float | None = None
) -> float | None:
    """Return a metric by its name, alone or with a cutoff as in ``ndcg@10``.

    Args:
        name: ``ndcg``, ``mrr``, ``map``, ``recall``, ``p``, ``success``, ``hit_rate`` or ``rprec``; or the name that
            trec_eval (``ndcg_cut_10``), ir_measures (``AP(rel=2)@100``) or ranx gives it.
        ranked: The grades of the retrieved documents, best-ranked first.
        judged: The grades of all judged documents. Default: those of *ranked*.
        relevance_level: The lowest grade that counts as relevant. Default: any grade above 0.

    Raises:
        InvalidRequestError: The metric is unknown, or the cutoff is not a whole number >= 1.
    """
    return parse(name, relevance_level)(ranked, judged)


def parse(name: str, relevance_level: float | None = None) -> Metric:
    """Return the metric of a name.

    Raises:
        InvalidRequestError: As `measure`.
    """
    found = _NAME.fullmatch(str(name))
    function = None if found is None else _METRICS.get(re.sub(r"[_-]", "", found[1].lower()))
    if found is None or function is None:
        raise InvalidRequestError(
            f"{name!r} is not a metric; use {_SHOWN}, alone or with a cutoff as in ndcg@10; the names of trec_eval, "
            "ir_measures and ranx work too"
        )
    if function is r_precision and found[3]:
        raise InvalidRequestError(f"{name!r} has a cutoff, but R-precision has none; use rprec")
    level = relevance_level if found[2] is None else float(found[2])
    return Metric(function, int(found[3]) if found[3] else None, level)
