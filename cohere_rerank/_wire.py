"""Arguments to request bytes, reply bytes to a response or an error: pure functions, no I/O, no httpx.

The contract is Cohere's ``POST /v2/rerank`` (API reference, and the OpenAPI file behind it).
"""

from __future__ import annotations

from . import _config, _documents
from .errors import InvalidRequestError, InvalidResponseError, RedirectError, error_from_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ._config import Config
    from .errors import ApiError, CohereRerankError
    from .types import RequestOptions, V2RerankResponse

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
_LAST_LOST_STATUS = 300


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
        return [Part(self, start, end) for start, end in zip(edges, edges[1:])]


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
    except Exception as error:  # something in additional_body_parameters
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


def decode(part: Part, status: int, headers: Mapping[str, str], content: bytes, now: float) -> V2RerankResponse:
    """The response in a reply, its indices counted from the part's first document.

    Args:
        headers: Names in lower case.
        now: Seconds since the epoch, for hints that hold a date.

    Raises:
        ApiError: The status is an error; one class per status.
        InvalidResponseError: The status is a success but the reply breaks the contract.
    """
    if not 200 <= status < _LAST_LOST_STATUS:
        raise _error(status, headers, content, now)
    from pydantic import ValidationError

    from .types import parse_response

    try:
        response = parse_response(content)
    except ValidationError as error:
        raise _invalid(_summary(error, content), status, headers) from None
    except (RecursionError, UnicodeDecodeError) as error:
        raise _invalid(type(error).__name__, status, headers) from None
    problem = _put_in_order(response, part)
    if problem:
        raise _invalid(problem, status, headers)
    return response


def _put_in_order(response: V2RerankResponse, part: Part) -> str | None:
    """Sort the results, best first and ties by index; say what is wrong with them, if anything."""
    results = response.results
    indices = [item.index for item in results]
    if indices and max(indices) >= part.n_documents:
        return f"index {max(indices)} is out of range for {part.n_documents} documents"
    if len(set(indices)) < len(indices):
        return "an index stands twice in the results"
    top_n = part.call.body.get("top_n")
    if top_n is not None and len(results) > top_n:
        return f"{len(results)} results came for a top_n of {top_n}"
    scores = [item.relevance_score for item in results]
    if scores != sorted(scores, reverse=True) or len(set(scores)) < len(scores):
        results.sort(key=lambda item: (-item.relevance_score, item.index))
    return None


def _invalid(problem: str, status: int, headers: Mapping[str, str]) -> InvalidResponseError:
    return InvalidResponseError(
        f"The reply breaks the rerank contract: {problem}", status_code=status, headers=headers
    )


def _summary(error: Any, content: bytes) -> str:
    """The first fault that pydantic found, without the reply's own values (they may echo documents)."""
    if content.lstrip()[:1] == b"<":
        return "an HTML page came instead of JSON; is base_url right?"
    details = error.errors(include_url=False, include_context=False, include_input=False)
    first = details[0]
    where = ".".join(str(step) for step in first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{where}: {first['msg']}{more}" if where else f"{first['msg']}{more}"


def _error(status: int, headers: Mapping[str, str], content: bytes, now: float) -> ApiError:
    from ._retry import retry_after_s

    if status < 400:  # noqa: PLR2004 - 1xx never get here, 3xx are redirects
        return _redirect_error(status, headers)
    error = error_from_response(status, headers, _error_body(content))
    error.retry_after = retry_after_s(headers, now)
    return error


def _error_body(content: bytes) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _redirect_error(status: int, headers: Mapping[str, str]) -> RedirectError:
    location = headers.get("location")
    error = RedirectError(status_code=status, headers=headers, body=None)
    error.location = location
    error.message = (
        f"The server answered {status} and points to {(location or 'nowhere')[:200]!r}; only 307 and 308 within "
        "the same origin are followed, so that key and documents go nowhere else: check base_url"
    )
    return error


def locate(error: CohereRerankError, part: Part) -> None:
    """Note on an error which documents it is about, when they are not all of the call's."""
    if part.n_documents < len(part.call.texts):
        error.part = repr(part)


def follow(url: str, status: int, location: str | None) -> str | None:
    """Where to repeat a request that was redirected, body and method kept; None where that is not safe."""
    if status not in (307, 308) or not location:
        return None
    from urllib.parse import urljoin, urlsplit

    target = urljoin(url, location)
    try:
        here, there = urlsplit(url), urlsplit(target)
        same = (here.scheme, here.hostname, _port(here)) == (there.scheme, there.hostname, _port(there))
    except ValueError:  # a port that is no number
        return None
    return target if same and there.username is None else None


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def answer(call: Call, parts: Sequence[Part], responses: Iterable[V2RerankResponse]) -> V2RerankResponse:
    """One response for the call: the parts' results merged, sorted, cut, with the caller's documents attached."""
    from .types import attach

    responses = list(responses)
    response = responses[0] if len(responses) == 1 else _merged(call, parts, responses)
    attach(response, call.documents, call.texts)
    return response if call.min_score is None else response.filter(min_score=call.min_score)


def empty_answer(call: Call) -> V2RerankResponse:
    """What no documents rank to; nothing is sent for them."""
    from .types import V2RerankResponse, attach

    return attach(V2RerankResponse(results=[]), call.documents, call.texts)


def _merged(call: Call, parts: Sequence[Part], responses: Sequence[V2RerankResponse]) -> V2RerankResponse:
    from dataclasses import replace

    from .types import V2RerankResponse

    results = [
        replace(item, index=item.index + part.start)
        for part, response in zip(parts, responses)
        for item in response.results
    ]
    results.sort(key=lambda item: (-item.relevance_score, item.index))
    return V2RerankResponse(
        id=responses[0].id,
        results=results[: call.top_n],
        meta=_merged_meta([response.meta for response in responses]),
    )


def _merged_meta(metas: Sequence[Any]) -> Any:
    """Billed units and token counts summed, warnings joined (each once), the rest from the first part."""
    from dataclasses import replace

    metas = [meta for meta in metas if meta is not None]
    if not metas:
        return None
    warnings = dict.fromkeys(warning for meta in metas for warning in meta.warnings or ())
    return replace(
        metas[0],
        billed_units=_summed([meta.billed_units for meta in metas]),
        tokens=_summed([meta.tokens for meta in metas]),
        cached_tokens=_total(meta.cached_tokens for meta in metas),
        warnings=list(warnings) or None,
    )


def _summed(counts: Sequence[Any]) -> Any:
    from dataclasses import fields, replace

    counts = [count for count in counts if count is not None]
    if not counts:
        return None
    names = [field.name for field in fields(counts[0])]
    return replace(counts[0], **{name: _total(getattr(count, name) for count in counts) for name in names})


def _total(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
