"""Rate limits as an API keeps them: who may, and what a refusal says. Pure, on time that is passed in."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from .plan import Limit

__all__ = ["Quota", "Verdict"]

_MONTHLY = "You are using a Trial key, which is limited to {} API calls / month."
_TRIAL = "You are using a Trial key, which is limited to {} API calls / minute."
_PRODUCTION = "You are past the per minute request limit, please wait and try again later."


@dataclass(frozen=True)
class Verdict:
    """What a limit says to one request.

    Attributes:
        refusal: The message of the 429; None: it may pass.
        headers: Of the reply.
    """

    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Quota:
    """Counts the requests of each key that passed; a refused one does not count."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._passed: defaultdict[str | None, deque[float]] = defaultdict(deque)  # seconds, within the period
        self._n_passed: defaultdict[str | None, int] = defaultdict(int)

    def ask(self, key: str | None, now_s: float) -> Verdict:
        """Whether a request with this key may pass now; if so, it is counted.

        Args:
            key: The API key, or None.
            now_s: Seconds on a clock that never goes back.
        """
        limit, passed = self._limit, self._passed[key]
        while passed and passed[0] <= now_s - limit.period_s:
            passed.popleft()
        if limit.per_month is not None and self._n_passed[key] >= limit.per_month:
            return Verdict(_MONTHLY.format(limit.per_month))
        if len(passed) >= limit.requests:
            wait_s = math.ceil(passed[0] + limit.period_s - now_s)
            message = _TRIAL.format(limit.requests) if limit.trial else _PRODUCTION
            return Verdict(message, {"retry-after": str(wait_s)} if limit.hint else {})
        passed.append(now_s)
        self._n_passed[key] += 1
        return Verdict(headers=self._trial_headers(len(passed)))

    def _trial_headers(self, n_in_period: int) -> dict[str, str]:
        """What replies to trial keys say; a 429 does not. Source: Elasticsearch's client for Cohere."""
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
