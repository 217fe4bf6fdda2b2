"""The store that counts a limit in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .algorithms import algorithm_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .algorithms import Algorithm
    from .rate_limit import RateLimit

__all__ = ["MemoryStore"]


class MemoryStore:
    """One algorithm for each limit, for any number of threads.

    Args:
        new_algorithm: Makes the algorithm for a limit.
    """

    def __init__(self, new_algorithm: Callable[[RateLimit], Algorithm] = algorithm_for) -> None:
        self._new_algorithm = new_algorithm
        self._algorithms: dict[RateLimit, Algorithm] = {}
        self._lock = threading.Lock()

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`."""
        with self._lock:
            return self._algorithm(limit).acquire(now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`."""
        with self._lock:
            self._algorithm(limit).pause(now_s + seconds)

    def wait_s(self, limit: RateLimit, now_s: float, position: int) -> float:
        """See `Algorithm.wait_s`."""
        with self._lock:
            return self._algorithm(limit).wait_s(now_s, position)

    def on_complete(self, limit: RateLimit, now_s: float) -> None:
        """See `Algorithm.on_complete`."""
        with self._lock:
            self._algorithm(limit).on_complete(now_s)

    def on_response(self, limit: RateLimit, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """See `Algorithm.on_response`."""
        with self._lock:
            self._algorithm(limit).on_response(now_s, status, headers)

    def _algorithm(self, limit: RateLimit) -> Algorithm:
        if limit not in self._algorithms:
            self._algorithms[limit] = self._new_algorithm(limit)
        return self._algorithms[limit]
