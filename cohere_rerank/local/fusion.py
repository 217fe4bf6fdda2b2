"""Combine scores of several kinds, and turn the sum into a probability; pure functions on numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cohere_rerank._extras import require

from .calibration import Evidence, max_logit

np = require("numpy", "semantic", "local:semantic")

__all__ = ["best", "cosine_weight", "max_logit_of_words", "move_by_words", "probabilities", "z_scores"]

_COSINE_WEIGHT = 0.8
_COSINE_WEIGHT_OF_ANY_MODEL = 2.0  # good for a strong model of one language, and little worse for the fitted one
_COSINE_WEIGHT_IF_NO_WORDS = 3.0  # added where no document contains the words of the query
_MEANING_GAP = 0.15  # of a document that is the best by meaning and not by words
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


def cosine_weight(coverage: float, base: float = _COSINE_WEIGHT) -> float:
    """Return the weight of cosines beside the weight 1 of words.

    Args:
        coverage: The share of the query's words that the best document by words contains, in [0, 1].
        base: The weight where the best document contains all words. Default: the one fitted to multilingual-e5-small.
    """
    return base + _COSINE_WEIGHT_IF_NO_WORDS * (1.0 - coverage)


def max_logit_of_words(words: Sequence[float], fused: Sequence[float], evidence: Evidence) -> float:
    """Return the highest logit of the best document.

    If it is not the best by words, it counts as a document that lacks a word, unless it is in another language.
    """
    top = max(range(len(fused)), key=fused.__getitem__)
    if words[top] == max(words):
        return max_logit(evidence)
    return (
        math.inf if evidence.is_foreign else max_logit(evidence._replace(gap=_MEANING_GAP, gap_elsewhere=_MEANING_GAP))
    )


def move_by_words(cosines: Any, words: Any, coverage: float) -> Any:
    """Return cosines that are moved up or down by the words that a document shares with the query.

    The mean and the scale stay those of the cosines. If the words of all documents match equally, the order stays.

    Args:
        cosines: The cosine of the query and each document.
        words: The raw lexical score of each document.
        coverage: As in `cosine_weight`.
    """
    pool = best(words, cosines)
    weight = cosine_weight(coverage, _COSINE_WEIGHT_OF_ANY_MODEL)
    fused = (z_scores(words, pool) + weight * z_scores(cosines, pool)) / (1.0 + weight)
    deviation = cosines[pool].std()
    return cosines if deviation < 1e-9 and not fused.any() else cosines[pool].mean() + max(deviation, 0.01) * fused


def probabilities(
    features: Sequence[Sequence[float]], coefficients: Sequence[float], max_logit: float = math.inf
) -> list[float]:
    """Return the probability of each row of features by a logistic model. Equal rows stay equal.

    If the best row exceeds *max_logit*, all are lowered, so that the best one has it.
    """
    # Not @: with it, equal rows may differ in the last bit, depending on their position.
    logits = (np.array(features) * np.array(coefficients)).sum(axis=1)
    logits -= max(0.0, float(logits.max()) - max_logit)
    return [float(score) for score in 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))]
