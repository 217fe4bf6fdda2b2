"""httpx transports over a stack of single connections, in place of httpcore's pool.

That pool looks at every connection for every request (encode/httpcore#1035), so it slows down as it grows. Here a
request takes the connection used last and puts it back on top: constant work, and those idle for longest sink to the
bottom, where they are dropped. At the cap requests queue, first come, first served.

HTTP/1.1 only, no proxies; httpx's own transports do those.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpcore
import httpx

from . import sockets
from .pool import AsyncConnection, LoopStack, Origin, SyncConnection, ThreadStack

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


class _Shared:
    """What both transports have: the limits, and one TLS context for all connections."""

    def __init__(self, max_connections: int, keepalive_expiry_s: float, verify: ssl.SSLContext | None) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        if keepalive_expiry_s < 0:
            raise ValueError(f"keepalive_expiry_s must not be negative, got {keepalive_expiry_s}")
        self._n_slots = max_connections
        self._expiry_s = keepalive_expiry_s
        self._tls = verify
        self._tls_lock = threading.Lock()
        _live.add(self)

    def _tls_for(self, origin: Origin) -> ssl.SSLContext | None:
        if origin[0] != b"https":
            return None
        with self._tls_lock:  # a context costs 25 ms and 1 MB: made late, and once
            if self._tls is None:
                self._tls = httpx.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls

    def _after_fork(self) -> None:
        self._tls_lock = threading.Lock()  # the old one may be held by a thread that is not here


_live: weakref.WeakSet[_Shared] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_live):
        transport._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class StackTransport(_Shared, httpx.BaseTransport):
    """Sends the requests of any number of threads over at most *max_connections* connections.

    A request's ``extensions["timeout"]`` bounds each phase as in httpx. ``extensions["deadline"]``, a function that
    returns the seconds left, bounds them all together: queueing, connecting, writing, and reading to the last byte.
    Only the look-up of a host name cannot be bounded. A forked child uses nothing of its parent's.

    Args:
        max_connections: Connections open at once, >= 1.
        keepalive_expiry_s: A connection that idled for longer is not used again; >= 0.
        verify: TLS settings; None makes httpx's own, once they are needed (``SSL_CERT_FILE``, ``SSL_CERT_DIR``).

    Raises:
        httpx.PoolTimeout, httpx.ConnectTimeout, httpx.WriteTimeout, httpx.ReadTimeout: On time, by phase.
        httpx.TransportError: Others of its kind; the reason is the ``__cause__``.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_expiry_s: float = 30.0,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._stack = ThreadStack(max_connections, keepalive_expiry_s)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its connection is free again once the response is closed."""
        core, origin = _core_request(request)
        stack = self._stack
        try:
            connection = stack.take(core.extensions)
            try:
                if connection is None or not stack.can_use(connection, origin):
                    tls = self._tls_for(origin)
                    connection = stack.open(connection, origin, core.extensions, tls)
                connection.stream.deadline = core.extensions.get("deadline")
                response = connection.http.handle_request(core)
                return _httpx_response(response, _Body(request, response.stream, stack, connection))
            except BaseException:
                stack.discard(connection)
                raise
        except _CORE_ERRORS as error:
            raise _as_httpx(error, request) from error

    def close(self) -> None:
        """Close what idles now, and the rest once it is not in use; a later request connects anew."""
        stack, self._stack = self._stack, ThreadStack(self._n_slots, self._expiry_s)
        stack.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        stack, self._stack = self._stack, ThreadStack(self._n_slots, self._expiry_s)
        stack.close_after_fork()


class _Body(httpx.SyncByteStream):
    """A response's body; closing it gives the connection back."""

    def __init__(self, request: httpx.Request, parts: Any, stack: ThreadStack, connection: SyncConnection) -> None:
        self._request = request
        self._parts = parts
        self._stack = stack
        self._connection: SyncConnection | None = connection

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except BaseException as error:
            self.close()
            if isinstance(error, _CORE_ERRORS):
                raise _as_httpx(error, self._request) from error
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            self._parts.close()
        finally:
            self._stack.give(connection)


