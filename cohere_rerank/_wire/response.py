"""Reply bytes to a response or a typed error, and several parts' responses to one: pure, no I/O, no httpx."""

from __future__ import annotations

from cohere_rerank.errors import (
    InvalidResponseError,
    QuotaExceededError,
    RedirectError,
    error_from_response,
    request_id,
)

from .contract import FIRST_ERROR, FIRST_REDIRECT, TOO_MANY_REQUESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from cohere_rerank.errors import ApiError, CohereRerankError
    from cohere_rerank.types import V2RerankResponse

    from .call import Call, Part


def decode(part: Part, status: int, headers: Mapping[str, str], content: bytes, now: float) -> V2RerankResponse:
    """The response in a reply, its indices counted from the part's first document.

    Args:
        headers: Names in lower case.
        now: Seconds since the epoch, for hints that hold a date.

    Raises:
        ApiError: The status is an error; one class per status.
        InvalidResponseError: The status is a success but the reply breaks the contract.
    """
    if status >= FIRST_REDIRECT:
        raise _error(status, headers, content, now)
    from pydantic import ValidationError

    from cohere_rerank.types import parse_response

    try:
        if part.dialect is not None:
            content = _translated(content, part)
        response = parse_response(content.removeprefix(b"\xef\xbb\xbf"))  # a mark that some servers put before UTF-8
    except ValidationError as error:
        raise _invalid(_summary(error, content), status, headers, content) from None
    except (RecursionError, UnicodeDecodeError) as error:
        raise _invalid(type(error).__name__, status, headers, content) from None
    problem = _put_in_order(response, part)
    if problem:
        raise _invalid(problem, status, headers, content)
    return response


def _translated(content: bytes, part: Part) -> bytes:
    from .dialects import translated

    try:
        return translated(content, part)
    except ValueError:  # no JSON, which parsing is about to say better
        return content


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


def _invalid(problem: str, status: int, headers: Mapping[str, str], content: bytes) -> InvalidResponseError:
    error = InvalidResponseError(
        f"The reply breaks the rerank contract: {problem}", status_code=status, headers=headers
    )
    error.request_id = request_id(headers, _error_body(content))
    return error


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
    from .retry_after import retry_after_s

    if status < FIRST_ERROR:
        return _redirect_error(status, headers)
    error = error_from_response(status, headers, _error_body(content))
    error.retry_after = retry_after_s(headers, now)
    return error


def is_monthly_quota(content: bytes) -> bool:
    """Whether a 429 is about the month's quota and not about a minute's limit."""
    return isinstance(error_from_response(TOO_MANY_REQUESTS, {}, _error_body(content)), QuotaExceededError)


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

    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
        same = (here.scheme, here.hostname, _port(here)) == (there.scheme, there.hostname, _port(there))
    except ValueError:  # a port that is no number, an IPv6 address that is none
        return None
    return target if same and there.username is None else None


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def answer(call: Call, parts: Sequence[Part], responses: Iterable[V2RerankResponse]) -> V2RerankResponse:
    """One response for the call: the parts' results merged, sorted, cut, with the caller's documents attached."""
    from cohere_rerank.types import attach

    responses = list(responses)
    response = responses[0] if len(responses) == 1 else _merged(call, parts, responses)
    attach(response, call.documents, call.texts)
    return response if call.min_score is None else response.filter(min_score=call.min_score)


def empty_answer(call: Call) -> V2RerankResponse:
    """What no documents rank to; nothing is sent for them."""
    from cohere_rerank.types import V2RerankResponse, attach

    return attach(V2RerankResponse(results=[]), call.documents, call.texts)


def _merged(call: Call, parts: Sequence[Part], responses: Sequence[V2RerankResponse]) -> V2RerankResponse:
    from cohere_rerank._result_base import replaced

    results = [
        replaced(item, index=item.index + part.start)
        for part, response in zip(parts, responses)
        for item in response.results
    ]
    results.sort(key=lambda item: (-item.relevance_score, item.index))
    meta = merged_meta([response.meta for response in responses])
    merged: V2RerankResponse = replaced(responses[0], results=results[: call.top_n], meta=meta)
    return on_one_scale(merged, (response.score_scale for response in responses))


def on_one_scale(response: V2RerankResponse, scales: Iterable[str | None]) -> V2RerankResponse:
    """The response, with the scale of what it was made of: one part of logits makes it an answer of logits."""
    from cohere_rerank._result_base import replaced

    known = {scale for scale in scales if scale is not None}
    if not known:
        return response
    scaled: V2RerankResponse = replaced(response, score_scale="logit" if "logit" in known else min(known))
    return scaled


def merged_meta(metas: Sequence[Any]) -> Any:
    """Billed units and token counts summed, warnings joined (each once), the rest from the first part."""
    from cohere_rerank._result_base import replaced

    metas = [meta for meta in metas if meta is not None]
    if not metas:
        return None
    warnings = dict.fromkeys(warning for meta in metas for warning in meta.warnings or ())
    return replaced(
        metas[0],
        billed_units=_summed([meta.billed_units for meta in metas]),
        tokens=_summed([meta.tokens for meta in metas]),
        cached_tokens=_total(meta.cached_tokens for meta in metas),
        warnings=list(warnings) or None,
    )


def _summed(counts: Sequence[Any]) -> Any:
    from dataclasses import fields

    from cohere_rerank._result_base import replaced

    counts = [count for count in counts if count is not None]
    if not counts:
        return None
    declared = [field.name for field in fields(counts[0])]
    names = dict.fromkeys(name for count in counts for name in (*declared, *vars(count)))  # units yet unknown too
    totals = {name: _total(getattr(count, name, None) for count in counts) for name in names}
    return replaced(counts[0], **{name: total for name, total in totals.items() if total is not None})


def _total(values: Iterator[Any]) -> float | None:
    known = [value for value in values if isinstance(value, (int, float))]
    return sum(known) if known else None
