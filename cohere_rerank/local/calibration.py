"""Calibration: map the raw scores of one list to probabilities in [0, 1], in the same order.

A score is the probability that the document answers the query, if half of all lists contain no answer. On the whole
lists of the dev data, a threshold of 0.5 keeps a document in 66 % of the lists with an answer and in 8 % of the lists
without one. A threshold of 0.1 keeps one in 89 % and 39 %. This holds for questions in the language of the documents,
and for lists of one to some dozens of hard candidates.

If query and document are in different scripts, a high score can be trusted and a low score means nothing, because only
names and loanwords match. A threshold of 0.5 then keeps a document in 7 to 9 % of the lists with an answer, and in 1 or
2 % of the lists without one. Of the documents that it keeps, 70 to 90 % answer. But of single documents below 0.1,
40 % answer too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Coefficients(NamedTuple):
    """The coefficients of the logistic model. ``tests/benchmarks/fit_calibration.py`` fits and prints them."""

    constant: float
    raw: float
    margin: float
    coverage: float
    coverage_in_short_lists: float


FITTED = Coefficients(constant=-5.76, raw=8.56, margin=6.34, coverage=3.80, coverage_in_short_lists=15.58)


class Features(NamedTuple):
    """The features of a list as a whole.

    Attributes:
        top: The highest raw score.
        margin: The highest raw score minus the second highest, reduced in short lists; 0 for one document.
        coverage: The share of the query that the best document contains, in [0, 1].
        short: 1 / (number of documents + 1).
    """

    top: float
    margin: float
    coverage: float
    short: float


def list_features(raw: Sequence[float], coverage: float) -> Features:
    """Return the features of a list of at least one raw score."""
    n = len(raw)
    top, second = (*sorted(raw, reverse=True), raw[0])[:2]
    return Features(top, (top - second) * n / (n + 4), coverage, 1 / (n + 1))


def calibrate(raw: Sequence[float], coverage: float, fitted: Coefficients = FITTED) -> list[float]:
    """Map the raw scores of a list to [0, 1]. The order stays the same, and equal scores stay equal.

    Args:
        raw: Raw scores of a list, at least 0.
        coverage: The share of the query that the best document contains, in [0, 1].
        fitted: The coefficients of the model.
    """
    if not raw:
        return []
    features = list_features(raw, coverage)
    level = fitted.constant + fitted.margin * features.margin
    level += features.coverage * (fitted.coverage + fitted.coverage_in_short_lists * features.short)
    return [_logistic(level + fitted.raw * (score - features.top)) for score in raw]


def _logistic(x: float) -> float:
    z = _exp(-abs(x))
    return 1.0 / (1.0 + z) if x >= 0 else z / (1.0 + z)


def _exp(x: float) -> float:
    """Return e to the power x <= 0, the same to the last bit on every platform. `math.exp` does not promise that."""
    exponent = round(x * 1.4426950408889634)
    remainder = x - exponent * 0.6931471805599453
    total = 1.0
    for k in range(13, 0, -1):
        total = 1.0 + total * remainder / k
    return math.ldexp(total, exponent)
