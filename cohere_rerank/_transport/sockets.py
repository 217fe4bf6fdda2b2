"""Network streams for httpcore: connect, encrypt, read and write, with a bound on every wait.

`SocketStream` blocks. `AsyncioStream` works on an asyncio loop. On trio httpcore's own stream is used. All raise
httpcore's exceptions.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpcore

from cohere_rerank.errors import ResponseTooLargeError

if TYPE_CHECKING:
    import asyncio

# Seconds after which the next address is tried: the longest delay between attempts in RFC 8305, section 5.
_NEXT_ADDRESS_AFTER_S = 2.0
_JOIN_BYTES = 65_536  # copying a body of up to this size costs less than a second packet
_READ_AHEAD_CHUNKS = 4  # of at most 256 KiB each; then asyncio stops reading

Deadline = Callable[[], float]


class _HeaderCoalescing:
    """Hold a request's head until its body follows, so that both are sent in one packet.

    httpcore writes the head, the pieces of the body and the end (which may be empty) one by one. Then it reads.
    """

    _head: bytes | None = None  # None: no request has begun. Empty: the head is sent.

    def _coalesce(self, data: bytes) -> tuple[bytes, ...]:
        head = self._head
        if head is None:
            self._head = data
            return ()
        self._head = b""
        if head and len(data) <= _JOIN_BYTES:
            return (head + data,)
        return (head, data) if head else (data,)


class _ByteCount:
    """Count the bytes that are read for one request.

    Attributes:
        max_bytes: What may still be read. None means no limit.
    """

    max_bytes: int | None = None

    def _counted(self, data: bytes) -> bytes:
        if self.max_bytes is not None:
            self.max_bytes -= len(data)
            if self.max_bytes < 0:
                raise ResponseTooLargeError(
                    "The server sent more than this request can need. If that is expected, set max_response_bytes."
                )
        return data


class SocketStream(_HeaderCoalescing, _ByteCount, httpcore.NetworkStream):
    """A blocking socket. Every operation ends within the deadline of the request in flight.

    Attributes:
        deadline: Returns the seconds that remain to the request in flight. None means no limit.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.deadline: Deadline | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._head = None
        timeout = min_timeout(timeout, self.deadline, httpcore.ReadTimeout)
        try:
            self._socket.settimeout(timeout)
            data = self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        return self._counted(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        timeout = min_timeout(timeout, self.deadline, httpcore.WriteTimeout)
        expires_at = _expires_at(timeout)
        try:
            for data in self._coalesce(buffer):
                rest = memoryview(data)
                while rest:
                    self._socket.settimeout(_remaining(expires_at))
                    rest = rest[self._socket.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._socket)
        return self._socket if info == "socket" else None


class AsyncioStream(_HeaderCoalescing, _ByteCount, httpcore.AsyncNetworkStream):
    """A connection on an asyncio loop, and the protocol of its transport.

    A wait is one future and one timer. Cancel scopes would be most of the cost, as in anyio's stream.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock
        self._chunks: deque[bytes] = deque()
        self._eof = False  # no more data will come
        self._is_closed = False  # asyncio has closed the socket
        self._error: Exception | None = None
        self._write_paused = False  # the peer reads too slowly
        self._read_paused = False  # we read too slowly
        self._has_waited = True  # the last read waited for data
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._raw_transport: Any = None  # the transport below TLS, or the same transport

    async def _start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Do the TLS handshake. Data that came before it is an error."""
        if self._chunks:
            raise OSError("the server sent data before the TLS handshake")
        protocol: Any = self
        try:
            self._transport = await self._loop.start_tls(self._raw_transport, protocol, tls, server_hostname=host)
        except BaseException:
            # Cancelled late, older Pythons warn about a transport that they did not return.
            if sys.version_info < (3, 11):
                app_protocol = self._raw_transport.get_protocol()
                self._transport = getattr(app_protocol, "_app_transport", None) or self._raw_transport
            raise

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._raw_transport = transport

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        if len(self._chunks) >= _READ_AHEAD_CHUNKS and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._eof = True
        _wake(self._reader)

    def connection_lost(self, error: Exception | None) -> None:
        self._eof = self._is_closed = True
        self._error = error
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        _wake(self._writer)

    # Called by httpcore.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._head = None
        if not self._chunks and not self._eof:
            self._reader = self._loop.create_future()
            await self._wait(self._reader, timeout, httpcore.ReadTimeout)
            self._has_waited = True
        elif not self._has_waited:  # the second read without a wait: let other tasks and timers run
            await anyio.lowlevel.checkpoint()
        else:
            self._has_waited = False
        if not self._chunks:
            if self._error is not None:
                raise httpcore.ReadError(str(self._error)) from self._error
            return b""
        data = self._chunks.popleft()
        if len(data) > max_bytes:
            self._chunks.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        elif self._read_paused and not self._chunks:
            self._read_paused = False
            self._transport.resume_reading()
        return self._counted(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for data in self._coalesce(buffer):
            if self._transport.is_closing():
                raise httpcore.WriteError("the connection is closed") from self._error
            self._transport.write(data)
        if self._write_paused:
            self._writer = self._loop.create_future()
            await self._wait(self._writer, timeout, httpcore.WriteTimeout)
            if self._write_paused:
                raise httpcore.WriteError("the connection broke") from self._error

    async def aclose(self) -> None:
        self.abort()  # immediate: a cancelled task closes its connection without a wait

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # the loop may not have run since the peer closed, so ask the socket too
            return bool(self._chunks) or self._eof or _is_readable(self._socket)
        return self._transport.get_extra_info(info)

    def abort(self) -> None:
        """Close the connection at once. Only the thread of the event loop may call this."""
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

    async def _wait(self, ready: asyncio.Future[None], timeout: float | None, error: type[Exception]) -> None:
        timer = None if timeout is None else self._loop.call_later(timeout, _fail, ready, error)
        try:
            await ready
        finally:
            if timer is not None:
                timer.cancel()


def connect(host: bytes, port: int, timeout: float | None, tls: ssl.SSLContext | None) -> SocketStream:
    """Connect to the first address that answers, within *timeout* seconds in total, TLS included."""
    expires_at = _expires_at(timeout)
    with _connect_errors(host, port):
        sock = _connect_first(host, port, expires_at)
        try:
            _set_options(sock)
            if tls is not None:
                sock.settimeout(_remaining(expires_at))
                sock = tls.wrap_socket(sock, server_hostname=host.decode())
        except BaseException:
            sock.close()
            raise
    return SocketStream(sock)


def _connect_first(host: bytes, port: int, expires_at: float | None) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for n_left, (family, kind, proto, _, address) in _with_remaining(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.settimeout(_per_address_timeout(_remaining(expires_at), n_left))
                sock.connect(address)
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the host name has no address")


async def connect_asyncio(host: bytes, port: int, timeout: float | None, tls: ssl.SSLContext | None) -> AsyncioStream:
    """As `connect`, on the running asyncio loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    expires_at = _expires_at(timeout)
    with _connect_errors(host, port), anyio.fail_after(timeout):
        sock = await _connect_first_asyncio(loop, host, port, expires_at)
        stream = AsyncioStream(loop, sock)
        protocol: Any = stream  # it needs no base class, and asyncio must not be imported at module level
        try:
            _set_options(sock)
            await loop.create_connection(lambda: protocol, sock=sock)
            if tls is not None:  # create_connection(ssl=...) leaves its transport open when it is cancelled early
                await stream._start_tls(tls, host.decode())
        except BaseException:
            stream.abort()
            sock.close()
            raise
    return stream


async def _connect_first_asyncio(
    loop: asyncio.AbstractEventLoop, host: bytes, port: int, expires_at: float | None
) -> socket.socket:
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for n_left, (family, kind, proto, _, address) in _with_remaining(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                with anyio.fail_after(_per_address_timeout(_remaining(expires_at), n_left)):
                    await loop.sock_connect(sock, address)
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the host name has no address")


async def connect_trio(
    host: bytes, port: int, timeout: float | None, tls: ssl.SSLContext | None
) -> httpcore.AsyncNetworkStream:
    """As `connect`, in a trio task."""
    expires_at = _expires_at(timeout)
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    backend: Any = httpcore.TrioBackend()
    stream: httpcore.AsyncNetworkStream = await backend.connect_tcp(
        host.decode(), port, timeout, socket_options=options
    )
    if tls is None:
        return stream
    try:
        return await stream.start_tls(tls, host.decode(), _remaining(expires_at))
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise


def min_timeout(timeout: float | None, deadline: Deadline | None, error: type[Exception]) -> float | None:
    """Return the smaller of a phase's timeout and the remaining seconds of the deadline; raise *error* at 0."""
    if deadline is None:
        return timeout
    left_s = deadline()
    if left_s <= 0:
        raise error("the deadline of the request has passed")
    return left_s if timeout is None else min(timeout, left_s)


def _expires_at(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _remaining(expires_at: float | None) -> float | None:
    if expires_at is None:
        return None
    left_s = expires_at - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _per_address_timeout(left_s: float | None, n_addresses: int) -> float | None:
    """Return the seconds to try one of *n_addresses* that are left, so that a dead one leaves time for the others."""
    if n_addresses == 1:
        return left_s
    return _NEXT_ADDRESS_AFTER_S if left_s is None else min(left_s / n_addresses, _NEXT_ADDRESS_AFTER_S)


def _with_remaining(addresses: list[Any]) -> Iterator[tuple[int, Any]]:
    return zip(range(len(addresses), 0, -1), addresses)


@contextlib.contextmanager
def _connect_errors(host: bytes, port: int) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"{host.decode()}:{port}: {str(error) or 'timed out'}") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: IDNA does not accept the host name
        raise httpcore.ConnectError(f"{host.decode()}:{port}: {error}") from error


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether a read would return at once. True for a closed socket, which must not be reused."""
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _fail(waiter: asyncio.Future[None], error: type[Exception]) -> None:
    if not waiter.done():
        waiter.set_exception(error("timed out"))
