"""Decide when a request may be sent. Pure: the caller passes in every time, as seconds on a monotonic clock.

An algorithm enforces one limit. `Algorithm.acquire` asks to send one request and counts the request if it returns 0.0.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .rate_limit import RateLimit

__all__ = ["CLOCK_RESOLUTION_S", "Algorithm", "Gcra", "SlidingWindow", "algorithm_for"]

CLOCK_RESOLUTION_S = 1e-6  # a shorter wait counts as none: at large times a float cannot hold the difference
_TRANSIT_SMOOTHING = 1 / 16  # weight of the newest transit time in its moving average
_LATE_FACTOR = 2.0  # a request is late once its response takes this many times the usual transit time


class Algorithm(Protocol):
    """Grants requests one at a time."""

    def acquire(self, now_s: float) -> float:
        """Return 0.0 and count one request, or return the seconds to wait before asking again."""
        ...

    def wait_s(self, now_s: float, position: int = 0) -> float:
        """Return the seconds until the request after *position* others can be sent. Counts nothing."""
        ...

    def on_complete(self, now_s: float) -> None:
        """Record that one granted request, no matter which, was answered or abandoned."""
        ...

    def on_response(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """Learn from a response. Header names are in lower case. Called before the `pause` that a 429 causes."""
        ...

    def pause(self, until_s: float) -> None:
        """Grant nothing before that time. An earlier pause that lasts longer stays in force."""
        ...


def algorithm_for(limit: RateLimit) -> Algorithm:
    """Return a new algorithm that enforces the limit."""
    if limit.burst is None:
        return SlidingWindow(limit.requests, limit.period_s, limit.max_transit_s)
    return Gcra(limit.emission_interval_s, limit.tolerance_s, limit.late_allowance_s, limit.max_transit_s)


class SlidingWindow:
    """At most n requests arrive at the server in any stretch of time as long as the period.

    A server counts a request when it arrives: after it was sent and before its response. So a request counts from its
    response on, or from *max_transit_s* after it was sent, whichever comes first. Responses need not be matched to
    requests: after k responses, k requests have arrived.

    Args:
        n: Requests in a period.
        period_s: Length of the period in seconds.
        max_transit_s: The longest time that a request is assumed to take to arrive.
    """

    def __init__(self, n: int, period_s: float, max_transit_s: float) -> None:
        self.n = n
        self._period_s = period_s
        self._max_transit_s = max_transit_s
        self._counted_from_s: deque[float] = deque()  # one time for each of the last n requests, in ascending order
        self._n_arrived = 0  # how many of these, from the left, need no response any more
        self._paused_until_s = -math.inf

    def acquire(self, now_s: float) -> float:
        """See `Algorithm.acquire`."""
        wait_s = self.wait_s(now_s)
        if wait_s > 0:
            return wait_s
        if len(self._counted_from_s) >= self.n:
            self._counted_from_s.popleft()
            self._n_arrived -= 1  # below 0: that many responses to come concern requests that left the window
        self._counted_from_s.append(now_s + self._max_transit_s)
        return 0.0

    def wait_s(self, now_s: float, position: int = 0) -> float:
        """See `Algorithm.wait_s`."""
        n_free = self.n - len(self._counted_from_s)
        start_s = max(now_s, self._paused_until_s)
        if position >= n_free:
            n_periods, index = divmod(position - n_free, self.n)
            counted_from_s = self._counted_from_s[index] if index < len(self._counted_from_s) else start_s
            if position and index >= self._n_arrived:  # its response may come at once, so this is only a lower bound
                counted_from_s = min(counted_from_s, now_s)
            start_s = max(start_s, counted_from_s + self._period_s) + n_periods * self._period_s
        return _wait(start_s - now_s)

    def on_complete(self, now_s: float) -> None:
        """See `Algorithm.on_complete`."""
        if 0 <= self._n_arrived < len(self._counted_from_s):
            self._counted_from_s[self._n_arrived] = min(self._counted_from_s[self._n_arrived], now_s)
        self._n_arrived += 1

    def on_response(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """See `Algorithm.on_response`. A stated limit learns nothing."""

    def pause(self, until_s: float) -> None:
        """See `Algorithm.pause`."""
        self._paused_until_s = max(self._paused_until_s, until_s)


class Gcra:
    """Evenly paced requests, by the generic cell rate algorithm (GCRA).

    The state is one time: the theoretical arrival time (TAT) of the next request, if all came in even steps. A request
    may be sent up to *tolerance_s* before its TAT. After a pause the requests continue in even steps and not in a
    burst, because a server that asked for a pause has no tokens saved up.

    A request that arrives late (a first connection, a busy process) makes the following ones come too soon after it.
    So a request whose response takes more than twice the usual time is assumed to have arrived that much later, and
    *max_transit_s* later at most.

    Args:
        emission_interval_s: Seconds between two requests in the long run.
        tolerance_s: How long before its TAT a request may be sent.
        late_allowance_s: How much of a late arrival the unused part of the burst absorbs.
        max_transit_s: The longest time that a request is assumed to take to arrive.

    Source: ITU-T Recommendation I.371, annex A ("virtual scheduling"). The treatment of late arrivals is our own.
    """

    def __init__(
        self, emission_interval_s: float, tolerance_s: float, late_allowance_s: float, max_transit_s: float
    ) -> None:
        self.emission_interval_s = emission_interval_s
        self.tolerance_s = tolerance_s
        self.late_allowance_s = late_allowance_s
        self._max_transit_s = max_transit_s
        self._tat_s = -math.inf
        self._in_flight: deque[float] = deque()  # when each was sent
        self._n_expired = 0  # requests assumed to have arrived, whose responses are still to come
        self._usual_transit_s = 0.0  # from sending to the response: falls at once, rises slowly

    def acquire(self, now_s: float) -> float:
        """See `Algorithm.acquire`."""
        while self._in_flight and self._in_flight[0] + self._max_transit_s <= now_s:
            self._record_arrival(self._in_flight[0] + self._max_transit_s)
            self._n_expired += 1
        wait_s = self.wait_s(now_s)
        if wait_s == 0.0:
            self._tat_s = max(self._tat_s, now_s) + self.emission_interval_s
            self._in_flight.append(now_s)
        return wait_s

    def wait_s(self, now_s: float, position: int = 0) -> float:
        """See `Algorithm.wait_s`."""
        tat_s = max(self._tat_s, self._tat_after_late_arrival(now_s), now_s)
        return _wait(tat_s + position * self.emission_interval_s - self.tolerance_s - now_s)

    def on_complete(self, now_s: float) -> None:
        """See `Algorithm.on_complete`."""
        if self._n_expired:
            self._n_expired -= 1
        elif self._in_flight:
            self._record_arrival(now_s)

    def on_response(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """See `Algorithm.on_response`. A stated limit learns nothing."""

    def pause(self, until_s: float) -> None:
        """See `Algorithm.pause`."""
        self._tat_s = max(self._tat_s, until_s + self.tolerance_s)

    def _record_arrival(self, by_s: float) -> None:
        """Record that the oldest request in flight has arrived, whichever response shows it."""
        self._tat_s = max(self._tat_s, self._tat_after_late_arrival(by_s))
        transit_s = by_s - self._in_flight.popleft()
        smoothed_s = self._usual_transit_s + (transit_s - self._usual_transit_s) * _TRANSIT_SMOOTHING
        self._usual_transit_s = min(transit_s, smoothed_s)

    def _tat_after_late_arrival(self, now_s: float) -> float:
        """Return the next TAT if the oldest request in flight arrives late; minus infinity if it is not late."""
        if not self._in_flight:
            return -math.inf
        sent_s = self._in_flight[0]
        arrived_s = min(now_s - _LATE_FACTOR * self._usual_transit_s, sent_s + self._max_transit_s)
        if arrived_s <= sent_s:
            return -math.inf
        return arrived_s + len(self._in_flight) * self.emission_interval_s - self.late_allowance_s


def _wait(seconds: float) -> float:
    return seconds if seconds > CLOCK_RESOLUTION_S else 0.0
