"""The lexical scorer combined with multilingual sentence vectors. Needs the extra ``[semantic]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from cohere_rerank._extras import require

from .blas_threads import one_blas_thread
from .embedding_cache import EmbeddingCache
from .fusion import best, max_logit_of_words, probabilities, z_scores
from .lexical import raw_scores
from .sentence_encoder import Embedding, SentenceEncoder

np = require("numpy", "semantic", "local:semantic")

# Fitted on the dev data, see docs/decisions/0007. The weights apply in full where the language is known.
_WORDS_DISCOUNT = 0.6  # taken from the weight of the words, which is 1
_SENTENCE_WEIGHT = 0.5
_SENTENCE_WEIGHT_IF_NO_WORDS = 0.8  # added where no document contains the words of the query
_OVERLAP_WEIGHT = 0.5
_QUERY_LETTERS_PER_TOKEN = (2.0, 2.8)  # a language is unknown at the first value and known at the second
_DOCUMENT_LETTERS_PER_TOKEN = (2.8, 3.6)
_PRIOR_TOKENS = 100  # each document counts as if it had 100 more tokens of the list's average
_MAX_VECTORS = 50_000  # 51 MB
_TOKENS_PER_VECTOR = 256  # they take as much memory as one vector


class Coefficients(NamedTuple):
    """The coefficients of the logistic model. ``tests/benchmarks/fit_fusion.py`` fits and prints them."""

    constant: float
    fused: float
    margin: float
    coverage: float
    coverage_in_short_lists: float
    known: float
    cosine: float
    cosine_in_short_lists: float


FITTED = Coefficients(
    constant=-3.96,
    fused=2.95,
    margin=1.24,
    coverage=3.09,
    coverage_in_short_lists=8.19,
    known=-2.15,
    cosine=4.60,
    cosine_in_short_lists=16.75,
)


class RawScores(NamedTuple):
    """The raw scores of one list, and its features.

    Attributes:
        fused: Words and vectors combined, in standard deviations. Higher is better.
        coverage: The share of the query's words that the best document by words contains, in [0, 1].
        known: How well the model knows the languages of the query and of the best document, in [0, 1].
        cosine: The cosine of the query and the best document.
        max_logit: The highest logit of a document.
    """

    fused: list[float]
    coverage: float
    known: float
    cosine: float
    max_logit: float = math.inf


class SemanticScorer:
    """Ranks by words and by meaning, also across the languages that its model knows.

    These are Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian,
    Spanish, Thai and Turkish. The length of the tokens of a text shows how well the model knows its language. In other
    languages the words alone decide. The vectors of documents stay in memory, at most 51 MB.

    A score is the probability that the document answers the query, if half of all lists contain no answer. It was
    fitted to questions, within one language and across languages that the model knows.

    Raises:
        ImportError: The extra is not installed.
    """

    name = "local-semantic"
    pointwise = False

    def __init__(self) -> None:
        encoder = SentenceEncoder()
        self.version = f"2 ({encoder.version})"
        self._token_vectors = encoder.token_vectors
        self._embeddings = EmbeddingCache(encoder.embed, _MAX_VECTORS, _size)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(self.raw_scores(query, documents)) if documents else []

    def raw_scores(self, query: str, documents: Sequence[str]) -> RawScores:
        """Return the raw scores of at least one document."""
        with one_blas_thread():
            of_query, *embeddings = self._embeddings.get([query, *documents])
            overlap = self._token_vectors.soft_overlap(of_query.words, [document.words for document in embeddings])
            words, evidence = raw_scores(query, documents)
            raw = fuse(np.array(words), evidence.gram_share, of_query, embeddings, overlap)
            return raw._replace(max_logit=max_logit_of_words(words, raw.fused, evidence))


def fuse(words: Any, coverage: float, query: Embedding, documents: Sequence[Embedding], overlap: Any) -> RawScores:
    """Combine words, sentence vectors and similar words for each of at least one document; pure.

    Args:
        words: The raw lexical score of each document.
        coverage: The share of the query's words that the best document by words contains, in [0, 1].
        query: The embedding of the query.
        documents: The embeddings of the documents.
        overlap: The share of the query that each document contains in similar words, in [0, 1].
    """
    cosines = np.round([_cosine(query, document) for document in documents], 5)
    overlap = np.round(overlap, 5)
    known = _known_query(query) * _known_documents(documents)
    pool = best(words, cosines, overlap)
    meaning = (_SENTENCE_WEIGHT + _SENTENCE_WEIGHT_IF_NO_WORDS * (1.0 - coverage)) * z_scores(cosines, pool)
    meaning += _OVERLAP_WEIGHT * z_scores(overlap, pool)
    fused = (1.0 - _WORDS_DISCOUNT * known) * z_scores(words, pool) + known * meaning
    top = int(fused.argmax())
    return RawScores(fused.tolist(), coverage, float(known[top]), float(cosines[top]))


def features(raw: RawScores) -> list[list[float]]:
    """Return the features of each document, in the order of the coefficients."""
    n = len(raw.fused)
    top, second = (*sorted(raw.fused, reverse=True), raw.fused[0])[:2]
    short = 1 / (n + 1)
    cosine = raw.known * raw.cosine
    of_list = [
        (top - second) * n / (n + 4),
        raw.coverage,
        raw.coverage * short,
        raw.known,
        cosine,
        cosine * short,
    ]
    return [[1.0, score - top, *of_list] for score in raw.fused]


def calibrate(raw: RawScores, fitted: Coefficients = FITTED) -> list[float]:
    """Map the fused scores to [0, 1]. The order stays the same, and equal scores stay equal."""
    return probabilities(features(raw), fitted, raw.max_logit)


def _size(embedding: Embedding) -> int:
    return len(embedding.vectors) + len(embedding.words) // _TOKENS_PER_VECTOR


def _cosine(query: Embedding, document: Embedding) -> float:
    """Return the mean of two cosines: of the whole document, and of its best window."""
    whole, *windows = document.vectors.astype(np.float32) @ query.vectors[0].astype(np.float32)
    return float(whole + max(windows, default=whole)) / 2


def _known_query(query: Embedding) -> float:
    return float(_linear_clip(query.n_chars / max(1, query.n_tokens), _QUERY_LETTERS_PER_TOKEN))


def _known_documents(embeddings: Sequence[Embedding]) -> Any:
    n_tokens = np.array([document.n_tokens for document in embeddings])
    n_chars = np.array([document.n_chars for document in embeddings])
    average = n_chars.sum() / max(1, n_tokens.sum())
    letters_per_token = (n_chars + _PRIOR_TOKENS * average) / (n_tokens + _PRIOR_TOKENS)
    return _linear_clip(letters_per_token, _DOCUMENT_LETTERS_PER_TOKEN)


def _linear_clip(values: Any, ends: tuple[float, float]) -> Any:
    """Map the first end to 0 and the second to 1, linearly in between."""
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)
