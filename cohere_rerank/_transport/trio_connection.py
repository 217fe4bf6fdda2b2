"""A connection of a run of trio, over the stream of httpcore."""

from __future__ import annotations

from socket import SO_KEEPALIVE, SOL_SOCKET
from typing import TYPE_CHECKING, Any

import httpcore

from .connection_errors import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout
from .outgoing import expires_at, remaining_until

if TYPE_CHECKING:
    import ssl

    from .outgoing import Origin, OutgoingRequest
    from .pool import Waiter

_READ_BYTES = 65_536


class TrioConnection:
    """As `AsyncioConnection`. trio is slower than asyncio, so nothing here is made faster."""

    def __init__(self, origin: Origin, stream: httpcore.AsyncNetworkStream) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self._is_spent = False  # a write failed
        self._stream = stream
        self._socket = stream.get_extra_info("socket")

    async def start_tls(self, tls: ssl.SSLContext, host: str, timeout_s: float | None) -> None:
        """Do the TLS handshake."""
        self._stream = await self._stream.start_tls(tls, host, timeout_s)

    async def send(self, request: OutgoingRequest) -> None:
        """As `AsyncioConnection.send`."""
        try:
            for data in request.writes():
                await self.write(data, request)
        except WriteError:
            return

    async def write(self, data: memoryview, request: OutgoingRequest) -> None:
        """As `AsyncioConnection.write`."""
        wait_s = request.wait_s(request.timeouts.write, WriteTimeout)
        try:
            await self._stream.write(data, wait_s)  # type: ignore[arg-type] # trio accepts a memoryview
        except httpcore.WriteTimeout as error:
            raise WriteTimeout(str(error)) from error
        except httpcore.WriteError as error:
            self._is_spent = True
            raise WriteError(str(error)) from error

    async def receive(self, request: OutgoingRequest) -> bytes:
        """As `AsyncioConnection.receive`."""
        wait_s = request.wait_s(request.timeouts.read, ReadTimeout)
        try:
            return await self._stream.read(_READ_BYTES, wait_s)
        except httpcore.ReadTimeout as error:
            raise ReadTimeout(str(error)) from error
        except httpcore.ReadError as error:
            raise ReadError(str(error)) from error

    def is_alive(self) -> bool:
        """Return whether nothing came since the last reply."""
        return not self._is_spent and not self._stream.get_extra_info("is_readable")

    def close(self) -> None:
        """Close the socket at once. A graceful end of TLS would have to wait for the server."""
        self._socket.close()

    force_close = close


async def open_connection(
    request: OutgoingRequest, timeout_s: float | None, tls: ssl.SSLContext | None
) -> TrioConnection:
    """As `asyncio_connection.open_connection`."""
    _, host, port = request.origin
    expires_s = expires_at(timeout_s)
    backend: Any = httpcore.TrioBackend()
    try:
        stream = await backend.connect_tcp(host, port, timeout_s, socket_options=[(SOL_SOCKET, SO_KEEPALIVE, 1)])
        connection = TrioConnection(request.origin, stream)
        if tls is not None:
            try:
                await connection.start_tls(tls, host, remaining_until(expires_s))
            except BaseException:
                connection.close()
                raise
    except (httpcore.ConnectTimeout, TimeoutError) as error:
        raise ConnectTimeout(f"{host}:{port}: {str(error) or 'timed out'}") from error
    except (httpcore.ConnectError, OSError, UnicodeError) as error:
        raise ConnectError(f"{host}:{port}: {error}") from error
    return connection


async def let_others_run() -> None:
    """Let other tasks run, and let a cancelled scope end this one."""
    import trio

    await trio.lowlevel.checkpoint()


def prepare(waiter: Waiter[Any]) -> None:
    """Set what a new waiter waits for, and how it is notified."""
    import trio

    waiter.notified = trio.Event()
    waiter.notify = waiter.notified.set


async def wait_for_slot(waiter: Waiter[Any], wait_s: float | None) -> None:
    """Wait until a waiter of a pool is notified, or for *wait_s* seconds."""
    import trio

    with trio.move_on_after(float("inf") if wait_s is None else wait_s):
        await waiter.notified.wait()
