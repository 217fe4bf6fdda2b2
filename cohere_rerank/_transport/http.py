"""Send one request, read the whole reply, and raise every failure as one of our errors.

The sync and the async sender share everything but the await. Requests go directly to our transport, which saves a
fifth of the cost of a call. An httpx client that the caller passes is used as it is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel
import httpx

from cohere_rerank._addresses import rerank_url
from cohere_rerank._extras import importing
from cohere_rerank._settings import DEFAULT_CONNECT_TIMEOUT_S, DEFAULT_TIMEOUT_S
from cohere_rerank._version import __version__
from cohere_rerank._wire.contract import is_redirect
from cohere_rerank._wire.decompress import ACCEPT_ENCODING, BoundedBody
from cohere_rerank._wire.response import redirect_target
from cohere_rerank.errors import ClientClosedError, CohereRerankError, InvalidRequestError

from .errors import (
    Secrets,
    certificate_load_error,
    deadline_exceeded,
    drop_tracebacks,
    hide_secrets_in,
    is_httpx_error,
    is_status_error,
    map_httpx_error,
)
from .originals import ASYNCHRONOUS, BLOCKING
from .proxies import has_proxy, tls_context_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cohere_rerank._clock import Deadline
    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Part

    from .plain import AsyncPlainTransport, PlainTransport

_MAX_REDIRECTS = 5
_MAX_HEAD_BYTES = 128 * 1024  # of a reply, with the informational replies before it
_LOCAL_URL = "http://local.invalid/v2/rerank"  # it is never sent; .invalid is never a real host (RFC 2606)
_PHASE_GRACE_S = 0.2  # a phase that times out together with its attempt gives the better error
_MAX_TIMEOUT_S = 86_400.0  # for one phase; sockets accept no timeout above 24 days


class Reply:
    """One whole reply, read and decompressed. Header names are in lower case."""

    __slots__ = ("_response", "_secrets", "content", "headers", "status_code")

    def __init__(
        self, response: httpx.Response, headers: dict[str, str], content: bytes, secrets: Secrets | None = None
    ) -> None:
        self.status_code = response.status_code
        self.headers = headers
        self.content = content
        self._response = response
        self._secrets = secrets

    def hide(self, value: Any) -> Any:
        """Return a value of this reply without the secrets of its request, wherever the server quotes them."""
        return value if self._secrets is None else self._secrets.hide(value)

    def to_httpx_response(self) -> httpx.Response:
        """Return an ``httpx.Response`` with its content, for ``with_raw_response``. It does not show the key."""
        about_the_wire = ("content-encoding", "transfer-encoding", "content-length")
        return type(self._response)(  # httpx2 has its own class
            self.status_code,
            headers=[
                (name, self.hide(value))
                for name, value in self._response.headers.multi_items()
                if name not in about_the_wire
            ],
            content=self.hide(self.content),
            extensions={name: value for name, value in self._response.extensions.items() if name != "network_stream"},
        )


class _BaseSender:
    """Build requests with their headers and timeouts, and follow redirects, for both senders."""

    def __init__(self, config: Config, client: Any) -> None:
        # CO_API_URL=local: keeps any program off the network, also one that passes its own httpx client.
        self._client: Any = None if config.is_local else client
        self._address: tuple[str, httpx.URL] | None = None  # the last URL, parsed
        self._transport: Any = None
        self.owns_connections = self._client is None and not config.is_local
        self.is_closed = False

    def _request(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline, limit: int
    ) -> httpx.Request:
        """Return the request to the client's address, or to the *target* of a redirect, which has its own query."""
        url = target or _url(config, part)
        timeouts = self._timeouts(config, part, remaining_or_raise(deadline))
        # The last two are for our own connections, which bound each read and write by them.
        extensions = {
            "timeout": timeouts,
            "deadline": deadline.remaining,
            "max_bytes": limit + limit // 4 + _MAX_HEAD_BYTES,
        }
        headers = _headers(config, part, key)
        params = None if target else part.call.params or None
        if params and "?" in url:  # httpx would replace the query
            url, params = str(httpx.URL(url).copy_merge_params(params)), None
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
        """Return the seconds for each phase: the settings, and never more than remain of the deadline."""
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

    def _mapped(
        self, error: Exception, deadline: Deadline, secrets: Secrets, outer: BaseException | None
    ) -> Exception | None:
        """Return the error to raise for one that was raised below; None for one of a hook or a scorer.

        The frames below have headers and bodies in their local variables, which error reporters collect, so their
        tracebacks are dropped. *outer* is an exception that the caller was handling; its traceback is kept.
        """
        if self._transport is not None and not self.owns_connections:
            return None  # local: nothing is sent
        mapped: Exception | None = None
        if isinstance(error, CohereRerankError):
            mapped = error
        elif is_httpx_error(error):
            mapped = map_httpx_error(error, deadline)
            mapped.__cause__ = error
        elif isinstance(error, OSError) and self.owns_connections:
            mapped = certificate_load_error(error)  # failures of connections are httpx errors
        elif isinstance(error, ImportError) and "socksio" in str(error):
            mapped = InvalidRequestError(
                'a SOCKS proxy, of proxy= or the environment, needs a package: pip install "httpx[socks]"'
            )
        elif isinstance(error, RuntimeError) and "closed" in str(error) and self.is_closed:
            mapped = ClientClosedError("The client was closed while a request was in flight")
        if mapped is not None:
            drop_tracebacks(error, outer)
            hide_secrets_in(mapped, secrets)
        return mapped

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
        self._plain: PlainTransport | None = None  # while a tool has replaced a function of httpx

    def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """Send the request and read the whole reply, within the deadline.

        Raises:
            ConnectionFailedError: No complete reply came.
            InvalidResponseError: The reply is too large or cannot be decompressed.
        """
        self._check_open()
        deadline = deadline.for_attempt(part.call.timeout_s or config.timeout)
        outer = sys.exc_info()[1]
        target, n_hops = None, 0
        while True:
            try:
                reply = self._exchange(config, part, key, target, deadline)
            except Exception as error:
                mapped = self._mapped(error, deadline, Secrets(key, part.call.headers), outer)
                if mapped is None:
                    raise
                raise mapped from mapped.__cause__
            target = self._next_hop(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    def _exchange(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> Reply:
        limit = config.max_response_bytes or part.max_reply_bytes
        request = self._request(config, part, key, target, deadline, limit)
        response = self._dispatch(config, request)
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
        return Reply(response, headers, body.content(), Secrets(key, part.call.headers))

    def _dispatch(self, config: Config, request: httpx.Request) -> httpx.Response:
        transport = self._transport
        if transport is not None:
            if self.owns_connections and not BLOCKING.are_in_place():
                transport = self._plain_transport(config)
            return cast("httpx.Response", transport.handle_request(request))
        try:
            response: httpx.Response = self._client.send(request, stream=True, follow_redirects=False)
        except Exception as error:
            if not is_status_error(error):
                raise
            response = error.response  # raised by an event hook; other code decides what the status means
        return response

    def _plain_transport(self, config: Config) -> PlainTransport:
        if self._plain is None:
            self._plain = _new_plain_transport(config)
        return self._plain

    def close(self) -> None:
        """Close the connections. A client that the caller passed is closed too, as the official client does."""
        self.is_closed = True
        if self._plain is not None:
            self._plain.close()
        (self._transport or self._client).close()


class AsyncSender(_BaseSender):
    """Send one request at a time for each task that calls it."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        super().__init__(config, client)
        self._transport = None if self._client is not None else _new_async_transport(config)
        self._plain: AsyncPlainTransport | None = None

    async def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """As `Sender.send`."""
        from anyio import move_on_after

        self._check_open()
        deadline = deadline.for_attempt(part.call.timeout_s or config.timeout)
        outer = sys.exc_info()[1]
        target, n_hops = None, 0
        while True:
            reply = None
            grace_s = 0.0 if deadline.call is None else _PHASE_GRACE_S
            try:
                with move_on_after(remaining_or_raise(deadline) + grace_s):
                    reply = await self._exchange(config, part, key, target, deadline)
            except Exception as error:
                mapped = self._mapped(error, deadline, Secrets(key, part.call.headers), outer)
                if mapped is None:
                    raise
                raise mapped from mapped.__cause__
            if reply is None:
                raise deadline_exceeded(deadline)
            target = self._next_hop(target or _url(config, part), reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    async def _exchange(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> Reply:
        limit = config.max_response_bytes or part.max_reply_bytes
        request = self._request(config, part, key, target, deadline, limit)
        response = await self._dispatch(config, request)
        try:
            headers = _lowercase_headers(response)
            body = BoundedBody(headers, response.status_code, limit)
            async for chunk in _async_chunks(response):
                for _ in body.steps(chunk):
                    await _let_others_run()
                if body.is_discarded:
                    break
        finally:
            await response.aclose()
        return Reply(response, headers, body.content(), Secrets(key, part.call.headers))

    async def _dispatch(self, config: Config, request: httpx.Request) -> httpx.Response:
        transport = self._transport
        if transport is not None:
            if self.owns_connections and not ASYNCHRONOUS.are_in_place():
                transport = self._plain_transport(config)
            return cast("httpx.Response", await transport.handle_async_request(request))
        try:
            response: httpx.Response = await self._client.send(request, stream=True, follow_redirects=False)
        except Exception as error:
            if not is_status_error(error):
                raise
            response = error.response
        return response

    def _plain_transport(self, config: Config) -> AsyncPlainTransport:
        if self._plain is None:
            self._plain = _new_async_plain_transport(config)
        return self._plain

    async def aclose(self) -> None:
        """As `Sender.close`."""
        self.is_closed = True
        if self._plain is not None:
            await self._plain.aclose()
        await (self._transport or self._client).aclose()


async def _let_others_run() -> None:

    await anyio.lowlevel.checkpoint()


def _url(config: Config, part: Part) -> str:
    if config.is_local:
        return _LOCAL_URL
    if config.rerank_url is not None:
        return config.rerank_url
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
    """A plain ``httpx.AsyncClient`` with the official client's name and timeout. It takes the arguments of httpx."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
        super().__init__(**kwargs)


def DefaultAioHttpClient(**kwargs: Any) -> httpx.AsyncClient:  # noqa: N802 - the official name of a class
    """Return an ``httpx.AsyncClient`` that sends through aiohttp, for programs that already use it.

    Use it as ``AsyncClientV2(httpx_client=DefaultAioHttpClient())``. Keyword arguments are those of httpx.

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
    if config.proxy is not None or has_proxy():
        return _new_plain_transport(config)
    from .pooled import PooledTransport

    return PooledTransport(max_connections=config.max_connections, verify=tls_context_of(config))


def _new_plain_transport(config: Config) -> PlainTransport:
    from .plain import PlainTransport

    return PlainTransport(max_connections=config.max_connections, proxy=config.proxy, verify=tls_context_of(config))


def _new_async_transport(config: Config) -> httpx.AsyncBaseTransport:
    if config.is_local:
        from cohere_rerank.local.transport import LocalTransport

        return LocalTransport.from_config(config)
    if config.proxy is not None or has_proxy():
        return _new_async_plain_transport(config)
    from .pooled import AsyncPooledTransport

    return AsyncPooledTransport(max_connections=config.max_connections, verify=tls_context_of(config))


def _new_async_plain_transport(config: Config) -> AsyncPlainTransport:
    from .plain import AsyncPlainTransport

    return AsyncPlainTransport(
        max_connections=config.max_connections, proxy=config.proxy, verify=tls_context_of(config)
    )


def remaining_or_raise(deadline: Deadline) -> float:
    """Return the seconds that remain of the deadline.

    Raises:
        CallDeadlineExceeded: No time remains.
    """
    left_s = deadline.remaining()
    if left_s <= 0:
        raise deadline_exceeded(deadline)
    return left_s
