"""A cheap scorer picks the documents that a costly one reads."""

from __future__ import annotations

from collections.abc import Sequence

from .lexical import LexicalScorer
from .scorer import Scorer, check_scores

_LEAST = 1e-6  # the lowest score of a document that was read: room for the others below


class TwoStageScorer:
    """Scores the best *k* documents of a cheap scorer with a costly one; the rest stay below, in their order.

    Args:
        costly: Its scores, moved by at most a millionth, are those of the *k*.
        k: How many documents it reads, >= 1.
        cheap: Picks them; the lexical scorer unless given. Ties go to the document that comes first.
    """

    pointwise = False

    def __init__(self, costly: Scorer, k: int, cheap: Scorer | None = None) -> None:
        self._costly = costly
        self._k = k
        self._cheap = LexicalScorer() if cheap is None else cheap
        self.name = f"{costly.name} after {self._cheap.name}"
        self.version = f"{costly.version}, {self._cheap.version}"

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in their order."""
        cheap = check_scores(self._cheap, self._cheap.score(query, documents), len(documents))
        picked = sorted(range(len(cheap)), key=lambda i: (-cheap[i], i))[: self._k]
        read = self._costly.score(query, [documents[i] for i in picked])
        costly = [_LEAST + (1.0 - _LEAST) * score for score in check_scores(self._costly, read, len(picked))]
        ceiling = 0.999 * min(costly, default=1.0)
        scores = [ceiling * score for score in cheap]
        for i, score in zip(picked, costly):
            scores[i] = score
        return scores
