"""How sure a mean is, from the lists themselves: the bootstrap, and the paired randomisation test.

Both draw from a seeded generator: the same values and seed give the same figures.
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
    """A mean over lists and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], n_resamples: int = N_RESAMPLES, seed: int = 0) -> Interval:
    """The mean of *values*, and the middle 95 % of the means of as many values drawn from them, with replacement.

    Raises:
        InvalidRequestError: *n_resamples* is less than 1.
    """
    _check(n_resamples)
    draw, n = random.Random(seed), len(values)
    means = sorted(fsum(draw.choices(values, k=n)) / n for _ in range(n_resamples))
    cut_off = int((1 - CONFIDENCE) / 2 * n_resamples)  # at either end
    return Interval(fsum(values) / n, means[cut_off], means[-1 - cut_off])


def p_value(differences: Sequence[float], n_resamples: int = N_RESAMPLES, seed: int = 0) -> float:
    """How often chance alone, turning each difference around or not, makes a sum at least as far from 0.

    The test of Fisher and Pitman, two-sided; in (0, 1], for what was observed counts as one of the draws.

    Raises:
        InvalidRequestError: *n_resamples* is less than 1.
    """
    _check(n_resamples)
    unequal = [difference for difference in differences if difference]  # 0 turned around is 0
    if not unequal:
        return 1.0
    draw, n, total = random.Random(seed), len(unequal), fsum(unequal)
    least = abs(total) - 1e-12 * n  # sums that differ only by rounding are equal
    n_as_far = 0
    for _ in range(n_resamples):
        tosses = f"{draw.getrandbits(n):0{n}b}"
        kept = fsum(difference for difference, toss in zip(unequal, tosses, strict=True) if toss == "1")
        n_as_far += abs(2 * kept - total) >= least
    return (n_as_far + 1) / (n_resamples + 1)


def _check(n_resamples: int) -> None:
    if n_resamples < 1:
        raise InvalidRequestError(f"n_resamples must be at least 1, got {n_resamples}")
