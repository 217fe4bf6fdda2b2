"""Send one request, read the whole reply, and raise every failure as one of our errors.

The sync and the async sender share everything but the await. Requests go directly to our transport, which saves a
fifth of the cost of a call. An httpx client that the caller passes is used as it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import httpx

from cohere_rerank._addresses import rerank_url
from cohere_rerank._extras import importing
from cohere_rerank._settings import DEFAULT_CONNECT_TIMEOUT_S, DEFAULT_TIMEOUT_S
from cohere_rerank._version import __version__
from cohere_rerank._wire.contract import FIRST_ERROR, is_redirect
from cohere_rerank._wire.decompress import ACCEPT_ENCODING, BoundedBody
from cohere_rerank._wire.response import redirect_target
from cohere_rerank.errors import ClientClosedError, CohereRerankError, InvalidRequestError

from .errors import certificate_load_error, deadline_exceeded, map_httpx_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from cohere_rerank._clock import Deadline
    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Part

_MAX_REDIRECTS = 5
_LOCAL_URL = "http://local.invalid/v2/rerank"  # never leaves the process; .invalid is never a real host (RFC 2606)
_MIN_KEY_LENGTH = 8  # characters; a shorter key is a placeholder and may be any word of a message
_PHASE_GRACE_S = 0.2  # a phase that times out together with its attempt gives the better error
_MAX_TIMEOUT_S = 86_400.0  # for one phase; sockets accept no timeout above 24 days


class Reply:
    """One whole reply, read and decompressed. Header names are in lower case."""

    __slots__ = ("_response", "content", "headers", "status_code")

    def __init__(self, response: httpx.Response, headers: dict[str, str], content: bytes) -> None:
        self.status_code = response.status_code
        self.headers = headers
        self.content = content
        self._response = response

    def to_httpx_response(self) -> httpx.Response:
        """Return an ``httpx.Response`` with its content, for ``with_raw_response``."""
        about_the_wire = ("content-encoding", "transfer-encoding", "content-length")
        return httpx.Response(
            self.status_code,
            headers=[
                (name, value) for name, value in self._response.headers.multi_items() if name not in about_the_wire
            ],
            content=self.content,
            extensions={name: value for name, value in self._response.extensions.items() if name != "network_stream"},
        )


class _BaseSender:
    """Build requests with their headers and timeouts, and follow redirects, for both senders."""

    def __init__(self, config: Config, client: Any) -> None:
        # CO_API_URL=local: keeps any program off the network, also one that passes its own httpx client.
        self._client: Any = None if config.is_local else client
        self._address: tuple[str, httpx.URL] | None = None  # the last URL, parsed
        self.owns_connections = self._client is None and not config.is_local
        self.is_closed = False

    def _request(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> httpx.Request:
        """Return the request to the client's address, or to the *target* of a redirect, which has its own query."""
        url = target or _url(config, part)
        timeouts = self._timeouts(config, part, remaining_or_raise(deadline))
        # "deadline" is ours: the blocking connection stack bounds every single read and write by it.
        extensions = {"timeout": timeouts, "deadline": deadline.remaining}
        headers = _headers(config, part, key)
        params = None if target else part.call.params or None
        if self._client is not None:
            request: httpx.Request = self._client.build_request(
                "POST", url, content=part.content, headers=headers, params=params, extensions=extensions
            )
            return request
        if self._address is None or self._address[0] != url:
            self._address = (url, httpx.URL(url))
        address = self._address[1]
        head = [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()]
        head.append((b"content-length", b"%d" % len(part.content)))
        if "host" not in headers:
            head.append((b"host", address.netloc))
        stream = httpx.ByteStream(part.content)
        return httpx.Request("POST", address, headers=head, params=params, stream=stream, extensions=extensions)

    def _timeouts(self, config: Config, part: Part, left_s: float) -> dict[str, float | None]:
        """Seconds for each phase: what was asked for, and never more than is remaining_or_raise of the deadline."""
        phase = part.call.timeout_s or config.timeout
        if phase is None and self._client is not None:
            asked = self._client.timeout.as_dict()
        else:
            phase = phase or DEFAULT_TIMEOUT_S
            connect = min(phase, DEFAULT_CONNECT_TIMEOUT_S)
            asked = {"connect": connect, "read": phase, "write": phase, "pool": phase}
        if config.connect_timeout is not None:
            asked["connect"] = config.connect_timeout
        longest = min(left_s, _MAX_TIMEOUT_S)
        return {name: longest if value is None else min(value, longest) for name, value in asked.items()}

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClientClosedError("The client is closed; create a new one, or close it later")
        if self._client is not None and self._client.is_closed:
            raise ClientClosedError("The httpx_client is closed; keep it open while this client is used")

    def _next_hop(self, url: str, reply: Reply, n_hops: int) -> str | None:
        if not is_redirect(reply.status_code) or n_hops >= _MAX_REDIRECTS:
            return None
        target = redirect_target(url, reply.status_code, reply.headers.get("location"))
        try:
            return None if target is None else str(httpx.URL(target))
        except httpx.InvalidURL:  # the server's mistake, not base_url's
            return None


