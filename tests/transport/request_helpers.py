"""Requests for the tests of the transport, and ports that never answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport

LATE_S = 2.0  # what came after this did not end on time
# Trio warns when a request's body is dropped between two of its pieces; that generator is httpx's.
ignore_httpx_body = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


def rerank_request(url: str, query: str = "q", content: bytes | None = None, **limits: Any) -> httpx.Request:
    """A request to rerank; ``deadline`` is a function, other limits are httpx's timeouts."""
    deadline = {"deadline": limits.pop("deadline")} if "deadline" in limits else {}
    extensions = {"timeout": limits, **deadline}
    url = f"{url}/v2/rerank"
    if content is not None:
        return httpx.Request("POST", url, content=content, extensions=extensions)
    body = {"model": "m", "query": query, "documents": ["a", "b"]}
    return httpx.Request("POST", url, json=body, extensions=extensions)


def send(transport: PooledTransport, *args: Any, **limits: Any) -> httpx.Response:
    response = transport.handle_request(rerank_request(*args, **limits))
    response.read()
    response.close()
    return response


async def send_async(transport: AsyncPooledTransport, *args: Any, **limits: Any) -> httpx.Response:
    response = await transport.handle_async_request(rerank_request(*args, **limits))
    try:
        await response.aread()
    finally:
        await response.aclose()
    return response


async def send_concurrently(transport: AsyncPooledTransport, url: str, n: int) -> None:
    async with anyio.create_task_group() as tasks:
        for i in range(n):
            tasks.start_soon(send_async, transport, url, str(i))


def left(seconds: float) -> Callable[[], float]:
    ends_s = time.monotonic() + seconds
    return lambda: ends_s - time.monotonic()


@contextmanager
def in_time() -> Iterator[None]:
    start_s = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - start_s < LATE_S


@contextmanager
def silent_port(backlog: int = 8) -> Iterator[tuple[str, socket.socket]]:
    """A port that accepts connections but never reads or answers."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", sock
