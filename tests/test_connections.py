"""The connection stacks: who gets which connection, on time, and nothing leaks whatever happens."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpcore
import httpx
import pytest

from cohere_rerank._connections import AsyncStackTransport, StackTransport
from tests.server import Server, drip, hang, hang_up, huge, raw, reply, reset, truncated

SOON_S = 0.25  # a deadline that is meant to pass
LATE_S = 2.0  # what came after this did not end on time


@pytest.fixture(params=["asyncio", "trio"])
def run(request) -> Callable[..., Any]:
    """``run(scenario)`` runs a coroutine function on an event loop of its own."""
    return lambda scenario: anyio.run(scenario, backend=request.param)


@pytest.fixture(autouse=True, scope="module")
def quick_collecting() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collect_leaks(quick_collecting) -> Iterator[None]:
    """What a test leaked fails that test, with a ResourceWarning."""
    yield
    gc.collect()


# Trio warns when a request's body is dropped between two of its pieces; that generator is httpx's.
ignore_httpx_body = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


def ask(url: str, query: str = "q", content: bytes | None = None, **limits: Any) -> httpx.Request:
    """A request to rerank; ``deadline`` is a function, other limits are httpx's timeouts."""
    deadline = {"deadline": limits.pop("deadline")} if "deadline" in limits else {}
    extensions = {"timeout": limits, **deadline}
    url = f"{url}/v2/rerank"
    if content is not None:
        return httpx.Request("POST", url, content=content, extensions=extensions)
    body = {"model": "m", "query": query, "documents": ["a", "b"]}
    return httpx.Request("POST", url, json=body, extensions=extensions)


def send(transport: StackTransport, *args: Any, **limits: Any) -> httpx.Response:
    response = transport.handle_request(ask(*args, **limits))
    response.read()
    response.close()
    return response


async def asend(transport: AsyncStackTransport, *args: Any, **limits: Any) -> httpx.Response:
    response = await transport.handle_async_request(ask(*args, **limits))
    try:
        await response.aread()
    finally:
        await response.aclose()
    return response


async def together(transport: AsyncStackTransport, url: str, n: int) -> None:
    async with anyio.create_task_group() as tasks:
        for i in range(n):
            tasks.start_soon(asend, transport, url, str(i))


def left(seconds: float) -> Callable[[], float]:
    ends_s = time.monotonic() + seconds
    return lambda: ends_s - time.monotonic()


@contextmanager
def on_time() -> Iterator[None]:
    start_s = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - start_s < LATE_S


@contextmanager
def listener(backlog: int = 8) -> Iterator[tuple[str, socket.socket]]:
    """A port where connections are made, and nobody reads or answers."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", sock


@contextmanager
def deaf() -> Iterator[int]:
    """A port that answers no attempt to connect: the backlog is full."""
    with listener(0) as (_, sock):
        port = sock.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


@pytest.fixture
def transport() -> Iterator[StackTransport]:
    made = StackTransport(max_connections=3)
    yield made
    made.close()


# Which connection ---------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(server, transport):
    """One request after another, one connection."""
    assert [send(transport, server.url).status_code for _ in range(4)] == [200] * 4
    assert server.n_connections == 1


def test_a_connection_is_used_again_on_a_loop(server, run):
    """One request after another, one connection."""

    async def scenario():
        transport = AsyncStackTransport()
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
        transport = AsyncStackTransport()
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
    transport = StackTransport(keepalive_expiry_s=0.05)
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
        transport = AsyncStackTransport(keepalive_expiry_s=0.0)
        for _ in range(3):
            await asend(transport, server.url)
        await transport.aclose()

    run(scenario)
    with_threads = StackTransport(keepalive_expiry_s=0.0)
    for _ in range(3):
        send(with_threads, server.url)
    with_threads.close()
    assert server.n_connections == 6


def test_two_origins_get_their_own_connections(server, run):
    """An idle connection to another server makes room; nobody is asked in another's place."""

    async def scenario(other):
        transport = AsyncStackTransport(max_connections=1)
        for i in range(4):
            await asend(transport, (server, other)[i % 2].url, str(i))
        await transport.aclose()

    with Server() as other, StackTransport(max_connections=1) as with_threads:
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
        transport = AsyncStackTransport()
        await asend(transport, server.url)
        await transport.aclose()

    monkeypatch.setattr(socket.socket, "send", send_and_note, raising=False)
    asyncio.run(scenario())
    with StackTransport() as transport:
        send(transport, server.url)
    posts = [data for data in sent if data.startswith(b"POST")]
    assert [data[-len(server.requests[0].body) :] for data in posts] == [server.requests[0].body] * 2


