"""Wait until a socket can be read or written, without Windows' and other systems' differences."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    Poll = Callable[["float | None"], object]


def poll_to_read(sock: socket.socket) -> Poll:
    """Return a function that waits a number of milliseconds, and returns whether a read would not wait."""
    if not hasattr(select, "poll"):  # Windows
        return lambda wait_ms: select.select([sock], [], [], _seconds(wait_ms))[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll


def poll_to_write(sock: socket.socket) -> Poll:
    """As `poll_to_read`, for a write."""
    if not hasattr(select, "poll"):  # there, a failed connection is in the third list
        return lambda wait_ms: any(select.select([], [sock], [sock], _seconds(wait_ms)))
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return poll.poll


def _seconds(wait_ms: float | None) -> float | None:
    return None if wait_ms is None else wait_ms / 1000
