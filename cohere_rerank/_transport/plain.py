"""Transports that send through httpx's own clients, one client for each process and event loop.

They are used for the proxies in the environment, and while a tool has replaced a function of httpx (see `originals`).
httpx's connections belong to the event loop that opened them. A forked child must not write to its parent's.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .pooled import current_loop_token, new_tls_context
from .proxies import has_proxy, valid_settings


class PlainTransport(httpx.BaseTransport):
    """Send the requests of any number of threads through ``httpx.Client``: HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""

    def __init__(self, *, max_connections: int) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._clients: dict[int, httpx.Client] = {}  # by process

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        with _mention_proxy():
            client = self._clients.get(os.getpid())
            if client is None:
                tls = new_tls_context()
                with valid_settings():
                    client = self._clients.setdefault(os.getpid(), httpx.Client(limits=self._limits, verify=tls))
            return client.send(request, stream=True)

    def close(self) -> None:
        """Close this process's connections."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


class AsyncPlainTransport(httpx.AsyncBaseTransport):
    """As `PlainTransport`, for any number of event loops. Idle connections are closed when their loop ends."""

    def __init__(self, *, max_connections: int) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._clients: dict[Any, httpx.AsyncClient] = {}  # by process and event loop
        self._loop_finalizers: dict[Any, AsyncGenerator[None, None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `PlainTransport.handle_request`."""
        key = os.getpid(), current_loop_token()
        with _mention_proxy():
            client = self._clients.get(key)
            if client is None:
                tls = new_tls_context()
                with valid_settings():
                    client = self._clients[key] = httpx.AsyncClient(limits=self._limits, verify=tls)
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
            await client.aclose()


@contextmanager
def _mention_proxy() -> Iterator[None]:
    """Mention the proxy in the error, because users forget what their environment contains."""
    try:
        yield
    except httpx.TransportError as error:
        if has_proxy():
            error.args = (f"{error} (through the proxy from the environment)",)
        raise
