"""Finding a key's limit from what the API says. Pure, like the other decisions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .decisions import Gcra, Window
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "Adaptive"]

AUTO = RateLimit(per_minute=1000, burst=10, name="auto")  # where the search begins: a production key's limit
_TRIAL_LIMIT = "x-trial-endpoint-call-limit"  # requests a minute; sent to trial keys only, and not with a 429
_TRIAL_LEFT = "x-trial-endpoint-call-remaining"  # of these, in the current minute
_KEPT, _KEPT_AGAIN = 0.9, 0.75  # of the rate after a 429; the second where it was cut less than a period ago
_GROWTH = 0.05  # of the rate, in a period that was used in full


class Adaptive:
    """Paced sends at a rate that is cut by a 429 and grows back while it is used in full (AIMD).

    A 429 takes a tenth off, or a quarter if the rate was already cut within a period; 429s for what was sent before a
    cut cut nothing more. A period in full use adds 5 % and at least one request; until the first 429 it doubles the
    rate, so that a key with a higher limit than most is soon used. The rate is never below one request a period. A
    trial key's replies say what its limit is: from then on that is kept to as it is.

    Args:
        limit: Where to begin.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._period_s = limit.period_s
        self._burst = limit.burst or 1
        self._max_delay_s = limit.max_delay_s
        self._pace = Gcra(0.0, 0.0)
        self._known: Window | None = None
        self._held_back_s = -math.inf  # when someone last had to wait
        self._cut_s = -math.inf  # when the rate was last cut
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
        elif status == 429:
            self._refused(now_s)
        elif status < 400 and now_s - self._held_back_s < self._period_s:
            growth = max(1.0, _GROWTH * self.rate) if self._cut_s > -math.inf else self.rate
            self._set(self.rate + growth / self.rate)

    def _learn(self, now_s: float, n: int, left: str) -> None:
        if self._known is not None and self._known.n == n:
            return
        self.rate = float(n)
        self._known = Window(n, self._period_s, self._max_delay_s)
        for _ in range(n - int(left) if left.isdecimal() else n):
            self._known.take(now_s)  # what was sent before the limit was known counts too
        self._known.rest(self._rest_until_s)

    def _refused(self, now_s: float) -> None:
        if self._known is not None or now_s < self._rest_until_s:
            return  # a known limit stays; nothing is sent during a rest, so what is refused then was sent before
        was_cut = now_s - self._cut_s < self._period_s
        self._cut_s = now_s
        self._set(max(1.0, self.rate * (_KEPT_AGAIN if was_cut else _KEPT)))

    def _set(self, rate: float) -> None:
        self.rate = rate  # requests a period
        step_s = self._period_s / rate
        self._pace.step_s = step_s
        self._pace.slack_s = max(0.0, min(self._burst, rate) - 2) * step_s
