"""Ranking in two stages: a fast scorer selects the documents that a slow one scores."""

from __future__ import annotations

from collections.abc import Sequence

from .lexical import LexicalScorer
from .scorer import Scorer, check_scores

_MIN_SELECTED_SCORE = 1e-6  # leaves room below for the documents that were not selected


class TwoStageScorer:
    """Scores the best *k* documents of a first scorer with a second one. The others follow in the first scorer's order.

    Args:
        second: The slow scorer. Its scores, changed by at most a millionth, are the scores of the *k* documents.
        k: How many documents the second scorer gets, >= 1.
        first: The fast scorer. Of documents with equal scores it selects the first. Default: the lexical scorer.
    """

    pointwise = False

    def __init__(self, second: Scorer, k: int, first: Scorer | None = None) -> None:
        self._second = second
        self._k = k
        self._first = LexicalScorer() if first is None else first
        self.finds_spans = getattr(second, "finds_spans", False)
        self.name = f"{second.name} after {self._first.name}"
        self.version = f"{second.version}, {self._first.version}"

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in their order."""
        first_scores = check_scores(self._first, self._first.score(query, documents), len(documents))
        selected = sorted(range(len(documents)), key=lambda i: (-first_scores[i], i))[: self._k]
        returned = self._second.score(query, [documents[i] for i in selected])
        second_scores = check_scores(self._second, returned, len(selected))
        scaled = [_MIN_SELECTED_SCORE + (1.0 - _MIN_SELECTED_SCORE) * score for score in second_scores]
        ceiling = 0.999 * min(scaled, default=1.0)
        scores = [ceiling * score for score in first_scores]
        for i, score in zip(selected, scaled):
            scores[i] = score
        return scores
