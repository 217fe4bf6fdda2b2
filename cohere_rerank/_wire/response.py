"""Turn the bytes of a reply into a response or a typed error, and merge the responses of several parts. Pure."""

from __future__ import annotations

from operator import attrgetter, gt

from pydantic_core import ValidationError

from cohere_rerank._error_bodies import server_message
from cohere_rerank._result_base import replace
from cohere_rerank.errors import (
    InvalidResponseError,
    QuotaExceededError,
    RedirectError,
    error_from_response,
)
from cohere_rerank.types.meta import ApiMeta
from cohere_rerank.types.parsing import attach, parse_response, set_index, set_score_scale
from cohere_rerank.types.response import V2RerankResponse

from .contract import FIRST_ERROR, FIRST_REDIRECT, MAX_DOCUMENTS, TOO_MANY_REQUESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from cohere_rerank.errors import ApiError, CohereRerankError
    from cohere_rerank.types import ScoreScale

    from .call import Call, Part
    from .dialects import BaseDialect

_MANY_ERRORS = 1000  # describing each of them would need much memory
_TOLERANCE = 1e-3  # servers that compute in half precision send 1.0005
_MAX_NAME_CHARS = 60  # of a field's name in a message
_index_of, _score_of = attrgetter("index"), attrgetter("relevance_score")


def _unchanged(value: Any) -> Any:
    return value


def decode(
    part: Part,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    now: float,
    hide: Callable[[Any], Any] = _unchanged,
) -> V2RerankResponse:
    """Return the response in a reply. Its indices count from the part's first document.

    Args:
        headers: Names in lower case.
        now: Seconds since the epoch, for hints that contain a date.
        hide: Removes the key from the headers and the parsed body of an error, before anything else reads them.

    Raises:
        ApiError: The status is an error. Each status has its class.
        InvalidResponseError: The status is a success, but the reply breaks the contract.
    """
    if status >= FIRST_REDIRECT:
        raise _error(part.dialect, status, hide(headers), _parsed(content, hide), now)
    response, problem = _read(part, content, headers)
    if response is None:
        body = _parsed(content, hide)
        if part.dialect is None and _is_of_another_dialect(body):
            problem += '; this is the form of another kind of server: pass dialect="auto"'
        raise _invalid_response(problem, status, hide(headers), body)
    return response


def _read(part: Part, content: bytes, headers: Mapping[str, str]) -> tuple[V2RerankResponse | None, str]:
    """Return the response, or None and what is wrong with the reply."""
    content = _as_utf8(content)
    try:
        if part.dialect is not None:
            content = _to_v2_reply(content, headers, part)
        try:
            response = parse_response(content)
        except ValidationError as error:
            if not _is_about_an_index(error):
                raise
            response = parse_response(_with_whole_indices(content))
        # A dialect adds the scale, which is not part of a dump.
        set_score_scale(response, None if part.dialect is None else vars(response).pop("score_scale", None))
    except ValidationError as error:
        return None, _describe_invalid(error, content)
    except (RecursionError, UnicodeDecodeError) as error:
        return None, type(error).__name__
    problem = _check_and_sort(response, part)
    return (response, "") if problem is None else (None, problem)


def _as_utf8(content: bytes) -> bytes:
    """Return JSON in UTF-8, without a byte order mark. The official client reads UTF-16 and UTF-32 too."""
    if content[:1] == b"{" and content[1:2] != b"\0":
        return content
    from json import detect_encoding

    encoding = detect_encoding(content)
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeError:
        return content


def _to_v2_reply(content: bytes, headers: Mapping[str, str], part: Part) -> bytes:
    assert part.dialect is not None
    try:
        return part.dialect.to_v2(content, headers, part.top_n)
    except ValueError:  # not JSON; parsing raises the better error
        return content


def _is_about_an_index(error: ValidationError) -> bool:
    return error.error_count() < _MANY_ERRORS and all(one["loc"][-1:] == ("index",) for one in error.errors())


def _with_whole_indices(content: bytes) -> bytes:
    """Write indices such as 0.0 and "0" as 0. Some servers compute them as floats, or send them as texts."""
    from pydantic_core import from_json, to_json

    reply = from_json(content)
    for item in reply["results"]:
        index: Any = item.get("index") if isinstance(item, dict) else None
        is_whole = isinstance(index, float) and index.is_integer()
        if (is_whole or (isinstance(index, str) and index.isdecimal())) and float(index) < MAX_DOCUMENTS:
            item["index"] = int(index)
    return to_json(reply)


