"""Check the arguments of a call and pack them into request bodies. Pure: no I/O, no settings.

The contract is Cohere's ``POST /v2/rerank`` (API reference, and the OpenAPI file behind it).
"""

from __future__ import annotations

from cohere_rerank._http_options import checked_headers, option_mapping, query_pairs
from cohere_rerank._validators import describe, flag, number, seconds, whole_number
from cohere_rerank.errors import InvalidRequestError

from .call import INTERACTIVE, MAX_CONCURRENT_PARTS, Call
from .contract import MAX_DOCUMENTS, MAX_PRIORITY
from .documents import to_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from cohere_rerank.types import RerankArguments

    class CallDefaults(Protocol):
        """The settings of a client that a call uses where its own arguments are not given."""

        deadline: float | None
        headers: Mapping[str, str] | None
        params: Mapping[str, Any] | None
        timeout: float | None
        max_documents_per_request: int
        max_request_bytes: int | None
        pointwise: bool | None
        strict: bool | None

        def retry_time_s(self, max_retries: int | None, timeout_s: float) -> float: ...

        @property
        def is_local(self) -> bool: ...


DEFAULT_DEADLINE_S = 300.0
_DEADLINE_MARGIN_S = 1.0  # so that the last attempt ends by its own timeout, whose error says more

REQUEST_OPTIONS = frozenset(
    {
        "additional_body_parameters",
        "additional_headers",
        "additional_query_parameters",
        "chunk_size",  # for downloads; the stream_ options are for streams. rerank has neither.
        "deadline",
        "max_retries",
        "max_stream_reconnection_attempts",
        "retry_remote_protocol_errors",
        "stream_reconnection_enabled",
        "timeout",
        "timeout_in_seconds",
    }
)
# The names of the arguments, as in `RerankArguments`, whose import a first call does without.
_REQUIRED_NAMES = frozenset({"model", "query", "documents"})
_NAMES = _REQUIRED_NAMES | {
    *("top_n", "max_tokens_per_doc", "relevant_spans", "priority", "request_options", "rank_fields", "text"),
    *("on_empty", "min_score", "max_documents_per_request", "deadline"),
}
_NO_OPTIONS: Mapping[str, Any] = {}
_ADVICE = {  # for arguments of other rerank APIs
    **dict.fromkeys(("k", "limit", "num_results", "top_k", "topk"), "top_n"),
    **dict.fromkeys(("docs", "passages", "texts"), "documents"),
    **dict.fromkeys(("max_chunks_per_doc", "max_length", "truncate"), "max_tokens_per_doc"),
    **dict.fromkeys(("score_threshold", "threshold"), "min_score"),
    **dict.fromkeys(("extra_body", "extra_headers", "extra_query", "max_retries", "timeout"), "request_options"),
}


def encode(defaults: CallDefaults, arguments: RerankArguments) -> Call:
    """Check the arguments and pack them once. None means "not given" and is never sent as null.

    Raises:
        InvalidRequestError: An argument has the wrong type or is out of its range.
        TypeError: An argument is missing, or ``ClientV2.rerank`` has none of this name.
    """
    if not _REQUIRED_NAMES <= arguments.keys() <= _NAMES:
        _check_names(arguments)
    given: Any = arguments.get("request_options")
    options: Mapping[str, Any] = _NO_OPTIONS if given is None else _checked_options(given)
    call = Call()
    call.traffic_class = INTERACTIVE
    call.dialect = None
    call.is_strict = defaults.strict is not False
    _set_body(call, arguments, _additional(options, "body_parameters") if options else _NO_OPTIONS)
    if options or defaults.headers or defaults.params:
        _set_headers_and_params(call, defaults, options)
    else:
        call.headers, call.params = _NO_OPTIONS, []
    _set_retries(call, options)
    deadline = arguments.get("deadline")
    if deadline is None:
        deadline = options.get("deadline")
    _set_sizes(call, defaults, arguments.get("max_documents_per_request"))
    call.deadline_s = (deadline is not None and seconds("deadline", deadline)) or _deadline_s(call, defaults)
    return call


def _set_body(call: Call, arguments: Mapping[str, Any], additional: Mapping[str, Any]) -> None:
    """Check the fields of the body. Where *additional* has one, it counts instead of the argument."""
    given = {**arguments, **additional} if additional else arguments
    _set_documents(call, given["documents"], arguments)
    body: dict[str, Any] = {
        "model": _checked_text("model", given["model"]),
        "query": _checked_text("query", given["query"]),
        "documents": call.texts,
    }
    top_n, spans = given.get("top_n"), given.get("relevant_spans")
    max_tokens, priority = given.get("max_tokens_per_doc"), given.get("priority")
    call.top_n = None
    if top_n is not None:
        call.top_n = body["top_n"] = whole_number("top_n", top_n, 1 if call.texts else 0)
    if max_tokens is not None:
        body["max_tokens_per_doc"] = whole_number("max_tokens_per_doc", max_tokens, 1)
    if spans is not None:
        body["relevant_spans"] = _checked_spans(spans)
    if priority is not None:
        body["priority"] = whole_number("priority", priority, 0, MAX_PRIORITY)
    for name, value in additional.items():
        body.setdefault(name, value)
    call.body = body
    min_score = arguments.get("min_score")
    call.min_score = None if min_score is None else number("min_score", min_score)


