"""httpx transports over our own connections, in place of httpcore's pool.

httpcore's pool looks at every connection for every request (encode/httpcore#1035), so it slows down as it grows. Here
a request takes the connection that was used last and puts it back on top, which is constant work. Connections that
were idle for longest are at the bottom and are closed there. If all slots are in use, requests wait in a FIFO queue.

HTTP/1.1 only and no proxies. httpx's own transports do those. Our clients use the same connections without httpx; see
`http`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import h11
import httpx

from .connection_errors import ExchangeError, WriteError
from .connections import DEFAULT_KEEPALIVE_EXPIRY_S, DEFAULT_MAX_CONNECTIONS, ThreadConnections
from .errors import as_httpx_error
from .loop_connections import LoopConnections
from .outgoing import OutgoingRequest, Timeouts
from .reply_reader import ReplyReader

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}
_JOIN_BYTES = 65_536  # copying a body of up to this size costs less than a second packet


class PooledTransport(httpx.BaseTransport):
    """Send the requests of any number of threads over at most *max_connections* connections.

    A request's ``extensions["timeout"]`` bounds each phase as in httpx. ``extensions["deadline"]``, a function that
    returns the remaining seconds, bounds all phases together: waiting, connecting, writing, and reading to the last
    byte. Only the lookup of a host name cannot be bounded. ``extensions["max_bytes"]`` bounds the bytes that are read
    for the request, headers included. A forked child does not use its parent's connections.

    Args:
        max_connections: Connections open at the same time, >= 1. Default: 100.
        keepalive_expiry_s: Seconds, >= 0. A connection that was idle for longer is not used again. Default: 30.
        verify: TLS settings. Default: None, httpx's own (``SSL_CERT_FILE``, ``SSL_CERT_DIR``).

    Raises:
        httpx.PoolTimeout, httpx.ConnectTimeout, httpx.WriteTimeout, httpx.ReadTimeout: A phase took too long.
        httpx.TransportError: The connection failed in another way.
    """

    def __init__(
        self,
        *,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        keepalive_expiry_s: float = DEFAULT_KEEPALIVE_EXPIRY_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self.connections = ThreadConnections(max_connections, keepalive_expiry_s, verify)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        writer = _RequestWriter(request)
        try:
            pool, connection = self.connections.acquire(writer.outgoing)
            try:
                self._send(writer, request, connection)
                reader = writer.reader()
                is_complete = False
                while not reader.status:
                    is_complete = reader.feed(connection.receive(writer.outgoing))
            except BaseException:
                pool.discard(connection)
                raise
        except ExchangeError as error:
            raise as_httpx_error(error, request) from error
        return _httpx_response(reader, _PooledByteStream(writer, reader, is_complete, pool, connection))

    def _send(self, writer: _RequestWriter, request: httpx.Request, connection: Any) -> None:
        try:
            for part in request.stream:  # type: ignore[union-attr] # a blocking client sends blocking streams
                for data in writer.writes(part):
                    connection.write(data, writer.outgoing)
            for data in writer.last_writes():
                connection.write(data, writer.outgoing)
        except WriteError:  # the server stopped reading; it may have answered already
            return

    def close(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        self.connections.close()


class AsyncPooledTransport(httpx.AsyncBaseTransport):
    """As `PooledTransport`, for asyncio and trio, with *max_connections* for each event loop.

    Any number of loops may use it, one after another or at the same time in several threads. Idle connections are
    closed when their loop ends. When the task or its scope is cancelled, the connection is closed and its slot is free.
    """

    def __init__(
        self,
        *,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        keepalive_expiry_s: float = DEFAULT_KEEPALIVE_EXPIRY_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self.connections = LoopConnections(max_connections, keepalive_expiry_s, verify)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Its connection is free again when the response is closed."""
        writer = _RequestWriter(request)
        try:
            pool, connection = await self.connections.acquire(writer.outgoing)
            try:
                await self._send(writer, request, connection)
                reader = writer.reader()
                is_complete = False
                while not reader.status:
                    is_complete = reader.feed(await connection.receive(writer.outgoing))
            except BaseException:
                pool.discard(connection)
                raise
        except ExchangeError as error:
            raise as_httpx_error(error, request) from error
        return _httpx_response(reader, _AsyncPooledByteStream(writer, reader, is_complete, pool, connection))

    async def _send(self, writer: _RequestWriter, request: httpx.Request, connection: Any) -> None:
        try:
            async for part in request.stream:  # type: ignore[union-attr]
                for data in writer.writes(part):
                    await connection.write(data, writer.outgoing)
            for data in writer.last_writes():
                await connection.write(data, writer.outgoing)
        except WriteError:
            return

    async def aclose(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        await self.connections.aclose()


class _RequestWriter:
    """The bytes of a request of httpx, written by h11."""

    def __init__(self, request: httpx.Request) -> None:
        url, extensions = request.url, request.extensions
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(
                f"the URL must begin with http:// or https://, got {url.scheme!r}", request=request
            )
        origin = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])
        timeouts = Timeouts(**extensions.get("timeout", {}))
        self.request = request
        self.outgoing = OutgoingRequest(origin, b"", b"", timeouts, extensions.get("deadline"))
        self._h11 = h11.Connection(h11.CLIENT)
        try:
            event = h11.Request(method=request.method, target=url.raw_path, headers=request.headers.raw)
            self._pending = self._h11.send(event) or b""  # the head leaves with the start of the body
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error), request=request) from None

    def writes(self, part: bytes) -> tuple[memoryview, ...]:
        """Return what to write for the next part of the body."""
        return self._written(h11.Data(data=part))

    def last_writes(self) -> tuple[memoryview, ...]:
        """Return what to write after the body."""
        return self._written(h11.EndOfMessage())

    def _written(self, event: Any) -> tuple[memoryview, ...]:
        try:
            data = self._h11.send(event) or b""
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error), request=self.request) from None
        head, self._pending = self._pending, b""
        if isinstance(event, h11.Data) and not data:
            self._pending = head
            return ()
        if len(data) <= _JOIN_BYTES:
            return (memoryview(head + data),) if head or data else ()
        return (memoryview(head), memoryview(data)) if head else (memoryview(data),)

    def reader(self) -> ReplyReader:
        """Return the reader of the reply."""
        is_last = self._h11.our_state is not h11.DONE
        return ReplyReader(self.request.method, self.request.extensions.get("max_bytes"), is_last=is_last)


