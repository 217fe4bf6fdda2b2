"""The attributes of a call's span, under the names of OpenTelemetry's GenAI conventions and of OpenInference. Pure.

Sources: OpenTelemetry's semantic conventions for GenAI, in which the operation rerank is a proposal, and those of
OpenInference, both as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic_core import to_json

from cohere_rerank._addresses import is_cohere
from cohere_rerank._wire.contract import is_request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cohere_rerank._settings import Config
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    Attributes = dict[str, Any]

CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# "true" is the value of earlier versions. "event_only" asks for log records, which this library does not write.
_CAPTURING = ("true", "span_only", "span_and_event")
_MAX_SCORES = 1000
_MAX_METADATA_BYTES = 4096  # of one document; longer metadata is left out
_OTHER_ATTRIBUTES = 28  # of a span that are not about a document

# The providers by the scheme of a cloud's address, and by the end of the host's name.
_LOCAL = {"gen_ai.provider.name": "cohere_rerank"}
_PROVIDERS_BY_SCHEME = {
    "azure": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock-agent": "aws.bedrock",
    "sagemaker": "aws.sagemaker",
    "vertex": "gcp.vertex_ai",
}
_PROVIDERS_BY_DOMAIN = {
    ".azure.com": "azure.ai.inference",
    ".jina.ai": "jina",
    ".voyageai.com": "voyageai",
    "discoveryengine.googleapis.com": "gcp.vertex_ai",
}
_COHERE_DIALECTS = (None, "cohere", "v1", "auto")
_PORTS = {"http": 80, "https": 443}


def captures_content(environment: Mapping[str, str]) -> bool:
    """Return whether the spans may contain queries, documents and scores."""
    return environment.get(CAPTURE_VARIABLE, "").strip().lower() in _CAPTURING


def address_attributes(config: Config, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the provider of a call, and the host and the port of its requests."""
    if config.is_local:
        return _LOCAL
    if config.cloud is None:
        return _of_url(config.base_url, config.dialect)
    scheme = config.base_url.partition(":")[0]
    return {
        **_of_url(config.cloud.dialect.url(config.base_url, body), None),
        "gen_ai.provider.name": _PROVIDERS_BY_SCHEME.get(scheme, scheme),
    }


@lru_cache(maxsize=256)
def _of_url(address: str, dialect: str | None) -> Mapping[str, Any]:
    url = urlsplit(address)
    host = url.hostname or ""
    return {
        "gen_ai.provider.name": _provider_name(address, host, dialect),
        "server.address": host,
        "server.port": url.port or _PORTS.get(url.scheme, 443),
    }


def _provider_name(base_url: str, host: str, dialect: str | None) -> str:
    if not is_cohere(base_url):
        for domain, name in _PROVIDERS_BY_DOMAIN.items():
            if f".{host}".endswith(domain):
                return name
        if dialect not in _COHERE_DIALECTS:
            return str(dialect)
    return "cohere"


def common_attributes(config: Config, call: Call) -> Attributes:
    """Return the attributes that the span and the metrics have."""
    attributes: Attributes = {
        "gen_ai.operation.name": "rerank",
        **address_attributes(config, call.body),
    }
    model = call.body.get("model")
    if isinstance(model, str):
        attributes["gen_ai.request.model"] = model
    return attributes


def request_attributes(config: Config, call: Call) -> Attributes:
    """Return the attributes of the span that are known before the request, besides the common ones."""
    attributes: Attributes = {
        "gen_ai.rerank.candidate.count": len(call.texts),
        "openinference.span.kind": "RERANKER",
    }
    model, top_n = call.body.get("model"), call.top_n
    if isinstance(model, str):
        attributes["reranker.model_name"] = model
    if top_n is not None:
        attributes["gen_ai.rerank.top_n"] = attributes["reranker.top_k"] = top_n
    if config.tag is not None:
        attributes["cohere_rerank.tag"] = config.tag
    return attributes


