"""A real HTTP/1.1 server in a thread of its own. Its replies can be any bytes.

`FaultServer` and the scripted server of this project's own tests are subclasses.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11

from .replies import error
from .wire import Exchange, Reply, Request, RequestReader, head

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SocketServer"]

TIMEOUT_S = 10.0  # how long a test waits for something that should happen at once
_BACKLOG = 512
_DISCONNECT_ERRORS = (OSError, asyncio.CancelledError)  # OSError: TLS errors too, and writes to a closed connection
_SETUP_TURNS = 3


class _Connection(asyncio.StreamReaderProtocol):
    """A connection that its server knows from the start, also if the server stops before the handler runs."""

    def __init__(self, server: SocketServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(loop=loop), server._serve, loop=loop)
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._own_transport = transport
        self._server._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._transports.discard(self._own_transport)
        super().connection_lost(exc)


class SocketServer:
    """The server. It runs while it is used as a context manager. A subclass chooses the replies in `next_reply`.

    Args:
        host: The address to listen on.
        port: The port. 0 takes a free port.
        tls: Serve HTTPS with these settings. None: plain HTTP.

    Attributes:
        url: The address of the server, such as ``http://127.0.0.1:40123``.
        port: The port of the server.
        requests: The requests in order of arrival, while `keeps_requests` is true.
        reply_before_body: The reply to the head of a request, while its body stays unread. None: read the body first.
        n_connections: The number of accepted connections.
        n_open: The number of open connections.
        n_in_flight: The number of requests that were read and have no complete response yet.
        max_in_flight: The largest value of `n_in_flight` so far.
    """

    url: str

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.keeps_requests = True
        self.reply_before_body: Reply | None = None
        self.n_connections = self.n_open = self.n_in_flight = self.max_in_flight = 0
        self._ssl_context = tls
        self._changed = threading.Condition()
        self._transports: set[Any] = set()  # the only reference to a transport whose handler was cancelled early
        self._handlers: set[asyncio.Task[None]] = set()

    def next_reply(self, request: Request) -> Reply:
        """Return the reply to a request. The event loop of the server calls this in order of arrival."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test server", daemon=True)
        self._thread.start()
        try:
            self._listener = self._run(self._listen())
        except BaseException:  # another program uses the port
            self._end_loop()
            raise
        self.port = self._listener.sockets[0].getsockname()[1]
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"{'https' if self._ssl_context else 'http'}://{host}:{self.port}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        __tracebackhide__ = True
        self._run(self._stop())
        self._end_loop()

    def wait_until(self, condition: Callable[[Self], bool]) -> None:
        """Wait until the server has seen something: ``server.wait_until(lambda s: len(s.requests) == 3)``.

        Raises:
            AssertionError: The condition did not become true within 10 seconds.
        """
        __tracebackhide__ = True
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), TIMEOUT_S):
                seen = f"{len(self.requests)} requests, {self.n_open} open connections"
                raise AssertionError(f"the condition was not true within {TIMEOUT_S:g} seconds; the server has {seen}")

    def drop_connections(self) -> None:
        """Close every open connection, as a restart does. Return when all are closed."""
        __tracebackhide__ = True
        self._run(self._drop())

    def _run(self, coroutine: Any) -> Any:
        __tracebackhide__ = True
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: _Connection(self, loop), self.host, self.port, ssl=self._ssl_context, backlog=_BACKLOG
        )

    async def _stop(self) -> None:
        await close_listener(self._listener)
        await _run_pending_callbacks()
        await self._drop()
        others = asyncio.all_tasks() - {asyncio.current_task()}  # TLS handshakes
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(self._transports):
            transport.abort()
        await _run_pending_callbacks()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def _drop(self) -> None:
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._count(n_connections=1, n_open=1)
        try:
            await self._serve_requests(reader, writer)
        except _DISCONNECT_ERRORS:
            pass  # the client closed the connection, or the server stops
        finally:
            writer.close()
            self._handlers.discard(task)
            self._count(n_open=-1)

    async def _serve_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = RequestReader(reader, writer, self.n_connections)
        try:
            while (request := await requests.head()) is not None:
                exchange = Exchange(self, request, reader, writer)
                if self.reply_before_body is not None:
                    await self.reply_before_body(exchange)
                    return await _drain(reader, writer)
                await requests.body(request)
                if not await self._reply_to(exchange):
                    return None
        except h11.RemoteProtocolError as broken:
            writer.write(_bad_request(broken))
            await _drain(reader, writer)

    async def _reply_to(self, exchange: Exchange) -> bool:
        """Reply to one request. Return whether the connection stays open."""
        try:
            reply = self.next_reply(exchange.request)
        except Exception as failure:  # noqa: BLE001 - a message helps a test more than a broken connection
            reply = error(500, f"the server of the test failed: {type(failure).__name__}: {failure}")
        if self.keeps_requests:
            with self._changed:
                self.requests.append(exchange.request)
        self._count(n_in_flight=1)
        try:
            await reply(exchange)
        finally:
            self._count(n_in_flight=-1)
        return exchange.keep_alive

    def _count(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self.max_in_flight = max(self.max_in_flight, self.n_in_flight)
            self._changed.notify_all()


async def close_listener(listener: asyncio.Server) -> None:
    """Close the listener when every accepted connection has its transport.

    asyncio accepts a connection in a task, and the task makes the transport one turn of the event loop later. If the
    listener is closed before that, asyncio drops the socket.
    """
    known: set[asyncio.Task[Any]] = set()
    while new := asyncio.all_tasks() - known:
        known |= new
        await asyncio.sleep(0)
    listener.close()


async def _run_pending_callbacks() -> None:
    """Let asyncio finish setting up new connections, and closing aborted ones.

    A new connection needs three turns of the event loop: asyncio makes the transport, then it calls connection_made,
    then the task of the handler starts. An aborted connection needs one turn to close its socket.
    """
    for _ in range(_SETUP_TURNS):
        await asyncio.sleep(0)


def _bad_request(broken: h11.RemoteProtocolError) -> bytes:
    body = json.dumps({"message": f"this is not a valid HTTP request: {broken}"}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
    return head(broken.error_status_hint, headers) + body


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read until the client closes. A close before that would send RST, and the client could lose the reply."""
    if writer.can_write_eof():
        writer.write_eof()
    while await reader.read(65536):
        pass
