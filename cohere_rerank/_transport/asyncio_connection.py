"""A connection of an asyncio loop: the protocol of its transport, with one future for a wait and one timer in all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING

from .connection_errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from .polling import poll_to_read

if TYPE_CHECKING:
    import ssl
    from typing import Any, TypeVar

    from .connection_errors import ExchangeTimeout
    from .outgoing import Origin, OutgoingRequest

    T = TypeVar("T")

_NEVER_S = float("inf")
_READ_AHEAD_CHUNKS = 4  # of at most 256 KiB each; then asyncio stops reading


class AsyncioConnection(asyncio.Protocol):
    """One open connection, for one exchange at a time. Cancel scopes would be most of its cost.

    Attributes:
        origin: Where it leads.
        idle_since_s: When it was released, on the monotonic clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, sock: socket.socket) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self._loop = loop
        self._socket = sock
        self._poll = poll_to_read(sock)
        self._chunks: deque[bytes] = deque()
        self._eof = False  # no more data will come
        self._is_closed = False  # asyncio has closed the socket
        self._error: Exception | None = None
        self._write_paused = False  # the peer reads too slowly
        self._read_paused = False  # we read too slowly
        self._is_spent = False  # a write failed
        self._has_waited = True  # the last read waited for data
        self._waiter: asyncio.Future[None] | None = None  # of the one read or write in progress
        self._timeout: type[ExchangeTimeout] = ReadTimeout  # of that read or write
        self._expires_s = _NEVER_S
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _NEVER_S  # when it fires
        self._transport: Any = None
        self._raw_transport: Any = None  # the transport below TLS, or the same transport

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Do the TLS handshake. Data that came before it is an error."""
        if self._chunks:
            raise OSError("the server sent data before the TLS handshake")
        try:
            self._transport = await self._loop.start_tls(self._raw_transport, self, tls, server_hostname=host)
        except BaseException:
            # Cancelled late, older Pythons warn about a transport that they did not return.
            if sys.version_info < (3, 11):
                app_protocol = self._raw_transport.get_protocol()
                self._transport = getattr(app_protocol, "_app_transport", None) or self._raw_transport
            raise

    async def send(self, request: OutgoingRequest) -> None:
        """Write a whole request. If the server stopped reading, it may have answered already."""
        for data in request.writes():
            self._transport.write(data)  # a connection that has just been alive; a failure ends the next read
        if self._write_paused:
            try:
                await self._drain(request)
            except WriteError:
                return

    async def write(self, data: memoryview, request: OutgoingRequest) -> None:
        """Write the bytes."""
        if self._transport.is_closing():
            self._is_spent = True
            raise WriteError("the connection is closed") from self._error
        self._transport.write(data)
        if self._write_paused:
            await self._drain(request)

    async def _drain(self, request: OutgoingRequest) -> None:
        waiter = self._new_waiter(request.wait_s(request.timeouts.write, WriteTimeout), WriteTimeout)
        try:
            await waiter
        finally:
            self._waiter = None
        if self._write_paused:
            self._is_spent = True
            raise WriteError("the connection broke") from self._error

    async def receive(self, request: OutgoingRequest) -> bytes:
        """Return the next bytes, or none if the server closed the connection."""
        if not self._chunks and not self._eof:
            waiter = self._new_waiter(request.wait_s(request.timeouts.read, ReadTimeout), ReadTimeout)
            try:
                await waiter
            finally:
                self._waiter = None
            self._has_waited = True
        elif not self._has_waited:  # the second read without a wait: let other tasks and timers run
            await asyncio.sleep(0)
            request.wait_s(None, ReadTimeout)
        else:
            self._has_waited = False
        if self._chunks:
            data = self._chunks.popleft()
            if self._read_paused and not self._chunks:
                self._read_paused = False
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise ReadError(str(self._error)) from self._error
        return b""

    def _new_waiter(self, wait_s: float | None, timeout: type[ExchangeTimeout]) -> asyncio.Future[None]:
        """Return a future that ends when something happens, or fails after *wait_s* seconds.

        The timer stays for the next wait, because most waits are short.
        """
        loop = self._loop
        self._waiter = waiter = loop.create_future()
        if wait_s is None:
            self._expires_s = _NEVER_S
            return waiter
        self._timeout = timeout
        self._expires_s = expires_s = loop.time() + wait_s
        if expires_s < self._timer_s:
            self._set_timer(expires_s)
        return waiter

    def _set_timer(self, expires_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(expires_s, self._on_timer)
        self._timer_s = expires_s

    def _on_timer(self) -> None:
        self._timer, self._timer_s = None, _NEVER_S
        waiter = self._waiter
        if waiter is None or waiter.done() or self._expires_s == _NEVER_S:
            return
        if self._loop.time() >= self._expires_s:
            waiter.set_exception(self._timeout("timed out"))
        else:
            self._set_timer(self._expires_s)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._raw_transport = transport

    def data_received(self, data: bytes) -> None:
        chunks = self._chunks
        chunks.append(data)
        if len(chunks) >= _READ_AHEAD_CHUNKS and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None and not self._write_paused and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        self._eof = True
        if not self._write_paused:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._is_closed = True
        self._error = exc
        self._cancel_timer()
        self._wake()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()

    # Called by the pool.

    def is_alive(self) -> bool:
        """Return whether nothing came since the last reply."""
        # The loop may not have run since the peer closed, so the socket is asked too.
        return not (self._is_spent or self._chunks or self._eof or self._poll(0))

    def close(self) -> None:
        """Close the connection at once. Only the thread of the event loop may call this."""
        self._cancel_timer()
        # A transport without a connection has no loop either.
        if self._transport is not None and not self._is_closed:
            self._transport.abort()

    def force_close(self) -> None:
        """Close the socket after its event loop was closed, because that loop cannot close it any more."""
        self._socket.close()
        # The first two mark each layer as closed before they fail. No public function drops a transport's socket.
        for close in (
            self._transport.abort,
            self._transport.close,
            lambda: self._raw_transport._call_connection_lost(None),
        ):
            with contextlib.suppress(RuntimeError, AttributeError):
                close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_s = None, _NEVER_S