def response_attributes(response: V2RerankResponse) -> Attributes:
    """Return the attributes of a response: ids, usage, and the engine that answered."""
    units = response.meta.billed_units if response.meta else None
    sent_id = response.id or response.request_id
    found = {
        "gen_ai.response.id": sent_id if is_request_id(sent_id) else None,
        "gen_ai.usage.input_tokens": input_tokens(response),
        "gen_ai.usage.search_units": _whole(units.search_units) if units else None,
        "cohere_rerank.answered_by": response.answered_by,
        "cohere_rerank.requests": response.attempts,
        "cohere_rerank.is_fallback": response.is_fallback or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def input_tokens(response: V2RerankResponse) -> int | float | None:
    """Return the number of tokens that the model read, or for which the call is billed. None if it is not known."""
    meta = response.meta
    for part in (meta.tokens, meta.billed_units) if meta else ():
        if part is not None and (n_tokens := _whole(part.input_tokens)) is not None:
            return n_tokens
    return None


def error_attributes(error: BaseException) -> Attributes:
    """Return the type of an error: the status of the reply, or the name of its class. Never its text."""
    status = getattr(error, "status_code", None)
    attributes: Attributes = {"error.type": type(error).__name__ if status is None else str(status)}
    request_id = getattr(error, "request_id", None)
    if is_request_id(request_id):
        attributes["gen_ai.response.id"] = request_id
    return attributes


def query_attributes(call: Call) -> Attributes:
    """Return the query. Only for a program that asks for the content."""
    query = call.body.get("query")
    return {"input.value": query, "input.mime_type": "text/plain", "reranker.query": query}


def result_attributes(response: V2RerankResponse) -> Attributes:
    """Return the scores. Only for a program that asks for the content."""
    results = response.results
    scores = [item.relevance_score for item in results[:_MAX_SCORES]]
    shown = [{"index": item.index, "relevance_score": item.relevance_score} for item in results[:_MAX_SCORES]]
    attributes: Attributes = {"output.value": to_json(shown).decode(), "output.mime_type": "application/json"}
    if None not in scores:
        attributes["gen_ai.rerank.scores"] = scores
    return attributes


def input_document_attributes(call: Call, max_attributes: int) -> Attributes:
    """Return the texts that were sent, with ids and metadata where the documents have them: as many as fit."""
    return _fitting("input", (_document(call, place) for place in range(len(call.texts))), max_attributes)


def output_document_attributes(response: V2RerankResponse, max_attributes: int) -> Attributes:
    """Return the ranked documents with their scores: as many as fit."""
    documents = (
        {
            "content": getattr(item, "_sent_text", None),
            "score": item.relevance_score,
            **_facts_about(item.document),
        }
        for item in response.results
    )
    return _fitting("output", documents, max_attributes)


def max_document_attributes(span: Any, environment: Mapping[str, str]) -> int:
    """Return how many attributes of a span may be about documents.

    The SDK drops the oldest attributes of a span beyond a limit, which are those that matter most.
    """
    limits = getattr(span, "_limits", None)
    limit = getattr(limits, "max_span_attributes", None) or getattr(limits, "max_attributes", None)
    if limit is None:
        name = next(
            (n for n in ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT") if n in environment), ""
        )
        text = environment.get(name, "")
        limit = int(text) if text.isdecimal() else 128
    return max(0, min(limit, 10_000) - _OTHER_ATTRIBUTES)


def _fitting(which: str, documents: Iterator[Attributes], max_attributes: int) -> Attributes:
    attributes: Attributes = {}
    for position, document in enumerate(islice(documents, max_attributes)):
        given = {name: value for name, value in document.items() if value is not None}
        if len(attributes) + len(given) > max_attributes:
            break
        for name, value in given.items():
            attributes[f"reranker.{which}_documents.{position}.document.{name}"] = value
    return attributes


def _document(call: Call, place: int) -> Attributes:
    index = place if call.indices is None else call.indices[place]
    return {"content": call.texts[place], **_facts_about(call.documents[index])}


def _facts_about(document: Any) -> Attributes:
    """Return the id and the metadata of a document of a framework, or of a mapping."""
    if isinstance(document, str):
        return {}
    facts: Attributes = {}
    name, metadata = _field(document, "id"), _field(document, "metadata")
    if isinstance(name, (str, int)):
        facts["id"] = str(name)
    if isinstance(metadata, Mapping) and metadata:
        text = to_json(metadata, serialize_unknown=True)
        if len(text) <= _MAX_METADATA_BYTES:
            facts["metadata"] = text.decode()
    return facts


def _field(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, Mapping) else getattr(document, name, None)


def _whole(number: float | None) -> int | float | None:
    """Return a count, without a decimal point if it is whole. None for a number that is not a count."""
    if number is None or not 0 <= number < float("inf"):
        return None
    return int(number) if number == int(number) else number
