"""Send one request through httpx: a client that the caller brings, a proxy, or while a tool replaces its functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import httpx

from cohere_rerank._settings import Signer
from cohere_rerank._wire.decompress import BoundedBody

from .errors import is_status_error, remaining_or_raise
from .reply import Reply
from .request_head import MAX_TIMEOUT_S, merged_url, phase_timeouts, request_headers, request_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cohere_rerank._clock import Deadline
    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Part


def httpx_request(
    config: Config,
    part: Part,
    key: Secret | None,
    target: str | None,
    client: Any = None,
    extensions: dict[str, Any] | None = None,
) -> httpx.Request:
    """Return the request to the client's address, or to the *target* of a redirect, which has its own query."""
    url = target or request_url(config, part)
    params = None if target else part.call.params or None
    if params and "?" in url:  # httpx would replace the query
        url, params = merged_url(url, params), None
    headers = request_headers(config, part.call, key)
    if client is not None:
        request: httpx.Request = client.build_request(
            "POST", url, content=part.content, headers=headers, params=params, extensions=extensions
        )
        return _finished(request, part, key)
    encoded = {name.encode("ascii"): value.encode("utf-8") for name, value in headers.items()}
    request = httpx.Request("POST", url, content=part.content, headers=encoded, params=params, extensions=extensions)
    return _finished(request, part, key)


def _finished(request: httpx.Request, part: Part, key: Secret | None) -> httpx.Request:
    """Return the request with the headers of its signature, if the key makes one, and with those of the trace."""
    if isinstance(key, Signer):
        url = request.url
        address = f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"
        request.headers.update(key.sign(request.method, address, dict(request.headers), part.content))
    request.headers.update(part.call.trace.headers)
    return request


def send(
    through: Any, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline, limit: int
) -> Reply:
    """Send a request through a client or a transport of httpx, and read the whole reply."""
    response = _dispatch(through, _built(through, config, part, key, target, deadline))
    try:
        headers = _lowercase_headers(response)
        body = BoundedBody(headers, response.status_code, limit)
        for chunk in _chunks(response):
            for _ in body.steps(chunk):
                remaining_or_raise(deadline)
            remaining_or_raise(deadline)
            if body.is_discarded:
                break
    finally:
        response.close()
    return Reply(response, response.status_code, headers, body.content(), key, part.call.headers)


async def send_async(
    through: Any, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline, limit: int
) -> Reply:
    """As `send`, for an asynchronous client or transport. The caller bounds the time."""
    response = await _dispatch_async(through, _built(through, config, part, key, target, deadline))
    try:
        headers = _lowercase_headers(response)
        body = BoundedBody(headers, response.status_code, limit)
        async for chunk in _async_chunks(response):
            for _ in body.steps(chunk):
                await anyio.lowlevel.checkpoint()
            if body.is_discarded:
                break
    finally:
        await response.aclose()
    return Reply(response, response.status_code, headers, body.content(), key, part.call.headers)


def _built(
    through: Any, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
) -> httpx.Request:
    client = through if hasattr(through, "build_request") else None
    timeouts = _timeouts(config, part, client, remaining_or_raise(deadline))
    return httpx_request(config, part, key, target, client, {"timeout": timeouts})


def _timeouts(config: Config, part: Part, client: Any, left_s: float) -> dict[str, float | None]:
    """Return the seconds for each phase: the settings, and never more than remain of the deadline."""
    asked: dict[str, float | None]
    if client is not None and (part.call.timeout_s or config.timeout) is None:
        asked = client.timeout.as_dict()
        if config.connect_timeout is not None:
            asked["connect"] = config.connect_timeout
    else:
        phases = phase_timeouts(config, part.call)
        asked = {name: getattr(phases, name) for name in ("connect", "read", "write", "pool")}
    longest = min(left_s, MAX_TIMEOUT_S)
    return {name: longest if value is None else min(value, longest) for name, value in asked.items()}


def _dispatch(through: Any, request: httpx.Request) -> httpx.Response:
    response: httpx.Response
    if not hasattr(through, "build_request"):
        response = through.handle_request(request)
        return response
    try:
        response = through.send(request, stream=True, follow_redirects=False)
    except Exception as error:
        if not is_status_error(error):
            raise
        response = error.response  # raised by an event hook; other code decides what the status means
    return response


async def _dispatch_async(through: Any, request: httpx.Request) -> httpx.Response:
    response: httpx.Response
    if not hasattr(through, "build_request"):
        response = await through.handle_async_request(request)
        return response
    try:
        response = await through.send(request, stream=True, follow_redirects=False)
    except Exception as error:
        if not is_status_error(error):
            raise
        response = error.response
    return response


def _lowercase_headers(response: httpx.Response) -> dict[str, str]:
    # httpx.Headers scans its list for each name. This dict is read several times for each reply.
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    if response.is_stream_consumed:  # an event hook has read and decompressed the body
        headers.pop("content-encoding", None)
    return headers


def _chunks(response: httpx.Response) -> Iterable[bytes]:
    if response.is_closed:  # an event hook has read it, or raised before it was read
        return [response.content] if response.is_stream_consumed else []
    return response.stream  # type: ignore[return-value] # a blocking client returns blocking streams


async def _async_chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_closed:
        yield response.content if response.is_stream_consumed else b""
        return
    async for chunk in response.stream:  # type: ignore[union-attr]
        yield chunk
