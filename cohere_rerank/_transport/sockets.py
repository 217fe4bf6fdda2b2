"""One socket for httpcore: connected, encrypted, read and written, and every wait bounded.

`SocketStream` blocks; `LoopStream` lives on an asyncio loop. Both raise httpcore's exceptions, as httpcore expects of a
stream. On trio httpcore's own stream serves.
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
import httpcore

if TYPE_CHECKING:
    import asyncio

# How long one address may keep the next one waiting: the longest delay between attempts of RFC 8305, section 5.
_NEXT_ADDRESS_AFTER_S = 2.0
_JOIN_BYTES = 65_536  # copying a body up to this size is cheaper than a second packet
_READ_AHEAD_CHUNKS = 4  # of at most 256 KiB each: what asyncio may pile up before it stops reading

Deadline = Callable[[], float]


class _Head:
    """Holds a request's head back until its body follows, so that both leave in one packet.

    httpcore writes head, body pieces and end (which may be empty) one by one, then reads.
    """

    _head: bytes | None = None  # None: no request begun; empty: the head is out

    def _outgoing(self, data: bytes) -> tuple[bytes, ...]:
        head = self._head
        if head is None:
            self._head = data
            return ()
        self._head = b""
        if head and len(data) <= _JOIN_BYTES:
            return (head + data,)
        return (head, data) if head else (data,)


class SocketStream(_Head, httpcore.NetworkStream):
    """A blocking socket, every operation of which ends within the deadline of the request it serves.

    Attributes:
        deadline: Seconds left to the request being served; None means no limit.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.deadline: Deadline | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._head = None
        timeout = bounded(timeout, self.deadline, httpcore.ReadTimeout)
        try:
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        timeout = bounded(timeout, self.deadline, httpcore.WriteTimeout)
        ends_s = _end(timeout)
        try:
            for data in self._outgoing(buffer):
                rest = memoryview(data)
                while rest:
                    self._socket.settimeout(_until(ends_s))
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


class LoopStream(_Head, httpcore.AsyncNetworkStream):
    """A connection of an asyncio loop, at once its transport's protocol.

    Waiting is one future and one timer: no cancel scopes, which are most of the cost of anyio's stream.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock
        self._chunks: deque[bytes] = deque()
        self._has_ended = False  # nothing more will come
        self._is_lost = False  # asyncio has closed the socket already
        self._error: Exception | None = None
        self._is_full = False  # the peer does not keep up reading
        self._is_paused = False  # we do not keep up reading
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._lower: Any = None  # the transport below TLS, or the same one

    async def encrypt(self, tls: ssl.SSLContext, host: str) -> None:
        """Shake hands. What came before that is nobody's to read."""
        if self._chunks:
            raise OSError("the server spoke before the TLS handshake")
        protocol: Any = self
        try:
            self._transport = await self._loop.start_tls(self._lower, protocol, tls, server_hostname=host)
        except BaseException:
            if sys.version_info < (3, 11):  # cancelled late, it warns of the transport that it made and did not return
                self._transport = getattr(self._lower.get_protocol(), "_app_transport", None) or self._lower
            raise

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._lower = transport

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        if len(self._chunks) >= _READ_AHEAD_CHUNKS and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._has_ended = True
        _wake(self._reader)

    def connection_lost(self, error: Exception | None) -> None:
        self._has_ended = self._is_lost = True
        self._error = error
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        _wake(self._writer)

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._head = None
        if not self._chunks and not self._has_ended:
            self._reader = self._loop.create_future()
            await self._wait(self._reader, timeout, httpcore.ReadTimeout)
        if not self._chunks:
            if self._error is not None:
                raise httpcore.ReadError(str(self._error)) from self._error
            return b""
        data = self._chunks.popleft()
        if len(data) > max_bytes:
            self._chunks.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        elif self._is_paused and not self._chunks:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for data in self._outgoing(buffer):
            if self._transport.is_closing():
                raise httpcore.WriteError("the connection is closed") from self._error
            self._transport.write(data)
        if self._is_full:
            self._writer = self._loop.create_future()
            await self._wait(self._writer, timeout, httpcore.WriteTimeout)
            if self._is_full:
                raise httpcore.WriteError("the connection broke") from self._error

    async def aclose(self) -> None:
        self.abort()  # at once: a cancelled task closes its connection without waiting for anything

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # the loop may not have run since the peer closed, so the socket is asked too
            return bool(self._chunks) or self._has_ended or _is_readable(self._socket)
        return self._transport.get_extra_info(info)

    def abort(self) -> None:
        """Close now, on the loop's own thread."""
        # A transport that lost its connection has forgotten its loop too.
        if self._transport is not None and not self._is_lost:
            self._transport.abort()

    def bury(self) -> None:
        """Close the socket of a loop that is closed, and so cannot do it itself."""
        self._socket.close()
        # The first two mark each layer closed before they fail; nothing public makes a transport let go of its socket.
        for close in (self._transport.abort, self._transport.close, lambda: self._lower._call_connection_lost(None)):
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
    """Connect to the first address that answers, within *timeout* seconds in all, TLS included."""
    ends_s = _end(timeout)
    with _connect_errors(host, port):
        sock = _first_to_answer(host, port, ends_s)
        try:
            _set_options(sock)
            if tls is not None:
                sock.settimeout(_until(ends_s))
                sock = tls.wrap_socket(sock, server_hostname=host.decode())
        except BaseException:
            sock.close()
            raise
    return SocketStream(sock)


