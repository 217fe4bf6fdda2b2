"""Each phase ends in time, and so do all together: connecting, writing, reading."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import drip, hang, reply
from tests.transport.request_helpers import ignore_httpx_body, in_time, left, send, send_async, silent_port

SOON_S = 0.25  # a deadline that is meant to pass


@contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts no connection, because its backlog is full."""
    with silent_port(0) as (_, sock):
        port = sock.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("where", ["head", "1xx", "body"])
def test_a_dripping_server_cannot_outlast_the_deadline(server, where):
    """Each read is short, but together they are long. ReadTimeout comes in time, and the connection is closed."""
    server.script(drip(where))
    with PooledTransport(max_connections=1) as transport:
        with pytest.raises(httpx.ReadTimeout), in_time():
            send(transport, server.url, read=60, deadline=left(SOON_S))
        send(transport, server.url, pool=5)
    assert server.n_connections == 2


@pytest.mark.parametrize("where", ["head", "1xx", "body"])
def test_a_scope_ends_a_dripping_server(server, run, where):
    """On an event loop the caller cancels. The connection is closed, and its slot is free."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        with in_time():
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: send_async(transport, server.url, read=60))
                while not server.requests:  # noqa: ASYNC110 - another thread's server
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
        await send_async(transport, server.url, pool=5)
        await transport.aclose()

    server.script(drip(where))
    run(scenario)
    assert server.n_connections == 2


def test_a_silent_server_causes_a_read_timeout(server, run):
    """With a distant deadline, or without one."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        with pytest.raises(httpx.ReadTimeout), in_time():
            await send_async(transport, server.url, read=0.05)
        await send_async(transport, server.url, pool=5)
        await transport.aclose()

    server.script(hang(), reply(200), hang())
    run(scenario)
    with PooledTransport(max_connections=1) as transport:
        with pytest.raises(httpx.ReadTimeout), in_time():
            send(transport, server.url, read=0.05, deadline=lambda: 60.0)
        send(transport, server.url, pool=5)


@ignore_httpx_body
def test_a_server_that_does_not_read_causes_a_write_timeout(run):
    """The kernel accepts a part of the body, and then nothing."""
    body = bytes(20_000_000)

    async def scenario(url):
        transport = AsyncPooledTransport()
        with pytest.raises(httpx.WriteTimeout), in_time():
            await send_async(transport, url, content=body, write=0.05)

    with silent_port() as (url, _), PooledTransport() as transport:
        run(lambda: scenario(url))
        with pytest.raises(httpx.WriteTimeout), in_time():
            send(transport, url, content=body, write=0.05)
        with pytest.raises(httpx.WriteTimeout), in_time():
            send(transport, url, content=body, deadline=left(0.05))


def test_a_server_that_reads_slowly_cannot_outlast_the_deadline():
    """Each send is short, but together they are long."""

    def sip(sock, is_over):
        peer, _ = sock.accept()
        with peer:
            while not is_over.wait(0.005):
                peer.recv(100_000)

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock, PooledTransport() as transport:
        sipping = threading.Thread(target=sip, args=(sock, is_over))
        sipping.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(httpx.WriteTimeout), in_time():
            send(transport, url, content=bytes(60_000_000), write=60, deadline=left(2 * SOON_S))
        is_over.set()
        sipping.join()


def test_connecting_ends_on_time(run):
    """Also if TCP connects and TLS never answers."""

    async def scenario(url):
        transport = AsyncPooledTransport(max_connections=1)
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout), in_time():
                await send_async(transport, url, connect=0.05, pool=0.5)

    with deaf() as port, silent_port() as (silent, _), PooledTransport() as transport:
        for url in (f"http://127.0.0.1:{port}", silent.replace("http:", "https:")):
            run(lambda url=url: scenario(url))
            for limit in ({"connect": 0.05}, {"connect": 60, "deadline": left(0.05)}):
                with pytest.raises(httpx.ConnectTimeout), in_time():
                    send(transport, url, **limit)


@pytest.mark.parametrize("backend", [None, "asyncio"])
def test_every_address_is_tried_within_one_timeout(server, monkeypatch, backend):
    """A dead first address leaves time for the next one. Two dead addresses take no longer than one."""
    where = socket.AF_INET, socket.SOCK_STREAM, 6, ""

    async def scenario(url, connect):
        transport = AsyncPooledTransport()
        try:
            return await send_async(transport, url, connect=connect)
        finally:
            await transport.aclose()

    def attempt(url, connect):
        if backend:
            return anyio.run(scenario, url, connect, backend=backend)
        with PooledTransport() as transport:
            return send(transport, url, connect=connect)

    with deaf() as port:
        dead, alive = (*where, ("127.0.0.1", port)), (*where, ("127.0.0.1", server.port))
        resolve = socket.getaddrinfo
        found: list[Any] = []
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *args, **options: found if host == b"two.invalid" else resolve(host, *args, **options),
        )
        found[:] = dead, alive
        assert attempt("http://two.invalid", 0.4).status_code == 200
        found[:] = dead, dead
        start_s = time.monotonic()
        with pytest.raises(httpx.ConnectTimeout):
            attempt("http://two.invalid", 0.2)
        assert time.monotonic() - start_s < 0.38
