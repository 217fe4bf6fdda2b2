"""A clock whose time passes only when code sleeps on it."""

from __future__ import annotations

import threading

__all__ = ["FakeClock"]


class FakeClock:
    """A clock for the ``clock=`` of a client or a `FaultServer`. Tests with it never wait.

    Args:
        now: The start of both clocks in seconds. Default: 1,700,000,000.

    Attributes:
        sleeps: The length of every sleep so far, in seconds.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return the seconds of a monotonic clock."""
        return self._now

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Advance the clock and return at once."""
        with self._lock:
            self.sleeps.append(seconds)
            self._now += max(0.0, seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Advance the clock, and let other tasks run once."""
        from anyio.lowlevel import checkpoint

        self.sleep(seconds)
        await checkpoint()

    def advance(self, seconds: float) -> None:
        """Advance the clock without recording a sleep."""
        with self._lock:
            self._now += seconds
