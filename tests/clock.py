"""Time that passes only when someone sleeps."""

from __future__ import annotations

import asyncio
import threading


class FakeClock:
    """The clock protocol of ``cohere_rerank._retry``; ``sleeps`` lists every wait, in seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self._now += max(0.0, seconds)

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass without a sleep."""
        with self._lock:
            self._now += seconds
