"""Finding a key's limit from what the API says. Pure, like the other decisions."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from .algorithms import Gcra, Window
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "Adaptive"]

AUTO = RateLimit(per_minute=1000, burst=10, name="auto")  # where the search begins: a production key's limit
_TRIAL_LIMIT = "x-trial-endpoint-call-limit"  # requests a minute; sent to trial keys only, and not with a 429
_TRIAL_LEFT = "x-trial-endpoint-call-remaining"  # of these, in the current minute
_KEPT_LEAST, _KEPT_MOST = 0.5, 0.9  # of the rate after a cut
_PERIODS_TO_GROW = 6  # until what was cut has grown back


class Adaptive:
    """Paced sends at a rate that is cut by a 429 and grows back while it is used in full (AIMD).

    A 429 cuts the rate to what the last period let through, but to no less than half of it and no more than nine
    tenths, and at most once a period, since a server that counts by the period takes as long to notice. What was cut
    grows back in six periods of full use, then on at the same pace; before the first cut each adds as much as it all
    began with, so that a key with a higher limit than most is soon used. It is never below one request a period.

    A trial key's replies say what its limit is: from then on that is kept to as it is.

    Args:
        limit: Where to begin.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._period_s = limit.period_s
        self._burst = limit.burst or 1
        self._max_delay_s = limit.max_delay_s
        self._pace = Gcra(0.0, 0.0, 0.0, limit.max_delay_s)
        self._known: Window | None = None
        self._answered: deque[float] = deque()  # when the good replies of the last period came
        self._held_back_s = -math.inf  # when someone last had to wait
        self._cut_s = -math.inf  # when the rate was last cut
        self._growth = float(limit.requests)  # of the rate, in a period of full use
        self._rest_until_s = -math.inf
        self._set(float(limit.requests))

    def take(self, now_s: float) -> float:
        """As `Decision.take`."""
        wait_s = (self._known or self._pace).take(now_s)
        if wait_s > 0:
            self._held_back_s = now_s
        return wait_s

    def wait_s(self, now_s: float, n_ahead: int = 0) -> float:
        """As `Decision.wait_s`."""
        return (self._known or self._pace).wait_s(now_s, n_ahead)

    def ended(self, now_s: float) -> None:
        """As `Decision.ended`."""
        (self._known or self._pace).ended(now_s)

    def rest(self, until_s: float) -> None:
        """As `Decision.rest`."""
        self._rest_until_s = max(self._rest_until_s, until_s)
        (self._known or self._pace).rest(until_s)

    def heard(self, now_s: float, status: int, headers: Mapping[str, str]) -> None:
        """As `Decision.heard`."""
        limit = headers.get(_TRIAL_LIMIT, "")
        if limit.isdecimal() and int(limit) > 0:
            self._learn(now_s, int(limit), headers.get(_TRIAL_LEFT, ""))
        elif self._known is None and status == 429:
            self._refused(now_s)
        elif self._known is None and status < 400:
            self._answered.append(now_s)
            self._forget(now_s)
            if now_s - self._held_back_s < self._period_s:
                self._set(self.rate + self._growth / self.rate)

    def _learn(self, now_s: float, n: int, left: str) -> None:
        if self._known is not None and self._known.n == n:
            return
        self.rate = float(n)
        self._known = Window(n, self._period_s, self._max_delay_s)
        for _ in range(n - int(left) if left.isdecimal() else n):
            self._known.take(now_s)  # what was sent before the limit was known counts too
        self._known.rest(self._rest_until_s)

    def _refused(self, now_s: float) -> None:
        if now_s - self._cut_s < self._period_s:
            return
        self._forget(now_s)
        kept = min(max(len(self._answered), _KEPT_LEAST * self.rate), _KEPT_MOST * self.rate)
        self._growth = max(1.0, (self.rate - kept) / _PERIODS_TO_GROW)
        self._cut_s = now_s
        self._set(max(1.0, kept))

    def _forget(self, now_s: float) -> None:
        while self._answered and self._answered[0] <= now_s - self._period_s:
            self._answered.popleft()

    def _set(self, rate: float) -> None:
        self.rate = rate  # requests a period
        step_s, burst = self._period_s / rate, min(self._burst, rate)
        self._pace.step_s = step_s
        self._pace.slack_s = max(0.0, burst - 2) * step_s
        self._pace.spare_s = min(1.0, burst - 1) * step_s
