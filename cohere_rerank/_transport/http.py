"""The only I/O: one request out through httpx, one whole reply back, every failure as one of our errors.

Sync and async share everything but the await. Requests go straight to a transport of ours, which spares a fifth of the
cost of a call; an httpx client that the caller brings is used as it is.
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

from .errors import past, typed, unreadable_certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from cohere_rerank._clock import Deadline
    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Part

_MAX_REDIRECTS = 5
_LOCAL_URL = "http://local.invalid/v2/rerank"  # never leaves the process; .invalid can be no real host (RFC 2606)
_KEY_LENGTH = 8  # characters; shorter ones are placeholders, which may be any word of a message
_LONGEST_S = 86_400.0  # for one phase: infinity, and all beyond 24 days, is too long for a socket's timeout


class Reply:
    """One whole reply, read and decompressed. Header names are in lower case."""

    __slots__ = ("_response", "content", "headers", "status_code")

    def __init__(self, response: httpx.Response, headers: dict[str, str], content: bytes) -> None:
        self.status_code = response.status_code
        self.headers = headers
        self.content = content
        self._response = response

    def whole_response(self) -> httpx.Response:
        """An ``httpx.Response`` with its content, for those who asked for the raw one."""
        about_the_wire = ("content-encoding", "transfer-encoding", "content-length")
        return httpx.Response(
            self.status_code,
            headers=[
                (name, value) for name, value in self._response.headers.multi_items() if name not in about_the_wire
            ],
            content=self.content,
            extensions={name: value for name, value in self._response.extensions.items() if name != "network_stream"},
        )


class _Http:
    """What both shells share: the request with its headers and times, the reading of replies, redirects."""

    def __init__(self, config: Config, client: Any) -> None:
        # CO_API_URL=local: takes any program off the network, also one that brings a client of its own.
        self._client: Any = None if config.is_local else client
        self._address: tuple[str, httpx.URL] | None = None  # the last one, parsed
        self.makes_connections = self._client is None and not config.is_local
        self.is_closed = False

    def _request(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> httpx.Request:
        """The request to the client's address, or to the *target* of a redirect, which brings its own query."""
        url = target or _url(config, part)
        timeouts = self._timeouts(config, part, left(deadline))
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
        """Seconds for each phase: what was asked for, and never more than is left of the deadline."""
        phase = part.call.timeout_s or config.timeout
        if phase is None and self._client is not None:
            asked = self._client.timeout.as_dict()
        else:
            phase = phase or DEFAULT_TIMEOUT_S
            connect = min(phase, DEFAULT_CONNECT_TIMEOUT_S)
            asked = {"connect": connect, "read": phase, "write": phase, "pool": phase}
        if config.connect_timeout is not None:
            asked["connect"] = config.connect_timeout
        longest = min(left_s, _LONGEST_S)
        return {name: longest if value is None else min(value, longest) for name, value in asked.items()}

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClientClosedError("The client is closed; make a new one, or close it later")
        if self._client is not None and self._client.is_closed:
            raise ClientClosedError("The httpx_client is closed; keep it open for as long as it is used")

    def _redirected(self, url: str, reply: Reply, n_hops: int) -> str | None:
        if not is_redirect(reply.status_code) or n_hops >= _MAX_REDIRECTS:
            return None
        target = redirect_target(url, reply.status_code, reply.headers.get("location"))
        try:
            return None if target is None else str(httpx.URL(target))
        except httpx.InvalidURL:  # the server's fault, not base_url's: not followed
            return None


