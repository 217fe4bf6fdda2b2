"""The rerank API as one pure function: request bytes in, status, headers and reply bytes out.

The `local:` transport, the fallback, the server and the fault server all call it, so they validate requests and answer
them in the same way. The messages are those of the API's reference.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from cohere_rerank._tokens import truncate
from cohere_rerank._wire.contract import (
    DEFAULT_MAX_TOKENS_PER_DOC,
    DEFAULT_SPAN_THRESHOLD,
    MAX_DOCUMENTS,
    MAX_PRIORITY,
)
from cohere_rerank.errors import CohereRerankError, ScorerError

from .scorer import Scorer, check_scores
from .spans import find_spans

EndpointResponse = tuple[int, dict[str, str], bytes]

FIELDS = frozenset({"model", "query", "documents", "top_n", "max_tokens_per_doc", "relevant_spans", "priority"})
MAX_FIELDS = 100  # the API has 7 fields, and the dialects of other servers add some
MAX_NAME_CHARS = 40  # of an unknown field's name in a message
MAX_TOKENS_PER_DOC = 1_000_000  # 30 times the longest context of a Cohere model


class _RequestError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def handle(
    body: bytes, scorer_for: Callable[[str], Scorer], max_documents: int | None = MAX_DOCUMENTS
) -> EndpointResponse:
    """Handle one request.

    Args:
        body: A ``POST /v2/rerank`` body, JSON in UTF-8.
        scorer_for: Returns the scorer for a model name.
        max_documents: The most documents that a request may have; None: unlimited. Default: 10,000.

    Returns:
        Status, headers and body, as the API sends them. The id depends only on the body of the request.

    Raises:
        ScorerError: The scorer failed or returned a value that is not a score. No partial ranking is returned.
    """
    reply_id = str(uuid.UUID(bytes=hashlib.blake2b(body, digest_size=16).digest(), version=4))
    try:
        request = _parse(body, max_documents)
        reply = _rank(request, scorer_for(request["model"]))
    except _RequestError as error:
        return error.status, _headers(), to_json({"id": reply_id, "message": str(error)})
    return 200, _headers(), to_json({"id": reply_id, **reply})


def too_many_fields(n_fields: int) -> str:
    """Return the message for a request with more than `MAX_FIELDS` fields."""
    return f"invalid request: a request must have at most {MAX_FIELDS} fields, got {n_fields}"


def unknown_field(name: str) -> str:
    """Return the API's message for an unknown field. A long name is cut."""
    return f"unknown field: parameter '{name[:MAX_NAME_CHARS]}' is not a valid field"


def _headers() -> dict[str, str]:
    return {"content-type": "application/json"}


def _parse(body: bytes, max_documents: int | None) -> dict[str, Any]:
    try:
        request = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise _RequestError(400, f"invalid json syntax: {error}") from None
    if not isinstance(request, dict):
        raise _RequestError(400, "invalid json syntax: the body must be an object")
    if len(request) > MAX_FIELDS:
        raise _RequestError(400, too_many_fields(len(request)))
    for name in sorted(request.keys() - FIELDS):
        raise _RequestError(422, unknown_field(name))
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise _RequestError(400, "a model parameter is required for this endpoint.")
    query = request.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _RequestError(400, "invalid request: query must not be empty or be only whitespace")
    _check_documents(request.get("documents"), max_documents)
    _check_integer(request, "top_n", 1)
    _check_integer(request, "max_tokens_per_doc", 1, MAX_TOKENS_PER_DOC)
    _check_integer(request, "priority", 0, MAX_PRIORITY)
    if "relevant_spans" in request:
        _check_spans(request["relevant_spans"])
    return request


def _check_documents(documents: Any, max_documents: int | None) -> None:
    if not isinstance(documents, list) or not documents:
        raise _RequestError(400, "invalid request: list of documents must not be empty")
    if max_documents is not None and len(documents) > max_documents:
        raise _RequestError(
            400, f"invalid request: number of documents must be at most {max_documents}, got {len(documents)}"
        )
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise _RequestError(422, f"invalid type: parameter 'documents[{index}]' must be a string")
        if not document:
            raise _RequestError(400, f"invalid request: document at index {index} cannot be empty")


def _check_integer(request: Mapping[str, Any], name: str, minimum: int, maximum: int | None = None) -> None:
    if name not in request:
        return
    value = request[name]
    if type(value) is not int:
        raise _RequestError(422, f"invalid type: parameter '{name}' must be an integer")
    if value < minimum or (maximum is not None and value > maximum):
        allowed = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise _RequestError(400, f"invalid request: {name} must be {allowed}")


def _check_spans(spans: Any) -> None:
    if not isinstance(spans, dict) or spans.get("mode") not in ("enabled", "disabled"):
        raise _RequestError(422, "invalid type: parameter 'relevant_spans' must have a mode, 'enabled' or 'disabled'")
    threshold = spans.get("threshold", DEFAULT_SPAN_THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise _RequestError(422, "invalid type: parameter 'relevant_spans.threshold' must be a number")
    _check_integer(spans, "max_spans", 1)


def _rank(request: Mapping[str, Any], scorer: Scorer) -> dict[str, Any]:
    query = request["query"]
    limit = request.get("max_tokens_per_doc", DEFAULT_MAX_TOKENS_PER_DOC)
    texts = [truncate(document, limit) for document in request["documents"]]
    scores = _scores(scorer, query, texts)
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": scores[index]} for index in order[: request.get("top_n")]
    ]
    spans = request.get("relevant_spans")
    if spans is not None and spans["mode"] == "enabled":
        for result in results:
            _add_spans(result, query, texts[result["index"]], spans)
    source = f"answered by the local scorer {scorer.name} {scorer.version}, not by a Cohere model"
    warnings = [f"{source}: its scores are not comparable with Cohere's"]
    n_cut = sum(len(text) < len(document) for text, document in zip(texts, request["documents"], strict=True))
    if n_cut:
        warnings.append(f"{n_cut} documents were cut to {limit} tokens each, as estimated offline")
    return {
        "results": results,
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 0},
            "warnings": warnings,
        },
    }


def _scores(scorer: Scorer, query: str, texts: Sequence[str]) -> list[float]:
    try:
        scores = scorer.score(query, texts)
    except (CohereRerankError, ImportError):
        raise
    except Exception as error:
        raise ScorerError(f"the scorer {scorer.name} failed with {type(error).__name__}: {error}") from error
    return check_scores(scorer, scores, len(texts))


def _add_spans(result: dict[str, Any], query: str, text: str, spans: Mapping[str, Any]) -> None:
    threshold = spans.get("threshold", DEFAULT_SPAN_THRESHOLD)
    found = find_spans(query, text, threshold=threshold, max_spans=spans.get("max_spans"))
    if found:
        result["relevant_spans"] = [{"start": start, "end": end, "score": score} for start, end, score in found]
