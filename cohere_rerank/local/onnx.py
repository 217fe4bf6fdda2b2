"""A cross-encoder or bi-encoder exported to ONNX as a scorer: needs the extra ``[onnx]``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from cohere_rerank._extras import require
from cohere_rerank.errors import InvalidRequestError, ScorerError

from .embedding_cache import EmbeddingCache
from .model_folder import ModelFolder
from .onnx_model import OnnxModel
from .options import read_options
from .scorer import Scorer
from .two_stage import TwoStageScorer

np = require("numpy", "onnx", "local:onnx")

_LEAST_TOKENS = 16
_MAX_VECTORS = 50_000  # 77 MB at 384 dimensions

OPTIONS: dict[str, type[str | int]] = {
    "path": str,
    "file": str,
    "kind": str,
    "max_length": int,
    "batch_size": int,
    "pooling": str,
    "activation": str,
    "query_prefix": str,
    "document_prefix": str,
    "threads": int,
    "revision": str,
    "first_stage": int,
}


class OnnxScorer:
    """Scores with a transformer in ONNX, on the CPU.

    A *cross-encoder* reads query and document together and gives one logit, or two of which the second speaks for
    relevance; the score is their sigmoid. A *bi-encoder* reads them apart; the score is (1 + cosine) / 2. A document
    longer than the model's context is read in overlapping chunks, and its best chunk counts, as Cohere's does.

    Args:
        path: A folder with the model and its ``tokenizer.json``; or ``owner/name``, fetched from the Hugging Face
            hub, when there is no such folder.
        file: The model's file in the folder.
        kind: ``cross`` or ``bi``; by the shape of the model's output unless given.
        max_length: Tokens of one input, query included, >= 16; from the model's configuration, at most 512, unless
            given. A query may take half of it.
        batch_size: Inputs per run of the model, >= 1.
        pooling: ``mean`` or ``cls``, where the model gives vectors of tokens; from ``1_Pooling/config.json``, else
            ``mean``, unless given.
        activation: ``sigmoid``, or ``none`` for a cross-encoder whose output lies in [0, 1] already.
        query_prefix: Put before the query, such as ``"query: "`` for E5.
        document_prefix: Put before each document, such as ``"passage: "``.
        threads: Of one run; as many as there are cores unless given.
        revision: Of the repository on the hub.

    Raises:
        InvalidRequestError: The folder, the model, the tokenizer or an argument does not fit; says which and why.
    """

    pointwise = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        file: str | None = None,
        kind: str | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        pooling: str | None = None,
        activation: str = "sigmoid",
        query_prefix: str = "",
        document_prefix: str = "",
        threads: int | None = None,
        revision: str | None = None,
    ) -> None:
        folder = ModelFolder(path, file, revision)
        max_length = folder.max_tokens() if max_length is None else max_length
        _check_least("max_length", max_length, _LEAST_TOKENS)
        _check_least("batch_size", batch_size, 1)
        self._pooling = _one_of("pooling", folder.pooling() if pooling is None else pooling, ("mean", "cls"))
        self._activation = _one_of("activation", activation, ("sigmoid", "none"))
        self._prefixes = query_prefix, document_prefix
        self._model = OnnxModel(folder, max_length, batch_size, threads)
        self._is_cross = _kind(self._model, kind) == "cross"
        self._embeddings = EmbeddingCache(self._embed, _MAX_VECTORS)
        self.name = f"local-onnx {folder.path.resolve().name}"
        self.version = folder.digest()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in their order; equal documents score alike.

        Raises:
            ScorerError: The model failed, or gave something that is no number.
        """
        texts = list(dict.fromkeys(documents))
        query_prefix, document_prefix = self._prefixes
        score = self._cross_scores if self._is_cross else self._bi_scores
        scores = score(query_prefix + query, [document_prefix + text for text in texts])
        by_text = dict(zip(texts, scores.tolist()))
        return [by_text[document] for document in documents]

    def _cross_scores(self, query: str, texts: Sequence[str]) -> Any:
        best = np.full(len(texts), -np.inf)
        for owners, rows, _ in self._model.run(texts, query):
            self._check_finite(rows)
            labels = rows.reshape(len(owners), -1)
            logits = labels[:, 0] if labels.shape[1] == 1 else labels[:, 1] - labels[:, 0]
            np.maximum.at(best, owners, logits)
        if self._activation == "none":
            return best
        # The batch that a document is in moves the last digits of its logit.
        return 1.0 / (1.0 + np.exp(-np.clip(np.round(best, 4), -500.0, 500.0)))

    def _bi_scores(self, query: str, texts: Sequence[str]) -> Any:
        rows, mask = self._model.first_chunk(query)
        vector = self._unit_vectors(rows, mask)[0]
        cosines = np.array([(vectors @ vector).max() for vectors in self._embeddings.get(texts)], float)
        return np.clip(0.5 + np.round(cosines, 5) / 2, 0.0, 1.0)

    def _embed(self, texts: Sequence[str]) -> list[Any]:
        """One array (chunks, dimensions) of unit vectors per text."""
        chunks: list[list[Any]] = [[] for _ in texts]
        for owners, rows, mask in self._model.run(texts):
            for owner, vector in zip(owners, self._unit_vectors(rows, mask)):
                chunks[owner].append(vector)
        return [np.stack(vectors) for vectors in chunks]

    def _unit_vectors(self, rows: Any, mask: Any) -> Any:
        if rows.ndim == 3 and self._pooling == "cls":
            rows = rows[:, 0]
        elif rows.ndim == 3:
            weights = mask[:, :, None].astype(np.float32)
            rows = (rows * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
        self._check_finite(rows)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def _check_finite(self, rows: Any) -> None:
        if not np.isfinite(rows).all():
            raise ScorerError(f"the model {self._model.file} gave values that are not finite")


def from_options(text: str) -> Scorer:
    """The scorer for ``local:onnx?text``, with a cheap one before it where ``first_stage=k`` says so.

    Raises:
        InvalidRequestError: An option is unknown or has a value that is not allowed, or ``path`` is missing.
    """
    options = read_options("onnx", text, OPTIONS)
    if "path" not in options:
        raise InvalidRequestError("local:onnx needs the folder of a model: base_url='local:onnx?path=models/minilm'")
    k = options.pop("first_stage", None)
    scorer = OnnxScorer(**options)
    return scorer if k is None else TwoStageScorer(scorer, k)


def _kind(model: OnnxModel, kind: str | None) -> str:
    """What the model is, by its output; what was asked for must be the same."""
    width = model.width
    is_cross = width in ((), (1,), (2,)) or (model.output == "logits" and len(width) == 1)
    if is_cross and width not in ((), (1,), (2,)):
        raise InvalidRequestError(
            f"the model {model.file} gives {width[0]} logits for each input; a reranker gives one or two"
        )
    if len(width) > 2:
        raise InvalidRequestError(
            f"the output {model.output!r} of the model {model.file} has {len(width) + 1} dimensions; "
            "logits have at most two and vectors two or three"
        )
    found = "cross" if is_cross else "bi"
    if _one_of("kind", found if kind is None else kind, ("cross", "bi")) != found:
        raise InvalidRequestError(
            f"kind={kind} does not fit the model {model.file}: its output {model.output!r} is of shape "
            f"{('inputs', *width)}, which is that of kind={found}"
        )
    return found


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise InvalidRequestError(f"{name} must be {' or '.join(allowed)}, got {value!r}")
    return value


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InvalidRequestError(f"{name} must be at least {least}, got {value}")
