"""One request in bytes, and how long each phase of its exchange may take."""

from __future__ import annotations

import time

from .connection_errors import ExchangeTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .cancellation import Cancellation

    Origin = tuple[str, str, int]  # scheme, host, port

_JOIN_BYTES = 65_536  # copying a body of up to this size costs less than a second packet


class Timeouts:
    """The seconds for each phase. None means no limit."""

    __slots__ = ("connect", "pool", "read", "write")

    def __init__(
        self,
        connect: float | None = None,
        read: float | None = None,
        write: float | None = None,
        pool: float | None = None,
    ) -> None:
        self.connect = connect
        self.read = read
        self.write = write
        self.pool = pool


class OutgoingRequest:
    """One request in bytes.

    Its repr shows nothing of it, and no frame that can raise has its bytes in a local variable: error reporters print
    local variables, and the head contains the key.

    Args:
        origin: The scheme, the host and the port.
        head: The request line and the headers, up to the value of Content-Length, which comes last.
        body: The complete body.
        timeouts: The seconds for each phase.
        remaining: Returns the seconds that remain for all phases together. Default: None, no limit.
        cancellation: Cancels the request from another thread. Default: None.
    """

    __slots__ = ("body", "cancellation", "head", "origin", "remaining", "timeouts")

    def __init__(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        timeouts: Timeouts,
        remaining: Callable[[], float] | None = None,
        cancellation: Any = None,
    ) -> None:
        self.origin = origin
        self.head = head
        self.body = body
        self.timeouts = timeouts
        self.remaining = remaining
        self.cancellation: Cancellation | None = cancellation

    def writes(self) -> tuple[memoryview, ...]:
        """Return what to write. A small body leaves in one packet with its head."""
        n_bytes = len(self.body)
        if n_bytes <= _JOIN_BYTES:
            return (memoryview(b"%b%d\r\n\r\n%b" % (self.head, n_bytes, self.body)),)
        return memoryview(b"%b%d\r\n\r\n" % (self.head, n_bytes)), memoryview(self.body)

    def wait_s(self, phase_s: float | None, error: type[ExchangeTimeout]) -> float | None:
        """Return the seconds that one wait may take: those of its phase, and never more than remain.

        Raises:
            ExchangeTimeout: No time remains. It is of the class *error*.
        """
        if self.remaining is None:
            return phase_s
        left_s = self.remaining()
        if left_s <= 0:
            raise error("the deadline of the request has passed")
        return left_s if phase_s is None or left_s < phase_s else phase_s


def expires_at(wait_s: float | None) -> float | None:
    """Return the time of the monotonic clock after *wait_s* seconds. None means never."""
    return None if wait_s is None else time.monotonic() + wait_s


def remaining_until(expires_s: float | None) -> float | None:
    """Return the seconds until that time.

    Raises:
        TimeoutError: It has passed.
    """
    if expires_s is None:
        return None
    left_s = expires_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
