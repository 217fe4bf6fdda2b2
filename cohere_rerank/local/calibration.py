"""Raw scores of one list -> scores in [0, 1] that keep their order and mean something.

A score is the chance that the document answers the query, given that half of all lists hold no answer. Of the dev
data's whole lists, with and without their answers, 0.5 keeps a document in 66 and 8 of a hundred; 0.1 in 89 and 39.
It holds for questions in the language of the documents and for lists of one to some dozens of hard candidates.

In another script a high score holds and a low one says nothing, for only names and loanwords are heard: 0.5 keeps a
document in 7 to 9 of a hundred lists with an answer and in 1 or 2 of those without, and what it keeps answers in 7 to 9
cases of ten; but of single documents below 0.1, four in ten answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Coefficients(NamedTuple):
    """Of a logistic model; fitted by ``tests/benchmarks/fit_calibration.py``, printed by it as below."""

    constant: float
    raw: float
    lead: float
    coverage: float
    coverage_in_short_lists: float


FITTED = Coefficients(constant=-5.76, raw=8.56, lead=6.34, coverage=3.80, coverage_in_short_lists=15.58)


class Features(NamedTuple):
    """What a list as a whole says about its scores.

    Attributes:
        top: The highest raw score.
        lead: What the best has over the second, the less the shorter the list; 0 for one document.
        coverage: The share of the query found in the best document, in [0, 1].
        short: 1 / (number of documents + 1).
    """

    top: float
    lead: float
    coverage: float
    short: float


def list_features(raw: Sequence[float], coverage: float) -> Features:
    """Describe a list of at least one raw score."""
    n = len(raw)
    top, second = (*sorted(raw, reverse=True), raw[0])[:2]
    return Features(top, (top - second) * n / (n + 4), coverage, 1 / (n + 1))


def calibrate(raw: Sequence[float], coverage: float, fitted: Coefficients = FITTED) -> list[float]:
    """Map the raw scores of a list to [0, 1]: a higher one stays higher, equal ones stay equal.

    Args:
        raw: Raw scores of a list, at least 0.
        coverage: The share of the query found in the best document, in [0, 1].
        fitted: Coefficients of the model.
    """
    if not raw:
        return []
    features = list_features(raw, coverage)
    level = fitted.constant + fitted.lead * features.lead
    level += features.coverage * (fitted.coverage + fitted.coverage_in_short_lists * features.short)
    return [_logistic(level + fitted.raw * (score - features.top)) for score in raw]


def _logistic(x: float) -> float:
    z = _exp(-abs(x))
    return 1.0 / (1.0 + z) if x >= 0 else z / (1.0 + z)


def _exp(x: float) -> float:
    """Return e to the power x <= 0, bit for bit the same everywhere, which `math.exp` need not be."""
    exponent = round(x * 1.4426950408889634)
    rest = x - exponent * 0.6931471805599453
    total = 1.0
    for k in range(13, 0, -1):
        total = 1.0 + total * rest / k
    return math.ldexp(total, exponent)