# The cap and the queue ----------------------------------------------------------------------------------------------


def test_at_most_the_cap_is_open(server, run):
    """Twenty requests at once over three connections."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=3)
        await together(transport, server.url, 20)
        await transport.aclose()

    run(scenario)
    assert len(server.requests) == 20 and server.n_connections == 3


def test_threads_share_the_cap(server):
    """32 threads over eight connections; every request is answered by its own answer."""
    with StackTransport(max_connections=8) as transport, ThreadPoolExecutor(32) as threads:
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


def test_who_waits_longest_goes_first(server):
    """A newcomer that asks the moment a connection comes back does not overtake the queue."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)

        async def ask_and_come_back():
            await asend(transport, server.url, "first")
            await asend(transport, server.url, "newcomer")

        with server.hold():
            tasks = [asyncio.create_task(ask_and_come_back())]
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
            for i in range(5):
                tasks.append(asyncio.create_task(asend(transport, server.url, str(i))))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await transport.aclose()

    asyncio.run(scenario())
    order = [request.json["query"] for request in server.requests]
    assert order == ["first", "0", "1", "2", "3", "4", "newcomer"]


def test_the_thread_that_waits_longest_goes_first(server):
    """The same with threads."""
    with StackTransport(max_connections=1) as transport, ThreadPoolExecutor(6) as threads:
        with server.hold():
            first = threads.submit(lambda: [send(transport, server.url, query) for query in ("first", "newcomer")])
            server.wait_until(lambda s: s.n_in_flight == 1)
            waiting = []
            for i in range(5):
                waiting.append(threads.submit(send, transport, server.url, str(i)))
                while len(transport._stack._queue) <= i:
                    time.sleep(0.001)
        for future in (first, *waiting):
            future.result()
    order = [request.json["query"] for request in server.requests]
    assert order == ["first", "0", "1", "2", "3", "4", "newcomer"]


