"""Parse and validate requests to the rerank API; pure. The messages are those of the API's reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from cohere_rerank._wire.contract import DEFAULT_SPAN_THRESHOLD, MAX_DOCUMENTS, MAX_PRIORITY

__all__ = [
    "FIELDS",
    "MAX_FIELDS",
    "MAX_NAME_CHARS",
    "MAX_TOKENS_PER_DOC",
    "RequestError",
    "parse_json",
    "too_many_fields",
    "unknown_field",
    "validate",
]

FIELDS = frozenset({"model", "query", "documents", "top_n", "max_tokens_per_doc", "relevant_spans", "priority"})
MAX_FIELDS = 100  # the API has 7 fields, and the dialects of other servers add some
MAX_NAME_CHARS = 40  # of an unknown field's name in a message
MAX_TOKENS_PER_DOC = 1_000_000  # 30 times the longest context of a Cohere model

# It matches at every quotation mark, also when the body ends within a text or after a backslash: a search that failed
# there would be repeated from each later quotation mark, in quadratic time.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)


class RequestError(Exception):
    """The request is not valid.

    Attributes:
        status: The status of the response.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse_json(body: bytes, max_values: int | None = None) -> Any:
    """Return the JSON value of a request's body.

    Args:
        body: JSON in UTF-8.
        max_values: The most values that the body may have, in all arrays and objects; None: unlimited. They are counted
            before the body is parsed, because millions of small values take far more memory than the body.

    Raises:
        RequestError: The body is not valid JSON, or it has too many values.
    """
    if max_values is not None and body.count(b",") >= max_values and not _has_fewer_values(body, max_values):
        raise RequestError(400, f"invalid request: the body must have at most {max_values} JSON values, got more")
    try:
        return from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"invalid json syntax: {error}") from None


def _has_fewer_values(body: bytes, max_values: int) -> bool:
    """Count the commas outside texts, and stop at the limit, so that the time and the memory have a limit too."""
    n_commas = end = 0
    for text in _STRING.finditer(body):
        n_commas += body.count(b",", end, text.start())
        end = text.end()
        if n_commas >= max_values:
            return False
    return n_commas + body.count(b",", end) < max_values


def validate(request: object, max_documents: int | None = MAX_DOCUMENTS) -> dict[str, Any]:
    """Return a parsed request after a check of all its fields.

    Args:
        request: The JSON value of the body.
        max_documents: The most documents that a request may have; None: unlimited. Default: 10,000.

    Raises:
        RequestError: The request is not valid.
    """
    if not isinstance(request, dict):
        raise RequestError(400, "invalid json syntax: the body must be an object")
    if len(request) > MAX_FIELDS:
        raise RequestError(400, too_many_fields(len(request)))
    for name in sorted(request.keys() - FIELDS):
        raise RequestError(422, unknown_field(name))
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise RequestError(400, "a model parameter is required for this endpoint.")
    query = request.get("query")
    if not isinstance(query, str) or not query.strip():
        raise RequestError(400, "invalid request: query must not be empty or be only whitespace")
    _check_documents(request.get("documents"), max_documents)
    _check_integer(request, "top_n", 1)
    _check_integer(request, "max_tokens_per_doc", 1, MAX_TOKENS_PER_DOC)
    _check_integer(request, "priority", 0, MAX_PRIORITY)
    if "relevant_spans" in request:
        _check_spans(request["relevant_spans"])
    return request


def too_many_fields(n_fields: int) -> str:
    """Return the message for a request with more than `MAX_FIELDS` fields."""
    return f"invalid request: a request must have at most {MAX_FIELDS} fields, got {n_fields}"


def unknown_field(name: str) -> str:
    """Return the API's message for an unknown field. A long name is cut."""
    return f"unknown field: parameter '{name[:MAX_NAME_CHARS]}' is not a valid field"


def _check_documents(documents: Any, max_documents: int | None) -> None:
    if not isinstance(documents, list) or not documents:
        raise RequestError(400, "invalid request: list of documents must not be empty")
    if max_documents is not None and len(documents) > max_documents:
        raise RequestError(
            400, f"invalid request: number of documents must be at most {max_documents}, got {len(documents)}"
        )
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise RequestError(422, f"invalid type: parameter 'documents[{index}]' must be a string")
        if not document:
            raise RequestError(400, f"invalid request: document at index {index} cannot be empty")


def _check_integer(request: Mapping[str, Any], name: str, minimum: int, maximum: int | None = None) -> None:
    if name not in request:
        return
    value = request[name]
    if type(value) is not int:
        raise RequestError(422, f"invalid type: parameter '{name}' must be an integer")
    if value < minimum or (maximum is not None and value > maximum):
        allowed = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise RequestError(400, f"invalid request: {name} must be {allowed}")


def _check_spans(spans: Any) -> None:
    if not isinstance(spans, dict) or spans.get("mode") not in ("enabled", "disabled"):
        raise RequestError(422, "invalid type: parameter 'relevant_spans' must have a mode, 'enabled' or 'disabled'")
    threshold = spans.get("threshold", DEFAULT_SPAN_THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise RequestError(422, "invalid type: parameter 'relevant_spans.threshold' must be a number")
    _check_integer(spans, "max_spans", 1)
