"""The rerank API as one pure function: request bytes in, status, headers and reply bytes out.

The `local:` transport, the fallback and any server are doors to this one room, so all of them validate alike and
answer alike. The messages are the API's own, as its reference documents them.
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
MAX_FIELDS = 100  # of a request; the API has 7, and other servers' dialects add some
MAX_NAME_CHARS = 40  # of an unknown field's name in a message
MAX_TOKENS_PER_DOC = 1_000_000  # 30 times the longest context of a Cohere model


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def handle(
    body: bytes, scorer_for: Callable[[str], Scorer], max_documents: int | None = MAX_DOCUMENTS
) -> EndpointResponse:
    """Handle one request.

    Args:
        body: A ``POST /v2/rerank`` body, JSON in UTF-8.
        scorer_for: Gives the scorer for a model name.
        max_documents: Longer lists are refused; None takes any.

    Returns:
        Status, headers and body, as the API sends them; the id depends on the body alone.

    Raises:
        ScorerError: The scorer failed or gave something that is no score; there is never half a ranking.
    """
    reply_id = str(uuid.UUID(bytes=hashlib.blake2b(body, digest_size=16).digest(), version=4))
    try:
        request = _parsed(body, max_documents)
        reply = _ranked(request, scorer_for(request["model"]))
    except _Refused as refusal:
        return refusal.status, _headers(), to_json({"id": reply_id, "message": str(refusal)})
    return 200, _headers(), to_json({"id": reply_id, **reply})


def too_many_fields(n_fields: int) -> str:
    """The message for a request with more than `MAX_FIELDS` fields."""
    return f"invalid request: a request must have at most {MAX_FIELDS} fields, got {n_fields}"


def unknown_field(name: str) -> str:
    """The API's message for a field that it does not know; a long name is cut."""
    return f"unknown field: parameter '{name[:MAX_NAME_CHARS]}' is not a valid field"


def _headers() -> dict[str, str]:
    return {"content-type": "application/json"}


def _parsed(body: bytes, max_documents: int | None) -> dict[str, Any]:
    try:
        request = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"invalid json syntax: {error}") from None
    if not isinstance(request, dict):
        raise _Refused(400, "invalid json syntax: the body must be an object")
    if len(request) > MAX_FIELDS:
        raise _Refused(400, too_many_fields(len(request)))
    for name in sorted(request.keys() - FIELDS):
        raise _Refused(422, unknown_field(name))
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise _Refused(400, "a model parameter is required for this endpoint.")
    query = request.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _Refused(400, "invalid request: query must not be empty or be only whitespace")
    _check_documents(request.get("documents"), max_documents)
    _check_integer(request, "top_n", 1)
    _check_integer(request, "max_tokens_per_doc", 1, MAX_TOKENS_PER_DOC)
    _check_integer(request, "priority", 0, MAX_PRIORITY)
    if "relevant_spans" in request:
        _check_spans(request["relevant_spans"])
    return request


def _check_documents(documents: Any, max_documents: int | None) -> None:
    if not isinstance(documents, list) or not documents:
        raise _Refused(400, "invalid request: list of documents must not be empty")
    if max_documents is not None and len(documents) > max_documents:
        raise _Refused(
            400, f"invalid request: number of documents must be at most {max_documents}, got {len(documents)}"
        )
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise _Refused(422, f"invalid type: parameter 'documents[{index}]' must be a string")
        if not document:
            raise _Refused(400, f"invalid request: document at index {index} cannot be empty")


def _check_integer(request: Mapping[str, Any], name: str, least: int, most: int | None = None) -> None:
    if name not in request:
        return
    value = request[name]
    if type(value) is not int:
        raise _Refused(422, f"invalid type: parameter '{name}' must be an integer")
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise _Refused(400, f"invalid request: {name} must be {allowed}")


def _check_spans(spans: Any) -> None:
    if not isinstance(spans, dict) or spans.get("mode") not in ("enabled", "disabled"):
        raise _Refused(422, "invalid type: parameter 'relevant_spans' must have a mode, 'enabled' or 'disabled'")
    threshold = spans.get("threshold", DEFAULT_SPAN_THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise _Refused(422, "invalid type: parameter 'relevant_spans.threshold' must be a number")
    _check_integer(spans, "max_spans", 1)


def _ranked(request: Mapping[str, Any], scorer: Scorer) -> dict[str, Any]:
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
    who = f"answered by the local scorer {scorer.name} {scorer.version}, not by a Cohere model"
    warnings = [f"{who}: its scores are not comparable with Cohere's"]
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
