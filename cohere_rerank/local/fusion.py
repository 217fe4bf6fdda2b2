"""Combine scores of several kinds, and turn the sum into a probability; pure functions on numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cohere_rerank._extras import require

np = require("numpy", "semantic", "local:semantic")

__all__ = ["best", "probabilities", "z_scores"]

_POOL_SIZE = 40  # z-scores refer to the 40 best of each kind; no dev list is longer


def best(*kinds: Any) -> Any:
    """Return the indices of the documents that are among the best of any kind of score.

    A long list has many documents that are not relevant at all. They must not change the scale of the others.
    """
    return np.unique(np.concatenate([np.argsort(-values, kind="stable")[:_POOL_SIZE] for values in kinds]))


def z_scores(values: Any, pool: Any) -> Any:
    """Return the values in standard deviations from the mean of the pool; 0 if all of the pool are equal."""
    deviation = values[pool].std()
    return (values - values[pool].mean()) / deviation if deviation > 1e-9 else np.zeros(len(values))


def probabilities(features: Sequence[Sequence[float]], coefficients: Sequence[float]) -> list[float]:
    """Return the probability of each row of features by a logistic model. Equal rows stay equal."""
    # Not @: with it, equal rows may differ in the last bit, depending on their position.
    logits = (np.array(features) * np.array(coefficients)).sum(axis=1)
    return [float(score) for score in 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))]
