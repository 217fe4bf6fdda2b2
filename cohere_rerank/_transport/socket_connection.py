"""A connection for threads: a socket that does not block, and a poll object for each wait."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .connecting import connect
from .connection_errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from .outgoing import expires_at, remaining_until
from .polling import poll_to_read, poll_to_write

if TYPE_CHECKING:
    import socket
    import ssl

    from .outgoing import Origin, OutgoingRequest

_READ_BYTES = 65_536
_MAX_WAIT_S = 86_400.0  # poll accepts no more than 24 days
# Both mean "not yet". They are errors of ssl, whose import takes time, so that they are known by name.
_WANTS_READ, _WANTS_WRITE = "SSLWantReadError", "SSLWantWriteError"


class SocketConnection:
    """One open connection, for one exchange at a time. Every wait ends within its phase and the deadline.

    Attributes:
        origin: Where it leads.
        idle_since_s: When it was released, on the monotonic clock.
    """

    __slots__ = ("_is_spent", "_pending", "_poll", "_socket", "idle_since_s", "origin")

    def __init__(self, origin: Origin, sock: socket.socket) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self._is_spent = False  # a write failed
        self._socket = sock
        self._pending = getattr(sock, "pending", None)  # with TLS: the bytes that are decrypted already
        self._poll = poll_to_read(sock)

    @classmethod
    def open(cls, request: OutgoingRequest, timeout_s: float | None, tls: ssl.SSLContext | None) -> SocketConnection:
        """Connect to the origin of a request."""
        _, host, port = request.origin
        return cls(request.origin, connect(host, port, timeout_s, tls))

    def send(self, request: OutgoingRequest) -> None:
        """Write a whole request. If the server stopped reading, it may have answered already."""
        try:
            for data in request.writes():
                try:
                    n_sent = self._socket.send(data)
                except OSError:
                    n_sent = 0  # not yet, or never: the next attempt tells
                if n_sent < len(data):
                    self.write(data[n_sent:], request)
        except WriteError:
            return

    def write(self, data: memoryview, request: OutgoingRequest) -> None:
        """Write the bytes."""
        try:
            n_sent = self._try_to_send(data)
            expires_s = expires_at(request.timeouts.write)
            while n_sent < len(data):
                data = data[n_sent:]
                self._wait_to_write(remaining_until(expires_s), request)
                n_sent = self._try_to_send(data)
        except TimeoutError as error:
            raise WriteTimeout(str(error)) from error
        except OSError as error:
            self._is_spent = True
            raise WriteError(str(error)) from error

    def _try_to_send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if type(error).__name__ != _WANTS_WRITE:
                raise
            return 0

    def _wait_to_write(self, wait_s: float | None, request: OutgoingRequest) -> None:
        if not poll_to_write(self._socket)(_milliseconds(request.wait_s(wait_s, WriteTimeout))):
            raise WriteTimeout("timed out")

    def receive(self, request: OutgoingRequest) -> bytes:
        """Return the next bytes, or none if the server closed the connection."""
        read_s = request.timeouts.read
        try:
            while True:
                if self._pending is None or not self._pending():
                    wait_s = request.wait_s(read_s, ReadTimeout)
                    if not self._poll(None if wait_s is None else min(wait_s, _MAX_WAIT_S) * 1000):
                        raise ReadTimeout("timed out")
                try:
                    return self._socket.recv(_READ_BYTES)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._wait_for_tls(error, request)
        except OSError as error:
            raise ReadError(str(error)) from error

    def _wait_for_tls(self, error: OSError, request: OutgoingRequest) -> None:
        name = type(error).__name__
        if name == _WANTS_WRITE:
            wait_s = request.wait_s(request.timeouts.read, ReadTimeout)
            poll_to_write(self._socket)(_milliseconds(wait_s))
        elif name != _WANTS_READ:
            raise error

    def is_alive(self) -> bool:
        """Return whether nothing came since the last reply: neither the end of the connection nor other bytes."""
        return not (self._is_spent or self._poll(0))

    def abort(self) -> None:
        """End every wait of another thread on this connection. It cannot be used again."""
        from socket import SHUT_RDWR, socket

        with suppress(OSError):  # it is closed already
            socket.shutdown(
                self._socket, SHUT_RDWR
            )  # not that of TLS, which would change the state of the other thread

    def close(self) -> None:
        """Close the socket. With TLS, this sends no message."""
        self._socket.close()


def _milliseconds(wait_s: float | None) -> float | None:
    return None if wait_s is None else min(wait_s, _MAX_WAIT_S) * 1000
