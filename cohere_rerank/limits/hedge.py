"""Send a slow request a second time, and use the first response. `HedgeRule` decides on a time that is passed in."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from cohere_rerank._validators import describe, needed_whole_number, number
from cohere_rerank._wire.contract import FIRST_ERROR, TOO_MANY_REQUESTS
from cohere_rerank.errors import InvalidRequestError

__all__ = ["Hedge", "HedgeRule"]

_N_LATENCIES = 200  # the newest latencies of one kind of request, of which the percentile is taken
_MAX_KINDS = 100  # of requests, by model and size
_MAX_SAVED = 5.0  # hedges that a quiet time can save up
_REST_S = 60.0  # without hedges after a sign of a rate limit
_FEW_REMAINING = 10  # requests; a server that states this few is near its limit
_REMAINING_HEADERS = (
    "x-trial-endpoint-call-remaining",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining",
    "ratelimit-remaining",
)


@dataclass(frozen=True)
class Hedge:
    """When a client sends a request a second time, because the response takes longer than usual.

    The first response counts, and the other request is cancelled. The server may bill both. No second request is sent
    near a rate limit, for a batch, in an outage, or when the deadline would end before it could be answered.

    Args:
        percentile: The second request is sent after the time within which this share of the recent requests with the
            same model and a similar size were answered, above 0 and below 1. Default: 0.95.
        max_extra: The largest share of second requests among all requests, above 0 and at most 0.5. Default: 0.05.
        min_samples: Answers that must be known before the first second request, 1 to 200. Default: 20.

    Raises:
        InvalidRequestError: A value is of the wrong type or out of its range.
    """

    percentile: float = 0.95
    max_extra: float = 0.05
    min_samples: int = 20

    def __post_init__(self) -> None:
        percentile = number("percentile", self.percentile, "a number above 0 and below 1")
        if percentile is None or not 0 < percentile < 1:
            raise InvalidRequestError(
                f"percentile must be a number above 0 and below 1, got {describe(self.percentile)}; pass 0.95 for p95"
            )
        max_extra = number("max_extra", self.max_extra, "a number above 0 and at most 0.5")
        if max_extra is None or not 0 < max_extra <= 0.5:
            raise InvalidRequestError(
                f"max_extra must be a number above 0 and at most 0.5, got {describe(self.max_extra)}; pass 0.05 for 5 %"
            )
        needed_whole_number("min_samples", self.min_samples, 1, _N_LATENCIES)


class HedgeRule:
    """Whether and when to send a second request. Pure: the caller passes every time in.

    Threads share it without a lock. A race moves the share of second requests by one request.

    Args:
        settings: The settings of the client.
    """

    def __init__(self, settings: Hedge) -> None:
        self._settings = settings
        self._latencies: OrderedDict[object, deque[float]] = OrderedDict()  # by kind, the kind used last at the end
        self._saved = 0.0  # second requests that may be sent
        self._rests_until_s = float("-inf")

    def delay_s(self, kind: object, now_s: float) -> float | None:
        """Count a first request, and return after how many seconds a second one may follow. None: never."""
        self._saved = min(self._saved + self._settings.max_extra, _MAX_SAVED)
        latencies = self._latencies.get(kind)
        if latencies is None or len(latencies) < self._settings.min_samples or not self._may_hedge(now_s):
            return None
        return _quantile(latencies, self._settings.percentile)

    def try_acquire(self, kind: object, now_s: float, left_s: float) -> bool:
        """Return whether the second request may be sent now, with *left_s* seconds of the deadline remaining."""
        latencies = self._latencies.get(kind)
        if latencies is None or not self._may_hedge(now_s) or left_s < _quantile(latencies, 0.5):
            return False
        self._saved -= 1
        return True

    def refund(self) -> None:
        """Record that a second request was not sent after all."""
        self._saved = min(self._saved + 1, _MAX_SAVED)

    def on_response(
        self, kind: object, now_s: float, elapsed_s: float, status: int, headers: Mapping[str, str]
    ) -> None:
        """Learn from a response: its latency, and signs of a rate limit in its status and headers."""
        if status == TOO_MANY_REQUESTS or _is_near_limit(headers):
            self._rests_until_s = now_s + _REST_S
        if status >= FIRST_ERROR:
            return
        latencies = self._latencies.get(kind)
        if latencies is None:
            if len(self._latencies) >= _MAX_KINDS:
                self._latencies.popitem(last=False)
            latencies = self._latencies.setdefault(kind, deque(maxlen=_N_LATENCIES))
        latencies.append(elapsed_s)

    def _may_hedge(self, now_s: float) -> bool:
        return self._saved >= 1 and now_s >= self._rests_until_s


def _quantile(values: deque[float], share: float) -> float:
    ordered = sorted(values.copy())
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _is_near_limit(headers: Mapping[str, str]) -> bool:
    for name in _REMAINING_HEADERS:
        text = headers.get(name, "")
        if text.isdecimal() and int(text[:9]) < _FEW_REMAINING:
            return True
    return False
