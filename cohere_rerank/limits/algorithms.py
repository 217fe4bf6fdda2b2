"""When a send may go. Pure: every time is passed in, as seconds on a clock that never goes back.

Each decision keeps to one limit. `take` asks for a send and counts it when it says 0.0.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .rate_limit import RateLimit

__all__ = ["Decision", "Gcra", "Window", "decision_for"]

_NOW_S = 1e-6  # a wait this short is none: clocks do not tell such moments apart


class Decision(Protocol):
    """Grants sends, one at a time."""

    def take(self, now_s: float) -> float:
        """0.0: a send is granted and counted; else the seconds to wait before asking again."""
        ...

    def wait_s(self, now_s: float, n_ahead: int = 0) -> float:
        """Seconds until a send can go that *n_ahead* others go before, if nothing else happens. Counts nothing."""
        ...

    def ended(self, now_s: float) -> None:
        """A granted send, no matter which, was answered or given up."""
        ...

    def heard(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """A reply has come; header names are in lower case. A 429 is heard before the rest that follows from it."""
        ...

    def rest(self, until_s: float) -> None:
        """Grant nothing before then; a rest that lasts longer stays."""
        ...


def decision_for(limit: RateLimit) -> Decision:
    """The decision that keeps to a limit."""
    if limit.burst is None:
        return Window(limit.requests, limit.period_s, limit.max_delay_s)
    return Gcra(limit.step_s, limit.slack_s, limit.spare_s, limit.max_delay_s)


class Window:
    """At most n sends arrive in any stretch of time as long as the period.

    A server counts a request when it arrives: at some moment after it was let go and before its reply. So a send counts
    from its reply on, or from *max_delay_s* after it was let go if that is sooner. Which reply belongs to which send
    need not be known: when k replies are in, k sends have arrived.

    Args:
        n: Sends in a period.
        period_s: Its length in seconds.
        max_delay_s: The longest that a send is taken to be on its way.
    """

    def __init__(self, n: int, period_s: float, max_delay_s: float) -> None:
        self.n = n
        self._period_s = period_s
        self._max_delay_s = max_delay_s
        self._count_from: deque[float] = deque()  # one for each of the last n sends, in ascending order
        self._n_known = 0  # how many of these, from the left, need no reply any more
        self._rest_until_s = -math.inf

    def take(self, now_s: float) -> float:
        """As `Decision.take`."""
        wait_s = self.wait_s(now_s)
        if wait_s > 0:
            return wait_s
        if len(self._count_from) >= self.n:
            self._count_from.popleft()
            self._n_known -= 1  # below 0: replies to come that no longer matter
        self._count_from.append(now_s + self._max_delay_s)
        return 0.0

    def wait_s(self, now_s: float, n_ahead: int = 0) -> float:
        """As `Decision.wait_s`."""
        n_unused = self.n - len(self._count_from)
        starts_s = max(now_s, self._rest_until_s)
        if n_ahead >= n_unused:
            n_periods, place = divmod(n_ahead - n_unused, self.n)
            counts_from = self._count_from[place] if place < len(self._count_from) else starts_s
            if n_ahead and place >= self._n_known:  # its reply may come at once: a forecast promises no more
                counts_from = min(counts_from, now_s)
            starts_s = max(starts_s, counts_from + self._period_s) + n_periods * self._period_s
        return _wait(starts_s - now_s)

    def ended(self, now_s: float) -> None:
        """As `Decision.ended`."""
        if 0 <= self._n_known < len(self._count_from):
            self._count_from[self._n_known] = min(self._count_from[self._n_known], now_s)
        self._n_known += 1

    def heard(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """As `Decision.heard`; a stated limit learns nothing."""

    def rest(self, until_s: float) -> None:
        """As `Decision.rest`."""
        self._rest_until_s = max(self._rest_until_s, until_s)


class Gcra:
    """Paced sends, by the generic cell rate algorithm: one each *step_s*, some of them up to *slack_s* sooner.

    All that the algorithm keeps is when the next send is due in even steps. After a rest they go on in even steps, not
    at once: who told us to rest has nothing saved up for us.

    A send that is slow to arrive (a first connection, a busy process) makes the next ones come too soon after it. So
    a send whose reply takes more than twice as long as most is taken to have arrived that much later, and *max_delay_s*
    at the most.

    Args:
        step_s: Seconds from one send to the next in the long run.
        slack_s: How much sooner one may go.
        spare_s: What a late arrival may take of the burst that *slack_s* leaves unused.
        max_delay_s: The longest that a send is taken to be on its way.

    Source: ITU-T Recommendation I.371, annex A ("virtual scheduling"); the lateness is ours.
    """

    def __init__(self, step_s: float, slack_s: float, spare_s: float, max_delay_s: float) -> None:
        self.step_s = step_s
        self.slack_s = slack_s
        self.spare_s = spare_s
        self._max_delay_s = max_delay_s
        self._due_s = -math.inf
        self._under_way: deque[float] = deque()  # when they were let go
        self._n_given_up = 0  # replies to come that no longer matter
        self._usual_delay_s = 0.0  # from letting a send go to its reply: falls at once, rises slowly

    def take(self, now_s: float) -> float:
        """As `Decision.take`."""
        while self._under_way and self._under_way[0] + self._max_delay_s <= now_s:
            self._arrived(self._under_way[0] + self._max_delay_s)
            self._n_given_up += 1
        wait_s = self.wait_s(now_s)
        if wait_s == 0.0:
            self._due_s = max(self._due_s, now_s) + self.step_s
            self._under_way.append(now_s)
        return wait_s

    def wait_s(self, now_s: float, n_ahead: int = 0) -> float:
        """As `Decision.wait_s`."""
        due_s = max(self._due_s, self._due_after_late(now_s), now_s)
        return _wait(due_s + n_ahead * self.step_s - self.slack_s - now_s)

    def ended(self, now_s: float) -> None:
        """As `Decision.ended`."""
        if self._n_given_up:
            self._n_given_up -= 1
        elif self._under_way:
            self._arrived(now_s)

    def heard(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """As `Decision.heard`; a stated limit learns nothing."""

    def rest(self, until_s: float) -> None:
        """As `Decision.rest`."""
        self._due_s = max(self._due_s, until_s + self.slack_s)

    def _arrived(self, by_s: float) -> None:
        """The send that was let go first has arrived, whichever reply it is that says so."""
        self._due_s = max(self._due_s, self._due_after_late(by_s))
        delay_s = by_s - self._under_way.popleft()
        risen_s = self._usual_delay_s + (delay_s - self._usual_delay_s) / 16
        self._usual_delay_s = min(delay_s, risen_s)

    def _due_after_late(self, now_s: float) -> float:
        """When the next send is due if the first one under way arrived late; never, if it is not late."""
        if not self._under_way:
            return -math.inf
        went_s = self._under_way[0]
        came_s = min(now_s - 2 * self._usual_delay_s, went_s + self._max_delay_s)
        if came_s <= went_s:
            return -math.inf
        return came_s + len(self._under_way) * self.step_s - self.spare_s


def _wait(seconds: float) -> float:
    return seconds if seconds > _NOW_S else 0.0
