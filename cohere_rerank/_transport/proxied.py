"""Transports for the proxies that the environment names: httpx's own clients, one a process and event loop.

httpx's connections live on the event loop that opened them, and a forked child must not write to its parent's.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from cohere_rerank.errors import InvalidRequestError

from .pooled import _running_loop


class ProxiedTransport(httpx.BaseTransport):
    """Sends the requests of any number of threads as ``httpx.Client`` would: HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""

    def __init__(self, *, max_connections: int) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._clients: dict[int, httpx.Client] = {}  # by process

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its connection is free again once the response is closed."""
        with _blamed():
            client = self._clients.get(os.getpid())
            if client is None:
                client = self._clients.setdefault(os.getpid(), httpx.Client(limits=self._limits))
            return client.send(request, stream=True)

    def close(self) -> None:
        """Close this process's connections."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


class AsyncProxiedTransport(httpx.AsyncBaseTransport):
    """As `ProxiedTransport`, for any number of event loops. What idles is closed when its loop ends."""

    def __init__(self, *, max_connections: int) -> None:
        self._limits = httpx.Limits(max_connections=max_connections)
        self._clients: dict[Any, httpx.AsyncClient] = {}  # by process and event loop
        self._guards: dict[Any, AsyncGenerator[None, None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `ProxiedTransport.handle_request`."""
        key = os.getpid(), _running_loop()
        with _blamed():
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = httpx.AsyncClient(limits=self._limits)
                guard = self._guards[key] = self._close_with_loop(key, client)
                await guard.__anext__()
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Close this event loop's connections; those of others close when their loop ends."""
        guard = self._guards.get((os.getpid(), _running_loop()))
        if guard is not None:
            await guard.aclose()

    async def _close_with_loop(self, key: Any, client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
        """A loop closes its async generators before it stops."""
        try:
            yield
        finally:
            self._clients.pop(key, None)
            self._guards.pop(key, None)
            await client.aclose()


@contextmanager
def _blamed() -> Iterator[None]:
    """Say in what fails that a proxy was in the way: nobody remembers what the environment names."""
    try:
        yield
    except httpx.TransportError as error:
        error.args = (f"{error} (through the proxy that the environment names)",)
        raise
    except ValueError as error:
        raise InvalidRequestError(f"the proxy that the environment names cannot be used: {error}") from None
