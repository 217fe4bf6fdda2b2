"""Connection pools: a LIFO of idle connections, a cap on open ones, and a FIFO of waiters.

`SyncPool` serves threads and blocks them. `AsyncPool` serves one event loop. Both raise httpcore's exceptions.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, Generic, TypeVar

import anyio
import httpcore

from . import sockets

Extensions = MutableMapping[str, Any]
Origin = tuple[bytes, bytes, int]  # scheme, host, port
H = TypeVar("H", httpcore.HTTP11Connection, httpcore.AsyncHTTP11Connection)
S = TypeVar("S")


class Connection(Generic[H, S]):
    """One open connection: httpcore's protocol state and the stream below it."""

    __slots__ = ("http", "idle_since_s", "origin", "stream")

    def __init__(self, origin: Origin, http: H, stream: S) -> None:
        self.origin = origin
        self.http: H = http
        self.stream = stream
        self.idle_since_s = 0.0


class _Waiter(Generic[H, S]):
    """A request that waits for a slot. Once notified, it has a slot, and maybe a connection."""

    __slots__ = ("connection", "notify")

    def __init__(self) -> None:
        self.notify: Callable[[], object]  # wakes the request; set by the pool that waits
        self.connection: Connection[H, S] | None = None


class _Pool(Generic[H, S]):
    """The bookkeeping of a pool, without I/O.

    A slot is the right to have one connection open. Requests wait only while no slot is free and no connection is
    idle. A released connection goes to the first waiter, so that no later request overtakes a waiting one.
    """

    def __init__(self, max_connections: int, keepalive_expiry_s: float) -> None:
        self._max_connections = max_connections
        self._n_free = max_connections
        self._expiry_s = keepalive_expiry_s
        self._idle: deque[Connection[H, S]] = deque()  # the right end was used last
        self._queue: OrderedDict[_Waiter[H, S], None] = OrderedDict()
        self._is_closing = False

    def _acquire(self) -> Connection[H, S] | _Waiter[H, S] | None:
        """Return an idle connection to try, None for a free slot without one, or a new waiter in the queue."""
        if self._idle:
            return self._idle.pop()
        if self._n_free:
            self._n_free -= 1
            return None
        waiter: _Waiter[H, S] = _Waiter()
        self._queue[waiter] = None
        return waiter

    def _cancel(self, waiter: _Waiter[H, S]) -> bool:
        """Remove a waiter from the queue. Return False if it was already notified."""
        if waiter not in self._queue:
            return False
        del self._queue[waiter]
        return True

    def _release(self, connection: Connection[H, S] | None) -> Connection[H, S] | None:
        """Return a slot, with its connection if that can be reused. Return a connection to close, or None."""
        now_s = time.monotonic()
        if connection is not None:
            connection.idle_since_s = now_s
        if self._queue:
            waiter, _ = self._queue.popitem(last=False)
            waiter.connection = connection
            waiter.notify()
            return None
        if connection is None or self._is_closing:
            self._n_free += 1
            return connection
        self._idle.append(connection)
        if now_s - self._idle[0].idle_since_s <= self._expiry_s:
            return None
        self._n_free += 1
        return self._idle.popleft()

    def _start_closing(self) -> list[Connection[H, S]]:
        """Keep no idle connections from now on. Return those to close."""
        self._is_closing = True
        idle = list(self._idle)
        self._idle.clear()
        self._n_free += len(idle)
        return idle

    def is_reusable(self, connection: Connection[H, S], origin: Origin) -> bool:
        """Return whether an idle connection still works and has this origin."""
        idle_s = time.monotonic() - connection.idle_since_s
        return (
            connection.origin == origin
            and idle_s <= self._expiry_s
            and not connection.http.has_expired()  # asks the socket whether the server closed it
        )

    def _pool_timeout(self) -> httpcore.PoolTimeout:
        return httpcore.PoolTimeout(f"all {self._max_connections} connections were in use")


SyncConnection = Connection[httpcore.HTTP11Connection, sockets.SocketStream]


