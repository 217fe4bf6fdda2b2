"""The state of a limit that several processes share. Pure: the caller passes in every time."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .algorithms import CLOCK_RESOLUTION_S

if TYPE_CHECKING:
    from .rate_limit import RateLimit

__all__ = ["SharedState"]

_MAGIC = b"crlimit1"
_CLOCK_RESET_S = 5.0  # two processes never disagree by more than this, so a larger step back means a restart


@dataclass
class SharedState:
    """When requests were sent, for processes that know nothing else of one another. Times are in seconds.

    Responses are not recorded here. So a request of a limit without a burst is assumed to arrive as late as it can.
    """

    seen_s: float = -math.inf  # the latest time that any process passed in
    paused_until_s: float = -math.inf
    tat_s: float = -math.inf  # of a limit with a burst: the theoretical arrival time of the next request
    sent_s: array[float] = field(
        default_factory=lambda: array("d")
    )  # without a burst: the last n requests, newest first

    @classmethod
    def from_bytes(cls, content: bytes) -> SharedState:
        """Return the state in the content of a file. For an empty file, return a new state.

        Raises:
            ValueError: The content is not a state of a limit.
        """
        if not content:
            return cls()
        if not content.startswith(_MAGIC):
            raise ValueError("it is not a file of a limit")
        times = array("d")
        times.frombytes(content[len(_MAGIC) : len(content) // 8 * 8])
        if len(times) < 3:  # damaged
            return cls()
        times = array("d", (time_s if math.isfinite(time_s) else -math.inf for time_s in times))
        return cls(times[0], times[1], times[2], times[3:])

    @staticmethod
    def max_bytes(limit: RateLimit) -> int:
        """Return how much of a file needs to be read for this limit."""
        return len(_MAGIC) + 8 * (3 + (limit.requests if limit.burst is None else 0))

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return _MAGIC + (array("d", [self.seen_s, self.paused_until_s, self.tat_s]) + self.sent_s).tobytes()

    def advance(self, now_s: float) -> float:
        """Record the time of a process, and return the time to use, which is never before that of another process."""
        ahead_s = self.seen_s - now_s
        if ahead_s > _CLOCK_RESET_S:  # the machine has restarted: assume that all of this has just happened
            self.seen_s, self.paused_until_s, self.tat_s = (
                t - ahead_s for t in (self.seen_s, self.paused_until_s, self.tat_s)
            )
            self.sent_s = array("d", (t - ahead_s for t in self.sent_s))
        self.seen_s = max(self.seen_s, now_s)
        return self.seen_s

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`.

        A time that no process can have recorded, because it is too far ahead, is cut. So a damaged state recovers.
        """
        self.paused_until_s = min(self.paused_until_s, now_s + limit.max_pause_s)
        self.tat_s = min(self.tat_s, now_s + limit.max_pause_s + limit.tolerance_s)
        if limit.burst is not None:
            free_s = max(self.tat_s, now_s) - limit.tolerance_s
        else:
            self._cut_oldest(limit.requests - 1, now_s)
            oldest = self.sent_s[limit.requests - 1 : limit.requests]
            free_s = oldest[0] + limit.period_s + limit.max_transit_s if oldest else now_s
        wait_s = max(self.paused_until_s, free_s) - now_s
        if wait_s > CLOCK_RESOLUTION_S:
            return wait_s
        if limit.burst is not None:
            self.tat_s = max(self.tat_s, now_s) + limit.emission_interval_s
        else:
            self.sent_s = array("d", [now_s]) + self.sent_s[: limit.requests - 1]
        return 0.0

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`. A limit with a burst continues in even steps afterwards and not in a burst."""
        self.paused_until_s = max(self.paused_until_s, now_s + min(seconds, limit.max_pause_s))
        self.tat_s = max(self.tat_s, self.paused_until_s + limit.tolerance_s)

    def _cut_oldest(self, index: int, now_s: float) -> None:
        if len(self.sent_s) > index and self.sent_s[index] > now_s:
            self.sent_s[index] = now_s