def test_waiting_for_a_connection_ends_on_time(server, run):
    """PoolTimeout, with the request; whoever has the connection is not disturbed."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        busy = await transport.handle_async_request(ask(server.url))
        with pytest.raises(httpx.PoolTimeout, match="1 connection") as caught, on_time():
            await asend(transport, server.url, pool=0.02)
        assert caught.value.request.url == f"{server.url}/v2/rerank"
        await busy.aread()
        await busy.aclose()
        await asend(transport, server.url, pool=5)
        await transport.aclose()

    run(scenario)
    assert server.n_connections == 1


@pytest.mark.parametrize("limit", [{"pool": 0.02}, {"pool": 60, "deadline": 0.02}, {"deadline": 0.02}])
def test_a_thread_waits_for_a_connection_no_longer_than_asked(server, limit):
    """PoolTimeout, after the timeout or the deadline, whichever is first."""
    if "deadline" in limit:
        limit = {**limit, "deadline": left(limit["deadline"])}
    with StackTransport(max_connections=1) as transport:
        busy = transport.handle_request(ask(server.url))
        with pytest.raises(httpx.PoolTimeout) as caught, on_time():
            send(transport, server.url, **limit)
        assert isinstance(caught.value.__cause__, httpcore.PoolTimeout)
        busy.read()
        busy.close()
        send(transport, server.url, pool=5)
    assert server.n_connections == 1


def test_a_slot_that_comes_just_when_time_is_up_goes_to_the_next(server):
    """The deadline passes in the very moment in which the connection is handed over."""
    with StackTransport(max_connections=1) as transport:
        busy = transport.handle_request(ask(server.url))

        def too_late() -> float:
            busy.read()
            return 0.0

        with pytest.raises(httpx.PoolTimeout):
            send(transport, server.url, deadline=too_late)
        send(transport, server.url, pool=5)
    assert server.n_connections == 1


@pytest.mark.parametrize("limit", [{"max_connections": 0}, {"keepalive_expiry_s": -1.0}])
@pytest.mark.parametrize("kind", [StackTransport, AsyncStackTransport])
def test_senseless_limits_are_refused(kind, limit):
    """Each is named, with its value."""
    with pytest.raises(ValueError, match=rf"{next(iter(limit))} must .* got {next(iter(limit.values()))}"):
        kind(**limit)


# Connections that break ---------------------------------------------------------------------------------------------


def test_a_connection_closed_while_idle_is_replaced(server, transport):
    """It is noticed before anything is sent on it."""
    send(transport, server.url)
    server.drop_connections()
    send(transport, server.url)
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_connection_closed_while_the_loop_was_busy_is_replaced(server, run):
    """The loop had no turn to hear of it, so the socket is asked."""

    async def scenario():
        transport = AsyncStackTransport()
        await asend(transport, server.url)
        server.drop_connections()  # blocks this loop
        await asend(transport, server.url)
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
def test_what_breaks_is_told_in_httpx_words(server, run, failure, error):
    """The httpx exception of httpcore's name, with request and cause; the slot is free again."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        with pytest.raises(error) as caught:
            await asend(transport, server.url)
        await asend(transport, server.url, pool=5)
        await transport.aclose()
        return caught.value

    server.script(failure, reply(200), failure)
    raised = [run(scenario)]
    with StackTransport(max_connections=1) as transport:
        with pytest.raises(error) as caught:
            send(transport, server.url)
        send(transport, server.url, pool=5)
        raised.append(caught.value)
    for exception in raised:
        assert type(exception) is error and exception.request.method == "POST"
        assert type(exception.__cause__).__module__ == "httpcore"


def test_a_port_where_nobody_listens_is_a_connect_error(run):
    """It names the address; the slot is free again."""
    with listener() as (url, _):
        pass

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await asend(transport, url, pool=0.5)

    run(scenario)
    with StackTransport(max_connections=1) as transport:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1:\d+: .*refused"):
                send(transport, url, pool=0.5)


def test_a_socket_that_dies_while_it_is_set_up_is_a_connect_error(server, monkeypatch):
    """Some systems refuse options on a connection that the peer has already reset."""

    def refuse(*args):
        raise OSError(22, "Invalid argument")

    async def scenario():
        with pytest.raises(httpx.ConnectError, match="Invalid argument"):
            await asend(AsyncStackTransport(), server.url)

    monkeypatch.setattr("cohere_rerank._streams._set_options", refuse)
    anyio.run(scenario)
    with StackTransport() as transport, pytest.raises(httpx.ConnectError, match="Invalid argument"):
        send(transport, server.url)
    server.wait_until(lambda s: s.n_connections == 2 and s.n_open == 0)


def test_a_body_not_read_to_its_end_closes_its_connection(server, run):
    """The rest of it must not be taken for the next reply."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        unread = await transport.handle_async_request(ask(server.url))
        await unread.aclose()
        await asend(transport, server.url, pool=5)
        await transport.aclose()

    run(scenario)
    with StackTransport(max_connections=1) as transport:
        transport.handle_request(ask(server.url)).close()
        send(transport, server.url, pool=5)
    assert [request.connection for request in server.requests] == [1, 2, 3, 4]


def test_only_http_and_https_are_spoken(transport):
    """Anything else is refused in httpx's words."""
    with pytest.raises(httpx.UnsupportedProtocol, match="ftp"):
        send(transport, "ftp://127.0.0.1")


