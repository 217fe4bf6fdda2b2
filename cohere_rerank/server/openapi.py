"""The server's description in OpenAPI 3.1. Tests compare it with the server."""

from __future__ import annotations

from typing import Any

from cohere_rerank._version import __version__
from cohere_rerank._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC, MAX_DOCUMENTS, MAX_PRIORITY
from cohere_rerank.local.request import MAX_TOKENS_PER_DOC

from .settings import ServerSettings

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string", "minLength": 1}
# At least one character that `str.strip` keeps. It also strips these five, which ECMAScript's \s does not match.
_QUERY: _Schema = {"type": "string", "pattern": r"[^\s\x1c-\x1f\x85]", "description": "Not blank."}
_COUNT: _Schema = {"type": "integer", "minimum": 1}
_NO_LIMIT: _Schema = {"type": "integer", "minimum": 0, "description": "0: no limit."}
_FLAG: _Schema = {"type": "boolean"}
_SCORE: _Schema = {"type": "number", "minimum": 0, "maximum": 1}
_REQUEST_TIMEOUT: _Schema = {
    "name": "X-Request-Timeout",
    "in": "header",
    "description": "Seconds after which the caller no longer waits. A later response becomes a 504.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_OBJECT_WITH_TEXT: _Schema = {"type": "object", "required": ["text"], "properties": {"text": _TEXT}}


def openapi_document(settings: ServerSettings) -> _Schema:
    """Return the description of a server with these settings."""
    strict = settings.is_strict
    rerank = {
        "/v2/rerank": _rerank_operation("Rerank, in the form of Cohere's v2", _v2(strict), _ref("Ranking"), settings),
        "/v1/rerank": _rerank_operation("Rerank, in the form of Cohere's v1", _v1(strict), _ref("Ranking"), settings),
        "/rerank": _rerank_operation(
            "Rerank, in the form of Jina and vLLM, or with `texts` in the form of Text Embeddings Inference",
            {"oneOf": [_jina(strict), _tei(strict)]},
            {"oneOf": [_ref("Ranking"), _ref("Scores")]},
            settings,
        ),
    }
    described: _Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "cohere-rerank",
            "version": __version__,
            "description": "A Cohere-compatible rerank server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            **rerank,
            "/v1/models": {"get": {**_get_operation("List the models"), **_security(settings)}},
            "/health": {"get": _get_operation("Check that the process runs")},
            "/ready": {"get": _get_operation("Check that the queue has room; 503 if it is full", busy=True)},
            "/metrics": {"get": _get_operation("Get the metrics for Prometheus", kind="text/plain")},
            "/openapi.json": {"get": _get_operation("Get this description")},
        },
        "components": {"schemas": {"Error": _error(), "Ranking": _ranking(), "Scores": _scores()}},
    }
    if settings.api_keys:
        described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["paths"]["/v1/models"]["get"]["responses"]["401"] = _error_response("The key is missing or wrong")
    return described


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _security(settings: ServerSettings) -> _Schema:
    return {"security": [{"key": []}]} if settings.api_keys else {}


def _rerank_operation(summary: str, request: _Schema, reply: _Schema, settings: ServerSettings) -> _Schema:
    failures = {
        "400": "The JSON is malformed, or a value is missing, empty or out of range",
        "404": "The model does not exist",
        "408": "The body did not arrive in time",
        "413": f"The body has more than {settings.max_body_bytes} bytes",
        "415": "The Content-Type is not JSON in UTF-8, or the body is compressed",
        "421": "The Host or Origin header names a host that is not allowed",
        "422": "A field is unknown or has the wrong type",
        "500": "The scorer failed",
        "503": "The queue is full (Retry-After says when to try again), or scoring took too long",
        "504": "The ranking was not ready within the seconds of X-Request-Timeout",
    }
    if settings.api_keys:
        failures["401"] = "The key is missing or wrong"
    if settings.upstream is not None:
        failures["429"] = "The upstream's rate limit"
        failures["502"] = "The upstream failed"
        failures["504"] += ", or the upstream did not answer in time"
    responses = {status: _error_response(text) for status, text in failures.items()}
    responses["200"] = {"description": "The ranking", "content": {"application/json": {"schema": reply}}}
    operation = {
        "summary": summary,
        "parameters": [_REQUEST_TIMEOUT],
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": responses,
    }
    return {"post": {**operation, **_security(settings)}}


def _get_operation(summary: str, *, kind: str = "application/json", busy: bool = False) -> _Schema:
    schema = {"type": "string"} if kind.startswith("text/") else {"type": "object"}
    responses = {"200": {"description": summary, "content": {kind: {"schema": schema}}}}
    if busy:
        responses["503"] = _error_response("The queue is full, or all threads are stuck")
    return {"summary": summary, "responses": responses}


