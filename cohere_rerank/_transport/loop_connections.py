"""The connections of one client, for event loops of asyncio and trio: each loop has its own pool."""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING

from .connection_errors import ConnectTimeout, ReadTimeout
from .connections import DEFAULT_KEEPALIVE_EXPIRY_S, DEFAULT_MAX_CONNECTIONS, BaseConnections
from .event_loops import backend_of, current_loop_token, is_asyncio
from .pool import LoopPool, Waiter

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from typing import Any

    from .outgoing import OutgoingRequest
    from .whole_reply import WholeReply


class LoopConnections(BaseConnections):
    """As `ThreadConnections`, for any number of event loops of asyncio and trio. Each has its own pool."""

    def __init__(
        self,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        keepalive_expiry_s: float = DEFAULT_KEEPALIVE_EXPIRY_S,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(max_connections, keepalive_expiry_s, verify)
        self._pools: dict[Any, LoopPool[Any]] = {}  # by event loop
        self._inherited: list[dict[Any, LoopPool[Any]]] = []

    async def exchange(self, request: OutgoingRequest, reply: WholeReply) -> None:
        """As `ThreadConnections.exchange`."""
        try:
            loop: Any = get_running_loop()
        except RuntimeError:  # not asyncio
            loop = current_loop_token()
        pool = self._pools.get(loop) or await self._new_pool(loop)
        taken = pool.acquire()
        connection = await pool.wait(taken, request) if isinstance(taken, Waiter) else taken
        try:
            if connection is None or not pool.is_reusable(connection, request.origin):
                connection = await self._replace(connection, request, pool)
            await connection.send(request)
            while not reply.is_complete:
                steps = reply.collect(await connection.receive(request))
                if steps is not None:
                    for _ in steps:
                        await pool.backend.let_others_run()
                        request.wait_s(None, ReadTimeout)
        except BaseException:
            pool.discard(connection)
            raise
        if reply.is_reusable:
            pool.release(connection)
        else:
            pool.discard(connection)

    async def acquire(self, request: OutgoingRequest) -> tuple[LoopPool[Any], Any]:
        """As `ThreadConnections.acquire`."""
        loop = current_loop_token()
        pool = self._pools.get(loop) or await self._new_pool(loop)
        taken = pool.acquire()
        connection = await pool.wait(taken, request) if isinstance(taken, Waiter) else taken
        try:
            if connection is None or not pool.is_reusable(connection, request.origin):
                connection = await self._replace(connection, request, pool)
        except BaseException:
            pool.discard(connection)
            raise
        return pool, connection

    async def _replace(self, connection: Any, request: OutgoingRequest, pool: LoopPool[Any]) -> Any:
        """As `ThreadConnections._replace`."""
        if connection is not None:
            connection.close()
        tls = self._tls_for(request.origin)
        timeout_s = request.wait_s(request.timeouts.connect, ConnectTimeout)
        return await pool.backend.open_connection(request, timeout_s, tls)

    async def aclose(self) -> None:
        """Close idle connections now, and the others after use. A later request opens a new connection."""
        pool = self._pools.pop(current_loop_token(), None)
        if pool is not None:
            await pool.loop_finalizer.aclose()
        for loop in list(self._pools):
            if is_asyncio(loop):  # another run of trio closes its own
                self._close_idle_on(loop)

    async def _new_pool(self, loop: Any) -> LoopPool[Any]:
        for other in list(self._pools):
            if is_asyncio(other) and other.is_closed():
                self._close_idle_on(other)
        pool: LoopPool[Any] = LoopPool(self._max_connections, self._expiry_s, backend_of(loop))
        self._pools[loop] = pool
        pool.loop_finalizer = self._close_with_loop(loop, pool)
        await pool.loop_finalizer.__anext__()
        return pool

    async def _close_with_loop(self, loop: Any, pool: LoopPool[Any]) -> AsyncGenerator[None, None]:
        """Close idle connections when the loop ends. A loop closes its async generators before it stops."""
        try:
            yield
        finally:
            if self._pools.get(loop) is pool:
                del self._pools[loop]
            pool.close()

    def _close_idle_on(self, loop: Any) -> None:
        """Close the idle connections of another asyncio loop, from any thread."""
        pool = self._pools.pop(loop, None)
        if pool is None:
            return
        try:
            loop.call_soon_threadsafe(pool.close)
        except RuntimeError:  # the loop is closed
            pool.close_sockets()

    def _after_fork(self) -> None:
        super()._after_fork()
        # Kept, so that nothing touches the parent's loops, not even the garbage collector.
        self._inherited.append(self._pools)
        self._pools = {}
