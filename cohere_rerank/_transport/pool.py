"""Connection pools: a LIFO of idle connections, a cap on open ones, and a FIFO of waiters.

`ThreadPool` serves threads and blocks them. `LoopPool` serves one event loop.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from .connection_errors import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .outgoing import Origin, OutgoingRequest


class Connection(Protocol):
    """What a pool needs of a connection."""

    origin: Origin
    idle_since_s: float

    def is_alive(self) -> bool:
        """Return whether nothing came since the last reply."""
        ...

    def close(self) -> None:
        """Close the connection at once."""
        ...


class LoopConnection(Connection, Protocol):
    """What the pool of an event loop needs besides."""

    def force_close(self) -> None:
        """Close the socket after the event loop was closed."""
        ...


C = TypeVar("C", bound=Connection)
L = TypeVar("L", bound=LoopConnection)


class Waiter(Generic[C]):
    """A request that waits for a slot. Once notified, it has a slot, and maybe a connection."""

    __slots__ = ("connection", "notify")

    def __init__(self) -> None:
        self.notify: Callable[[], object]  # wakes the request; set by the pool that waits
        self.connection: C | None = None


class _Pool(Generic[C]):
    """The bookkeeping of a pool, without I/O.

    A slot is the right to have one connection open. Requests wait only while no slot is free and no connection is
    idle. A released connection goes to the first waiter, so that no later request overtakes a waiting one.
    """

    def __init__(self, max_connections: int, keepalive_expiry_s: float) -> None:
        self._max_connections = max_connections
        self._n_free = max_connections
        self._expiry_s = keepalive_expiry_s
        self._idle: deque[C] = deque()  # the right end was used last
        self._queue: OrderedDict[Waiter[C], None] = OrderedDict()
        self._is_closing = False

    def _acquire(self) -> C | Waiter[C] | None:
        """Return an idle connection to try, None for a free slot without one, or a new waiter in the queue."""
        if self._idle:
            return self._idle.pop()
        if self._n_free:
            self._n_free -= 1
            return None
        waiter: Waiter[C] = Waiter()
        self._queue[waiter] = None
        return waiter

    def _cancel(self, waiter: Waiter[C]) -> bool:
        """Remove a waiter from the queue. Return False if it was already notified."""
        if waiter not in self._queue:
            return False
        del self._queue[waiter]
        return True

    def _release(self, connection: C | None) -> C | None:
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
        idle = self._idle
        idle.append(connection)
        if now_s - idle[0].idle_since_s <= self._expiry_s:
            return None
        self._n_free += 1
        return idle.popleft()

    def _start_closing(self) -> list[C]:
        """Keep no idle connections from now on. Return those to close."""
        self._is_closing = True
        idle = list(self._idle)
        self._idle.clear()
        self._n_free += len(idle)
        return idle

    def is_reusable(self, connection: C, origin: Origin) -> bool:
        """Return whether an idle connection still works and has this origin."""
        return (
            connection.origin == origin
            and time.monotonic() - connection.idle_since_s <= self._expiry_s
            and connection.is_alive()  # asks the socket whether the server closed it
        )

    def _pool_timeout(self) -> PoolTimeout:
        return PoolTimeout(f"all {self._max_connections} connections were in use")


class ThreadPool(_Pool[C]):
    """The connection pool of all threads."""

    def __init__(self, max_connections: int, keepalive_expiry_s: float) -> None:
        super().__init__(max_connections, keepalive_expiry_s)
        self._lock = threading.Lock()

    def acquire(self, request: OutgoingRequest) -> C | None:
        """Acquire a slot. Return its idle connection, if it has one. Wait while all slots are in use."""
        with self._lock:
            taken = self._acquire()
            if not isinstance(taken, Waiter):
                return taken
            notified = threading.Lock()
            notified.acquire()
            taken.notify = notified.release
        try:
            wait_s = request.wait_s(request.timeouts.pool, PoolTimeout)
            notified.acquire(timeout=-1 if wait_s is None else min(wait_s, threading.TIMEOUT_MAX))
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

    def release(self, connection: C | None) -> None:
        """Return a slot, with its connection if there is one that can be reused."""
        with self._lock:
            evicted = self._release(connection)
        if evicted is not None:
            evicted.close()

    def discard(self, connection: C | None) -> None:
        """Close a connection and return its slot."""
        if connection is not None:
            connection.close()
        self.release(None)

    def close(self) -> None:
        """Close idle connections now, and the others when they are released."""
        with self._lock:
            idle = self._start_closing()
        for connection in idle:
            connection.close()

    def close_after_fork(self) -> None:
        """Close the child's copies of its parent's sockets. Closing a socket sends no TLS close message."""
        self._lock = threading.Lock()  # a thread that does not exist in the child may hold the old one
        self.close()


class LoopPool(_Pool[L]):
    """The connection pool of one event loop. Only the loop's thread uses it.

    Args:
        wait: Waits until a waiter is notified, or for a number of seconds.

    Attributes:
        loop_finalizer: An async generator that closes the pool when the loop closes the generator.
    """

    loop_finalizer: AsyncGenerator[None, None]

    def __init__(
        self,
        max_connections: int,
        keepalive_expiry_s: float,
        wait: Callable[[Waiter[L], float | None], Awaitable[None]],
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s)
        self._wait = wait

    async def acquire(self, request: OutgoingRequest) -> L | None:
        """Acquire a slot. Return its idle connection, if it has one. Wait while all slots are in use."""
        taken = self._acquire()
        if not isinstance(taken, Waiter):
            return taken
        try:
            await self._wait(taken, request.wait_s(request.timeouts.pool, PoolTimeout))
        except BaseException:  # cancelled; a slot that just came goes to the next waiter
            if not self._cancel(taken):
                self.release(taken.connection)
            raise
        if self._cancel(taken):
            raise self._pool_timeout()
        return taken.connection

    def release(self, connection: L | None) -> None:
        """Return a slot, with its connection if there is one that can be reused."""
        evicted = self._release(connection)
        if evicted is not None:
            evicted.close()

    def discard(self, connection: L | None) -> None:
        """Close a connection and return its slot."""
        if connection is not None:
            connection.close()
        self.release(None)

    def close(self) -> None:
        """Close idle connections now, and the others when they are released."""
        for connection in self._start_closing():
            connection.close()

    def close_sockets(self) -> None:
        """As `close`, after the event loop was closed."""
        for connection in self._start_closing():
            connection.force_close()
