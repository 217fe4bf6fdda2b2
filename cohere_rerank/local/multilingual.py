"""The lexical scorer combined with the vectors of multilingual-e5-small. Needs the extra ``[multilingual]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from cohere_rerank import models
from cohere_rerank._extras import require

from .embedding_cache import EmbeddingCache
from .lexical import raw_scores
from .model_folder import ModelFolder

np = require("numpy", "multilingual", "local:multilingual")
require("tokenizers", "multilingual", "local:multilingual")

from .fusion import best, cosine_weight, max_logit_of_words, probabilities, z_scores  # noqa: E402 - the lines above name the extra
from .onnx_model import OnnxModel  # noqa: E402 - as above

MODEL = "multilingual-e5-small"

_TYPICAL_COSINE = 0.85  # the cosines of this model are between 0.7 and 1
_MAX_VECTORS = 50_000  # 77 MB
_BATCH_SIZE = 1  # padding costs more than a run does


class Coefficients(NamedTuple):
    """The coefficients of the logistic model. ``tests/benchmarks/fit_fusion.py`` fits and prints them."""

    constant: float
    fused: float
    margin: float
    coverage: float
    cosine: float
    cosine_margin: float
    in_short_lists: float
    coverage_in_short_lists: float
    cosine_in_short_lists: float


FITTED = Coefficients(
    constant=-5.32,
    fused=1.35,
    margin=0.31,
    coverage=1.16,
    cosine=-6.56,
    cosine_margin=41.49,
    in_short_lists=11.23,
    coverage_in_short_lists=2.44,
    cosine_in_short_lists=87.93,
)


class RawScores(NamedTuple):
    """The raw scores of one list, and its features.

    Attributes:
        fused: Words and vectors combined, in standard deviations. Higher is better.
        coverage: The share of the query's words that the best document by words contains, in [0, 1].
        cosines: The cosine of the query and each document.
        max_logit: The highest logit of a document.
    """

    fused: list[float]
    coverage: float
    cosines: list[float]
    max_logit: float = math.inf


class MultilingualScorer:
    """Ranks by words and by meaning, within and across about a hundred languages.

    The model is multilingual-e5-small with 8-bit weights. ``cohere-rerank models get multilingual-e5-small`` downloads
    it once; afterwards no network is used. Texts of more than 512 tokens are read in parts, and the best part counts.
    The vectors of documents stay in memory, at most 77 MB.

    A score is the probability that the document answers the query, if half of all lists contain no answer. It was
    fitted to questions, within one language and across languages.

    Args:
        threads: The number of threads of the model. Default: the number of cores.

    Raises:
        ImportError: The extra is not installed.
        InvalidRequestError: The model is not installed, or a file of it is damaged.
    """

    name = "local-multilingual"
    pointwise = False
    finds_spans = True  # by meaning, in place of the lexical scorer

    def __init__(self, *, threads: int | None = None) -> None:
        folder = ModelFolder(models.path(MODEL))
        self._model = OnnxModel(folder, folder.max_tokens(), _BATCH_SIZE, threads)
        self._embeddings = EmbeddingCache(self._embed, _MAX_VECTORS)
        self.version = f"1 ({folder.digest()})"

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(self.raw_scores(query, documents)) if documents else []

    def raw_scores(self, query: str, documents: Sequence[str]) -> RawScores:
        """Return the raw scores of at least one document."""
        of_query, *embeddings = self._embeddings.get([f"query: {query}", *(f"passage: {text}" for text in documents)])
        cosines = np.array([(vectors @ of_query[0]).max() for vectors in embeddings], float)
        words, evidence = raw_scores(query, documents)
        raw = fuse(np.array(words), evidence.gram_share, cosines)
        return raw._replace(max_logit=max_logit_of_words(words, raw.fused, evidence))

    def _embed(self, texts: Sequence[str]) -> list[Any]:
        """Return one array (parts, dimensions) of unit vectors per text."""
        parts: list[list[Any]] = [[] for _ in texts]
        for owners, rows, mask in self._model.run([text.encode("utf-8", "replace").decode() for text in texts]):
            weights = mask[:, :, None].astype(np.float32)
            means = (rows * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            for owner, vector in zip(owners, means):
                parts[owner].append(vector)
        return [np.stack(vectors) for vectors in parts]


def fuse(words: Any, coverage: float, cosines: Any) -> RawScores:
    """Combine words and vectors for each of at least one document; pure.

    Args:
        words: The raw lexical score of each document.
        coverage: The share of the query's words that the best document by words contains, in [0, 1].
        cosines: The cosine of the query and each document.
    """
    cosines = np.round(cosines, 4)  # the last digits depend on the number of threads
    pool = best(words, cosines)
    fused = z_scores(words, pool) + cosine_weight(coverage) * z_scores(cosines, pool)
    return RawScores(fused.tolist(), coverage, cosines.tolist())


def features(raw: RawScores) -> list[list[float]]:
    """Return the features of each document, in the order of the coefficients."""
    n = len(raw.fused)
    first, second = (*sorted(raw.fused, reverse=True), raw.fused[0])[:2]
    of_first = raw.cosines[raw.fused.index(first)]
    average = sum(raw.cosines) / n
    short = 1 / (n + 1)
    of_list = [
        (first - second) * n / (n + 4),
        raw.coverage,
        of_first - _TYPICAL_COSINE,
        of_first - average,
        short,
        raw.coverage * short,
        (of_first - _TYPICAL_COSINE) * short,
    ]
    return [[1.0, score - first, *of_list] for score in raw.fused]


def calibrate(raw: RawScores, fitted: Coefficients = FITTED) -> list[float]:
    """Map the fused scores to [0, 1]. The order stays the same, and equal scores stay equal."""
    return probabilities(features(raw), fitted, raw.max_logit)
