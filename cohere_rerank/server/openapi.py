"""The server's own description, as OpenAPI 3.1; what it says is tested against the server."""

from __future__ import annotations

from typing import Any

from cohere_rerank._version import __version__
from cohere_rerank._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC, MAX_DOCUMENTS, MAX_PRIORITY
from cohere_rerank.local.endpoint import MAX_TOKENS_PER_DOC

from .settings import Settings

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string", "minLength": 1}
# One character that `str.strip` leaves; it takes these five away too, which are not in ECMAScript's \s.
_QUERY: _Schema = {"type": "string", "pattern": r"[^\s\x1c-\x1f\x85]", "description": "Not blank."}
_COUNT: _Schema = {"type": "integer", "minimum": 1}
_NO_LIMIT: _Schema = {"type": "integer", "minimum": 0, "description": "0: no limit."}
_FLAG: _Schema = {"type": "boolean"}
_SCORE: _Schema = {"type": "number", "minimum": 0, "maximum": 1}
_OBJECT_WITH_TEXT: _Schema = {"type": "object", "required": ["text"], "properties": {"text": _TEXT}}


def document(settings: Settings) -> _Schema:
    """The description of a server with these settings."""
    strict = settings.is_strict
    rerank = {
        "/v2/rerank": _rerank("Rerank, as Cohere's v2", _v2(strict), _ref("Ranking"), settings),
        "/v1/rerank": _rerank("Rerank, as Cohere's v1", _v1(strict), _ref("Ranking"), settings),
        "/rerank": _rerank(
            "Rerank, as Jina and vLLM; with `texts` as Text Embeddings Inference",
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
            "/v1/models": {"get": {**_page("The models to ask for"), **_security(settings)}},
            "/health": {"get": _page("Whether the process lives")},
            "/ready": {"get": _page("Whether the queue has room; 503 if not", busy=True)},
            "/metrics": {"get": _page("Counts for Prometheus", kind="text/plain")},
            "/openapi.json": {"get": _page("This description")},
        },
        "components": {"schemas": {"Error": _error(), "Ranking": _ranking(), "Scores": _scores()}},
    }
    if settings.api_keys:
        described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["paths"]["/v1/models"]["get"]["responses"]["401"] = _failure("No key, or a wrong one")
    return described


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _security(settings: Settings) -> _Schema:
    return {"security": [{"key": []}]} if settings.api_keys else {}


def _rerank(summary: str, request: _Schema, reply: _Schema, settings: Settings) -> _Schema:
    failures = {
        "400": "Malformed JSON, or a value that is missing, empty or out of its range",
        "404": "No such model",
        "408": "The body did not arrive in time",
        "413": f"The body is longer than {settings.max_body_bytes} bytes",
        "415": "The body is no JSON",
        "422": "A field is unknown, or of the wrong type",
        "500": "The scorer failed",
        "503": "The queue is full; Retry-After says when to come back",
    }
    if settings.api_keys:
        failures["401"] = "No key, or a wrong one"
    if settings.upstream is not None:
        failures |= {"429": "The upstream's rate limit", "502": "The upstream failed", "504": "The upstream is slow"}
    responses = {status: _failure(text) for status, text in failures.items()}
    responses["200"] = {"description": "The ranking", "content": {"application/json": {"schema": reply}}}
    operation = {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": responses,
    }
    return {"post": {**operation, **_security(settings)}}


def _page(summary: str, *, kind: str = "application/json", busy: bool = False) -> _Schema:
    schema = {"type": "string"} if kind.startswith("text/") else {"type": "object"}
    responses = {"200": {"description": summary, "content": {kind: {"schema": schema}}}}
    if busy:
        responses["503"] = _failure("The queue is full")
    return {"summary": summary, "responses": responses}


def _failure(text: str) -> _Schema:
    return {"description": text, "content": {"application/json": {"schema": _ref("Error")}}}


def _object(required: list[str], **properties: _Schema) -> _Schema:
    return {"type": "object", "required": required, "properties": properties}


def _request(strict: bool, required: list[str], **properties: _Schema) -> _Schema:
    """A request; unless strict, null stands for an option that was not given, and more fields do no harm."""
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
    asked = _request(strict, ["mode"], mode={"enum": ["enabled", "disabled"]}, **options)
    return {**asked, "additionalProperties": True}


def _v2_options(strict: bool) -> dict[str, _Schema]:
    return {
        "max_tokens_per_doc": {**_COUNT, "maximum": MAX_TOKENS_PER_DOC, "default": DEFAULT_MAX_TOKENS_PER_DOC},
        "priority": {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY, "default": 0},
        "relevant_spans": _spans(strict),
    }


def _v2(strict: bool) -> _Schema:
    tolerated = {} if strict else {"return_documents": {**_FLAG, "description": "Not in Cohere's v2."}}
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
        rank_fields={**fields, "description": "Which fields of objects count, in place of text."},
        return_documents={**_FLAG, "default": False},
        max_chunks_per_doc={**_COUNT, "description": "Times the documents, below 10,000."},
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
        id={"type": "string", "description": "The request's id, as in x-request-id."},
        message={"type": "string"},
        error={"type": "string", "description": "At /rerank only, for clients of Text Embeddings Inference."},
        error_type={"type": "string"},
    )
