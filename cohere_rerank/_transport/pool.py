"""Who may use which connection: a stack of those that idle, a cap, and a queue in front.

`ThreadStack` serves threads and blocks, `LoopStack` one event loop. Both raise httpcore's exceptions.
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
    """One open connection: httpcore's state of the protocol, and the stream below it."""

    __slots__ = ("http", "idle_since_s", "origin", "stream")

    def __init__(self, origin: Origin, http: H, stream: S) -> None:
        self.origin = origin
        self.http: H = http
        self.stream = stream
        self.idle_since_s = 0.0


class _Place(Generic[H, S]):
    """A request's place in the queue. Once called it has a slot, maybe with a connection in it."""

    __slots__ = ("call", "connection")

    def __init__(self) -> None:
        self.call: Callable[[], object]  # wakes the request; whoever queues sets it
        self.connection: Connection[H, S] | None = None


class _Stack(Generic[H, S]):
    """Who may use which connection: bookkeeping only, no I/O.

    A slot is the right to have one connection open. Requests queue only while no slot is free and nothing idles, and
    what comes back goes to the first in the queue, so a newcomer finds nothing to take before those who wait.
    """

    def __init__(self, n_slots: int, keepalive_expiry_s: float) -> None:
        self._n_slots = n_slots
        self._n_free = n_slots
        self._expiry_s = keepalive_expiry_s
        self._idle: deque[Connection[H, S]] = deque()  # right: used last
        self._queue: OrderedDict[_Place[H, S], None] = OrderedDict()
        self._is_retired = False

    def _take(self) -> Connection[H, S] | _Place[H, S] | None:
        """A connection to try; None: a slot to open one in; or a place in the queue."""
        if self._idle:
            return self._idle.pop()
        if self._n_free:
            self._n_free -= 1
            return None
        place: _Place[H, S] = _Place()
        self._queue[place] = None
        return place

    def _leave(self, place: _Place[H, S]) -> bool:
        """Give up a place; False if it was called before."""
        if place not in self._queue:
            return False
        del self._queue[place]
        return True

    def _give(self, connection: Connection[H, S] | None) -> Connection[H, S] | None:
        """Hand back a slot, with its connection if that can be used again; returns one to close, if any."""
        now_s = time.monotonic()
        if connection is not None:
            connection.idle_since_s = now_s
        if self._queue:
            place, _ = self._queue.popitem(last=False)
            place.connection = connection
            place.call()
            return None
        if connection is None or self._is_retired:
            self._n_free += 1
            return connection
        self._idle.append(connection)
        if now_s - self._idle[0].idle_since_s <= self._expiry_s:
            return None
        self._n_free += 1
        return self._idle.popleft()

    def _retire(self) -> list[Connection[H, S]]:
        """Keep nothing from now on; returns what is to be closed."""
        self._is_retired = True
        idle = list(self._idle)
        self._idle.clear()
        self._n_free += len(idle)
        return idle

    def can_use(self, connection: Connection[H, S], origin: Origin) -> bool:
        """Whether a connection taken still serves; one to another origin gives way to a new one."""
        idle_s = time.monotonic() - connection.idle_since_s
        return (
            connection.origin == origin
            and idle_s <= self._expiry_s
            and not connection.http.has_expired()  # asks the socket whether the server hung up
        )

    def _pool_timeout(self) -> httpcore.PoolTimeout:
        return httpcore.PoolTimeout(f"all {self._n_slots} connections stayed in use")


SyncConnection = Connection[httpcore.HTTP11Connection, sockets.SocketStream]


