"""Find the limit of a key from the responses. Pure, like the other algorithms."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .algorithms import Gcra, SlidingWindow
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "Adaptive"]

AUTO = RateLimit(per_minute=1000, burst=10, name="auto")  # the search starts at the limit of a production key
_TRIAL_LIMIT = "x-trial-endpoint-call-limit"  # requests a minute; sent to trial keys only, and not with a 429
_TRIAL_REMAINING = "x-trial-endpoint-call-remaining"  # of these, in the current minute
_MIN_CUT_FACTOR, _MAX_CUT_FACTOR = 0.5, 0.9  # a cut leaves between half and nine tenths of the rate
_SLOW_START_FACTOR = 2.0 ** (1 / 11)  # of the rate, with each success
_MIN_SPAN_S = 1.0  # a rate is not measured over a shorter time
_SLEEP_S = 0.02
_PERIODS_TO_RECOVER = 6  # until the rate is back where it was before a cut


class Adaptive:
    """Paced requests at a rate that a 429 cuts and that grows while it is used in full (AIMD).

    A 429 cuts the rate to the number of successes in the last period, but to no less than half and no more than nine
    tenths of it. It cuts at most once a period, because a server that counts by the period takes that long to notice.
    The rate recovers within six periods of full use and then continues to grow at the same pace. Before the first cut,
    each period of full use adds the initial rate again, so that a key with a high limit is soon used. The rate is
    never below one request a period.

    The responses to a trial key state its limit. From then on that limit is kept as it is.

    With *slow_start*, nothing is known about the server, which may have no limit at all. Then the rate doubles with
    every eleven successes of full use until the first 429. That cuts the rate to half of what was really sent.

    Args:
        limit: The limit to start with.
        slow_start: Whether to begin with a slow start.
    """

    def __init__(self, limit: RateLimit, *, slow_start: bool = False) -> None:
        self._period_s = limit.period_s
        self._burst = limit.burst or 1
        self._max_transit_s = limit.max_transit_s
        self._paced = Gcra(0.0, 0.0, 0.0, limit.max_transit_s)
        self._stated: SlidingWindow | None = None  # the limit that the server has stated
        self._succeeded_s: deque[float] = deque()  # when the successful responses of the last period came
        self._last_throttled_s = -math.inf  # when a request last had to wait
        self._was_throttled = False  # since the last success
        self._last_cut_s = -math.inf
        self._growth = float(limit.requests)  # of the rate, in a period of full use
        self._paused_until_s = -math.inf
        self._is_slow_start = slow_start
        self._first_success_s: float | None = None
        self._set_rate(float(limit.requests))

    def acquire(self, now_s: float) -> float:
        """See `Algorithm.acquire`."""
        return self._record_wait(now_s, self._algorithm().acquire(now_s))

    def wait_s(self, now_s: float, position: int = 0) -> float:
        """See `Algorithm.wait_s`."""
        return self._record_wait(now_s, self._algorithm().wait_s(now_s, position))

    def on_complete(self, now_s: float) -> None:
        """See `Algorithm.on_complete`."""
        self._algorithm().on_complete(now_s)

    def pause(self, until_s: float) -> None:
        """See `Algorithm.pause`."""
        self._paused_until_s = max(self._paused_until_s, until_s)
        self._algorithm().pause(until_s)

    def on_response(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """See `Algorithm.on_response`."""
        limit = headers.get(_TRIAL_LIMIT, "")
        if limit.isdecimal() and int(limit) > 0:
            self._adopt_stated(now_s, int(limit), headers.get(_TRIAL_REMAINING, ""))
        elif self._stated is None and status == 429:
            self._on_rejection(now_s)
        elif self._stated is None and status < 400:
            self._on_success(now_s)

    def _record_wait(self, now_s: float, wait_s: float) -> float:
        if wait_s > 0:
            self._last_throttled_s, self._was_throttled = now_s, True
        return wait_s

    def _algorithm(self) -> SlidingWindow | Gcra:
        return self._stated or self._paced

    def _adopt_stated(self, now_s: float, n: int, remaining: str) -> None:
        if self._stated is not None and self._stated.n == n:
            return
        self.rate = float(n)
        self._stated = SlidingWindow(n, self._period_s, self._max_transit_s)
        for _ in range(n - int(remaining) if remaining.isdecimal() else n):
            self._stated.acquire(now_s)  # requests that were sent before the limit was known count too
        self._stated.pause(self._paused_until_s)

    def _on_success(self, now_s: float) -> None:
        self._succeeded_s.append(now_s)
        self._evict_old(now_s)
        if self._first_success_s is None:
            self._first_success_s = now_s
        if self._is_slow_start:
            if self._was_throttled:
                self._set_rate(self.rate * _SLOW_START_FACTOR)
            self._was_throttled = False
        elif now_s - self._last_throttled_s < self._period_s:
            self._set_rate(self.rate + self._growth / self.rate)

    def _on_rejection(self, now_s: float) -> None:
        if now_s - self._last_cut_s < self._period_s:
            return
        self._evict_old(now_s)
        if self._is_slow_start:
            self._is_slow_start = False
            self.rate = min(self.rate, self._measured_rate(now_s))
        rate = min(max(len(self._succeeded_s), _MIN_CUT_FACTOR * self.rate), _MAX_CUT_FACTOR * self.rate)
        self._growth = max(1.0, (self.rate - rate) / _PERIODS_TO_RECOVER)
        self._last_cut_s = now_s
        self._set_rate(max(1.0, rate))

    def _measured_rate(self, now_s: float) -> float:
        """Return the successes so far, for a whole period."""
        span_s = now_s - (now_s if self._first_success_s is None else self._first_success_s)
        return len(self._succeeded_s) * self._period_s / min(max(span_s, _MIN_SPAN_S), self._period_s)

    def _evict_old(self, now_s: float) -> None:
        while self._succeeded_s and self._succeeded_s[0] <= now_s - self._period_s:
            self._succeeded_s.popleft()

    def _set_rate(self, rate: float) -> None:
        self.rate = rate  # requests a period
        # At high rates a burst is what comes in one sleep of the limiter: it cannot wait for less than a millisecond.
        interval_s = self._period_s / rate
        burst = min(max(self._burst, _SLEEP_S / interval_s), rate)
        self._paced.emission_interval_s = interval_s
        self._paced.tolerance_s = max(0.0, burst - 2) * interval_s
        self._paced.late_allowance_s = min(1.0, burst - 1) * interval_s
