"""The only I/O: one request out through httpx, one whole reply back, every failure as one of our errors.

Sync and async share everything but the await. A client made here uses the connection stacks of ``_connections``; one
that the caller brings is used as it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import httpx

from . import _config
from ._body import ACCEPT_ENCODING, Body
from ._http_errors import past, typed
from ._reply import follow
from ._version import __version__
from .errors import ClientClosedError, CohereRerankError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._config import Config
    from ._request import Part
    from ._retry import Deadline

_MAX_REDIRECTS = 5
_LOCAL_URL = "http://local.invalid/v2/rerank"  # never leaves the process; .invalid can be no real host (RFC 2606)
_REDIRECTS = range(300, 400)


class Reply:
    """One whole reply, read and decompressed."""

    __slots__ = ("content", "response")

    def __init__(self, response: httpx.Response, content: bytes) -> None:
        self.response = response
        self.content = content

    def whole_response(self) -> httpx.Response:
        """An ``httpx.Response`` with its content, for those who asked for the raw one."""
        headers = [
            (name, value)
            for name, value in self.response.headers.multi_items()
            if name not in ("content-encoding", "transfer-encoding", "content-length")
        ]
        return httpx.Response(
            self.response.status_code,
            headers=headers,
            content=self.content,
            request=self.response.request,
            extensions={name: value for name, value in self.response.extensions.items() if name != "network_stream"},
        )


class _Http:
    """What both shells share: making the request, its timeouts, and the names of failures."""

    def __init__(self, config: Config, is_foreign: bool) -> None:
        self._is_foreign = is_foreign
        self.is_closed = False
        self._max_connections = config.max_connections

    def _url(self, config: Config) -> str:
        return _LOCAL_URL if config.is_local else _config.rerank_url(config.base_url)

    def _headers(self, config: Config, part: Part, key: str | None) -> dict[str, str]:
        headers = {
            "accept": "*/*",
            "accept-encoding": ACCEPT_ENCODING,
            "content-type": "application/json",
            "user-agent": f"cohere-rerank/{__version__}",
        }
        if config.client_name is not None:
            headers["x-client-name"] = config.client_name
        if key:
            headers["authorization"] = f"Bearer {key}"
        for name, value in part.call.headers.items():
            headers[name.lower()] = str(value)
        return headers

    def _timeouts(self, config: Config, part: Part, left_s: float, own: httpx.Timeout) -> dict[str, float | None]:
        """Seconds for each phase: what was asked for, and never more than is left of the deadline."""
        phase = part.call.timeout_s or config.timeout
        if phase is None and self._is_foreign and config.connect_timeout is None:
            asked = own.as_dict()
        else:
            phase = phase or _config.DEFAULT_TIMEOUT_S
            connect = config.connect_timeout or min(phase, _config.DEFAULT_CONNECT_TIMEOUT_S)
            asked = {"connect": connect, "read": phase, "write": phase, "pool": phase}
        return {name: left_s if value is None else min(value, left_s) for name, value in asked.items()}

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClientClosedError("The client is closed; make a new one, or close it later")

    def _redirected(self, url: str, response: httpx.Response, n_hops: int) -> str | None:
        if response.status_code not in _REDIRECTS or n_hops >= _MAX_REDIRECTS:
            return None
        return follow(url, response.status_code, response.headers.get("location"))


def _extensions(timeouts: Mapping[str, float | None], deadline: Deadline) -> dict[str, Any]:
    # "deadline" is ours: the sync connection stack bounds every single read and write by it.
    return {"timeout": timeouts, "deadline": deadline.left}


class Http(_Http):
    """Sends one request at a time for each thread that calls it."""

    def __init__(self, config: Config, client: httpx.Client | None) -> None:
        super().__init__(config, client is not None)
        if client is not None and not hasattr(client, "build_request"):
            raise InvalidRequestError(f"httpx_client must be an httpx.Client, got {type(client).__name__}")
        self._client = client if client is not None else _new_client(config)

    def send(self, config: Config, part: Part, key: str | None, deadline: Deadline) -> Reply:
        """Send the request and read the whole reply, within the deadline.

        Raises:
            ConnectionFailedError: No complete reply arrived.
            InvalidResponseError: It is too large or cannot be decompressed.
        """
        self._check_open()
        url, n_hops = self._url(config), 0
        while True:
            left_s = _left(deadline)
            with _typed(deadline, self):
                request = self._client.build_request(
                    "POST",
                    url,
                    content=part.content,
                    headers=self._headers(config, part, key),
                    params=part.call.params or None,
                    extensions=_extensions(self._timeouts(config, part, left_s, self._client.timeout), deadline),
                )
                response = self._client.send(request, stream=True, follow_redirects=False)
                try:
                    body = Body(response.headers, response.status_code, config.max_response_bytes)
                    for chunk in response.iter_raw():
                        body.feed(chunk)
                        _left(deadline)
                finally:
                    response.close()
            target = self._redirected(url, response, n_hops)
            if target is None:
                return Reply(response, body.content())
            url, n_hops = target, n_hops + 1

    def close(self) -> None:
        """Close the pool; a client that the caller brought is closed too, as the official one does."""
        self.is_closed = True
        self._client.close()


class AsyncHttp(_Http):
    """Sends one request at a time for each task that calls it."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        super().__init__(config, client is not None)
        if client is not None and not hasattr(client, "build_request"):
            raise InvalidRequestError(f"httpx_client must be an httpx.AsyncClient, got {type(client).__name__}")
        self._client = client if client is not None else _new_async_client(config)

    async def send(self, config: Config, part: Part, key: str | None, deadline: Deadline) -> Reply:
        """As `Http.send`."""
        from anyio import move_on_after

        self._check_open()
        url, n_hops = self._url(config), 0
        while True:
            left_s = _left(deadline)
            with _typed(deadline, self), move_on_after(left_s) as scope:
                request = self._client.build_request(
                    "POST",
                    url,
                    content=part.content,
                    headers=self._headers(config, part, key),
                    params=part.call.params or None,
                    extensions={"timeout": self._timeouts(config, part, left_s, self._client.timeout)},
                )
                response = await self._client.send(request, stream=True, follow_redirects=False)
                try:
                    body = Body(response.headers, response.status_code, config.max_response_bytes)
                    async for chunk in response.aiter_raw():
                        body.feed(chunk)
                finally:
                    await response.aclose()
            if scope.cancelled_caught:
                raise past(deadline)
            target = self._redirected(url, response, n_hops)
            if target is None:
                return Reply(response, body.content())
            url, n_hops = target, n_hops + 1

    async def aclose(self) -> None:
        """As `Http.close`."""
        self.is_closed = True
        await self._client.aclose()