def _first_to_answer(host: bytes, port: int, ends_s: float | None) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for n_left, (family, kind, proto, _, address) in _countdown(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.settimeout(_share(_until(ends_s), n_left))
                sock.connect(address)
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the name has no address")


async def connect_on_loop(host: bytes, port: int, timeout: float | None, tls: ssl.SSLContext | None) -> LoopStream:
    """As `connect`, on the running asyncio loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    ends_s = _end(timeout)
    with _connect_errors(host, port), anyio.fail_after(timeout):
        sock = await _first_to_answer_on_loop(loop, host, port, ends_s)
        stream = LoopStream(loop, sock)
        protocol: Any = stream  # it needs no base class, and asyncio is not imported yet
        try:
            _set_options(sock)
            await loop.create_connection(lambda: protocol, sock=sock)
            if tls is not None:  # not create_connection(ssl=...): cancelled early, that leaves its transport open
                await stream.encrypt(tls, host.decode())
        except BaseException:
            stream.abort()
            sock.close()
            raise
    return stream


async def _first_to_answer_on_loop(
    loop: asyncio.AbstractEventLoop, host: bytes, port: int, ends_s: float | None
) -> socket.socket:
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for n_left, (family, kind, proto, _, address) in _countdown(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                with anyio.fail_after(_share(_until(ends_s), n_left)):
                    await loop.sock_connect(sock, address)
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the name has no address")


async def connect_on_trio(
    host: bytes, port: int, timeout: float | None, tls: ssl.SSLContext | None
) -> httpcore.AsyncNetworkStream:
    """As `connect`, in a trio task."""
    ends_s = _end(timeout)
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    backend: Any = httpcore.TrioBackend()
    stream: httpcore.AsyncNetworkStream = await backend.connect_tcp(
        host.decode(), port, timeout, socket_options=options
    )
    if tls is None:
        return stream
    try:
        return await stream.start_tls(tls, host.decode(), _until(ends_s))
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise


def bounded(timeout: float | None, deadline: Deadline | None, error: type[Exception]) -> float | None:
    """The smaller of a phase's timeout and what the deadline leaves, in seconds; raises *error* at 0."""
    if deadline is None:
        return timeout
    left_s = deadline()
    if left_s <= 0:
        raise error("the deadline of the request has passed")
    return left_s if timeout is None else min(timeout, left_s)


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _until(ends_s: float | None) -> float | None:
    if ends_s is None:
        return None
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _share(left_s: float | None, n_addresses: int) -> float | None:
    """How long to try one address when *n_addresses* are left, so that a dead one does not starve the rest."""
    if n_addresses == 1:
        return left_s
    return _NEXT_ADDRESS_AFTER_S if left_s is None else min(left_s / n_addresses, _NEXT_ADDRESS_AFTER_S)


def _countdown(addresses: list[Any]) -> Iterator[tuple[int, Any]]:
    return zip(range(len(addresses), 0, -1), addresses)


@contextlib.contextmanager
def _connect_errors(host: bytes, port: int) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"{host.decode()}:{port}: {str(error) or 'timed out'}") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA refuses
        raise httpcore.ConnectError(f"{host.decode()}:{port}: {error}") from error


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _is_readable(sock: socket.socket) -> bool:
    """Whether a read would return at once; true of a closed socket, as no idle connection may be."""
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