def _check_and_sort(response: V2RerankResponse, part: Part) -> str | None:
    """Sort the results, best first and ties by index, and cut them to top_n. Return what is wrong, or None."""
    results = response.results
    n_expected, top_n = part.n_documents, part.call.body.get("top_n")
    indices = set(map(_index_of, results))
    if indices and max(indices) >= n_expected:
        return f"index {max(indices)!s:.20} is out of range for {n_expected} documents"
    if len(indices) < len(results):
        return "an index appears twice in the results"
    scores = list(map(_score_of, results))
    if not all(map(gt, scores, scores[1:])):
        _sort(results)
    if top_n is not None:
        del results[top_n:]  # some servers ignore top_n
        n_expected = min(top_n, n_expected)
    if len(results) < n_expected:
        if part.call.is_strict:
            problem = f"{len(results)} results came where {n_expected} belong"
            return f"{problem}; strict=False accepts a partial response"
        object.__setattr__(response, "_is_partial", True)
    return None


def _sort(results: list[Any]) -> None:
    """Sort results, best first and ties by index. Two sorts by one value are faster than one by two."""
    results.sort(key=_index_of)
    results.sort(key=_score_of, reverse=True)


def _invalid_response(problem: str, status: int, headers: Mapping[str, str], body: Any) -> InvalidResponseError:
    text = server_message(body) if isinstance(body, dict) or _is_prose(body) else None
    what = f"The server answered {status} with an error: {text}" if text else "The reply breaks the rerank contract"
    return InvalidResponseError(f"{what} ({problem})", status_code=status, headers=headers, body=body)


def _is_of_another_dialect(body: Any) -> bool:
    """Return whether a body may be the ranking of a server that is not Cohere's."""
    results = body.get("data") if isinstance(body, dict) else body
    return isinstance(results, list) and any(isinstance(item, dict) and "index" in item for item in results[:1])


def _is_prose(body: Any) -> bool:
    """Return whether a body is text for people, and not a broken form of something else."""
    if not isinstance(body, str) or not body.lstrip()[:1].isalpha():
        return False
    return "{" not in body and all(map(str.isprintable, body[:1000].split()))