class DefaultAsyncHttpxClient(httpx.AsyncClient):
    """The official client's name for a plain ``httpx.AsyncClient`` with its timeout; keyword arguments go to httpx."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("timeout", _config.DEFAULT_TIMEOUT_S)
        super().__init__(**kwargs)


def DefaultAioHttpClient(**kwargs: Any) -> httpx.AsyncClient:  # noqa: N802 - the official name, a class there
    """An ``httpx.AsyncClient`` that sends through aiohttp: the fastest way at high concurrency.

    ``AsyncClientV2(httpx_client=DefaultAioHttpClient())``; keyword arguments go to httpx.

    Raises:
        ImportError: The extra is not installed.
    """
    try:
        from httpx_aiohttp import HttpxAiohttpClient
    except ImportError:
        raise ImportError('aiohttp is an extra: pip install "cohere-rerank[aiohttp]"') from None
    kwargs.setdefault("timeout", _config.DEFAULT_TIMEOUT_S)
    client: httpx.AsyncClient = HttpxAiohttpClient(**kwargs)
    return client


def _new_client(config: Config) -> httpx.Client:
    if config.is_local:
        from .local.transport import LocalTransport

        return httpx.Client(transport=LocalTransport.from_config(config))
    if getproxies():  # httpx knows how to read them, NO_PROXY too; its own pool does the work then
        limits = httpx.Limits(max_connections=config.max_connections, max_keepalive_connections=20)
        return httpx.Client(limits=limits, timeout=_config.DEFAULT_TIMEOUT_S)
    from ._connections import StackTransport

    return httpx.Client(transport=StackTransport(max_connections=config.max_connections))


def _new_async_client(config: Config) -> httpx.AsyncClient:
    if config.is_local:
        from .local.transport import LocalTransport

        return httpx.AsyncClient(transport=LocalTransport.from_config(config))
    if getproxies():
        limits = httpx.Limits(max_connections=config.max_connections, max_keepalive_connections=20)
        return httpx.AsyncClient(limits=limits, timeout=_config.DEFAULT_TIMEOUT_S)
    from ._connections import AsyncStackTransport

    return httpx.AsyncClient(transport=AsyncStackTransport(max_connections=config.max_connections))


def _left(deadline: Deadline) -> float:
    left_s = deadline.left()
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
    except RuntimeError as error:
        if "closed" in str(error) and http.is_closed:
            raise ClientClosedError("The client was closed while a request was under way") from None
        raise
