"""Open connections and wait, on an asyncio loop."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from .asyncio_connection import AsyncioConnection
from .connecting import connect_errors, per_address_timeout, set_options, with_remaining
from .outgoing import expires_at, remaining_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable
    from typing import Any, TypeVar

    from .outgoing import OutgoingRequest
    from .pool import Waiter

    T = TypeVar("T")


async def open_connection(
    request: OutgoingRequest, timeout_s: float | None, tls: ssl.SSLContext | None
) -> AsyncioConnection:
    """Connect to the first address that answers, within *timeout_s* seconds in total, TLS included."""
    loop = asyncio.get_running_loop()
    _, host, port = request.origin
    expires_s = expires_at(timeout_s)
    with connect_errors(host, port):
        sock = await _connect_first(loop, host, port, expires_s)
        connection = AsyncioConnection(loop, request.origin, sock)
        try:
            set_options(sock)
            await loop.create_connection(lambda: connection, sock=sock)
            if tls is not None:  # create_connection(ssl=...) leaves its transport open when it is cancelled early
                await _within(remaining_until(expires_s), connection.start_tls(tls, host))
        except BaseException:
            connection.close()
            sock.close()
            raise
    return connection


async def let_others_run() -> None:
    """Let other tasks and timers run."""
    await asyncio.sleep(0)


def prepare(waiter: Waiter[Any]) -> None:
    """Set what a new waiter waits for, and how it is notified."""
    waiter.notified = notified = asyncio.get_running_loop().create_future()

    def notify() -> None:
        if not notified.done():
            notified.set_result(None)

    waiter.notify = notify


async def wait_for_slot(waiter: Waiter[Any], wait_s: float | None) -> None:
    """Wait until a waiter of a pool is notified, or for *wait_s* seconds."""
    timer = None if wait_s is None else waiter.notified.get_loop().call_later(wait_s, waiter.notify)
    try:
        await waiter.notified
    finally:
        if timer is not None:
            timer.cancel()


async def _connect_first(
    loop: asyncio.AbstractEventLoop, host: str, port: int, expires_s: float | None
) -> socket.socket:
    resolving = loop.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    addresses = await _within(remaining_until(expires_s), resolving)
    for n_left, (family, kind, proto, _, address) in with_remaining(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                timeout_s = per_address_timeout(remaining_until(expires_s), n_left)
                await _within(timeout_s, loop.sock_connect(sock, address))
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the host name has no address")


async def _within(timeout_s: float | None, awaitable: Awaitable[T]) -> T:
    """Await something that is rare, such as a connection.

    Raises:
        TimeoutError: It took longer than *timeout_s* seconds.
    """
    if sys.version_info >= (3, 11):  # the import of anyio would be a tenth of the cost of a first call
        async with asyncio.timeout(timeout_s):
            return await awaitable
    from anyio import fail_after

    with fail_after(timeout_s):
        return await awaitable