def _describe_invalid(error: ValidationError, content: bytes) -> str:
    """Describe the first error that pydantic found, without values of the reply, which may contain documents."""
    if content.lstrip()[:1] == b"<":
        return "an HTML page came instead of JSON; check base_url (cohere-rerank doctor helps)"
    if error.error_count() >= _MANY_ERRORS:
        return f"{error.error_count()} values have the wrong type"
    details = error.errors(include_url=False, include_context=False, include_input=False)
    first = details[0]
    where = ".".join(str(step)[:_MAX_NAME_CHARS] for step in first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{where}: {first['msg']}{more}" if where else f"{first['msg']}{more}"


def _error(dialect: BaseDialect | None, status: int, headers: Mapping[str, str], body: Any, now: float) -> ApiError:
    from .retry_after import retry_after_s

    if status < FIRST_ERROR:
        return _redirect_error(status, headers, body)
    error = (error_from_response if dialect is None else dialect.error)(status, headers, body)
    error.retry_after = retry_after_s(status, headers, now)
    return error


def is_quota_error(content: bytes) -> bool:
    """Return whether a 429 is about the used-up quota of a month or a day and not about a short limit."""
    return isinstance(error_from_response(TOO_MANY_REQUESTS, {}, _parsed(content)), QuotaExceededError)


def _parsed(content: bytes, hide: Callable[[Any], Any] = _unchanged) -> Any:
    """Return a body as parsed JSON, else as text, without the key."""
    from pydantic_core import from_json

    try:
        body = from_json(_as_utf8(content))
    except (ValueError, RecursionError):
        body = content.decode("utf-8", "replace")
    return hide(body)


def _redirect_error(status: int, headers: Mapping[str, str], body: Any) -> RedirectError:
    location = headers.get("location")
    error = RedirectError(status_code=status, headers=headers, body=body)
    error.location = location
    error.message = (
        f"The server answered {status} and redirects to {(location or 'nowhere')[:200]!r}. Only 307 and 308 within "
        "the same origin are followed, so that the key and the documents go to no other server; check base_url"
    )
    return error


def tag_with_part(error: CohereRerankError, part: Part) -> None:
    """Write on an error which documents it is about, if they are not all of the call's."""
    if part.n_documents < len(part.call.texts):
        error.part = repr(part)


def redirect_target(url: str, status: int, location: str | None) -> str | None:
    """Return where to send a redirected request again, with its body and method; None if that is not safe."""
    if status not in (307, 308) or not location:
        return None
    from urllib.parse import urljoin, urlsplit

    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
        same = (here.scheme, here.hostname, _port(here)) == (there.scheme, there.hostname, _port(there))
    except ValueError:  # a port that is not a number, or a broken IPv6 address
        return None
    return target if same and there.username is None else None


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def build_response(call: Call, parts: Sequence[Part], responses: Iterable[V2RerankResponse]) -> V2RerankResponse:
    """Merge, sort and cut the results of all parts, and attach the caller's documents. It changes the responses.

    Args:
        call: The call.
        parts: Its parts, in the order of its documents.
        responses: Their responses, as `decode` returns them.
    """
    responses = list(responses)
    response = responses[0] if len(responses) == 1 else _merge(call, parts, responses)
    attach(response, call.documents, call.texts, call.indices)
    return response if call.min_score is None else response.filter(min_score=call.min_score)


def empty_response(call: Call) -> V2RerankResponse:
    """Return the response for a call without documents. Nothing is sent for it."""
    return attach(V2RerankResponse(results=[]), call.documents, call.texts, call.indices)


def _merge(call: Call, parts: Sequence[Part], responses: Sequence[V2RerankResponse]) -> V2RerankResponse:
    results: list[Any] = []
    for part, response in zip(parts, responses):
        if start := part.start:
            for item in response.results:  # no caller has seen them, so they can still be changed
                set_index(item, item.index + start)
        results += response.results
    results.sort(key=_score_of, reverse=True)  # each part is sorted, and so ties stay in the order of the indices
    meta = merge_meta([response.meta for response in responses])
    merged: V2RerankResponse = replace(responses[0], results=results[: call.top_n], meta=meta)
    if any(response.is_partial for response in responses):
        object.__setattr__(merged, "_is_partial", True)
    return with_common_scale(merged, (response.score_scale for response in responses))


def with_common_scale(response: V2RerankResponse, scales: Iterable[str | None]) -> V2RerankResponse:
    """Return the response with the score scale of its parts. If one part has logits, the response has logits."""
    known = set(scales)
    scale = "logit" if "logit" in known else None if None in known else "unit" if known else response.score_scale
    return with_scale(response, scale)


def with_scale(response: V2RerankResponse, scale: str | None) -> V2RerankResponse:
    """Set the scale of a response that no caller has seen yet."""
    set_score_scale(response, scale)
    return response


def scale_of(response: V2RerankResponse) -> ScoreScale | None:
    """Return the scale that a sorted response shows or states, or None.

    A score outside [0, 1] is a logit. Scores inside may be either.
    """
    results = response.results
    if results and (results[0].relevance_score > 1 + _TOLERANCE or results[-1].relevance_score < -_TOLERANCE):
        return "logit"
    return response.score_scale


def merge_meta(metas: Sequence[ApiMeta | None]) -> ApiMeta | None:
    """Add up billed units and token counts, join the warnings (each once), and take the rest from the first part."""
    known = [meta for meta in metas if meta is not None]
    if not known:
        return None
    warnings = dict.fromkeys(warning for meta in known for warning in meta.warnings or ())
    merged: ApiMeta = replace(
        known[0],
        billed_units=_sum_counts([meta.billed_units for meta in known]),
        tokens=_sum_counts([meta.tokens for meta in known]),
        cached_tokens=_sum(meta.cached_tokens for meta in known),
        warnings=list(warnings) or None,
    )
    return merged


def _sum_counts(counts: Sequence[Any]) -> Any:
    counts = [count for count in counts if count is not None]
    if not counts:
        return None
    names = dict.fromkeys(name for count in counts for name in (*count._field_names, *vars(count)))
    totals = {name: _sum(getattr(count, name, None) for count in counts) for name in names}
    return replace(counts[0], **{name: total for name, total in totals.items() if total is not None})


def _sum(values: Iterator[Any]) -> float | None:
    known = [value for value in values if isinstance(value, (int, float))]
    return sum(known) if known else None
