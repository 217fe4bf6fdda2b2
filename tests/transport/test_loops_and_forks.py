"""One transport serves several loops, threads and processes. Each has its own connections."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Callable

import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import Server
from tests.transport.request_helpers import LATE_S, rerank_request, send, send_async, send_concurrently


@pytest.mark.parametrize("tls", [None, "trusted"])
def test_one_transport_serves_one_loop_after_another(run, tls):
    """Each loop has its own connections. Those of an ended loop are closed without a warning."""
    with Server(tls=tls) as server:
        transport = AsyncPooledTransport(verify=server.client_ssl_context() if tls else None)
        for n_loops in range(1, 4):
            run(lambda: send_concurrently(transport, server.url, 3))
            server.wait_until(lambda s: s.n_open == 0)
            assert server.n_connections == 3 * n_loops


@pytest.mark.parametrize("tls", [None, "trusted"])
def test_a_loop_closed_without_cleanup_leaks_nothing(tls):
    """Its async generators were not closed. The next loop's first request closes the sockets, without a warning."""
    with Server(tls=tls) as server:
        transport = AsyncPooledTransport(verify=server.client_ssl_context() if tls else None)
        for _ in range(2):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(send_concurrently(transport, server.url, 3))
            loop.close()
        asyncio.run(transport.aclose())
        server.wait_until(lambda s: s.n_open == 0)


def test_loops_in_several_threads_share_a_transport(server):
    """They run at the same time, each with its own connections. Closing closes all of them."""
    transport = AsyncPooledTransport(max_connections=2)
    all_asked, may_end = threading.Barrier(5, timeout=LATE_S), threading.Barrier(5, timeout=LATE_S)

    async def scenario():
        await send_concurrently(transport, server.url, 10)
        await asyncio.to_thread(all_asked.wait)
        await asyncio.to_thread(may_end.wait)

    threads = [threading.Thread(target=asyncio.run, args=(scenario(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    all_asked.wait()
    assert len(server.requests) == 40 and server.n_connections == server.n_open == 8
    asyncio.run(transport.aclose())
    server.wait_until(lambda s: s.n_open == 0)
    may_end.wait()
    for thread in threads:
        thread.join()


def in_child(work: Callable[[], object]) -> bool:
    """Return whether *work* succeeds in a forked child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and newer: forking with threads
        child = os.fork()
    if child == 0:
        signal.alarm(5)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("tls", [None, "trusted"])
def test_a_forked_child_does_not_use_its_parents_connections(tls):
    """Parent and child each use their own. If the child closes its connections, the parent's stay open."""

    def child(transport, url):
        send(transport, url)
        send(transport, url)
        transport.close()

    with Server(tls=tls) as server:
        transport = PooledTransport(verify=server.client_ssl_context() if tls else None)
        send(transport, server.url)
        assert in_child(lambda: child(transport, server.url))
        send(transport, server.url)
        transport.close()
        assert [request.connection for request in server.requests] == [1, 2, 2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_its_parents_locks(server):
    """Another thread may hold a lock during the fork, and that thread does not exist in the child."""
    with PooledTransport() as transport:
        send(transport, server.url)
        with transport.connections._pool._lock, transport.connections._tls_lock:
            assert in_child(lambda: send(transport, server.url))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_keep_its_parents_connections_open(server):
    """When the parent closes them, the server sees the end, also while the child lives."""
    transport = PooledTransport()
    send(transport, server.url)
    may_end, end = os.pipe()

    def close_meanwhile():
        server.wait_until(lambda s: len(s.requests) == 2)
        transport.close()
        server.wait_until(lambda s: s.n_open == 1)
        os.write(end, b".")

    def child():
        response = transport.handle_request(rerank_request(server.url))
        os.read(may_end, 1)
        response.close()

    closing = threading.Thread(target=close_meanwhile)
    closing.start()
    assert in_child(child)
    closing.join()
    for descriptor in (may_end, end):
        os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_runs_its_own_loop(server):
    """The child does not touch the parent's loop and connections."""
    transport = AsyncPooledTransport()

    async def child():
        await send_async(transport, server.url)
        await transport.aclose()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(send_async(transport, server.url))
    assert in_child(lambda: asyncio.run(child()))
    loop.run_until_complete(send_async(transport, server.url))
    loop.run_until_complete(transport.aclose())
    loop.close()
    assert [request.connection for request in server.requests] == [1, 2, 1]
