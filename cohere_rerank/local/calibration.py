"""Calibration: map the raw scores of one list to probabilities in [0, 1], in the same order.

A score is the probability that the document answers the query, if half of all lists contain no answer. A score never
claims more than what matched: the lead of the best document counts in proportion to the share of the query that it
contains. A short document that lacks a word of the query stays low, above all if another document contains the word.

Documents in another language or script than the query have coefficients of their own. There only names, loanwords and
some translated words match, so most scores are near the share of lists with an answer, and few are high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_SHORT_LETTERS = 100  # a document of this length is half as strict as the shortest one
_MAX_LOGIT, _GAP_PENALTY, _GAP_PENALTY_ELSEWHERE = 3.5, 20.0, 60.0
_NUMBER_GAP = 0.3  # if all numbers of the query are missing, the gap is at least this


class Evidence(NamedTuple):
    """What the best document of a list has in common with the query.

    Attributes:
        coverage: The share of the query's content that the document contains in letters, in [0, 1].
        missing: The share of the query's numbers, versions and identifiers that the document lacks, in [0, 1].
        sounds: The share of the query's consonants that it contains in another script, in [0, 1].
        terms: The weight of the translated words that it contains, per word of the query.
        is_foreign: True if the documents are in another language than the query, or this one in another script.
        gap: The share of the query of the heaviest word that the document lacks, in [0, 1].
        gap_elsewhere: The same for words that another document contains, in [0, 1].
        other_coverage: The highest coverage of another document, in [0, 1].
        window: The coverage of the best part of 250 characters of the document, in [0, 1].
        n_letters: The length of the document, as it would be in Latin letters.
        gram_share: The share of the query's grams or consonants that it contains, in [0, 1]; for other scorers.
    """

    coverage: float = 0.0
    missing: float = 0.0
    sounds: float = 0.0
    terms: float = 0.0
    is_foreign: bool = False
    gap: float = 0.0
    gap_elsewhere: float = 0.0
    other_coverage: float = 0.0
    window: float = 0.0
    n_letters: int = 0
    gram_share: float = 0.0


class Coefficients(NamedTuple):
    """The coefficients of the logistic model. ``tests/benchmarks/fit_calibration.py`` fits and prints them."""

    constant: float
    raw: float
    margin: float
    coverage_in_short_lists: float
    missing: float
    coverage_margin: float
    window: float


class ForeignCoefficients(NamedTuple):
    """The coefficients of the model for documents in another language or script."""

    constant: float
    raw: float
    margin: float
    coverage: float
    sounds: float
    terms: float
    short: float


FITTED = Coefficients(
    constant=-7.76,
    raw=7.43,
    margin=4.66,
    coverage_in_short_lists=8.7,
    missing=-0.66,
    coverage_margin=1.15,
    window=7.23,
)
FITTED_FOREIGN = ForeignCoefficients(
    constant=-4.0, raw=5.86, margin=5.40, coverage=5.21, sounds=3.25, terms=4.37, short=4.48
)


def features(raw: Sequence[float], evidence: Evidence) -> tuple[float, ...]:
    """Return the features of a list of at least one raw score, in the order of the coefficients without the raw score.

    The margin is the highest raw score minus the second highest. It is reduced in short lists, and 0 for one document.
    """
    n = len(raw)
    top, second = (*sorted(raw, reverse=True), raw[0])[:2]
    margin, short = (top - second) * n / (n + 4), 1 / (n + 1)
    coverage = math.sqrt(evidence.coverage)
    if evidence.is_foreign:
        terms = min(1.0, evidence.terms)
        matched = min(1.0, evidence.terms + evidence.sounds)
        return 1.0, margin * matched, coverage, evidence.sounds, terms, short
    lead, window = coverage - math.sqrt(evidence.other_coverage), math.sqrt(evidence.window)
    return 1.0, margin * coverage, coverage * short, evidence.missing, lead, window


def max_logit(evidence: Evidence) -> float:
    """Return the highest logit of a document, low for a short document that lacks a word of the query."""
    missing = 0.0 if evidence.is_foreign else _NUMBER_GAP * evidence.missing
    gap = _GAP_PENALTY * max(evidence.gap, missing) + _GAP_PENALTY_ELSEWHERE * max(evidence.gap_elsewhere, missing)
    brevity = _SHORT_LETTERS / (_SHORT_LETTERS + evidence.n_letters)
    return _MAX_LOGIT - gap * brevity * brevity


def calibrate(
    raw: Sequence[float],
    evidence: Evidence,
    fitted: Coefficients = FITTED,
    foreign: ForeignCoefficients = FITTED_FOREIGN,
) -> list[float]:
    """Map the raw scores of a list to [0, 1]. The order stays the same, and equal scores stay equal.

    Args:
        raw: Raw scores of a list, at least 0.
        evidence: What the best document has in common with the query.
        fitted: The coefficients of the model.
        foreign: The coefficients for documents in another language or script.
    """
    if not raw:
        return []
    constant, slope, *others = foreign if evidence.is_foreign else fitted
    level = 0.0
    for coefficient, feature in zip((constant, *others), features(raw, evidence)):
        level += coefficient * feature
    level = min(level, max_logit(evidence))
    top = max(raw)
    return [_logistic(level + slope * (score - top)) for score in raw]


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
