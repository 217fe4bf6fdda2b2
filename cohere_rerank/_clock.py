"""The clock of a client, and the deadline of one call."""

from __future__ import annotations

import math
import time as _time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Clock(Protocol):
    """The time as the client sees it. Tests pass their own clock, so that no test ever sleeps."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def time(self) -> float:
        """Return seconds since the epoch, for headers that contain a date."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait in a thread."""
        ...

    def async_sleep(self, seconds: float) -> Awaitable[None]:
        """Wait in a task."""
        ...


class SystemClock:
    """The clock of the operating system."""

    monotonic = staticmethod(_time.monotonic)
    time = staticmethod(_time.time)

    def sleep(self, seconds: float) -> None:
        """Wait in a thread."""
        _time.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Wait in a task."""
        import anyio  # comes with httpx; waits under asyncio and trio alike

        await anyio.sleep(seconds)


class Cancellation(Protocol):
    """Ends a wait for a reply that happens in another thread."""

    def cancel(self) -> None:
        """End it now, and let no further one begin."""
        ...


class Deadline:
    """The time at which a whole call must have ended, with its attempts and waits."""

    __slots__ = ("_clock", "_expires_at", "call", "cancellation", "seconds")

    def __init__(self, clock: Clock, seconds: float, call: Deadline | None = None) -> None:
        self.seconds = max(0.0, seconds)  # errors show it, and a clock may have jumped while it was computed
        self.call = call  # of one attempt: the deadline of its call
        self.cancellation: Cancellation | None = None if call is None else call.cancellation
        self._clock = clock
        self._expires_at = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that remain. The value is 0 or less when the deadline has passed."""
        own_s = self._expires_at - self._clock.monotonic()
        return own_s if self.call is None else min(own_s, self.call.remaining())

    def for_attempt(self, timeout_s: float | None) -> Deadline:
        """Return the deadline of one attempt: *timeout_s* from now, and never after this one."""
        return self if timeout_s is None else Deadline(self._clock, timeout_s, self)

    def fork(self, cancellation: Cancellation) -> Deadline:
        """Return a deadline at the same time that can expire alone. That also cancels a request in flight."""
        twin = Deadline(self._clock, self.seconds, self)
        twin.cancellation = cancellation
        return twin

    def expire(self) -> None:
        """Make the deadline pass now, for all requests that share it."""
        self._expires_at = -math.inf
        if self.cancellation is not None:
            self.cancellation.cancel()
