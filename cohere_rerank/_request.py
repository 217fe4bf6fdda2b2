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
    from ._dialects import Dialect
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
INTERACTIVE, BULK = 0, 1  # lanes: where sends wait for their turn, the lower goes first
_MAX_PRIORITY = 999
_OURS_ALONE = ("content-length", "transfer-encoding")  # a second one, or another, breaks the framing of the request
_IN_HEADER_NAMES = "!#$%&'*+-.^_`|~"  # besides letters and digits: RFC 9110, section 5.6.2


class Call:
    """One checked ``rerank`` call: what to send, how long it may take, and what its answer refers to."""

    __slots__ = (
        "body",
        "deadline_s",
        "dialect",
        "documents",
        "headers",
        "lane",
        "max_documents_per_request",
        "max_retries",
        "min_score",
        "params",
        "retry_remote_protocol_errors",
        "texts",
        "timeout_s",
        "top_n",
    )

    body: dict[str, Any]
    deadline_s: float
    dialect: Dialect | None  # None: Cohere's own
    documents: list[object]
    headers: Mapping[str, str]
    lane: int
    max_documents_per_request: int
    max_retries: int | None
    min_score: float | None
    params: list[tuple[str, Any]]
    retry_remote_protocol_errors: bool
    texts: list[str]
    timeout_s: float | None
    top_n: int | None

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Call: {len(getattr(self, 'texts', ()))} documents>"

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

    __slots__ = ("call", "content", "dialect", "end", "start")

    def __init__(self, call: Call, start: int, end: int) -> None:
        self.call = call
        self.start = start
        self.end = end
        self.speak(call.dialect)

    def speak(self, dialect: Dialect | None) -> None:
        """Write the request in this dialect, Cohere's if None."""
        self.dialect = dialect
        self.content = self._content()

    @property
    def n_documents(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        first, last = self.start, self.end - 1
        return f"document {first}" if first == last else f"documents {first} to {last}"

    def _content(self) -> bytes:
        body = self.call.body
        if self.n_documents < len(self.call.texts):
            body = {**body, "documents": self.call.texts[self.start : self.end]}
            if "top_n" in body:
                # The API's own limit does not matter (a larger top_n is fine), but the fewer the shorter.
                body["top_n"] = min(body["top_n"], self.n_documents)
        return packed(body if self.dialect is None else self.dialect.body(body))


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
    call.lane = INTERACTIVE
    call.dialect = None
    given = {
        "model": model,
        "query": query,
        "documents": documents,
        "top_n": top_n,
        "max_tokens_per_doc": max_tokens_per_doc,
        "relevant_spans": relevant_spans,
        "priority": priority,
        **_mapping(options, "additional_body_parameters"),
    }
    call.documents, call.texts = _documents.to_texts(given["documents"], rank_fields)
    call.top_n = _config.whole_number("top_n", given["top_n"], 1)
    call.min_score = _config.number("min_score", min_score)
    checked = {
        "model": _checked_text("model", given["model"]),
        "query": _checked_text("query", given["query"]),
        "documents": call.texts,
        "top_n": call.top_n,
        "max_tokens_per_doc": _config.whole_number("max_tokens_per_doc", given["max_tokens_per_doc"], 1),
        "relevant_spans": _spans(given["relevant_spans"]),
        "priority": _config.whole_number("priority", given["priority"], 0, _MAX_PRIORITY),
    }
    call.body = {name: value for name, value in {**given, **checked}.items() if value is not None}
    call.headers = _headers(_mapping(options, "additional_headers"))
    call.params = _query_pairs(_mapping(options, "additional_query_parameters"))
    timeout = options.get("timeout")
    call.timeout_s = _config.seconds("timeout", options.get("timeout_in_seconds") if timeout is None else timeout)
    call.max_retries = _config.whole_number("max_retries", options.get("max_retries"), 0)
    call.retry_remote_protocol_errors = options.get("retry_remote_protocol_errors") is not False
    per_call = deadline if deadline is not None else options.get("deadline")
    call.deadline_s = (
        _config.seconds("deadline", per_call)
        or config.deadline
        or max(_config.DEFAULT_DEADLINE_S, call.timeout_s or config.timeout or 0)  # who allows a phase more means it
    )
    call.max_documents_per_request = (
        _config.whole_number("max_documents_per_request", max_documents_per_request, 1, _config.MAX_DOCUMENTS)
        or config.max_documents_per_request
    )
    if config.is_local:  # a scorer may look at the whole list
        call.max_documents_per_request = len(call.texts) or 1
    return call


def _checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string, got {type(value).__name__}")
    if not value.strip():
        raise InvalidRequestError(f"{name} must not be empty or only white space")
    return value


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


def _mapping(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One of the ``additional_`` options, without what is None."""
    value = options.get(name)
    if value is None:
        return {}
    if not hasattr(value, "items") or not all(isinstance(key, str) for key in value):
        raise InvalidRequestError(f"{name} must be a mapping from names to values, got {type(value).__name__}")
    return {key: item for key, item in value.items() if item is not None}


def _headers(headers: dict[str, Any]) -> dict[str, str]:
    texts = {}
    for name, value in headers.items():
        if not name or not name.isascii() or not all(c.isalnum() or c in _IN_HEADER_NAMES for c in name):
            raise InvalidRequestError(f"additional_headers: {name!r} is no name for a header")
        if name.lower() in _OURS_ALONE:
            raise InvalidRequestError(
                f"additional_headers must not hold {name}: the client sets it for the body it sends"
            )
        text = value if isinstance(value, str) else str(value)
        texts[name] = _config.header_text(f"additional_headers: the value of {name}", text)
    return texts


def _query_pairs(params: Any, name: str = "") -> list[tuple[str, Any]]:
    """The official client's encoding: a list repeats its name, a mapping puts its keys in brackets."""
    if hasattr(params, "items"):
        return [
            pair for key, item in params.items() for pair in _query_pairs(item, f"{name}[{key}]" if name else f"{key}")
        ]
    if isinstance(params, (list, tuple)):
        return [pair for item in params for pair in _query_pairs(item, name)]
    return [(name, params)]


def _spans(spans: Any) -> dict[str, Any] | None:
    """The wire form of ``relevant_spans``: ours, the official class or a mapping."""
    if spans is None:
        return None
    names = ("mode", "threshold", "max_spans")
    given = spans if hasattr(spans, "keys") else {name: getattr(spans, name, None) for name in names}
    mode = getattr(given.get("mode"), "value", given.get("mode"))
    if not isinstance(mode, str):
        raise InvalidRequestError(
            "relevant_spans must be RerankRelevantSpans or a mapping with a mode of 'enabled' or 'disabled', "
            f"got {type(spans).__name__} without one"
        )
    threshold = _config.number("relevant_spans.threshold", given.get("threshold"))
    if threshold in (float("inf"), float("-inf")):
        raise InvalidRequestError(f"relevant_spans.threshold must be finite, got {threshold}")
    max_spans = _config.whole_number("relevant_spans.max_spans", given.get("max_spans"), 1)
    wire = {**given, "mode": mode, "threshold": threshold, "max_spans": max_spans}
    return {name: value for name, value in wire.items() if value is not None}


def packed(body: Mapping[str, Any]) -> bytes:
    """A body as JSON in UTF-8; a lone surrogate, which has no form there, becomes U+FFFD, with a warning."""
    from pydantic_core import to_json

    try:
        return to_json(body)
    except ValueError as error:
        if "surrogates not allowed" not in str(error):
            raise InvalidRequestError(f"additional_body_parameters have no JSON form: {error}") from None
    from warnings import warn

    warn("a lone surrogate in the query or a document was sent as U+FFFD", UnicodeWarning, stacklevel=2)
    return packed(_without_surrogates(body))


def _without_surrogates(value: Any) -> Any:
    """One character for one, so that the positions of spans stay right."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value