def test_closing_closes_what_idles_and_later_what_is_in_use(server, run):
    """A response that is open may be read on; a request after closing connects anew."""

    async def scenario():
        transport = AsyncStackTransport()
        in_use = await transport.handle_async_request(ask(server.url))
        await asend(transport, server.url)
        await transport.aclose()
        await transport.aclose()
        await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_open == 1)
        assert "results" in (await in_use.aread()).decode()
        await in_use.aclose()
        await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_open == 0)
        await asend(transport, server.url)

    run(scenario)
    server.wait_until(lambda s: s.n_open == 0)
    transport = StackTransport()
    in_use = transport.handle_request(ask(server.url))
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
    """Several megabytes each way, with pauses for the slower side."""
    sent, answered = random.Random(1).randbytes(3_000_000), random.Random(2).randbytes(3_000_000)

    async def scenario():
        transport = AsyncStackTransport()
        response = await transport.handle_async_request(ask(server.url, content=sent))
        received = b""
        async for part in response.aiter_raw():
            received += part
            await anyio.lowlevel.checkpoint()
        assert received == answered
        await transport.aclose()

    server.default = reply(body=answered)
    run(scenario)
    with StackTransport() as transport:
        assert send(transport, server.url, content=sent).content == answered
    assert [request.body == sent for request in server.requests] == [True, True]


def test_a_reader_that_pauses_makes_the_server_wait(server):
    """What nobody reads does not pile up in memory."""

    async def scenario():
        transport = AsyncStackTransport()
        response = await transport.handle_async_request(ask(server.url))
        for _ in range(100):
            await asend(transport, server.url)
        server.wait_until(lambda s: s.n_in_flight == 1)  # it counts a reply as done a moment after the last byte
        assert len(await response.aread()) > 60_000_000
        await response.aclose()
        await transport.aclose()

    server.script(huge(64_000_000))
    asyncio.run(scenario())


# Time ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["head", "1xx", "body"])
def test_a_dripping_server_cannot_outlast_the_deadline(server, where):
    """Each read is short, all of them together are not: ReadTimeout on time, and the connection is closed."""
    server.script(drip(where))
    with StackTransport(max_connections=1) as transport:
        with pytest.raises(httpx.ReadTimeout), on_time():
            send(transport, server.url, read=60, deadline=left(SOON_S))
        send(transport, server.url, pool=5)
    assert server.n_connections == 2


