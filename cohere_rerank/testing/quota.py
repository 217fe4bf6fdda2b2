"""Rate limits as an API enforces them. Pure; the time is an argument."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from .plan import Limit

__all__ = ["Decision", "Quota"]

_MONTHLY = "You are using a Trial key, which is limited to {} API calls / month."
_TRIAL = "You are using a Trial key, which is limited to {} API calls / minute."
_PRODUCTION = "You are past the per minute request limit, please wait and try again later."


@dataclass(frozen=True)
class Decision:
    """The decision about one request.

    Attributes:
        rejection: The message of the 429. None: the request is accepted.
        headers: Headers of the response.
    """

    rejection: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Quota:
    """Counts the accepted requests of each key in a sliding window. A rejected request does not count."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._accepted_s: defaultdict[str | None, deque[float]] = defaultdict(deque)  # times within the period
        self._n_accepted: defaultdict[str | None, int] = defaultdict(int)

    def check(self, key: str | None, now_s: float) -> Decision:
        """Decide whether a request with this key is accepted now. An accepted request is counted.

        Args:
            key: The API key, or None.
            now_s: The time in seconds on a monotonic clock.
        """
        limit, accepted_s = self._limit, self._accepted_s[key]
        while accepted_s and accepted_s[0] <= now_s - limit.period_s:
            accepted_s.popleft()
        if limit.per_month is not None and self._n_accepted[key] >= limit.per_month:
            return Decision(_MONTHLY.format(limit.per_month))
        if len(accepted_s) >= limit.requests:
            wait_s = math.ceil(accepted_s[0] + limit.period_s - now_s)
            message = _TRIAL.format(limit.requests) if limit.trial else _PRODUCTION
            return Decision(message, {"retry-after": str(wait_s)} if limit.hint else {})
        accepted_s.append(now_s)
        self._n_accepted[key] += 1
        return Decision(headers=self._trial_headers(len(accepted_s)))

    def _trial_headers(self, n_in_period: int) -> dict[str, str]:
        """Return the headers of accepted requests with a trial key. Source: Elasticsearch's client for Cohere."""
        limit = self._limit
        if not limit.trial:
            return {}
        headers = {
            "x-trial-endpoint-call-limit": str(limit.requests),
            "x-trial-endpoint-call-remaining": str(limit.requests - n_in_period),
        }
        if limit.per_month is not None:
            headers["x-endpoint-monthly-call-limit"] = str(limit.per_month)
        return headers