class Sender(_BaseSender):
    """Send one request at a time for each thread that calls it."""

    def __init__(self, config: Config, client: httpx.Client | None) -> None:
        super().__init__(config, client)
        self._transport = None if self._client is not None else _new_transport(config)

    def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """Send the request and read the whole reply, within the deadline.

        Raises:
            ConnectionFailedError: No complete reply came.
            InvalidResponseError: It is too large or cannot be decompressed.
        """
        self._check_open()
        deadline = deadline.for_attempt(part.call.timeout_s or config.timeout)
        target, n_hops = None, 0
        while True:
            with _map_errors(deadline, self):
                request = self._request(config, part, key, target, deadline)
                response = self._dispatch(request)
                try:
                    headers = _lowercase_headers(response)
                    body = BoundedBody(headers, response.status_code, config.max_response_bytes)
                    for chunk in _chunks(response):
                        body.feed(chunk)
                        remaining_or_raise(deadline)
                        if body.is_discarded:
                            break
                finally:
                    response.close()
                reply = Reply(response, headers, _redact_key(body.content(), response, key))
            target = self._next_hop(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    def _dispatch(self, request: httpx.Request) -> httpx.Response:
        if self._transport is not None:
            return self._transport.handle_request(request)
        try:
            response: httpx.Response = self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:  # raised by an event hook; other code decides what the status means
            response = error.response
        return response

    def close(self) -> None:
        """Close the connections. A client that the caller passed is closed too, as the official client does."""
        self.is_closed = True
        (self._transport or self._client).close()


class AsyncSender(_BaseSender):
    """Send one request at a time for each task that calls it."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        super().__init__(config, client)
        self._transport = None if self._client is not None else _new_async_transport(config)

    async def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """As `Sender.send`."""
        from anyio import move_on_after

        self._check_open()
        deadline = deadline.for_attempt(part.call.timeout_s or config.timeout)
        target, n_hops = None, 0
        while True:
            reply = None
            grace_s = 0.0 if deadline.call is None else _PHASE_GRACE_S
            with _map_errors(deadline, self), move_on_after(remaining_or_raise(deadline) + grace_s):
                request = self._request(config, part, key, target, deadline)
                response = await self._dispatch(request)
                try:
                    headers = _lowercase_headers(response)
                    body = BoundedBody(headers, response.status_code, config.max_response_bytes)
                    async for chunk in _async_chunks(response):
                        body.feed(chunk)
                        if body.is_discarded:
                            break
                finally:
                    await response.aclose()
                reply = Reply(response, headers, _redact_key(body.content(), response, key))
            if reply is None:
                raise deadline_exceeded(deadline)
            target = self._next_hop(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    async def _dispatch(self, request: httpx.Request) -> httpx.Response:
        if self._transport is not None:
            return await self._transport.handle_async_request(request)
        try:
            response: httpx.Response = await self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:
            response = error.response
        return response

    async def aclose(self) -> None:
        """As `Sender.close`."""
        self.is_closed = True
        await (self._transport or self._client).aclose()


def _has_proxy() -> bool:
    """Return whether the environment (or the system, on Windows and macOS) sets a proxy. NO_PROXY alone does not."""
    proxies = getproxies()
    return any(scheme in proxies for scheme in ("http", "https", "all"))


def _url(config: Config, part: Part) -> str:
    if config.is_local:
        return _LOCAL_URL
    return rerank_url(config.base_url) if part.dialect is None else part.dialect.url(config.base_url)


def _headers(config: Config, part: Part, key: Secret | None) -> dict[str, str]:
    headers = {
        "accept": "*/*",
        "accept-encoding": ACCEPT_ENCODING,
        "content-type": "application/json",
        "user-agent": f"cohere-rerank/{__version__}",
    }
    if config.client_name is not None:
        headers["x-client-name"] = config.client_name
    if key is not None and key.value:
        headers["authorization"] = f"Bearer {key.value}"
    for name, value in part.call.headers.items():
        headers[name.lower()] = str(value)
    return headers


def _lowercase_headers(response: httpx.Response) -> dict[str, str]:
    # httpx.Headers scans its list for each name. This dict is read several times for each reply.
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    if response.is_stream_consumed:  # an event hook has read and decompressed the body
        headers.pop("content-encoding", None)
    return headers


def _redact_key(content: bytes, response: httpx.Response, key: Secret | None) -> bytes:
    """Return the body without our key, if an error quotes it: its text goes into messages, logs and pickles."""
    if (
        response.status_code < FIRST_ERROR
        or key is None
        or not isinstance(key.value, str)
        or len(key.value) < _MIN_KEY_LENGTH
    ):
        return content
    return content.replace(key.value.encode(), b"[your key]")


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


class DefaultAsyncHttpxClient(httpx.AsyncClient):
    """A plain ``httpx.AsyncClient`` with the official client's name and timeout. Keyword arguments go to httpx."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
        super().__init__(**kwargs)


def DefaultAioHttpClient(**kwargs: Any) -> httpx.AsyncClient:  # noqa: N802 - the official name of a class
    """Return an ``httpx.AsyncClient`` that sends through aiohttp, for programs that already use it.

    ``AsyncClientV2(httpx_client=DefaultAioHttpClient())``; keyword arguments go to httpx.

    Raises:
        ImportError: The extra is not installed.
    """
    with importing("aiohttp", "DefaultAioHttpClient"):
        from httpx_aiohttp import HttpxAiohttpClient
    kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
    client: httpx.AsyncClient = HttpxAiohttpClient(**kwargs)
    return client


def _new_transport(config: Config) -> httpx.BaseTransport:
    if config.is_local:
        from cohere_rerank.local.transport import LocalTransport

        return LocalTransport.from_config(config)
    if _has_proxy():
        from .proxied import ProxiedTransport

        return ProxiedTransport(max_connections=config.max_connections)
    from .pooled import PooledTransport

    return PooledTransport(max_connections=config.max_connections)


def _new_async_transport(config: Config) -> httpx.AsyncBaseTransport:
    if config.is_local:
        from cohere_rerank.local.transport import LocalTransport

        return LocalTransport.from_config(config)
    if _has_proxy():
        from .proxied import AsyncProxiedTransport

        return AsyncProxiedTransport(max_connections=config.max_connections)
    from .pooled import AsyncPooledTransport

    return AsyncPooledTransport(max_connections=config.max_connections)


def remaining_or_raise(deadline: Deadline) -> float:
    """Seconds remaining_or_raise.

    Raises:
        CallDeadlineExceeded: None are.
    """
    left_s = deadline.remaining()
    if left_s <= 0:
        raise deadline_exceeded(deadline)
    return left_s


@contextmanager
def _map_errors(deadline: Deadline, http: _BaseSender) -> Iterator[None]:
    """Raise the errors of this package in place of httpx's. They are httpx errors too."""
    try:
        yield
    except CohereRerankError:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        # The frames below contain the request's headers, and debuggers print local variables.
        raise map_httpx_error(error, deadline) from error.with_traceback(None)
    except OSError as error:
        if http.owns_connections:  # whose own failures are httpx's: only their TLS settings are remaining_or_raise
            raise certificate_load_error(error) from None
        raise  # raised by a hook or a scorer
    except ImportError as error:
        if "socksio" in str(error):
            raise InvalidRequestError(
                'the environment sets a SOCKS proxy: pip install "httpx[socks]", or unset ALL_PROXY'
            ) from None
        raise
    except RuntimeError as error:
        if "closed" in str(error) and http.is_closed:
            raise ClientClosedError("The client was closed while a request was in flight") from None
        raise
