"""Arguments to request bytes: pure, no I/O, no httpx.

The contract is Cohere's ``POST /v2/rerank`` (API reference, and the OpenAPI file behind it).
"""

from __future__ import annotations

from . import _config, _documents
from .errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ._config import Config
    from .types import RequestOptions

REQUEST_OPTIONS = frozenset(
    {
        "additional_body_parameters",
        "additional_headers",
        "additional_query_parameters",
        "chunk_size",  # of downloads, and the stream_ keys of streams: rerank has neither
        "deadline",
        "max_retries",
        "max_stream_reconnection_attempts",
        "retry_remote_protocol_errors",
        "stream_reconnection_enabled",
        "timeout",
        "timeout_in_seconds",
    }
)
_MAX_PRIORITY = 999


class Call:
    """One checked ``rerank`` call: what to send, how long it may take, and what its answer refers to."""

    __slots__ = (
        "body",
        "deadline_s",
        "documents",
        "headers",
        "max_documents_per_request",
        "max_retries",
        "min_score",
        "params",
        "query",
        "retry_remote_protocol_errors",
        "texts",
        "timeout_s",
        "top_n",
    )

    body: dict[str, Any]
    deadline_s: float
    documents: list[object]
    headers: Mapping[str, Any]
    max_documents_per_request: int
    max_retries: int | None
    min_score: float | None
    params: Mapping[str, Any]
    query: str
    retry_remote_protocol_errors: bool
    texts: list[str]
    timeout_s: float | None
    top_n: int | None

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Call: {len(self.texts)} documents>"

    def parts(self) -> list[Part]:
        """The requests to send for this call: one, unless the list is longer than a request may be."""
        size = self.max_documents_per_request
        if len(self.texts) <= size:
            return [Part(self, 0, len(self.texts))]
        # Equal shares, so that no part waits for one that is much larger.
        n_parts = -(-len(self.texts) // size)
        edges = [len(self.texts) * i // n_parts for i in range(n_parts + 1)]
        return [Part(self, edges[i], edges[i + 1]) for i in range(n_parts)]


class Part:
    """The share of a call's documents that goes out as one request."""

    __slots__ = ("call", "content", "end", "start")

    def __init__(self, call: Call, start: int, end: int) -> None:
        self.call = call
        self.start = start
        self.end = end
        self.content = self._content()

    @property
    def n_documents(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"documents {self.start} to {self.end - 1}"

    def _content(self) -> bytes:
        body = self.call.body
        if self.n_documents < len(self.call.texts):
            body = {**body, "documents": self.call.texts[self.start : self.end]}
            if "top_n" in body:
                # The API's own limit does not matter (a larger top_n is fine), but the fewer the shorter.
                body["top_n"] = min(body["top_n"], self.n_documents)
        return _to_json(body)


def encode(
    config: Config,
    *,
    model: str,
    query: str,
    documents: Iterable[object],
    top_n: int | None = None,
    max_tokens_per_doc: int | None = None,
    relevant_spans: Any = None,
    priority: int | None = None,
    request_options: RequestOptions | None = None,
    rank_fields: Sequence[str] | None = None,
    min_score: float | None = None,
    max_documents_per_request: int | None = None,
    deadline: float | None = None,
) -> Call:
    """Check the arguments and pack them once; None means "not given" and never goes out as null.

    Raises:
        InvalidRequestError: An argument is of the wrong type or out of its range.
    """
    options = _checked_options(request_options)
    call = Call()
    call.documents, call.texts = _documents.to_texts(documents, rank_fields)
    call.query = query
    call.top_n = _config.whole_number("top_n", top_n, 1)
    call.min_score = _checked_score("min_score", min_score)
    body = {
        "model": _checked_text("model", model),
        "query": _checked_text("query", query),
        "documents": call.texts,
        "top_n": call.top_n,
        "max_tokens_per_doc": _config.whole_number("max_tokens_per_doc", max_tokens_per_doc, 1),
        "relevant_spans": _spans(relevant_spans) if relevant_spans is not None else None,
        "priority": _config.whole_number("priority", priority, 0, _MAX_PRIORITY),
        **(options.get("additional_body_parameters") or {}),
    }
    call.body = {name: value for name, value in body.items() if value is not None}
    call.headers = _not_none(options.get("additional_headers"))
    call.params = _not_none(options.get("additional_query_parameters"))
    timeout = options.get("timeout")
    call.timeout_s = _config.seconds("timeout", options.get("timeout_in_seconds") if timeout is None else timeout)
    call.max_retries = _config.whole_number("max_retries", options.get("max_retries"), 0)
    call.retry_remote_protocol_errors = options.get("retry_remote_protocol_errors") is not False
    per_call = deadline if deadline is not None else options.get("deadline")
    call.deadline_s = _config.seconds("deadline", per_call) or config.deadline
    call.max_documents_per_request = len(call.texts) or 1
    if not config.is_local:
        call.max_documents_per_request = (
            _config.whole_number("max_documents_per_request", max_documents_per_request, 1, _config.MAX_DOCUMENTS)
            or config.max_documents_per_request
        )
    return call


def _checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string, got {type(value).__name__}")
    if not value.strip():
        raise InvalidRequestError(f"{name} must not be empty or only white space")
    return value


def _checked_score(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, (bool, str)) or number != number:
        raise InvalidRequestError(f"{name} must be a number, got {type(value).__name__}")
    return number


def _checked_options(options: Any) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not hasattr(options, "get") or not hasattr(options, "keys"):
        raise InvalidRequestError(f"request_options must be a mapping, got {type(options).__name__}")
    unknown = sorted(str(key) for key in options.keys() - REQUEST_OPTIONS)
    if unknown:
        raise InvalidRequestError(
            f"request_options has no {', '.join(unknown)}; it may hold {', '.join(sorted(REQUEST_OPTIONS))}"
        )
    return options  # type: ignore[no-any-return]


def _not_none(mapping: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (mapping or {}).items() if value is not None}


def _spans(spans: Any) -> dict[str, Any]:
    """The wire form of ``relevant_spans``: ours, the official class or a mapping."""
    names = ("mode", "threshold", "max_spans")
    given = spans if hasattr(spans, "keys") else {name: getattr(spans, name, None) for name in names}
    mode = given.get("mode")
    if mode is None:
        raise InvalidRequestError(
            "relevant_spans must be RerankRelevantSpans or a mapping with a mode of 'enabled' or 'disabled', "
            f"got {type(spans).__name__} without one"
        )
    _checked_score("relevant_spans.threshold", given.get("threshold"))
    _config.whole_number("relevant_spans.max_spans", given.get("max_spans"), 1)
    return {name: getattr(value, "value", value) for name, value in given.items() if value is not None}


def _to_json(body: Mapping[str, Any]) -> bytes:
    from pydantic_core import to_json

    try:
        return to_json(body)
    except ValueError:  # a lone surrogate, which JSON in UTF-8 has no form for
        pass
    except Exception as error:  # noqa: BLE001 - whatever is in additional_body_parameters
        raise InvalidRequestError(f"the request has no JSON form: {type(error).__name__}") from None
    from warnings import warn

    warn("a lone surrogate in the query or a document was sent as U+FFFD", UnicodeWarning, stacklevel=2)
    return to_json(_without_surrogates(body))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value