class SyncPool(_Pool[httpcore.HTTP11Connection, sockets.SocketStream]):
    """The connection pool of all threads."""

    def __init__(self, max_connections: int, keepalive_expiry_s: float) -> None:
        super().__init__(max_connections, keepalive_expiry_s)
        self._lock = threading.Lock()

    def acquire(self, extensions: Extensions) -> SyncConnection | None:
        """Acquire a slot. Return its idle connection, if it has one. Wait while all slots are in use."""
        with self._lock:
            taken = self._acquire()
            if not isinstance(taken, _Waiter):
                return taken
            notified = threading.Lock()
            notified.acquire()
            taken.notify = notified.release
        try:
            timeout = _timeout(extensions, "pool", httpcore.PoolTimeout)
            notified.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # Ctrl-C, or no time left; a slot that just came goes to the next waiter
            with self._lock:
                is_notified = not self._cancel(taken)
            if is_notified:
                self.release(taken.connection)
            raise
        with self._lock:
            if self._cancel(taken):
                raise self._pool_timeout()
        return taken.connection

    def connect(
        self,
        replacing: SyncConnection | None,
        origin: Origin,
        extensions: Extensions,
        tls: ssl.SSLContext | None,
    ) -> SyncConnection:
        """Open a connection, in the slot of *replacing* if that is not None."""
        if replacing is not None:
            replacing.stream.close()
        timeout = _timeout(extensions, "connect", httpcore.ConnectTimeout)
        stream = sockets.connect(origin[1], origin[2], timeout, tls)
        http = httpcore.HTTP11Connection(httpcore.Origin(*origin), stream)
        return Connection(origin, http, stream)

    def release(self, connection: SyncConnection | None) -> None:
        """Return a slot, with its connection if there is one."""
        if connection is not None and not connection.http.is_available():
            connection.stream.close()
            connection = None
        with self._lock:
            evicted = self._release(connection)
        if evicted is not None:
            evicted.stream.close()

    def discard(self, connection: SyncConnection | None) -> None:
        """Close a connection and return its slot."""
        if connection is not None:
            connection.stream.close()
        self.release(None)

    def close(self) -> None:
        """Close idle connections now, and the others when they are released."""
        with self._lock:
            idle = self._start_closing()
        for connection in idle:
            connection.stream.close()

    def close_after_fork(self) -> None:
        """Close the child's copies of its parent's sockets. Closing a socket sends no TLS close message."""
        self._lock = threading.Lock()  # a thread that does not exist in the child may hold the old one
        self.close()


Connect = Callable[[bytes, int, "float | None", "ssl.SSLContext | None"], Awaitable[httpcore.AsyncNetworkStream]]
AsyncConnection = Connection[httpcore.AsyncHTTP11Connection, Any]  # the stream is an AsyncioStream or trio's


class AsyncPool(_Pool[httpcore.AsyncHTTP11Connection, Any]):
    """The connection pool of one event loop. Only the loop's thread uses it.

    Attributes:
        loop_finalizer: An async generator that closes the pool when the loop closes the generator.
    """

    loop_finalizer: AsyncGenerator[None, None]

    def __init__(self, max_connections: int, keepalive_expiry_s: float, connect: Connect) -> None:
        super().__init__(max_connections, keepalive_expiry_s)
        self._connect = connect

    async def acquire(self, extensions: Extensions) -> AsyncConnection | None:
        """Acquire a slot. Return its idle connection, if it has one. Wait while all slots are in use."""
        taken = self._acquire()
        if not isinstance(taken, _Waiter):
            return taken
        notified = anyio.Event()
        taken.notify = notified.set
        try:
            with anyio.move_on_after(_timeout(extensions, "pool", httpcore.PoolTimeout)):
                await notified.wait()
        except BaseException:  # cancelled; a slot that just came goes to the next waiter
            if not self._cancel(taken):
                await self.release(taken.connection)
            raise
        if self._cancel(taken):
            raise self._pool_timeout()
        return taken.connection

    async def connect(
        self,
        replacing: AsyncConnection | None,
        origin: Origin,
        extensions: Extensions,
        tls: ssl.SSLContext | None,
    ) -> AsyncConnection:
        """Open a connection, in the slot of *replacing* if that is not None."""
        if replacing is not None:
            await _close(replacing)
        timeout = _timeout(extensions, "connect", httpcore.ConnectTimeout)
        stream = await self._connect(origin[1], origin[2], timeout, tls)
        http = httpcore.AsyncHTTP11Connection(httpcore.Origin(*origin), stream)
        return Connection(origin, http, stream)

    async def release(self, connection: AsyncConnection | None) -> None:
        """Return a slot, with its connection if there is one."""
        if connection is not None and not connection.http.is_available():
            return await self.discard(connection)
        evicted = self._release(connection)
        if evicted is not None:
            await _close(evicted)
        return None

    async def discard(self, connection: AsyncConnection | None) -> None:
        """Close a connection and return its slot."""
        try:
            if connection is not None:
                await _close(connection)
        finally:
            self._release(None)

    async def close(self) -> None:
        """Close idle connections now, and the others when they are released."""
        for connection in self._start_closing():
            await _close(connection)

    def abort(self) -> None:
        """As `close`, for a callback of an asyncio loop."""
        for connection in self._start_closing():
            connection.stream.abort()

    def force_close(self) -> None:
        """Close the sockets of an asyncio loop that is closed."""
        for connection in self._start_closing():
            connection.stream.force_close()


async def _close(connection: AsyncConnection) -> None:
    with anyio.CancelScope(shield=True):  # closing can be cancelled on trio; on asyncio it never waits
        await connection.stream.aclose()


def _timeout(extensions: Extensions, phase: str, error: type[Exception]) -> float | None:
    timeouts = extensions.get("timeout", {})
    return sockets.min_timeout(timeouts.get(phase), extensions.get("deadline"), error)
