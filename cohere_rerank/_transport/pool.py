"""Connection pools: a LIFO of idle connections, a cap on open ones, and a FIFO of waiters.

`ThreadPool` serves threads, whose waits block. `LoopPool` serves one event loop.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from .connection_errors import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from typing import Any

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

    __slots__ = ("connection", "notified", "notify")

    def __init__(self) -> None:
        self.notify: Callable[[], object]  # wakes the request
        self.notified: Any  # what the request waits for
        self.connection: C | None = None


class _Pool(Generic[C]):
    """The bookkeeping of a pool.

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
        self._lock = threading.Lock()

    def acquire(self) -> C | Waiter[C] | None:
        """Return an idle connection to try, None for a free slot without one, or a waiter that has to wait."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._n_free:
                self._n_free -= 1
                return None
            waiter = self._new_waiter()
            self._queue[waiter] = None
            return waiter

    def _new_waiter(self) -> Waiter[C]:
        raise NotImplementedError

    def _cancel(self, waiter: Waiter[C]) -> bool:
        """Remove a waiter from the queue. Return False if it was already notified."""
        with self._lock:
            return self._queue.pop(waiter, self) is not self

    def _give_up(self, waiter: Waiter[C]) -> None:
        """Return the slot of a waiter that does not wait any more. It goes to the next waiter."""
        if not self._cancel(waiter):
            self.release(waiter.connection)

    def _result(self, waiter: Waiter[C]) -> C | None:
        """Return the connection of a waiter whose wait is over, or None for a slot without one."""
        if self._cancel(waiter):
            raise PoolTimeout(f"all {self._max_connections} connections were in use")
        return waiter.connection

    def release(self, connection: C | None) -> None:
        """Return a slot, with its connection if there is one that can be reused."""
        now_s = time.monotonic()
        if connection is not None:
            connection.idle_since_s = now_s
        with self._lock:
            if self._queue:
                waiter, _ = self._queue.popitem(last=False)
                waiter.connection = connection
                waiter.notify()
                return
            if connection is not None and not self._is_closing:
                idle = self._idle
                idle.append(connection)
                if now_s - idle[0].idle_since_s <= self._expiry_s:
                    return
                connection = idle.popleft()
            self._n_free += 1
        if connection is not None:
            connection.close()

    def discard(self, connection: C | None) -> None:
        """Close a connection and return its slot."""
        if connection is not None:
            connection.close()
        self.release(None)

    def is_reusable(self, connection: C, origin: Origin) -> bool:
        """Return whether an idle connection still works and has this origin."""
        return (
            connection.origin == origin
            and time.monotonic() - connection.idle_since_s <= self._expiry_s
            and connection.is_alive()  # asks the socket whether the server closed it
        )

    def _start_closing(self) -> list[C]:
        """Keep no idle connections from now on. Return those to close."""
        with self._lock:
            self._is_closing = True
            idle = list(self._idle)
            self._idle.clear()
            self._n_free += len(idle)
            return idle

    def close(self) -> None:
        """Close idle connections now, and the others when they are released."""
        for connection in self._start_closing():
            connection.close()


class ThreadPool(_Pool[C]):
    """The connection pool of all threads."""

    def _new_waiter(self) -> Waiter[C]:
        waiter: Waiter[C] = Waiter()
        waiter.notified = threading.Lock()
        waiter.notified.acquire()
        waiter.notify = waiter.notified.release
        return waiter

    def wait(self, waiter: Waiter[C], request: OutgoingRequest) -> C | None:
        """Wait for a slot. Return its idle connection, if it has one."""
        try:
            wait_s = request.wait_s(request.timeouts.pool, PoolTimeout)
            waiter.notified.acquire(timeout=-1 if wait_s is None else min(wait_s, threading.TIMEOUT_MAX))
        except BaseException:  # Ctrl-C, or no time left; a slot that just came goes to the next waiter
            self._give_up(waiter)
            raise
        return self._result(waiter)

    def close_after_fork(self) -> None:
        """Close the child's copies of its parent's sockets. Closing a socket sends no TLS close message."""
        self._lock = threading.Lock()  # a thread that does not exist in the child may hold the old one
        self.close()


class LoopPool(_Pool[L]):
    """The connection pool of one event loop. Only the loop's thread uses it.

    Args:
        backend: The module with the functions for this kind of event loop.

    Attributes:
        loop_finalizer: An async generator that closes the pool when the loop closes the generator.
    """

    loop_finalizer: AsyncGenerator[None, None]

    def __init__(self, max_connections: int, keepalive_expiry_s: float, backend: Any) -> None:
        super().__init__(max_connections, keepalive_expiry_s)
        self.backend = backend

    def _new_waiter(self) -> Waiter[L]:
        waiter: Waiter[L] = Waiter()
        self.backend.prepare(waiter)
        return waiter

    async def wait(self, waiter: Waiter[L], request: OutgoingRequest) -> L | None:
        """As `ThreadPool.wait`."""
        try:
            await self.backend.wait_for_slot(waiter, request.wait_s(request.timeouts.pool, PoolTimeout))
        except BaseException:  # cancelled; a slot that just came goes to the next waiter
            self._give_up(waiter)
            raise
        return self._result(waiter)

    def close_sockets(self) -> None:
        """As `close`, after the event loop was closed."""
        for connection in self._start_closing():
            connection.force_close()
