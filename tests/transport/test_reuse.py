"""Which connection a request gets: one that is there, of its own server, and still fresh."""

from __future__ import annotations

import asyncio
import socket
import time

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import Server
from tests.transport.asking import LATE_S, asend, ask, send


def test_a_connection_is_used_again(server, transport):
    """One request after another, one connection."""
    assert [send(transport, server.url).status_code for _ in range(4)] == [200] * 4
    assert server.n_connections == 1


def test_a_connection_is_used_again_on_a_loop(server, run):
    """One request after another, one connection."""

    async def scenario():
        transport = AsyncPooledTransport()
        for _ in range(4):
            assert (await asend(transport, server.url)).json()["results"]
        await transport.aclose()

    run(scenario)
    assert server.n_connections == 1


def test_the_connection_used_last_is_used_first(server, transport):
    """A stack: the longest idle sink to the bottom and can run out."""
    responses = [transport.handle_request(ask(server.url)) for _ in range(3)]
    for response in (responses[1], responses[2], responses[0]):
        response.read()
        response.close()
    for _ in range(2):
        send(transport, server.url)
    assert [request.connection for request in server.requests] == [1, 2, 3, 1, 1]


def test_the_connection_used_last_is_used_first_on_a_loop(server, run):
    """A stack: the longest idle sink to the bottom and can run out."""

    async def scenario():
        transport = AsyncPooledTransport()
        responses = [await transport.handle_async_request(ask(server.url)) for _ in range(3)]
        for response in (responses[1], responses[2], responses[0]):
            await response.aread()
            await response.aclose()
        for _ in range(2):
            await asend(transport, server.url)
        await transport.aclose()

    run(scenario)
    assert [request.connection for request in server.requests] == [1, 2, 3, 1, 1]


def test_what_idled_too_long_is_dropped_as_others_come_back(server):
    """No timer: each connection that comes back takes one off the bottom."""
    transport = PooledTransport(keepalive_expiry_s=0.05)
    responses = [transport.handle_request(ask(server.url)) for _ in range(4)]
    for response in responses:
        response.read()
        response.close()
    ends_s = time.monotonic() + LATE_S
    while server.n_open > 1 and time.monotonic() < ends_s:
        send(transport, server.url)
    assert server.n_open == 1 and server.n_connections == 4
    transport.close()


def test_an_expired_connection_is_not_used_again(server, run):
    """With no time to idle every request connects."""

    async def scenario():
        transport = AsyncPooledTransport(keepalive_expiry_s=0.0)
        for _ in range(3):
            await asend(transport, server.url)
        await transport.aclose()

    run(scenario)
    with_threads = PooledTransport(keepalive_expiry_s=0.0)
    for _ in range(3):
        send(with_threads, server.url)
    with_threads.close()
    assert server.n_connections == 6


def test_two_origins_get_their_own_connections(server, run):
    """An idle connection to another server makes room; nobody is asked in another's place."""

    async def scenario(other):
        transport = AsyncPooledTransport(max_connections=1)
        for i in range(4):
            await asend(transport, (server, other)[i % 2].url, str(i))
        await transport.aclose()

    with Server() as other, PooledTransport(max_connections=1) as with_threads:
        run(lambda: scenario(other))
        for i in range(4):
            send(with_threads, (server, other)[i % 2].url, str(i))
        for number, asked in enumerate((server, other)):
            queries = [request.json["query"] for request in asked.requests]
            assert queries == [str(number), str(number + 2)] * 2


def test_head_and_body_leave_in_one_packet(server, monkeypatch):
    """A small request is one write, so the server wakes once."""
    sent: list[bytes] = []

    def send_and_note(sock, data, *flags):
        sent.append(bytes(data))
        return socket.SocketType.send(sock, data, *flags)

    async def scenario():
        transport = AsyncPooledTransport()
        await asend(transport, server.url)
        await transport.aclose()

    monkeypatch.setattr(socket.socket, "send", send_and_note, raising=False)
    asyncio.run(scenario())
    with PooledTransport() as transport:
        send(transport, server.url)
    posts = [data for data in sent if data.startswith(b"POST")]
    assert [data[-len(server.requests[0].body) :] for data in posts] == [server.requests[0].body] * 2
