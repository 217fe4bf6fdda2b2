"""httpx transports over our own connection pool, in place of httpcore's pool.

httpcore's pool looks at every connection for every request (encode/httpcore#1035), so it slows down as it grows. Here
a request takes the connection that was used last and puts it back on top, which is constant work. Connections that
were idle for longest are at the bottom and are closed there. If all slots are in use, requests wait in a FIFO queue.

HTTP/1.1 only and no proxies. httpx's own transports do those.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpcore
import httpx

from . import sockets
from .pool import AsyncConnection, AsyncPool, Origin, SyncConnection, SyncPool

_PORTS = {b"http": 80, b"https": 443}
_HTTPX_ERRORS: dict[type[BaseException], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name)
    for name in (
        "ConnectError",
        "ConnectTimeout",
        "LocalProtocolError",
        "PoolTimeout",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "WriteError",
        "WriteTimeout",
    )
}
_CORE_ERRORS = tuple(_HTTPX_ERRORS)


def new_tls_context() -> ssl.SSLContext:
    """Return httpx's TLS settings, with the trusted certificates of SSL_CERT_FILE or SSL_CERT_DIR if one is set.

    Raises:
        OSError: SSL_CERT_FILE cannot be read.
    """
    if path := os.environ.get("SSL_CERT_FILE"):
        # httpx before 0.28 ignores a file that is missing, and trusts certificates that the user did not choose.
        Path(path).open("rb").close()
    return httpx.create_ssl_context()


class _TransportBase:
    """The limits, and one TLS context for all connections."""

    def __init__(self, max_connections: int, keepalive_expiry_s: float, verify: ssl.SSLContext | None) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        if keepalive_expiry_s < 0:
            raise ValueError(f"keepalive_expiry_s must not be negative, got {keepalive_expiry_s}")
        self._max_connections = max_connections
        self._expiry_s = keepalive_expiry_s
        self._tls = verify
        self._tls_lock = threading.Lock()
        _instances.add(self)

    def _tls_for(self, origin: Origin) -> ssl.SSLContext | None:
        if origin[0] != b"https":
            return None
        with self._tls_lock:  # a context costs 25 ms and 1 MB, so it is made once and only if needed
            if self._tls is None:
                self._tls = new_tls_context()
            self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls

    def _after_fork(self) -> None:
        self._tls_lock = threading.Lock()  # a thread that does not exist in the child may hold the old one


_instances: weakref.WeakSet[_TransportBase] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_instances):
        transport._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class PooledTransport(_TransportBase, httpx.BaseTransport):
    """Send the requests of any number of threads over at most *max_connections* connections.

    A request's ``extensions["timeout"]`` bounds each phase as in httpx. ``extensions["deadline"]``, a function that
    returns the remaining seconds, bounds all phases together: waiting, connecting, writing, and reading to the last
    byte. Only the lookup of a host name cannot be bounded. ``extensions["max_bytes"]`` bounds the bytes that are read
    for the request, headers included. A forked child does not use its parent's connections.

    Args:
        max_connections: Connections open at the same time, >= 1. Default: 100.
        keepalive_expiry_s: Seconds, >= 0. A connection that was idle for longer is not used again. Default: 30.
        verify: TLS settings. Default: None, httpx's own (``SSL_CERT_FILE``, ``SSL_CERT_DIR``).

    Raises:
        httpx.PoolTimeout, httpx.ConnectTimeout, httpx.WriteTimeout, httpx.ReadTimeout: A phase took too long.
        httpx.TransportError: The connection failed in another way.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_expiry_s: float = 30.0,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._pool = SyncPool(max_connections, keepalive_expiry_s)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        core, origin = _core_request(request)
        pool = self._pool
        try:
            connection = pool.acquire(core.extensions)
            try:
                if connection is None or not pool.is_reusable(connection, origin):
                    tls = self._tls_for(origin)
                    connection = pool.connect(connection, origin, core.extensions, tls)
                connection.stream.deadline = core.extensions.get("deadline")
                connection.stream.max_bytes = core.extensions.get("max_bytes")
                response = connection.http.handle_request(core)
                return _httpx_response(response, _PooledByteStream(request, response.stream, pool, connection))
            except BaseException:
                pool.discard(connection)
                raise
        except _CORE_ERRORS as error:
            raise _map_error(error, request) from error

    def close(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        pool, self._pool = self._pool, SyncPool(self._max_connections, self._expiry_s)
        pool.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        pool, self._pool = self._pool, SyncPool(self._max_connections, self._expiry_s)
        pool.close_after_fork()


class _PooledByteStream(httpx.SyncByteStream):
    """The body of a response. Closing it releases the connection."""

    def __init__(self, request: httpx.Request, parts: Any, pool: SyncPool, connection: SyncConnection) -> None:
        self._request = request
        self._parts = parts
        self._pool = pool
        self._connection: SyncConnection | None = connection

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except BaseException as error:
            self.close()
            if isinstance(error, _CORE_ERRORS):
                raise _map_error(error, self._request) from error
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            self._parts.close()
        finally:
            self._pool.release(connection)


class AsyncPooledTransport(_TransportBase, httpx.AsyncBaseTransport):
    """As `PooledTransport`, for asyncio and trio, with *max_connections* for each event loop.

    Any number of loops may use it, one after another or at the same time in several threads. Idle connections are
    closed when their loop ends. There is no deadline here: when the task or its scope is cancelled, the connection is
    closed and its slot is free.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_expiry_s: float = 30.0,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._pools: dict[Any, AsyncPool] = {}  # by event loop
        self._inherited: list[dict[Any, AsyncPool]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        core, origin = _core_request(request)
        loop = current_loop_token()
        pool = self._pools.get(loop) or await self._new_pool(loop)
        try:
            connection = await pool.acquire(core.extensions)
            try:
                if connection is None or not pool.is_reusable(connection, origin):
                    tls = self._tls_for(origin)
                    connection = await pool.connect(connection, origin, core.extensions, tls)
                connection.stream.max_bytes = core.extensions.get("max_bytes")
                response = await connection.http.handle_async_request(core)
                body = _AsyncPooledByteStream(request, response.stream, pool, connection)
                return _httpx_response(response, body)
            except BaseException:
                await pool.discard(connection)
                raise
        except _CORE_ERRORS as error:
            raise _map_error(error, request) from error

    async def aclose(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        pool = self._pools.pop(current_loop_token(), None)
        if pool is not None:
            await pool.loop_finalizer.aclose()
        for loop in list(self._pools):
            if hasattr(loop, "call_soon_threadsafe"):  # another run of trio closes its own
                self._close_idle_on(loop)

    async def _new_pool(self, loop: Any) -> AsyncPool:
        for other in list(self._pools):
            if hasattr(other, "is_closed") and other.is_closed():
                self._close_idle_on(other)
        is_asyncio = hasattr(loop, "call_soon_threadsafe")
        connect = sockets.connect_asyncio if is_asyncio else sockets.connect_trio
        pool = self._pools[loop] = AsyncPool(self._max_connections, self._expiry_s, connect)
        pool.loop_finalizer = self._close_with_loop(loop, pool)
        await pool.loop_finalizer.__anext__()
        return pool

    async def _close_with_loop(self, loop: Any, pool: AsyncPool) -> AsyncGenerator[None, None]:
        """Close idle connections when the loop ends. A loop closes its async generators before it stops."""
        try:
            yield
        finally:
            if self._pools.get(loop) is pool:
                del self._pools[loop]
            await pool.close()

    def _close_idle_on(self, loop: Any) -> None:
        """Close the idle connections of another asyncio loop, from any thread."""
        pool = self._pools.pop(loop, None)
        if pool is None:
            return
        try:
            loop.call_soon_threadsafe(pool.abort)
        except RuntimeError:  # the loop is closed
            pool.force_close()

    def _after_fork(self) -> None:
        super()._after_fork()
        # Kept, so that nothing touches the parent's loops, not even the garbage collector.
        self._inherited.append(self._pools)
        self._pools = {}


class _AsyncPooledByteStream(httpx.AsyncByteStream):
    """As `_PooledByteStream`."""

    def __init__(self, request: httpx.Request, parts: Any, pool: AsyncPool, connection: AsyncConnection) -> None:
        self._request = request
        self._parts = parts
        self._pool = pool
        self._connection: AsyncConnection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts:
                yield part
        except BaseException as error:
            await self.aclose()
            if isinstance(error, _CORE_ERRORS):
                raise _map_error(error, self._request) from error
            raise

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await self._parts.aclose()
        except BaseException:
            await self._pool.discard(connection)
            raise
        await self._pool.release(connection)


def current_loop_token() -> Any:
    """Return the identity of the running event loop: asyncio's loop, or the token of trio's run."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if "trio" not in sys.modules:
            raise
        return sys.modules["trio"].lowlevel.current_trio_token()


def _core_request(request: httpx.Request) -> tuple[httpcore.Request, Origin]:
    url = request.url
    scheme = url.raw_scheme
    if scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(
            f"the URL must begin with http:// or https://, got {url.scheme!r}", request=request
        )
    origin = (scheme, url.raw_host, url.port or _PORTS[scheme])
    core = httpcore.Request(
        request.method,
        httpcore.URL(scheme=scheme, host=origin[1], port=origin[2], target=url.raw_path),
        content=request.stream,
        extensions=request.extensions,
    )
    core.headers = request.headers.raw  # these are bytes already; the constructor would check each of them
    return core, origin


def _httpx_response(response: httpcore.Response, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)


def _map_error(error: BaseException, request: httpx.Request) -> httpx.TransportError:
    return _HTTPX_ERRORS[type(error)](str(error), request=request)