def _error_response(text: str) -> _Schema:
    return {"description": text, "content": {"application/json": {"schema": _ref("Error")}}}


def _object(required: list[str], **properties: _Schema) -> _Schema:
    return {"type": "object", "required": required, "properties": properties}


def _request(strict: bool, required: list[str], **properties: _Schema) -> _Schema:
    """Return the schema of a request. Unless strict, null means an omitted option, and unknown fields are allowed."""
    if strict:
        return {**_object(required, **properties), "additionalProperties": False}
    described = {
        name: schema if name in required else {"anyOf": [schema, {"type": "null"}]}
        for name, schema in properties.items()
    }
    return _object(required, **described)


def _documents(*items: _Schema) -> _Schema:
    item = items[0] if len(items) == 1 else {"oneOf": list(items)}
    return {"type": "array", "minItems": 1, "maxItems": MAX_DOCUMENTS, "items": item}


def _spans(strict: bool) -> _Schema:
    options = {"threshold": {"type": "number", "default": 0.1}, "max_spans": _COUNT}
    spans = _request(strict, ["mode"], mode={"enum": ["enabled", "disabled"]}, **options)
    return {**spans, "additionalProperties": True}


def _v2_options(strict: bool) -> dict[str, _Schema]:
    return {
        "max_tokens_per_doc": {**_COUNT, "maximum": MAX_TOKENS_PER_DOC, "default": DEFAULT_MAX_TOKENS_PER_DOC},
        "priority": {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY, "default": 0},
        "relevant_spans": _spans(strict),
    }


def _v2(strict: bool) -> _Schema:
    tolerated = {} if strict else {"return_documents": {**_FLAG, "description": "Cohere's v2 does not have it."}}
    return _request(
        strict,
        ["model", "query", "documents"],
        model=_TEXT,
        query=_QUERY,
        documents=_documents(_TEXT),
        top_n=_COUNT,
        **tolerated,
        **_v2_options(strict),
    )


def _v1(strict: bool) -> _Schema:
    fields = {"type": "array", "minItems": 1, "items": {"type": "string"}}
    return _request(
        strict,
        ["query", "documents"],
        model=_TEXT,
        query=_QUERY,
        documents=_documents(_TEXT, _OBJECT_WITH_TEXT),
        top_n=_COUNT,
        rank_fields={**fields, "description": "The fields of objects to rank instead of text."},
        return_documents={**_FLAG, "default": False},
        max_chunks_per_doc={**_COUNT, "description": "Times the number of documents, it must be below 10,000."},
        **({} if strict else _v2_options(strict)),
    )


def _jina(strict: bool) -> _Schema:
    tokens = {**_NO_LIMIT, "maximum": MAX_TOKENS_PER_DOC}
    options = {**_v2_options(strict), "top_n": _NO_LIMIT, "max_tokens_per_doc": tokens}
    return _request(
        strict,
        ["query", "documents"],
        model=_TEXT,
        query=_QUERY,
        documents=_documents(_TEXT, _OBJECT_WITH_TEXT),
        return_documents={**_FLAG, "default": True},
        **options,
    )


def _tei(strict: bool) -> _Schema:
    described = _request(
        strict,
        ["query", "texts"],
        query=_QUERY,
        texts=_documents(_TEXT),
        raw_scores={**_FLAG, "default": False, "description": "Logits instead of scores in [0, 1]."},
        return_text={**_FLAG, "default": False},
        **({} if strict else {"model": _TEXT, "top_n": _COUNT}),
    )
    return {**described, "not": {"required": ["documents"]}}


def _ranking() -> _Schema:
    span = _object(["start", "end", "score"], start={"type": "integer"}, end={"type": "integer"}, score=_SCORE)
    result = _object(
        ["index", "relevance_score"],
        index={"type": "integer", "minimum": 0},
        relevance_score=_SCORE,
        relevant_spans={"type": "array", "items": span},
        document={"type": "object"},
    )
    warnings = {"type": "array", "items": {"type": "string"}}
    return _object(
        ["id", "results"],
        id={"type": "string"},
        results={"type": "array", "items": result},
        meta=_object([], warnings=warnings),
        model={"type": "string"},
        usage=_object(["total_tokens"], total_tokens={"type": "integer", "description": "An estimate."}),
    )


def _scores() -> _Schema:
    item = _object(
        ["index", "score"],
        index={"type": "integer", "minimum": 0},
        score={"type": "number"},
        text={"type": "string"},
    )
    return {"type": "array", "items": item}


def _error() -> _Schema:
    return _object(
        ["id", "message"],
        id={"type": "string", "description": "The request id, as in x-request-id."},
        message={"type": "string"},
        error={"type": "string", "description": "Only at /rerank, for clients of Text Embeddings Inference."},
        error_type={"type": "string"},
    )
