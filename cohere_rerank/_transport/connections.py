"""The connections of one client, for threads: one exchange after another over the connections of a pool."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from .connection_errors import ConnectTimeout, ReadTimeout
from .pool import ThreadPool, Waiter
from .socket_connection import SocketConnection

if TYPE_CHECKING:
    import ssl

    from .outgoing import Origin, OutgoingRequest
    from .whole_reply import WholeReply

DEFAULT_MAX_CONNECTIONS = 100
DEFAULT_KEEPALIVE_EXPIRY_S = 30.0


class BaseConnections:
    """The limits, and one TLS context for all connections."""

    def __init__(
        self,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        keepalive_expiry_s: float = DEFAULT_KEEPALIVE_EXPIRY_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        if keepalive_expiry_s < 0:
            raise ValueError(f"keepalive_expiry_s must not be negative, got {keepalive_expiry_s}")
        self._max_connections = max_connections
        self._expiry_s = keepalive_expiry_s
        self._tls = verify
        self._tls_lock = threading.Lock()
        _instances.add(self)

    def _tls_for(self, origin: Origin) -> ssl.SSLContext | None:
        if origin[0] != "https":
            return None
        with self._tls_lock:  # a context costs 25 ms and 1 MB, so it is made once and only if needed
            if self._tls is None:
                from .tls import new_tls_context

                self._tls = new_tls_context()
            self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls

    def _after_fork(self) -> None:
        self._tls_lock = threading.Lock()  # a thread that does not exist in the child may hold the old one


_instances: weakref.WeakSet[BaseConnections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_instances):
        connections._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ThreadConnections(BaseConnections):
    """The connections of any number of threads. A forked child does not use those of its parent."""

    def __init__(
        self,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        keepalive_expiry_s: float = DEFAULT_KEEPALIVE_EXPIRY_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._pool: ThreadPool[SocketConnection] = ThreadPool(max_connections, keepalive_expiry_s)

    def exchange(self, request: OutgoingRequest, reply: WholeReply) -> None:
        """Send a request, and read its whole reply.

        Raises:
            ExchangeError: No complete reply came.
            ResponseTooLargeError, InvalidResponseError: The reply is too large or cannot be decompressed.
        """
        pool, cancellation = self._pool, request.cancellation
        taken = pool.acquire()
        connection = pool.wait(taken, request) if isinstance(taken, Waiter) else taken
        try:
            if connection is None or not pool.is_reusable(connection, request.origin):
                connection = self._replace(connection, request)
            if cancellation is not None:
                cancellation.attach(connection)
            connection.send(request)
            while not reply.is_complete:
                steps = reply.collect(connection.receive(request))
                if steps is not None:
                    for _ in steps:
                        request.wait_s(None, ReadTimeout)
        except BaseException:
            if cancellation is not None:
                cancellation.detach()
            pool.discard(connection)
            raise
        if reply.is_reusable and (cancellation is None or cancellation.detach()):
            pool.release(connection)
        else:
            pool.discard(connection)

    def acquire(self, request: OutgoingRequest) -> tuple[ThreadPool[SocketConnection], SocketConnection]:
        """Return a connection that is ready for a request, and the pool that gets it back."""
        pool = self._pool
        taken = pool.acquire()
        connection = pool.wait(taken, request) if isinstance(taken, Waiter) else taken
        try:
            if connection is None or not pool.is_reusable(connection, request.origin):
                connection = self._replace(connection, request)
        except BaseException:
            pool.discard(connection)
            raise
        return pool, connection

    def _replace(self, connection: SocketConnection | None, request: OutgoingRequest) -> SocketConnection:
        """Open a connection in the slot of another one that is closed, or in a free slot."""
        if connection is not None:
            connection.close()
        tls = self._tls_for(request.origin)
        return SocketConnection.open(request, request.wait_s(request.timeouts.connect, ConnectTimeout), tls)

    def close(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        pool, self._pool = self._pool, ThreadPool(self._max_connections, self._expiry_s)
        pool.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        pool, self._pool = self._pool, ThreadPool(self._max_connections, self._expiry_s)
        pool.close_after_fork()
