"""A request gets an existing connection if it is of the same server and has not expired."""

from __future__ import annotations

import asyncio
import socket
import time

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import Server
from tests.transport.request_helpers import LATE_S, rerank_request, send, send_async


def test_a_connection_is_used_again(server, transport):
    """Requests in sequence need one connection."""
    assert [send(transport, server.url).status_code for _ in range(4)] == [200] * 4
    assert server.n_connections == 1


def test_a_connection_is_used_again_on_a_loop(server, run):
    """Requests in sequence need one connection."""

    async def scenario():
        transport = AsyncPooledTransport()
        for _ in range(4):
            assert (await send_async(transport, server.url)).json()["results"]
        await transport.aclose()

    run(scenario)
    assert server.n_connections == 1


def test_the_connection_used_last_is_used_first(server, transport):
    """The pool is a LIFO, so connections that are idle for longest can expire."""
    responses = [transport.handle_request(rerank_request(server.url)) for _ in range(3)]
    for response in (responses[1], responses[2], responses[0]):
        response.read()
        response.close()
    for _ in range(2):
        send(transport, server.url)
    assert [request.connection for request in server.requests] == [1, 2, 3, 1, 1]


def test_the_connection_used_last_is_used_first_on_a_loop(server, run):
    """The pool is a LIFO, so connections that are idle for longest can expire."""

    async def scenario():
        transport = AsyncPooledTransport()
        responses = [await transport.handle_async_request(rerank_request(server.url)) for _ in range(3)]
        for response in (responses[1], responses[2], responses[0]):
            await response.aread()
            await response.aclose()
        for _ in range(2):
            await send_async(transport, server.url)
        await transport.aclose()

    run(scenario)
    assert [request.connection for request in server.requests] == [1, 2, 3, 1, 1]


def test_a_release_closes_an_expired_connection(server):
    """There is no timer. Each release closes one expired connection."""
    transport = PooledTransport(keepalive_expiry_s=0.05)
    responses = [transport.handle_request(rerank_request(server.url)) for _ in range(4)]
    for response in responses:
        response.read()
        response.close()
    ends_s = time.monotonic() + LATE_S
    while server.n_open > 1 and time.monotonic() < ends_s:
        send(transport, server.url)
    assert server.n_open == 1 and server.n_connections == 4
    transport.close()


def test_an_expired_connection_is_not_used_again(server, run):
    """With an idle time of 0, every request opens a connection."""

    async def scenario():
        transport = AsyncPooledTransport(keepalive_expiry_s=0.0)
        for _ in range(3):
            await send_async(transport, server.url)
        await transport.aclose()

    run(scenario)
    with_threads = PooledTransport(keepalive_expiry_s=0.0)
    for _ in range(3):
        send(with_threads, server.url)
    with_threads.close()
    assert server.n_connections == 6


def test_two_origins_get_their_own_connections(server, run):
    """An idle connection to another server is replaced. No request goes to the wrong server."""

    async def scenario(other):
        transport = AsyncPooledTransport(max_connections=1)
        for i in range(4):
            await send_async(transport, (server, other)[i % 2].url, str(i))
        await transport.aclose()

    with Server() as other, PooledTransport(max_connections=1) as with_threads:
        run(lambda: scenario(other))
        for i in range(4):
            send(with_threads, (server, other)[i % 2].url, str(i))
        for number, asked in enumerate((server, other)):
            queries = [request.json["query"] for request in asked.requests]
            assert queries == [str(number), str(number + 2)] * 2


def test_head_and_body_leave_in_one_packet(server, monkeypatch):
    """A small request is one write, so the server wakes up once."""
    sent: list[bytes] = []

    def send_and_note(sock, data, *flags):
        sent.append(bytes(data))
        return socket.SocketType.send(sock, data, *flags)

    async def scenario():
        transport = AsyncPooledTransport()
        await send_async(transport, server.url)
        await transport.aclose()

    monkeypatch.setattr(socket.socket, "send", send_and_note, raising=False)
    asyncio.run(scenario())
    with PooledTransport() as transport:
        send(transport, server.url)
    posts = [data for data in sent if data.startswith(b"POST")]
    assert [data[-len(server.requests[0].body) :] for data in posts] == [server.requests[0].body] * 2
