"""The lexical scorer and multilingual sentence vectors together: needs the extra ``[semantic]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cohere_rerank._extras import require

from .lexical import evidence
from .sentences import Embedded, SentenceEncoder
from .vectors import VectorCache

np = require("numpy", "semantic", "local:semantic")

# Fitted on dev, see docs/decisions/0007.
_WORDS_LOSS = 0.6  # of the words' weight of 1, where the language is known
_BASE_WEIGHT = 0.5  # of the sentences' vectors there
_ABSENT_WEIGHT = 0.8  # as much more where the query's words are in no document
_LIKE_WEIGHT = 0.5  # of like words there
_QUERY_RAMP = (2.0, 2.8)  # letters a token: a language is unknown at the first, known at the second
_DOCUMENT_RAMP = (2.8, 3.6)
_PRIOR_TOKENS = 100  # a document counts as a text of its list's average with so many tokens more
_POOL = 40  # the best by words and the best by vectors say what is a usual score; dev lists are no longer
_MAX_VECTORS = 50_000  # 51 MB
_TOKENS_A_VECTOR = 256  # that take as much memory


class Coefficients(NamedTuple):
    """Of a logistic model; fitted by ``tests/benchmarks/fit_semantic.py``, printed by it as below."""

    constant: float
    fused: float
    lead: float
    coverage: float
    coverage_in_short_lists: float
    known: float
    cosine: float
    cosine_in_short_lists: float


FITTED = Coefficients(
    constant=-3.96,
    fused=2.95,
    lead=1.24,
    coverage=3.09,
    coverage_in_short_lists=8.19,
    known=-2.15,
    cosine=4.60,
    cosine_in_short_lists=16.75,
)


class Evidence(NamedTuple):
    """What speaks for the documents of one list.

    Attributes:
        fused: Words and vectors in standard deviations, higher is better.
        coverage: The share of the query's words that the best by words holds, in [0, 1].
        known: How well the vectors know the languages of query and best document, in [0, 1].
        cosine: Of query and best document.
    """

    fused: list[float]
    coverage: float
    known: float
    cosine: float


class SemanticScorer:
    """Ranks by words and by meaning; across languages too, among those that the vectors know.

    These are Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian,
    Spanish, Thai and Turkish. How well they are known shows in how long the tokens are that a text falls into; in
    other languages the words alone decide. Vectors of documents stay in memory, at most 51 MB of them.

    A score is the chance that the document answers the query, given that half of all lists hold no answer; fitted to
    questions, within a language and across languages that the vectors know.

    Raises:
        ImportError: The extra is not installed.
    """

    name = "local-semantic"
    pointwise = False

    def __init__(self) -> None:
        encoder = SentenceEncoder()
        self.version = f"2 ({encoder.version})"
        self._table = encoder.table
        self._vectors = VectorCache(encoder.embed, _MAX_VECTORS, _size)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(self.evidence(query, documents)) if documents else []

    def evidence(self, query: str, documents: Sequence[str]) -> Evidence:
        """Return what speaks for each of at least one document."""
        of_query, *embedded = self._vectors.get([query, *documents])
        words, coverage = evidence(query, documents)
        shares = self._table.shares(of_query.words, [document.words for document in embedded])
        return fuse(np.array(words), coverage, of_query, embedded, shares)


def fuse(words: Any, coverage: float, query: Embedded, documents: Sequence[Embedded], shares: Any) -> Evidence:
    """Weigh words, sentences and like words for each of at least one document; pure.

    Args:
        words: What the lexical scorer gives each document.
        coverage: The share of the query's words that the best by words holds, in [0, 1].
        query: The embedded query.
        documents: The embedded documents.
        shares: How much of the query each document holds in like words, in [0, 1].
    """
    cosines = np.round([_cosine(query, document) for document in documents], 5)
    shares = np.round(shares, 5)
    known = _known_query(query) * _known_documents(documents)
    # All are measured on the documents that are in question: a long list has many that are not.
    pool = np.unique(np.concatenate([_best(words), _best(cosines), _best(shares)]))
    meaning = (_BASE_WEIGHT + _ABSENT_WEIGHT * (1.0 - coverage)) * _standard(cosines, pool)
    meaning += _LIKE_WEIGHT * _standard(shares, pool)
    fused = (1.0 - _WORDS_LOSS * known) * _standard(words, pool) + known * meaning
    top = int(fused.argmax())
    return Evidence(fused.tolist(), coverage, float(known[top]), float(cosines[top]))


def features(found: Evidence) -> list[list[float]]:
    """What the logistic model sees of each document, in the order of its coefficients."""
    n = len(found.fused)
    top, second = (*sorted(found.fused, reverse=True), found.fused[0])[:2]
    short = 1 / (n + 1)
    cosine = found.known * found.cosine
    level = [
        (top - second) * n / (n + 4),
        found.coverage,
        found.coverage * short,
        found.known,
        cosine,
        cosine * short,
    ]
    return [[1.0, score - top, *level] for score in found.fused]


def calibrate(found: Evidence, fitted: Coefficients = FITTED) -> list[float]:
    """Map what was found to [0, 1]: a higher fused score stays higher, equal ones stay equal."""
    # Not @: with it, equal rows may differ in the last bit by where they stand.
    logits = (np.array(features(found)) * np.array(fitted)).sum(axis=1)
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))
    return [float(score) for score in scores]


def _size(embedded: Embedded) -> int:
    return len(embedded.vectors) + len(embedded.words) // _TOKENS_A_VECTOR


def _cosine(query: Embedded, document: Embedded) -> float:
    """The mean of the whole document's cosine and its best window's."""
    whole, *windows = document.vectors.astype(np.float32) @ query.vectors[0].astype(np.float32)
    return float(whole + max(windows, default=whole)) / 2


def _known_query(query: Embedded) -> float:
    return float(_ramp(query.n_chars / max(1, query.n_tokens), _QUERY_RAMP))


def _known_documents(embedded: Sequence[Embedded]) -> Any:
    n_tokens = np.array([document.n_tokens for document in embedded])
    n_chars = np.array([document.n_chars for document in embedded])
    average = n_chars.sum() / max(1, n_tokens.sum())
    return _ramp((n_chars + _PRIOR_TOKENS * average) / (n_tokens + _PRIOR_TOKENS), _DOCUMENT_RAMP)


def _ramp(values: Any, ends: tuple[float, float]) -> Any:
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)


def _best(values: Any) -> Any:
    return np.argsort(-values, kind="stable")[:_POOL]


def _standard(values: Any, pool: Any) -> Any:
    """In standard deviations of the pool; 0 where all are the same."""
    deviation = values[pool].std()
    return (values - values[pool].mean()) / deviation if deviation > 1e-9 else np.zeros(len(values))
