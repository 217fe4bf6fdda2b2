"""The grades of a list in the order of its scores. Documents with equal scores have no order of their own. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby

from cohere_rerank.files.rows import as_float32

__all__ = ["N_ORDERS", "has_ties", "rankings"]

N_ORDERS = 100
"""How many random orders of equal scores are measured."""


def has_ties(scores: Sequence[float], grades: Sequence[float]) -> bool:
    """Whether documents of different grades have the same score."""
    seen: dict[float, float] = {}
    return any(seen.setdefault(score, grade) != grade for score, grade in zip(scores, grades))


def rankings(
    scores: Sequence[float], grades: Sequence[float], ids: Sequence[str | int | None] | None, seed: int
) -> list[list[float]]:
    """Return the grades in ranked order, best first: once, or in random orders if equal scores make a difference.

    With ids of documents there is one order, that of trec_eval: by score as a 32-bit number, then by id, both
    downwards.

    Args:
        scores: n scores.
        grades: n grades.
        ids: The ids of the n documents, or None.
        seed: Makes the random orders repeatable.
    """
    if ids is not None and all(each is not None for each in ids):
        order = sorted(range(len(scores)), key=lambda index: str(ids[index]), reverse=True)
        order.sort(key=lambda index: as_float32(scores[index]), reverse=True)
        return [[grades[index] for index in order]]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    if not has_ties(scores, grades):
        return [[grades[index] for index in order]]
    groups = [[grades[index] for index in group] for _, group in groupby(order, key=lambda index: scores[index])]
    draw = random.Random(seed)
    return [[grade for group in groups for grade in draw.sample(group, len(group))] for _ in range(N_ORDERS)]