class Http(_Http):
    """Sends one request at a time for each thread that calls it."""

    def __init__(self, config: Config, client: httpx.Client | None) -> None:
        super().__init__(config, client)
        self._transport = None if self._client is not None else _new_transport(config)

    def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """Send the request and read the whole reply, within the deadline.

        Raises:
            ConnectionFailedError: No complete reply arrived.
            InvalidResponseError: It is too large or cannot be decompressed.
        """
        self._check_open()
        target, n_hops = None, 0
        while True:
            with _typed(deadline, self):
                request = self._request(config, part, key, target, deadline)
                response = self._sent(request)
                try:
                    headers = _plain(response)
                    body = BoundedBody(headers, response.status_code, config.max_response_bytes)
                    for chunk in _chunks(response):
                        body.feed(chunk)
                        left(deadline)
                        if body.is_discarded:
                            break
                finally:
                    response.close()
                reply = Reply(response, headers, _shown(body.content(), response, key))
            target = self._redirected(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    def _sent(self, request: httpx.Request) -> httpx.Response:
        if self._transport is not None:
            return self._transport.handle_request(request)
        try:
            response: httpx.Response = self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:  # of an event hook; what a status means is decided elsewhere
            response = error.response
        return response

    def close(self) -> None:
        """Close the pool; a client that the caller brought is closed too, as the official one does."""
        self.is_closed = True
        (self._transport or self._client).close()


class AsyncHttp(_Http):
    """Sends one request at a time for each task that calls it."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        super().__init__(config, client)
        self._transport = None if self._client is not None else _new_async_transport(config)

    async def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """As `Http.send`."""
        from anyio import move_on_after

        self._check_open()
        target, n_hops = None, 0
        while True:
            reply = None
            with _typed(deadline, self), move_on_after(left(deadline)):
                request = self._request(config, part, key, target, deadline)
                response = await self._sent(request)
                try:
                    headers = _plain(response)
                    body = BoundedBody(headers, response.status_code, config.max_response_bytes)
                    async for chunk in _async_chunks(response):
                        body.feed(chunk)
                        if body.is_discarded:
                            break
                finally:
                    await response.aclose()
                reply = Reply(response, headers, _shown(body.content(), response, key))
            if reply is None:
                raise past(deadline)
            target = self._redirected(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        if self._transport is not None:
            return await self._transport.handle_async_request(request)
        try:
            response: httpx.Response = await self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:
            response = error.response
        return response

    async def aclose(self) -> None:
        """As `Http.close`."""
        self.is_closed = True
        await (self._transport or self._client).aclose()


def _has_proxy() -> bool:
    """Whether the environment (or the system, on Windows and macOS) names a proxy; NO_PROXY alone names none."""
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


def _plain(response: httpx.Response) -> dict[str, str]:
    # httpx.Headers looks names up by scanning; this dict is read several times for each reply.
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    if response.is_stream_consumed:  # an event hook of the caller's client has read, and decompressed, the body
        headers.pop("content-encoding", None)
    return headers


def _shown(content: bytes, response: httpx.Response, key: Secret | None) -> bytes:
    """The body, without our key where an error quotes it: its text goes into messages, logs and pickles."""
    if (
        response.status_code < FIRST_ERROR
        or key is None
        or not isinstance(key.value, str)
        or len(key.value) < _KEY_LENGTH
    ):
        return content
    return content.replace(key.value.encode(), b"[your key]")


def _chunks(response: httpx.Response) -> Iterable[bytes]:
    if response.is_closed:  # an event hook has read it, or raised before anyone did
        return [response.content] if response.is_stream_consumed else []
    return response.stream  # type: ignore[return-value] # a blocking client gives blocking streams


async def _async_chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_closed:
        yield response.content if response.is_stream_consumed else b""
        return
    async for chunk in response.stream:  # type: ignore[union-attr]
        yield chunk


class DefaultAsyncHttpxClient(httpx.AsyncClient):
    """The official client's name for a plain ``httpx.AsyncClient`` with its timeout; keyword arguments go to httpx."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
        super().__init__(**kwargs)


def DefaultAioHttpClient(**kwargs: Any) -> httpx.AsyncClient:  # noqa: N802 - the official name, a class there
    """An ``httpx.AsyncClient`` that sends through aiohttp, for programs that already do.

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
    from .pooled import StackTransport

    return StackTransport(max_connections=config.max_connections)


def _new_async_transport(config: Config) -> httpx.AsyncBaseTransport:
    if config.is_local:
        from cohere_rerank.local.transport import LocalTransport

        return LocalTransport.from_config(config)
    if _has_proxy():
        from .proxied import AsyncProxiedTransport

        return AsyncProxiedTransport(max_connections=config.max_connections)
    from .pooled import AsyncStackTransport

    return AsyncStackTransport(max_connections=config.max_connections)


def left(deadline: Deadline) -> float:
    """Seconds left.

    Raises:
        CallDeadlineExceeded: None are.
    """
    left_s = deadline.remaining()
    if left_s <= 0:
        raise past(deadline)
    return left_s


@contextmanager
def _typed(deadline: Deadline, http: _Http) -> Iterator[None]:
    """Turn httpx's exceptions into ours, which are httpx's too."""
    try:
        yield
    except CohereRerankError:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        # The frames below hold the request's headers in plain sight, and debuggers print locals.
        raise typed(error, deadline) from error.with_traceback(None)
    except OSError as error:
        if http.makes_connections:  # whose own failures are httpx's: only their TLS settings are left
            raise unreadable_certificates(error) from None
        raise  # of a hook or a scorer
    except ImportError as error:
        if "socksio" in str(error):
            raise InvalidRequestError(
                'the environment names a SOCKS proxy: pip install "httpx[socks]", or unset ALL_PROXY and its like'
            ) from None
        raise
    except RuntimeError as error:
        if "closed" in str(error) and http.is_closed:
            raise ClientClosedError("The client was closed while a request was under way") from None
        raise
