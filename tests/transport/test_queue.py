"""The limit of open connections and its queue: waiters go in order and wait no longer than their timeout."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.transport.request_helpers import in_time, left, rerank_request, send, send_async, send_concurrently


def test_at_most_the_cap_is_open(server, run):
    """Twenty requests at the same time use three connections."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=3)
        await send_concurrently(transport, server.url, 20)
        await transport.aclose()

    run(scenario)
    assert len(server.requests) == 20 and server.n_connections == 3


def test_threads_share_the_cap(server):
    """32 threads use eight connections. Each request gets its own response."""
    with PooledTransport(max_connections=8) as transport, ThreadPoolExecutor(32) as threads:
        asked = [["a", "b"][: 1 + i % 2] for i in range(320)]

        def one(documents):
            body = {"model": "m", "query": "q", "documents": documents}
            request = httpx.Request("POST", f"{server.url}/v2/rerank", json=body)
            response = transport.handle_request(request)
            response.read()
            response.close()
            return len(response.json()["results"])

        assert list(threads.map(one, asked)) == [len(documents) for documents in asked]
        assert server.n_connections <= 8


def test_the_oldest_waiter_goes_first(server):
    """A new request at the moment of a release does not overtake the queue."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)

        async def ask_and_come_back():
            await send_async(transport, server.url, "first")
            await send_async(transport, server.url, "newcomer")

        with server.hold_replies():
            tasks = [asyncio.create_task(ask_and_come_back())]
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
            for i in range(5):
                tasks.append(asyncio.create_task(send_async(transport, server.url, str(i))))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await transport.aclose()

    asyncio.run(scenario())
    order = [request.json["query"] for request in server.requests]
    assert order == ["first", "0", "1", "2", "3", "4", "newcomer"]


def test_the_oldest_waiting_thread_goes_first(server):
    """The same holds for threads."""
    with PooledTransport(max_connections=1) as transport, ThreadPoolExecutor(6) as threads:
        with server.hold_replies():
            first = threads.submit(lambda: [send(transport, server.url, query) for query in ("first", "newcomer")])
            server.wait_until(lambda s: s.n_in_flight == 1)
            waiting = []
            for i in range(5):
                waiting.append(threads.submit(send, transport, server.url, str(i)))
                while len(transport.connections._pool._queue) <= i:
                    time.sleep(0.001)
        for future in (first, *waiting):
            future.result()
    order = [request.json["query"] for request in server.requests]
    assert order == ["first", "0", "1", "2", "3", "4", "newcomer"]


def test_waiting_for_a_connection_ends_on_time(server, run):
    """It raises PoolTimeout with the request. The request in flight is not disturbed."""

    async def scenario():
        transport = AsyncPooledTransport(max_connections=1)
        busy = await transport.handle_async_request(rerank_request(server.url))
        with pytest.raises(httpx.PoolTimeout, match="1 connection") as caught, in_time():
            await send_async(transport, server.url, pool=0.02)
        assert caught.value.request.url == f"{server.url}/v2/rerank"
        await busy.aread()
        await busy.aclose()
        await send_async(transport, server.url, pool=5)
        await transport.aclose()

    run(scenario)
    assert server.n_connections == 1


@pytest.mark.parametrize("limit", [{"pool": 0.02}, {"pool": 60, "deadline": 0.02}, {"deadline": 0.02}])
def test_a_thread_waits_for_a_connection_no_longer_than_asked(server, limit):
    """It raises PoolTimeout after the timeout or the deadline, whichever is first."""
    if "deadline" in limit:
        limit = {**limit, "deadline": left(limit["deadline"])}
    with PooledTransport(max_connections=1) as transport:
        busy = transport.handle_request(rerank_request(server.url))
        with pytest.raises(httpx.PoolTimeout) as caught, in_time():
            send(transport, server.url, **limit)
        assert type(caught.value.__cause__).__name__ == "PoolTimeout"
        busy.read()
        busy.close()
        send(transport, server.url, pool=5)
    assert server.n_connections == 1


def test_a_slot_released_at_the_deadline_goes_to_the_next_waiter(server):
    """The deadline passes at the moment of the release."""
    with PooledTransport(max_connections=1) as transport:
        busy = transport.handle_request(rerank_request(server.url))

        def too_late() -> float:
            busy.read()
            return 0.0

        with pytest.raises(httpx.PoolTimeout):
            send(transport, server.url, deadline=too_late)
        send(transport, server.url, pool=5)
    assert server.n_connections == 1


@pytest.mark.parametrize("limit", [{"max_connections": 0}, {"keepalive_expiry_s": -1.0}])
@pytest.mark.parametrize("kind", [PooledTransport, AsyncPooledTransport])
def test_invalid_limits_are_rejected(kind, limit):
    """The error names the argument and its value."""
    with pytest.raises(ValueError, match=rf"{next(iter(limit))} must .* got {next(iter(limit.values()))}"):
        kind(**limit)
