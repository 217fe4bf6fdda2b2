"""Transports that send through httpx's own clients, one client for each process and event loop.

They are used for proxies, and while a tool has replaced a function of httpx (see `originals`).
httpx's connections belong to the event loop that opened them. A forked child must not write to its parent's.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .event_loops import current_loop_token
from .proxies import proxy_for_message, valid_settings
from .tls import new_tls_context


class PlainTransport(httpx.BaseTransport):
    """Send the requests of any number of threads through ``httpx.Client``: HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""

    def __init__(self, *, max_connections: int, proxy: str | None = None, verify: ssl.SSLContext | None = None) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._proxy = proxy
        self._verify = verify
        self._clients: dict[int, httpx.Client] = {}  # by process

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        with _mention_proxy(self._proxy):
            client = self._clients.get(os.getpid())
            if client is None:
                tls = self._verify or new_tls_context()
                options: Any = {"limits": self._limits, "proxy": self._proxy, "verify": tls}
                with valid_settings():
                    client = self._clients.setdefault(os.getpid(), httpx.Client(**options))
            return client.send(request, stream=True)

    def close(self) -> None:
        """Close this process's connections."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


class AsyncPlainTransport(httpx.AsyncBaseTransport):
    """As `PlainTransport`, for any number of event loops. Idle connections are closed when their loop ends."""

    def __init__(self, *, max_connections: int, proxy: str | None = None, verify: ssl.SSLContext | None = None) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._proxy = proxy
        self._verify = verify
        self._clients: dict[Any, httpx.AsyncClient] = {}  # by process and event loop
        self._loop_finalizers: dict[Any, AsyncGenerator[None, None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `PlainTransport.handle_request`."""
        key = os.getpid(), current_loop_token()
        with _mention_proxy(self._proxy):
            client = self._clients.get(key)
            if client is None:
                tls = self._verify or new_tls_context()
                options: Any = {"limits": self._limits, "proxy": self._proxy, "verify": tls}
                with valid_settings():
                    client = self._clients[key] = httpx.AsyncClient(**options)
                finalizer = self._loop_finalizers[key] = self._close_with_loop(key, client)
                await finalizer.__anext__()
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Close this event loop's connections. Those of other loops are closed when their loop ends."""
        finalizer = self._loop_finalizers.get((os.getpid(), current_loop_token()))
        if finalizer is not None:
            await finalizer.aclose()

    async def _close_with_loop(self, key: Any, client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
        """Close the client when its loop ends. A loop closes its async generators before it stops."""
        try:
            yield
        finally:
            self._clients.pop(key, None)
            self._loop_finalizers.pop(key, None)
            is_running = getattr(key[1], "is_running", lambda: True)  # trio closes its generators while it runs
            if is_running():  # a loop of nest_asyncio stops without closing its generators
                await client.aclose()


@contextmanager
def _mention_proxy(proxy: str | None) -> Iterator[None]:
    """Mention the proxy in the error, because users forget what their environment contains."""
    try:
        yield
    except httpx.TransportError as error:
        if name := proxy_for_message(proxy):
            error.args = (f"{error} (through {name})",)
        raise
