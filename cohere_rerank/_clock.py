"""The clock of a client, and the deadline of one call on it."""

from __future__ import annotations

import math
import time as _time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Clock(Protocol):
    """The time, as the client sees it. Tests pass their own, so that no test ever sleeps."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, for headers that hold a date."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait in a thread."""
        ...

    def async_sleep(self, seconds: float) -> Awaitable[None]:
        """Wait in a task."""
        ...


class SystemClock:
    """The real time."""

    monotonic = staticmethod(_time.monotonic)
    time = staticmethod(_time.time)

    def sleep(self, seconds: float) -> None:
        """Wait in a thread."""
        _time.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Wait in a task."""
        import anyio  # comes with httpx; waits under asyncio and trio alike

        await anyio.sleep(seconds)


class Deadline:
    """The moment by which a whole call, its attempts and its waits, must have ended."""

    __slots__ = ("_clock", "_end", "seconds")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; zero or less once it has passed."""
        return self._end - self._clock.monotonic()

    def end(self) -> None:
        """Let it pass now, for all that share it."""
        self._end = -math.inf
