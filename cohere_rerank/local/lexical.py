"""The default scorer: BM25 over character grams, plus runs of query words; pure Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cohere_rerank.local.analysis import fold, grams
from cohere_rerank.local.calibration import calibrate

_K1 = 1.2
_IDF_POWER = 1.5
_RUN_WEIGHT = 1.5
_RUN_POWER = 1.5


class LexicalScorer:
    """Ranks by shared character grams, weighted by their rarity within the given list."""

    name = "local-lexical"
    version = "1"
    pointwise = False

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(raw_scores(query, documents))


def raw_scores(query: str, documents: Sequence[str]) -> list[float]:
    """Return uncalibrated scores: gram BM25 over its maximum, plus the run bonus."""
    folded_query = fold(query)
    texts = [fold(document) for document in documents]
    scores = _bm25(grams(folded_query), texts)
    best = max(scores, default=0.0) or 1.0
    words = folded_query.split()
    return [
        score / best + _RUN_WEIGHT * (_longest_run(words, text) / max(1, len(words))) ** _RUN_POWER
        for score, text in zip(scores, texts)
    ]


def _bm25(terms: list[str], texts: list[str]) -> list[float]:
    n = len(texts)
    mean_length = sum(map(len, texts)) / max(1, n)
    lengths = [_K1 * len(text) / mean_length for text in texts]
    scores = [0.0] * n
    for term in terms:
        counts = [text.count(term) for text in texts]
        df = n - counts.count(0)
        if not df:
            continue
        idf = math.log(1.0 + (n - df + 0.5) / (df + 0.5)) ** _IDF_POWER
        for i, count in enumerate(counts):
            if count:
                scores[i] += idf * count * (_K1 + 1.0) / (count + lengths[i])
    return scores


def _longest_run(words: list[str], text: str) -> int:
    """Return how many query words in a row, at most, stand in a row in *text*."""
    longest = 0
    for start in range(len(words)):
        while f" {' '.join(words[start : start + longest + 1])} " in text:
            longest += 1
            if start + longest > len(words) - 1:
                return longest
    return longest
