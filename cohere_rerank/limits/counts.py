"""What is kept of the sends of a limit that processes share. Pure: every time is passed in."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rate_limit import RateLimit

__all__ = ["Counts"]

_MAGIC = b"crlimit1"
_NOW_S = 1e-6  # a wait this short is none, as in the decisions
_SET_BACK_S = 5.0  # another process may be ahead of the time that is passed in, but not by that much


@dataclass
class Counts:
    """When sends went, so that many who know no more of one another can share a limit. Times are in seconds.

    Replies are not known here, so that a send of a limit without a burst is taken to arrive as late as it may.
    """

    seen_s: float = -math.inf  # the latest time of all
    paused_s: float = -math.inf  # when a pause ends
    due_s: float = -math.inf  # if paced: when the next send is due in even steps
    sent_s: array[float] = field(default_factory=lambda: array("d"))  # if not: the last n sends, newest first

    @classmethod
    def unpacked(cls, content: bytes) -> Counts:
        """The counts in a file's content, new ones if there is none.

        Raises:
            ValueError: The content is something else.
        """
        if not content:
            return cls()
        times = array("d")
        times.frombytes(content[len(_MAGIC) : len(content) // 8 * 8])
        if not content.startswith(_MAGIC) or len(times) < 3:
            raise ValueError("it holds something else")
        return cls(times[0], times[1], times[2], times[3:])

    def packed(self) -> bytes:
        """The file's content."""
        return _MAGIC + (array("d", [self.seen_s, self.paused_s, self.due_s]) + self.sent_s).tobytes()

    def at(self, now_s: float) -> float:
        """The time to go by, if a process says that it is *now_s*."""
        ahead_s = self.seen_s - now_s
        if ahead_s > _SET_BACK_S:  # the clock began anew with the machine: all this was at most just now
            self.seen_s, self.paused_s, self.due_s = (t - ahead_s for t in (self.seen_s, self.paused_s, self.due_s))
            self.sent_s = array("d", (t - ahead_s for t in self.sent_s))
        self.seen_s = max(self.seen_s, now_s)
        return self.seen_s

    def take(self, limit: RateLimit, now_s: float) -> float:
        """As `Store.take`."""
        if limit.burst is not None:
            free_s = max(self.due_s, now_s) - limit.slack_s
        else:
            oldest = self.sent_s[limit.requests - 1 : limit.requests]
            free_s = oldest[0] + limit.period_s + limit.max_delay_s if oldest else now_s
        wait_s = max(self.paused_s, free_s) - now_s
        if wait_s > _NOW_S:
            return wait_s
        if limit.burst is not None:
            self.due_s = max(self.due_s, now_s) + limit.step_s
        else:
            self.sent_s = array("d", [now_s]) + self.sent_s[: limit.requests - 1]
        return 0.0

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """As `Store.pause`; a paced limit goes on in even steps afterwards, not at once."""
        self.paused_s = max(self.paused_s, now_s + seconds)
        self.due_s = max(self.due_s, self.paused_s + limit.slack_s)
