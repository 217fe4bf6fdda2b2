"""Where the counts of a limit are kept: what a store must do, and the one of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .algorithms import decision_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .algorithms import Decision
    from .rate_limit import RateLimit

__all__ = ["MemoryStore"]


class MemoryStore:
    """The store of this process: one decision for each limit, for any number of threads."""

    def __init__(self, decide: Callable[[RateLimit], Decision] = decision_for) -> None:
        self._decide = decide
        self._decisions: dict[RateLimit, Decision] = {}
        self._lock = threading.Lock()

    def take(self, limit: RateLimit, now_s: float) -> float:
        """As `Store.take`."""
        with self._lock:
            return self._of(limit).take(now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """As `Store.pause`."""
        with self._lock:
            self._of(limit).rest(now_s + seconds)

    def wait_s(self, limit: RateLimit, now_s: float, n_ahead: int) -> float:
        """Seconds until a send can go that so many others go before."""
        with self._lock:
            return self._of(limit).wait_s(now_s, n_ahead)

    def ended(self, limit: RateLimit, now_s: float) -> None:
        """A send was answered, or given up: it has arrived, if it ever does."""
        with self._lock:
            self._of(limit).ended(now_s)

    def heard(self, limit: RateLimit, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """A reply has come, from which a limit may be learned."""
        with self._lock:
            self._of(limit).heard(now_s, status, headers)

    def _of(self, limit: RateLimit) -> Decision:
        if limit not in self._decisions:
            self._decisions[limit] = self._decide(limit)
        return self._decisions[limit]
