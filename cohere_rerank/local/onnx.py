"""A scorer that runs a cross-encoder or bi-encoder in ONNX. Needs the extra ``[onnx]``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from cohere_rerank._extras import require
from cohere_rerank.errors import InvalidRequestError, ScorerError

from .embedding_cache import EmbeddingCache
from .lexical import raw_scores
from .model_folder import ModelFolder
from .onnx_model import OnnxModel
from .options import read_options
from .scorer import Scorer
from .two_stage import TwoStageScorer

np = require("numpy", "onnx", "local:onnx")

_MIN_TOKENS = 16
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
    "words": str,
    "first_stage": int,
}


class OnnxScorer:
    """Scores with a transformer model in ONNX, on the CPU.

    A *cross-encoder* reads query and document together and returns one logit, or two of which the second means
    "relevant". The score is the sigmoid of the logit. A *bi-encoder* reads them separately. Its score is
    (1 + cosine) / 2, where words that the query and the document share move the cosine. A document that is longer than
    the model's context is read in overlapping chunks. Its best chunk counts, as in Cohere's API.

    Args:
        path: A folder with the model and its ``tokenizer.json``; or ``hub:owner/name``, which is downloaded from the
            Hugging Face hub.
        file: The file of the model in the folder. Default: ``model.onnx``, ``onnx/model.onnx`` or the only one.
        kind: ``cross`` or ``bi``. Default: decided by the shape of the model's output.
        max_length: The most tokens of one input, query included, >= 16. A query may take half of them. Default: the
            value of the model's configuration, at most 512.
        batch_size: How many inputs one run of the model gets, >= 1. Default: 32.
        pooling: ``mean`` or ``cls``, for a model that returns one vector per token. Default: the value in
            ``1_Pooling/config.json``, or ``mean``.
        activation: ``sigmoid``, or ``none`` for a cross-encoder whose output is already in [0, 1]. Default: sigmoid.
        query_prefix: A text before the query, such as ``"query: "`` for E5.
        document_prefix: A text before each document, such as ``"passage: "``.
        threads: The number of threads of one run. Default: the number of cores.
        revision: The commit of the repository on the hub, 40 hex digits. Required with ``hub:``.
        words: ``yes`` or ``no``: whether a bi-encoder is combined with the lexical scorer. Then a score depends on the
            whole list. Default: ``yes`` for a bi-encoder. A cross-encoder is never combined.

    Raises:
        InvalidRequestError: The folder, the model, the tokenizer or an argument is not valid. The message says which
            and why.
    """

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
        words: str | None = None,
    ) -> None:
        folder = ModelFolder(path, file, revision)
        max_length = folder.max_tokens() if max_length is None else max_length
        _check_at_least("max_length", max_length, _MIN_TOKENS)
        _check_at_least("batch_size", batch_size, 1)
        self._pooling = _check_choice("pooling", folder.pooling() if pooling is None else pooling, ("mean", "cls"))
        self._activation = _check_choice("activation", activation, ("sigmoid", "none"))
        self._query_prefix, self._document_prefix = query_prefix, document_prefix
        self._model = OnnxModel(folder, max_length, batch_size, threads)
        self._is_cross = _model_kind(self._model, kind) == "cross"
        if words is not None and _check_choice("words", words, ("yes", "no")) == "yes" and self._is_cross:
            raise InvalidRequestError(f"words=yes is for a bi-encoder, and the model {folder.model} is a cross-encoder")
        self._with_words = not self._is_cross and words != "no"
        self.pointwise = not self._with_words
        self._embeddings = EmbeddingCache(self._embed, _MAX_VECTORS)
        self.name = f"local-onnx {folder.path.resolve().name}"
        self.version = folder.digest()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in their order. Equal documents get equal scores.

        Raises:
            ScorerError: The model failed, or returned a value that is not finite.
        """
        texts = list(dict.fromkeys(documents))
        score = self._cross_scores if self._is_cross else self._cosines
        values = score(self._query_prefix + query, [self._document_prefix + text for text in texts])
        if self._with_words and texts:
            from .fusion import move_by_words

            matched, evidence = raw_scores(query, texts)
            values = move_by_words(values, np.array(matched), evidence.gram_share)
        if not self._is_cross:
            values = np.clip(0.5 + np.round(values, 5) / 2, 0.0, 1.0)
        by_text = dict(zip(texts, values.tolist()))
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
        # The last digits of a logit depend on the batch that the document is in.
        return 1.0 / (1.0 + np.exp(-np.clip(np.round(best, 4), -500.0, 500.0)))

    def _cosines(self, query: str, texts: Sequence[str]) -> Any:
        rows, mask = self._model.first_chunk(query)
        vector = self._unit_vectors(rows, mask)[0]
        return np.array([(vectors @ vector).max() for vectors in self._embeddings.get(texts)], float)

    def _embed(self, texts: Sequence[str]) -> list[Any]:
        """Return one array (chunks, dimensions) of unit vectors per text."""
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
            raise ScorerError(f"the model {self._model.file} returned values that are not finite")


def from_options(text: str) -> Scorer:
    """Return the scorer for ``local:onnx?text``; with ``first_stage=k``, the lexical scorer selects k documents first.

    Raises:
        InvalidRequestError: An option is unknown or its value is not valid, or ``path`` is missing.
    """
    options = read_options("onnx", text, OPTIONS)
    if "path" not in options:
        raise InvalidRequestError("local:onnx needs the folder of a model: base_url='local:onnx?path=models/minilm'")
    k = options.pop("first_stage", None)
    scorer = OnnxScorer(**options)
    return scorer if k is None else TwoStageScorer(scorer, k)


def _model_kind(model: OnnxModel, expected: str | None) -> str:
    """Return the kind of a model, ``cross`` or ``bi``, by the shape of its output.

    Raises:
        InvalidRequestError: The shape is not that of a reranker, or not that of the expected kind.
    """
    shape = model.output_shape
    is_cross = shape in ((), (1,), (2,)) or (model.output == "logits" and len(shape) == 1)
    if is_cross and shape not in ((), (1,), (2,)):
        raise InvalidRequestError(
            f"the model {model.file} returns {shape[0]} logits for each input; a reranker returns one or two"
        )
    if len(shape) > 2:
        raise InvalidRequestError(
            f"the output {model.output!r} of the model {model.file} has {len(shape) + 1} dimensions; "
            "logits have at most two and vectors two or three"
        )
    found = "cross" if is_cross else "bi"
    if _check_choice("kind", found if expected is None else expected, ("cross", "bi")) != found:
        raise InvalidRequestError(
            f"kind={expected} does not fit the model {model.file}: its output {model.output!r} has the shape "
            f"{('inputs', *shape)}, which means kind={found}"
        )
    return found


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise InvalidRequestError(f"{name} must be {' or '.join(allowed)}, got {value!r}")
    return value


def _check_at_least(name: str, value: int, lower_bound: int) -> None:
    if value < lower_bound:
        raise InvalidRequestError(f"{name} must be at least {lower_bound}, got {value}")