@pytest.mark.parametrize("where", ["head", "1xx", "body"])
def test_a_scope_ends_a_dripping_server(server, run, where):
    """On a loop the caller cancels; the connection is closed, its slot is free."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        with on_time():
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: asend(transport, server.url, read=60))
                while not server.requests:  # noqa: ASYNC110 - another thread's server
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
        await asend(transport, server.url, pool=5)
        await transport.aclose()

    server.script(drip(where))
    run(scenario)
    assert server.n_connections == 2


def test_a_silent_server_runs_into_the_read_timeout(server, run):
    """With a deadline far away or none at all."""

    async def scenario():
        transport = AsyncStackTransport(max_connections=1)
        with pytest.raises(httpx.ReadTimeout), on_time():
            await asend(transport, server.url, read=0.05)
        await asend(transport, server.url, pool=5)
        await transport.aclose()

    server.script(hang(), reply(200), hang())
    run(scenario)
    with StackTransport(max_connections=1) as transport:
        with pytest.raises(httpx.ReadTimeout), on_time():
            send(transport, server.url, read=0.05, deadline=lambda: 60.0)
        send(transport, server.url, pool=5)


@ignore_httpx_body
def test_a_server_that_does_not_read_runs_into_the_write_timeout(run):
    """The kernel takes some of the body, then nothing."""
    body = bytes(20_000_000)

    async def scenario(url):
        transport = AsyncStackTransport()
        with pytest.raises(httpx.WriteTimeout), on_time():
            await asend(transport, url, content=body, write=0.05)

    with listener() as (url, _), StackTransport() as transport:
        run(lambda: scenario(url))
        with pytest.raises(httpx.WriteTimeout), on_time():
            send(transport, url, content=body, write=0.05)
        with pytest.raises(httpx.WriteTimeout), on_time():
            send(transport, url, content=body, deadline=left(0.05))


def test_a_server_that_reads_in_drips_cannot_outlast_the_deadline():
    """Every send succeeds soon, but not all of them together."""

    def sip(sock, is_over):
        peer, _ = sock.accept()
        with peer:
            while not is_over.wait(0.005):
                peer.recv(100_000)

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock, StackTransport() as transport:
        sipping = threading.Thread(target=sip, args=(sock, is_over))
        sipping.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(httpx.WriteTimeout), on_time():
            send(transport, url, content=bytes(60_000_000), write=60, deadline=left(2 * SOON_S))
        is_over.set()
        sipping.join()


def test_connecting_ends_on_time(run):
    """Whether TCP or TLS is what never answers."""

    async def scenario(url):
        transport = AsyncStackTransport(max_connections=1)
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout), on_time():
                await asend(transport, url, connect=0.05, pool=0.5)

    with deaf() as port, listener() as (silent, _), StackTransport() as transport:
        for url in (f"http://127.0.0.1:{port}", silent.replace("http:", "https:")):
            run(lambda url=url: scenario(url))
            for limit in ({"connect": 0.05}, {"connect": 60, "deadline": left(0.05)}):
                with pytest.raises(httpx.ConnectTimeout), on_time():
                    send(transport, url, **limit)


@pytest.mark.parametrize("backend", [None, "asyncio"])
def test_every_address_is_tried_within_one_timeout(server, monkeypatch, backend):
    """A dead first address leaves time for the next; two dead ones take no longer than one."""
    where = socket.AF_INET, socket.SOCK_STREAM, 6, ""

    async def scenario(url, connect):
        transport = AsyncStackTransport()
        try:
            return await asend(transport, url, connect=connect)
        finally:
            await transport.aclose()

    def attempt(url, connect):
        if backend:
            return anyio.run(scenario, url, connect, backend=backend)
        with StackTransport() as transport:
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


# Cancelling ---------------------------------------------------------------------------------------------------------


def test_a_request_may_be_cancelled_at_any_step(server):
    """Whether it connects, queues, writes, reads or gives back: one slot, and it is free again."""

    async def scenario(transport, n_steps):
        task = asyncio.create_task(asend(transport, server.url))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asend(transport, server.url, pool=5)
        return finished

    async def at_every_step(is_fresh):
        transport = AsyncStackTransport(max_connections=1)
        n_steps, finished = 0, False
        while not finished:
            if is_fresh:
                await transport.aclose()
            finished = await scenario(transport, n_steps)
            n_steps += 1
        await transport.aclose()
        return n_steps

    assert asyncio.run(at_every_step(is_fresh=True)) > 5
    assert asyncio.run(at_every_step(is_fresh=False)) > 5
    server.wait_until(lambda s: s.n_open == 0)


@ignore_httpx_body
def test_a_request_may_be_cancelled_at_any_checkpoint_of_trio(server):
    """The same by trio's rules, where every wait in a cancelled scope is cancelled again."""

    async def scenario(transport, n_steps):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asend, transport, server.url)
            for _ in range(n_steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await asend(transport, server.url, pool=5)

    async def at_every_step():
        transport = AsyncStackTransport(max_connections=1)
        for n_steps in range(40):
            await scenario(transport, n_steps)
        await transport.aclose()

    anyio.run(at_every_step, backend="trio")
    server.wait_until(lambda s: s.n_open == 0)


def test_a_cancelled_waiter_passes_its_slot_on(server):
    """Even when it was called in the very step in which it was cancelled."""

    async def scenario(n_steps, order):
        transport = AsyncStackTransport(max_connections=1)
        busy = await transport.handle_async_request(ask(server.url))
        await busy.aread()
        waiters = [asyncio.create_task(asend(transport, server.url, pool=5)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        closing = asyncio.create_task(busy.aclose())
        for _ in range(n_steps):
            await asyncio.sleep(0)
        for i in order:
            waiters[i].cancel()
        await asyncio.gather(closing, *waiters, return_exceptions=True)
        await asend(transport, server.url, pool=5)
        await transport.aclose()
        return [waiter.cancelled() for waiter in waiters]

    async def at_every_step():
        return [await scenario(n_steps, order) for n_steps in range(12) for order in ([0], [1, 0], [0, 1, 2])]

    outcomes = asyncio.run(at_every_step())
    assert [False, False, False] not in outcomes[:3] and [True, False, False] in outcomes


@pytest.mark.parametrize(("seed", "tls"), [(0, None), (1, None), (2, "trusted")])
def test_a_storm_of_cancellations_leaves_the_stack_usable(seed, tls):
    """Some are cancelled twice, some in the middle of closing; afterwards the whole cap is there, and no more."""
    chance = random.Random(seed)

    async def disturb(task):
        for _ in range(chance.randrange(3)):
            for _ in range(chance.randrange(25)):
                await asyncio.sleep(0)
            task.cancel()

    async def scenario(server, transport):
        for _ in range(5):
            tasks = [asyncio.create_task(asend(transport, server.url)) for _ in range(30)]
            await asyncio.gather(*(disturb(task) for task in tasks))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {httpx.Response, asyncio.CancelledError}
        await asyncio.to_thread(server.wait_until, lambda s: s.n_open <= 4)
        with server.hold():
            all_at_once = asyncio.gather(*(asend(transport, server.url, pool=5) for _ in range(9)))
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 4)
        await all_at_once
        assert server.n_open <= 4
        await transport.aclose()

    with Server(tls=tls) as server:
        verify = server.client_ssl_context() if tls else None
        asyncio.run(scenario(server, AsyncStackTransport(max_connections=4, verify=verify)))
        server.wait_until(lambda s: s.n_open == 0)


# Loops, threads, processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [None, "trusted"])
def test_one_transport_serves_one_loop_after_another(run, tls):
    """Each loop has its own connections; those of a loop that ended are closed, without a warning."""
    with Server(tls=tls) as server:
        transport = AsyncStackTransport(verify=server.client_ssl_context() if tls else None)
        for n_loops in range(1, 4):
            run(lambda: together(transport, server.url, 3))
            server.wait_until(lambda s: s.n_open == 0)
            assert server.n_connections == 3 * n_loops


@pytest.mark.parametrize("tls", [None, "trusted"])
def test_a_loop_closed_in_a_hurry_leaves_nothing_behind(tls):
    """Nobody closed its async generators; the next loop's first request clears up, without a warning."""
    with Server(tls=tls) as server:
        transport = AsyncStackTransport(verify=server.client_ssl_context() if tls else None)
        for _ in range(2):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(together(transport, server.url, 3))
            loop.close()
        asyncio.run(transport.aclose())
        server.wait_until(lambda s: s.n_open == 0)


def test_loops_in_several_threads_share_a_transport(server):
    """At the same time, each with its own connections; closing reaches them all."""
    transport = AsyncStackTransport(max_connections=2)
    all_asked, may_end = threading.Barrier(5, timeout=LATE_S), threading.Barrier(5, timeout=LATE_S)

    async def scenario():
        await together(transport, server.url, 10)
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
    """Whether *work* succeeds in a forked child."""
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
def test_a_forked_child_leaves_its_parents_connections_alone(tls):
    """Parent and child each go on with their own; the child's closing is not heard on the parent's."""

    def child(transport, url):
        send(transport, url)
        send(transport, url)
        transport.close()

    with Server(tls=tls) as server:
        transport = StackTransport(verify=server.client_ssl_context() if tls else None)
        send(transport, server.url)
        assert in_child(lambda: child(transport, server.url))
        send(transport, server.url)
        transport.close()
        assert [request.connection for request in server.requests] == [1, 2, 2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_its_parents_locks(server):
    """Another thread may hold them at the moment of the fork, and that thread is not in the child."""
    with StackTransport() as transport:
        send(transport, server.url)
        with transport._stack._lock, transport._tls_lock:
            assert in_child(lambda: send(transport, server.url))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_keep_its_parents_connections_open(server):
    """When the parent closes them the server hears it, however long the child lives."""
    transport = StackTransport()
    send(transport, server.url)
    may_end, end = os.pipe()

    def close_meanwhile():
        server.wait_until(lambda s: len(s.requests) == 2)
        transport.close()
        server.wait_until(lambda s: s.n_open == 1)
        os.write(end, b".")

    def child():
        response = transport.handle_request(ask(server.url))
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
    """The parent's loop and its connections are left alone."""
    transport = AsyncStackTransport()

    async def child():
        await asend(transport, server.url)
        await transport.aclose()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asend(transport, server.url))
    assert in_child(lambda: asyncio.run(child()))
    loop.run_until_complete(asend(transport, server.url))
    loop.run_until_complete(transport.aclose())
    loop.close()
    assert [request.connection for request in server.requests] == [1, 2, 1]


# TLS ----------------------------------------------------------------------------------------------------------------


def test_tls_is_spoken_with_one_context_for_all(monkeypatch, tmp_path, run):
    """Made when the first https request needs it, from SSL_CERT_FILE as httpx does."""
    made = []
    create = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: made.append(create()) or made[-1])

    async def scenario(transport, *urls):
        for url in urls:
            await together(transport, url, 3)
        await transport.aclose()

    with Server(tls="trusted") as server, Server() as plain:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "authority.pem")))
        transport = AsyncStackTransport()
        run(lambda: scenario(transport, plain.url))
        assert not made
        run(lambda: scenario(transport, server.url, server.url))
        assert len(made) == 1 and server.n_connections == 3 and len(server.requests) == 6
        with StackTransport() as with_threads:
            assert send(with_threads, server.url).status_code == 200
            assert send(with_threads, server.url).status_code == 200
        assert len(made) == 2 and server.n_connections == 4


def test_a_certificate_that_nobody_signed_is_refused(run):
    """ConnectError at once; the reason is in the chain of causes."""

    async def scenario(url):
        transport = AsyncStackTransport()
        with pytest.raises(httpx.ConnectError) as caught:
            await asend(transport, url)
        return caught.value

    with Server(tls="self-signed") as server, StackTransport() as transport:
        raised = [run(lambda: scenario(server.url))]
        with pytest.raises(httpx.ConnectError) as caught:
            send(transport, server.url)
        raised.append(caught.value)
    for error in raised:
        causes = []
        while error is not None:
            causes.append(type(error))
            error = error.__cause__
        assert ssl.SSLCertVerificationError in causes


def test_only_http_1_is_offered(transport):
    """A server that would speak HTTP/2 is not asked to."""
    offered = []

    class Context(ssl.SSLContext):
        def set_alpn_protocols(self, protocols):
            offered.append(list(protocols))
            super().set_alpn_protocols(protocols)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    with Server(tls="trusted") as server, StackTransport(verify=context) as transport:
        with pytest.raises(httpx.ConnectError):
            send(transport, server.url)
    assert offered == [["http/1.1"]]
