"""Time that passes only when someone sleeps."""

from __future__ import annotations

import threading

__all__ = ["FakeClock"]


class FakeClock:
    """For the ``clock=`` of a client or a `FaultServer`, so that no test ever waits.

    Args:
        now: The seconds that both its clocks begin with.

    Attributes:
        sleeps: Every wait so far, in seconds.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self._now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        with self._lock:
            self.sleeps.append(seconds)
            self._now += max(0.0, seconds)

    async def async_sleep(self, seconds: float) -> None:
        """As `sleep`, and let other tasks run."""
        from anyio.lowlevel import checkpoint

        self.sleep(seconds)
        await checkpoint()

    def advance(self, seconds: float) -> None:
        """Let time pass without a sleep."""
        with self._lock:
            self._now += seconds