class ThreadStack(_Stack[httpcore.HTTP11Connection, sockets.SocketStream]):
    """The connections of all threads."""

    def __init__(self, n_slots: int, keepalive_expiry_s: float) -> None:
        super().__init__(n_slots, keepalive_expiry_s)
        self._lock = threading.Lock()

    def take(self, extensions: Extensions) -> SyncConnection | None:
        """A slot, maybe with a connection in it; waits for one at the cap."""
        with self._lock:
            taken = self._take()
            if not isinstance(taken, _Place):
                return taken
            called = threading.Lock()
            called.acquire()
            taken.call = called.release
        try:
            timeout = _timeout(extensions, "pool", httpcore.PoolTimeout)
            called.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # Ctrl-C, or no time left; a call that came just now goes to the next
            with self._lock:
                is_called = not self._leave(taken)
            if is_called:
                self.give(taken.connection)
            raise
        with self._lock:
            if self._leave(taken):
                raise self._pool_timeout()
        return taken.connection

    def open(
        self,
        stale: SyncConnection | None,
        origin: Origin,
        extensions: Extensions,
        tls: ssl.SSLContext | None,
    ) -> SyncConnection:
        """Connect, in the slot of *stale* if there is one."""
        if stale is not None:
            stale.stream.close()
        timeout = _timeout(extensions, "connect", httpcore.ConnectTimeout)
        stream = sockets.connect(origin[1], origin[2], timeout, tls)
        http = httpcore.HTTP11Connection(httpcore.Origin(*origin), stream)
        return Connection(origin, http, stream)

    def give(self, connection: SyncConnection | None) -> None:
        """Hand back a slot, with its connection if there is one."""
        if connection is not None and not connection.http.is_available():
            connection.stream.close()
            connection = None
        with self._lock:
            surplus = self._give(connection)
        if surplus is not None:
            surplus.stream.close()

    def discard(self, connection: SyncConnection | None) -> None:
        """Close a connection and hand back its slot."""
        if connection is not None:
            connection.stream.close()
        self.give(None)

    def close(self) -> None:
        """Close what idles now, and the rest as it is handed back."""
        with self._lock:
            idle = self._retire()
        for connection in idle:
            connection.stream.close()

    def close_after_fork(self) -> None:
        """Close a child's copies of its parent's sockets; Python says no TLS goodbye when it closes one."""
        self._lock = threading.Lock()  # the old one may be held by a thread that is not here
        self.close()


Connect = Callable[[bytes, int, "float | None", "ssl.SSLContext | None"], Awaitable[httpcore.AsyncNetworkStream]]
AsyncConnection = Connection[httpcore.AsyncHTTP11Connection, Any]  # LoopStream, or trio's


class LoopStack(_Stack[httpcore.AsyncHTTP11Connection, Any]):
    """The connections of one event loop, touched by its thread only.

    Attributes:
        guard: An async generator that closes the stack when the loop closes it.
    """

    guard: AsyncGenerator[None, None]

    def __init__(self, n_slots: int, keepalive_expiry_s: float, connect: Connect) -> None:
        super().__init__(n_slots, keepalive_expiry_s)
        self._connect = connect

    async def take(self, extensions: Extensions) -> AsyncConnection | None:
        """A slot, maybe with a connection in it; waits for one at the cap."""
        taken = self._take()
        if not isinstance(taken, _Place):
            return taken
        called = anyio.Event()
        taken.call = called.set
        try:
            with anyio.move_on_after(_timeout(extensions, "pool", httpcore.PoolTimeout)):
                await called.wait()
        except BaseException:  # cancelled; a call that came just now goes to the next
            if not self._leave(taken):
                await self.give(taken.connection)
            raise
        if self._leave(taken):
            raise self._pool_timeout()
        return taken.connection

    async def open(
        self,
        stale: AsyncConnection | None,
        origin: Origin,
        extensions: Extensions,
        tls: ssl.SSLContext | None,
    ) -> AsyncConnection:
        """Connect, in the slot of *stale* if there is one."""
        if stale is not None:
            await _close(stale)
        timeout = _timeout(extensions, "connect", httpcore.ConnectTimeout)
        stream = await self._connect(origin[1], origin[2], timeout, tls)
        http = httpcore.AsyncHTTP11Connection(httpcore.Origin(*origin), stream)
        return Connection(origin, http, stream)

    async def give(self, connection: AsyncConnection | None) -> None:
        """Hand back a slot, with its connection if there is one."""
        if connection is not None and not connection.http.is_available():
            return await self.discard(connection)
        surplus = self._give(connection)
        if surplus is not None:
            await _close(surplus)
        return None

    async def discard(self, connection: AsyncConnection | None) -> None:
        """Close a connection and hand back its slot."""
        try:
            if connection is not None:
                await _close(connection)
        finally:
            self._give(None)

    async def close(self) -> None:
        """Close what idles now, and the rest as it is handed back."""
        for connection in self._retire():
            await _close(connection)

    def abort(self) -> None:
        """As `close`, in a callback of the loop, which is asyncio's."""
        for connection in self._retire():
            connection.stream.abort()

    def bury(self) -> None:
        """Let go of the sockets of an asyncio loop that is closed."""
        for connection in self._retire():
            connection.stream.bury()


async def _close(connection: AsyncConnection) -> None:
    with anyio.CancelScope(shield=True):  # on trio closing is a place to be cancelled; on asyncio it never waits
        await connection.stream.aclose()


def _timeout(extensions: Extensions, phase: str, error: type[Exception]) -> float | None:
    timeouts = extensions.get("timeout", {})
    return sockets.bounded(timeouts.get(phase), extensions.get("deadline"), error)
