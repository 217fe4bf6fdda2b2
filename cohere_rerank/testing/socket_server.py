"""A real HTTP/1.1 server in a thread of its own, which answers whatever bytes it is told to.

`FaultServer` stands on it, and so does the scripted server of this project's own tests.
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

PATIENCE_S = 10.0  # how long a test waits for something that should happen at once
_BACKLOG = 512
_GONE = (OSError, asyncio.CancelledError)  # OSError: also of TLS, or a goodbye to what is no longer connected


class _Connection(asyncio.StreamReaderProtocol):
    """Known to its server from its first moment, also if it is stopped before the handler has begun."""

    def __init__(self, server: SocketServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(loop=loop), server._serve, loop=loop)
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport_made = transport
        self._server._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._transports.discard(self._transport_made)
        super().connection_lost(exc)


class SocketServer:
    """The server; it runs while it is used as a context manager. A subclass says in `next_reply` what to answer.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        tls: Serve HTTPS with these settings; None: plain HTTP.

    Attributes:
        url: Where it listens, such as ``http://127.0.0.1:40123``; `port` alone is the number.
        requests: What was asked, in order of arrival, while `keeps_requests` is true.
        reply_before_body: What to answer to the mere headers of a request, its body unread; None: read it first.
        n_connections, n_open: Connections accepted, and open now.
        n_in_flight, max_in_flight: Requests read and not yet answered.
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
        self._transports: set[Any] = set()  # nothing else may hold one whose handler was cancelled early
        self._handlers: set[asyncio.Task[None]] = set()

    def next_reply(self, request: Request) -> Reply:
        """What to answer to a request, decided in order of arrival; called on the server's event loop."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test server", daemon=True)
        self._thread.start()
        try:
            self._listener = self._run(self._listen())
        except BaseException:  # the port is taken
            self._end_loop()
            raise
        self.port = self._listener.sockets[0].getsockname()[1]
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"{'https' if self._ssl_context else 'http'}://{host}:{self.port}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run(self._stop())
        self._end_loop()

    def wait_until(self, condition: Callable[[Self], bool]) -> None:
        """Wait for what the server sees: ``server.wait_until(lambda s: len(s.requests) == 3)``.

        Raises:
            AssertionError: It did not happen within 10 seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), PATIENCE_S):
                raise AssertionError(f"never happened; {len(self.requests)} requests, {self.n_open} connections open")

    def drop_connections(self) -> None:
        """Close every open connection, as a restart does, and wait until that is done."""
        self._run(self._drop())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: _Connection(self, loop), self.host, self.port, ssl=self._ssl_context, backlog=_BACKLOG
        )

    async def _stop(self) -> None:
        await close_listener(self._listener)
        for _ in range(3):  # a connection just accepted has its handler some turns of the loop later
            await asyncio.sleep(0)
        await self._drop()
        others = asyncio.all_tasks() - {asyncio.current_task()}  # connections whose handshake is not done
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(self._transports):
            transport.abort()
        for _ in range(3):  # the loop closes aborted sockets in its next turn
            await asyncio.sleep(0)
        if self._ssl_context:
            await asyncio.sleep(0.01)
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
            await self._answer_all(reader, writer)
        except _GONE:
            pass  # the client is gone, or the server stops
        finally:
            writer.close()
            self._handlers.discard(task)
            self._count(n_open=-1)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = RequestReader(reader, writer, self.n_connections)
        try:
            while (request := await requests.head()) is not None:
                exchange = Exchange(self, request, reader, writer)
                if self.reply_before_body is not None:
                    await self.reply_before_body(exchange)
                    return await _drain(reader, writer)
                await requests.body(request)
                if not await self._answered(exchange):
                    return None
        except h11.RemoteProtocolError as broken:
            writer.write(_refusal(broken))
            await _drain(reader, writer)

    async def _answered(self, exchange: Exchange) -> bool:
        """Answer one request; whether the connection stays open."""
        try:
            replying = self.next_reply(exchange.request)
        except Exception as failure:  # noqa: BLE001 - a test learns more from a reason than from a broken connection
            replying = error(500, f"the server of the test failed: {type(failure).__name__}: {failure}")
        if self.keeps_requests:
            with self._changed:
                self.requests.append(exchange.request)
        self._count(n_in_flight=1)
        try:
            await replying(exchange)
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
    """Close it once every accepted connection has its transport: after that asyncio makes none, and drops the socket.

    Each accepted connection is a task of the loop, which makes the transport in the turn after the one it came in.
    """
    known: set[asyncio.Task[Any]] = set()
    while fresh := asyncio.all_tasks() - known:
        known |= fresh
        await asyncio.sleep(0)
    listener.close()


def _refusal(broken: h11.RemoteProtocolError) -> bytes:
    body = json.dumps({"message": f"this is no HTTP request: {broken}"}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
    return head(broken.error_status_hint, headers) + body


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close politely: no RST that would make the client lose the reply while it still writes."""
    if writer.can_write_eof():
        writer.write_eof()
    while await reader.read(65536):
        pass