class AsyncStackTransport(_Shared, httpx.AsyncBaseTransport):
    """As `StackTransport`, for asyncio and trio, with *max_connections* to each event loop.

    Any number of loops may use it, one after another or at once in several threads. What idles is closed when its loop
    ends. There is no deadline here: cancel the task or its scope, and the connection is closed and its slot is free.
    """

    def __init__(
        self,
        *,
        max_connections: int = 100,
        keepalive_expiry_s: float = 30.0,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._stacks: dict[Any, LoopStack] = {}  # by event loop
        self._of_parents: list[dict[Any, LoopStack]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its connection is free again once the response is closed."""
        core, origin = _core_request(request)
        loop = _running_loop()
        stack = self._stacks.get(loop) or await self._new_stack(loop)
        try:
            connection = await stack.take(core.extensions)
            try:
                if connection is None or not stack.can_use(connection, origin):
                    tls = self._tls_for(origin)
                    connection = await stack.open(connection, origin, core.extensions, tls)
                response = await connection.http.handle_async_request(core)
                body = _AsyncBody(request, response.stream, stack, connection)
                return _httpx_response(response, body)
            except BaseException:
                await stack.discard(connection)
                raise
        except _CORE_ERRORS as error:
            raise _as_httpx(error, request) from error

    async def aclose(self) -> None:
        """Close what idles now, and the rest once it is not in use; a later request connects anew."""
        stack = self._stacks.pop(_running_loop(), None)
        if stack is not None:
            await stack.guard.aclose()
        for loop in list(self._stacks):
            if hasattr(loop, "call_soon_threadsafe"):  # another run of trio's closes its own
                self._leave(loop)

    async def _new_stack(self, loop: Any) -> LoopStack:
        for other in list(self._stacks):
            if hasattr(other, "is_closed") and other.is_closed():
                self._leave(other)
        is_asyncio = hasattr(loop, "call_soon_threadsafe")
        connect = sockets.connect_on_loop if is_asyncio else sockets.connect_on_trio
        stack = self._stacks[loop] = LoopStack(self._n_slots, self._expiry_s, connect)
        stack.guard = self._close_with(loop, stack)
        await stack.guard.__anext__()
        return stack

    async def _close_with(self, loop: Any, stack: LoopStack) -> AsyncGenerator[None, None]:
        """Close what idles when the loop ends: a loop closes its async generators before it stops."""
        try:
            yield
        finally:
            if self._stacks.get(loop) is stack:
                del self._stacks[loop]
            await stack.close()

    def _leave(self, loop: Any) -> None:
        """Close what idles on another asyncio loop, from wherever we are."""
        stack = self._stacks.pop(loop, None)
        if stack is None:
            return
        try:
            loop.call_soon_threadsafe(stack.abort)
        except RuntimeError:  # the loop is closed
            stack.bury()

    def _after_fork(self) -> None:
        super()._after_fork()
        # Kept, so that nothing of the parent's loops is touched, not even by the garbage collector.
        self._of_parents.append(self._stacks)
        self._stacks = {}


class _AsyncBody(httpx.AsyncByteStream):
    """As `_Body`."""

    def __init__(self, request: httpx.Request, parts: Any, stack: LoopStack, connection: AsyncConnection) -> None:
        self._request = request
        self._parts = parts
        self._stack = stack
        self._connection: AsyncConnection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts:
                yield part
        except BaseException as error:
            await self.aclose()
            if isinstance(error, _CORE_ERRORS):
                raise _as_httpx(error, self._request) from error
            raise

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await self._parts.aclose()
        except BaseException:
            await self._stack.discard(connection)
            raise
        await self._stack.give(connection)


def _running_loop() -> Any:
    """What tells one event loop from another: asyncio's loop, or the token of trio's run."""
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
    core.headers = request.headers.raw  # bytes already; the constructor would check each
    return core, origin


def _httpx_response(response: httpcore.Response, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)


def _as_httpx(error: BaseException, request: httpx.Request) -> httpx.TransportError:
    return _HTTPX_ERRORS[type(error)](str(error), request=request)