class _BodyState:
    """The body of a response, and the connection that closing it releases."""

    def __init__(
        self, writer: _RequestWriter, reader: ReplyReader, is_complete: bool, pool: Any, connection: Any
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._is_complete = is_complete
        self._is_read = False
        self._pool = pool
        self._connection: Any = connection

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._is_read and self._reader.is_reusable:
            self._pool.release(connection)
        else:  # the rest of the body must not be read as the next reply
            self._pool.discard(connection)


class _PooledByteStream(_BodyState, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        reader, outgoing = self._reader, self._writer.outgoing
        try:
            if reader.body:
                yield reader.body
            while not self._is_complete:
                self._is_complete = reader.feed(self._connection.receive(outgoing))
                if reader.body:
                    yield reader.body
            self._is_read = True
        except BaseException as error:
            self.close()
            if isinstance(error, ExchangeError):
                raise as_httpx_error(error, self._writer.request) from error
            raise

    def close(self) -> None:
        self._release()


class _AsyncPooledByteStream(_BodyState, httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader, outgoing = self._reader, self._writer.outgoing
        try:
            if reader.body:
                yield reader.body
            while not self._is_complete:
                self._is_complete = reader.feed(await self._connection.receive(outgoing))
                if reader.body:
                    yield reader.body
            self._is_read = True
        except BaseException as error:
            await self.aclose()
            if isinstance(error, ExchangeError):
                raise as_httpx_error(error, self._writer.request) from error
            raise

    async def aclose(self) -> None:
        self._release()


def _httpx_response(reader: ReplyReader, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reader.fields]
    extensions = {"http_version": reader.http_version, "reason_phrase": reader.reason}
    return httpx.Response(reader.status, headers=headers, stream=body, extensions=extensions)
