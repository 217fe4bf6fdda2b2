"""Connections that break, close or stall: they raise httpx's errors and are replaced."""

from __future__ import annotations

import asyncio
import random

import anyio
import anyio.lowlevel
import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import hang_up, huge, raw, reply, reset, truncated
from tests.transport.request_helpers import rerank_request, send, send_async, silent_port


def test_a_connection_closed_while_idle_is_replaced(server, transport):
    """The transport notices it before it sends anything on it."""
    send(transport, server.url)
    server.drop_connections()
    send(transport, server.url)
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_connection_closed_while_the_loop_was_busy_is_replaced(server, run):
    """The loop has not processed the close yet, so the socket is asked."""

    async def scenario():
        transport = AsyncPooledTransport()
        await send_async(transport, server.url)
        server.drop_connections()  # blocks this loop
        await send_async(transport, server.url)
        await transport.aclose()

    run(scenario)
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (hang_up(), httpx.RemoteProtocolError),
        (reset("start"), httpx.ReadError),
        (reset("head"), httpx.ReadError),
        (reset("body"), httpx.ReadError),
        (truncated(), httpx.RemoteProtocolError),
        (truncated(chunked=True), httpx.RemoteProtocolError),
        (raw(b"220 mail.invalid ESMTP\r\n\r\n"), httpx.RemoteProtocolError),
    ],
    ids=["hang-up", "reset", "reset-head", "reset-body", "truncated", "truncated-chunks", "no-http"],
)
def test_a_broken_connection_is_an_httpx_error(server, run, failure, error):
    """It is the httpx exception, with its request and its cause. The slot is free afterwards."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        with pytest.raises(error) as caught:
            await send_async(transport, server.url)
        await send_async(transport, server.url, pool=5)
        await transport.aclose()
        return caught.value

    server.script(failure, reply(200), failure)
    raised = [run(scenario)]
    with PooledTransport(max_connections=1) as transport:
        with pytest.raises(error) as caught:
            send(transport, server.url)
        send(transport, server.url, pool=5)
        raised.append(caught.value)
    for exception in raised:
        assert type(exception) is error and exception.request.method == "POST"
        assert type(exception.__cause__).__name__ == type(exception).__name__


def test_a_closed_port_is_a_connect_error(run):
    """The error names the address. The slot is free afterwards."""
    with silent_port() as (url, _):
        pass

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await send_async(transport, url, pool=0.5)

    run(scenario)
    with PooledTransport(max_connections=1) as transport:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1:\d+: .*refused"):
                send(transport, url, pool=0.5)


def test_a_socket_that_dies_while_it_is_set_up_is_a_connect_error(server, monkeypatch):
    """Some systems reject socket options on a connection that the peer has reset."""

    def refuse(*args):
        raise OSError(22, "Invalid argument")

    async def scenario():
        with pytest.raises(httpx.ConnectError, match="Invalid argument"):
            await send_async(AsyncPooledTransport(), server.url)

    for module in ("asyncio_backend", "connecting"):  # the first imports the second
        monkeypatch.setattr(f"cohere_rerank._transport.{module}.set_options", refuse)
    anyio.run(scenario)
    with PooledTransport() as transport, pytest.raises(httpx.ConnectError, match="Invalid argument"):
        send(transport, server.url)
    server.wait_until(lambda s: s.n_connections == 2 and s.n_open == 0)


def test_a_body_not_read_to_its_end_closes_its_connection(server, run):
    """The rest of the body must not be read as the next reply."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        unread = await transport.handle_async_request(rerank_request(server.url))
        await unread.aclose()
        await send_async(transport, server.url, pool=5)
        await transport.aclose()

    run(scenario)
    with PooledTransport(max_connections=1) as transport:
        transport.handle_request(rerank_request(server.url)).close()
        send(transport, server.url, pool=5)
    assert [request.connection for request in server.requests] == [1, 2, 3, 4]


def test_only_http_and_https_are_supported(transport):
    """Any other scheme raises httpx's error."""
    with pytest.raises(httpx.UnsupportedProtocol, match="ftp"):
        send(transport, "ftp://127.0.0.1")


def test_closing_closes_idle_connections_now_and_others_after_use(server, run):
    """An open response can still be read. A request after closing opens a new connection."""

    async def scenario():
        transport = AsyncPooledTransport()
        in_use = await transport.handle_async_request(rerank_request(server.url))
        await send_async(transport, server.url)
        await transport.aclose()
        await transport.aclose()
        await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_open == 1)
        assert "results" in (await in_use.aread()).decode()
        await in_use.aclose()
        await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_open == 0)
        await send_async(transport, server.url)

    run(scenario)
    server.wait_until(lambda s: s.n_open == 0)
    transport = PooledTransport()
    in_use = transport.handle_request(rerank_request(server.url))
    send(transport, server.url)
    transport.close()
    server.wait_until(lambda s: s.n_open == 1)
    assert "results" in in_use.read().decode()
    in_use.close()
    server.wait_until(lambda s: s.n_open == 0)
    send(transport, server.url)
    transport.close()
    assert server.n_connections == 6


def test_large_bodies_arrive_whole(server, run):
    """Several megabytes in each direction, with pauses for the slower side."""
    sent, answered = random.Random(1).randbytes(3_000_000), random.Random(2).randbytes(3_000_000)

    async def scenario():
        transport = AsyncPooledTransport()
        response = await transport.handle_async_request(rerank_request(server.url, content=sent))
        received = b""
        async for part in response.aiter_raw():
            received += part
            await anyio.lowlevel.checkpoint()
        assert received == answered
        await transport.aclose()

    server.default = reply(body=answered)
    run(scenario)
    with PooledTransport() as transport:
        assert send(transport, server.url, content=sent).content == answered
    assert [request.body == sent for request in server.requests] == [True, True]


def test_a_reader_that_pauses_makes_the_server_wait(server):
    """Unread data does not fill the memory."""

    async def scenario():
        transport = AsyncPooledTransport()
        response = await transport.handle_async_request(rerank_request(server.url))
        for _ in range(100):
            await send_async(transport, server.url)
        server.wait_until(lambda s: s.n_in_flight == 1)  # it counts a reply as done a moment after the last byte
        assert len(await response.aread()) > 60_000_000
        await response.aclose()
        await transport.aclose()

    server.script(huge(64_000_000))
    asyncio.run(scenario())