def _set_retries(call: Call, options: Mapping[str, Any]) -> None:
    call.timeout_s, call.max_retries, call.retry_remote_protocol_errors = None, None, True
    if options:
        timeout = options.get("timeout")
        call.timeout_s = seconds("timeout", options.get("timeout_in_seconds") if timeout is None else timeout)
        call.max_retries = whole_number("max_retries", options.get("max_retries"), 0)
        call.retry_remote_protocol_errors = (
            flag("retry_remote_protocol_errors", options.get("retry_remote_protocol_errors")) is not False
        )


def _set_sizes(call: Call, defaults: CallDefaults, max_documents: Any) -> None:
    """Set how many documents and bytes one request of the call may have."""
    call.max_documents_per_request = defaults.max_documents_per_request
    if max_documents is not None:
        checked = whole_number("max_documents_per_request", max_documents, 1, MAX_DOCUMENTS)
        call.max_documents_per_request = checked or defaults.max_documents_per_request
    call.max_request_bytes = defaults.max_request_bytes
    if defaults.is_local:  # some scorers need the whole list
        call.keep_whole()
    elif defaults.pointwise is False:
        if call.n_parts > 1:
            from cohere_rerank._warn import warn

            warn(f"the list of {len(call.texts)} documents is sent in one request, because pointwise=False")
        call.keep_whole()


def _deadline_s(call: Call, defaults: CallDefaults) -> float:
    """Return the deadline of a call. The default is long enough for all attempts that timeout and retries allow."""
    timeout_s = call.timeout_s or defaults.timeout
    if defaults.deadline is not None or timeout_s is None:
        return defaults.deadline or DEFAULT_DEADLINE_S
    n_rounds = -(-call.n_parts // MAX_CONCURRENT_PARTS)
    return n_rounds * (timeout_s + defaults.retry_time_s(call.max_retries, timeout_s)) + _DEADLINE_MARGIN_S


def _set_headers_and_params(call: Call, defaults: CallDefaults, options: Mapping[str, Any]) -> None:
    """Add those of the call to those of the client. Where both have a name, the call's value counts."""
    call.headers, call.params = defaults.headers or {}, []
    if headers := _additional(options, "headers"):
        call.headers = {**call.headers, **checked_headers("additional_headers", headers)}
    params = _additional(options, "query_parameters")
    if params or defaults.params:
        call.params = query_pairs("additional_query_parameters", {**(defaults.params or {}), **params})


def _additional(options: Mapping[str, Any], what: str) -> dict[str, Any]:
    name = f"additional_{what}"
    return option_mapping(name, options.get(name))


def _set_documents(call: Call, documents: Any, arguments: Mapping[str, Any]) -> None:
    """Read the documents once. Those without content are left out if the call says so."""
    items, texts = to_texts(documents, arguments.get("rank_fields"), arguments.get("text"), arguments.get("on_empty"))
    call.indices = None
    if arguments.get("on_empty") == "skip" and "" in texts:
        call.indices = [index for index, text in enumerate(texts) if text]
        texts = [texts[index] for index in call.indices]
    call.documents, call.texts = items, texts


def _check_names(arguments: Mapping[str, Any]) -> None:
    for name in sorted(_REQUIRED_NAMES - arguments.keys()):
        raise TypeError(f"rerank() missing a required keyword argument: {name!r}")
    for name in arguments.keys() - _NAMES:
        if name != "return_documents":
            advice = f". Use {_ADVICE[name]}" if name in _ADVICE else ""
            raise TypeError(f"rerank() got an unexpected keyword argument {name!r}{advice}")
        if arguments[name]:
            from cohere_rerank._warn import warn

            warn("return_documents has no effect in v2: result.document is your own object in any case")


def _checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string, got {describe(value)}")
    if not value.strip():
        raise InvalidRequestError(f"{name} must not be empty or only white space, got {describe(value)}")
    return value


def _checked_options(options: Any) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not hasattr(options, "get") or not hasattr(options, "keys"):
        raise InvalidRequestError(f"request_options must be a mapping, got {describe(options)}")
    unknown = sorted(str(key) for key in options.keys() - REQUEST_OPTIONS)
    if unknown:
        raise InvalidRequestError(
            f"request_options has no option {', '.join(unknown)}; the options are {', '.join(sorted(REQUEST_OPTIONS))}"
        )
    return options  # type: ignore[no-any-return]


def _checked_spans(spans: Any) -> dict[str, Any]:
    """Return the wire form of ``relevant_spans``, which is our class, the official class or a mapping."""
    names = ("mode", "threshold", "max_spans")
    given = spans if hasattr(spans, "keys") else {name: getattr(spans, name, None) for name in names}
    mode = getattr(given.get("mode"), "value", given.get("mode"))
    if not isinstance(mode, str):
        raise InvalidRequestError(
            "relevant_spans must be RerankRelevantSpans or a mapping with a mode of 'enabled' or 'disabled', "
            f"got {describe(spans)} without one"
        )
    threshold = number("relevant_spans.threshold", given.get("threshold"))
    if threshold in (float("inf"), float("-inf")):
        raise InvalidRequestError(f"relevant_spans.threshold must be finite, got {threshold}")
    max_spans = whole_number("relevant_spans.max_spans", given.get("max_spans"), 1)
    wire = {**given, "mode": mode, "threshold": threshold, "max_spans": max_spans}
    return {name: value for name, value in wire.items() if value is not None}
