"""Wait until a socket can be read or written. Windows has no poll."""

from __future__ import annotations

import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    Poll = Callable[["float | None"], object]

if sys.platform == "win32":

    def poll_to_read(sock: socket.socket) -> Poll:
        """Return a function that waits a number of milliseconds, and returns whether a read would not wait."""
        return lambda wait_ms: select.select([sock], [], [], None if wait_ms is None else wait_ms / 1000)[0]

    def poll_to_write(sock: socket.socket) -> Poll:
        """As `poll_to_read`, for a write."""

        def poll(wait_ms: float | None) -> bool:
            # A connection that failed is in the third list.
            return any(select.select([], [sock], [sock], None if wait_ms is None else wait_ms / 1000))

        return poll

else:

    def poll_to_read(sock: socket.socket) -> Poll:
        """Return a function that waits a number of milliseconds, and returns whether a read would not wait."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return poll.poll

    def poll_to_write(sock: socket.socket) -> Poll:
        """As `poll_to_read`, for a write."""
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        return poll.poll
