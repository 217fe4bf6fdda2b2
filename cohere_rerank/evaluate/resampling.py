"""The uncertainty of a mean over lists: the bootstrap, and the paired randomisation test.

Both use a seeded random generator. The same values and the same seed return the same figures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from cohere_rerank.errors import InvalidRequestError

__all__ = ["CONFIDENCE", "N_RESAMPLES", "Interval", "bootstrap", "p_value"]

CONFIDENCE = 0.95
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A mean over lists and its 95 % bootstrap interval.

    Attributes:
        mean: The mean.
        low: The lower end of the interval.
        high: The upper end of the interval.
    """

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], n_resamples: int = N_RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean of *values* and its interval: the middle 95 % of the means of resampled values.

    Each resample has as many values as the original, drawn with replacement.

    Raises:
        InvalidRequestError: *n_resamples* is less than 1.
    """
    _check(n_resamples)
    draw, n = random.Random(seed), len(values)
    means = sorted(fsum(draw.choices(values, k=n)) / n for _ in range(n_resamples))
    n_outside = int((1 - CONFIDENCE) / 2 * n_resamples)  # at each end
    return Interval(fsum(values) / n, means[n_outside], means[-1 - n_outside])


def p_value(differences: Sequence[float], n_resamples: int = N_RESAMPLES, seed: int = 0) -> float:
    """Return the probability that random signs of the differences make a sum at least as far from 0.

    This is the two-sided test of Fisher and Pitman. The result is in (0, 1], because the observation counts as one of
    the draws.

    Raises:
        InvalidRequestError: *n_resamples* is less than 1.
    """
    _check(n_resamples)
    nonzero = [difference for difference in differences if difference]  # a sign does not change 0
    if not nonzero:
        return 1.0
    draw, n, total = random.Random(seed), len(nonzero), fsum(nonzero)
    threshold = abs(total) - 1e-12 * n  # sums that differ only by rounding are equal
    n_extreme = 0
    for _ in range(n_resamples):
        signs = f"{draw.getrandbits(n):0{n}b}"
        positive = fsum(difference for difference, sign in zip(nonzero, signs, strict=True) if sign == "1")
        n_extreme += abs(2 * positive - total) >= threshold
    return (n_extreme + 1) / (n_resamples + 1)


def _check(n_resamples: int) -> None:
    if n_resamples < 1:
        raise InvalidRequestError(f"n_resamples must be at least 1, got {n_resamples}")
