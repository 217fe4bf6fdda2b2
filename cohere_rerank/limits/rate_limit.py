"""The limit of an API key: how many requests it may send. A value, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cohere_rerank._validators import describe, seconds, text, whole_number
from cohere_rerank.errors import InvalidRequestError

__all__ = ["MAX_PERIOD_S", "PRESETS", "RateLimit", "Store"]

_MARGIN = 0.01  # share of the period: two clocks never agree, and a request that comes too early costs a 429
_MIN_TRANSIT_S = 0.25  # from sending to arrival, even where a hundredth of the period is less
MAX_PERIOD_S = 366 * 86_400.0
_MAX_PAUSE_PERIODS, _MIN_MAX_PAUSE_S = 3, 60.0


class Store(Protocol):
    """Counts the requests of all that share a limit. Hashable and picklable, like the RateLimit that holds it.

    A store that needs time to answer may also have ``acquire_async``, a coroutine function with the arguments of
    `acquire`. Without it, an event loop calls ``acquire`` in a worker thread. ``pause`` always runs in a thread of its
    own, and no call waits for it.
    """

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """Ask to send one request.

        Args:
            limit: The limit to enforce.
            now_s: The monotonic clock of this process, in seconds, for stores without a clock of their own.

        Returns:
            0.0: the request is granted and counted, in one atomic step. Else the seconds to wait before asking again.

        Raises:
            RateLimitStoreError: The store cannot answer.
        """
        ...

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """Grant nothing under this limit for this number of seconds. An earlier pause that lasts longer stays."""
        ...


@dataclass(frozen=True, init=False)
class RateLimit:
    """At most n requests in a period, shared by all clients that use the same key.

    Without *burst*, at most n requests are sent in **any** time as long as the period. The first n are sent at once.
    Each further one waits until the oldest is a period old. With *burst*, requests are paced: one every
    ``period_s / requests`` seconds in the long run, and at most *burst* at once after an idle time.

    Args:
        per_minute: Requests a minute, at least 1. Short for ``requests=n, period_s=60``.
        requests: Requests in a period, at least 1.
        period_s: Length of the period in seconds, above 0 and at most a year. Default: 60.
        burst: Requests that may be sent at once, at least 1. Default: None, as many as a whole period allows.
        concurrency: Requests that may be in flight in each process, at least 1. Default: None, no limit.
        store: Where requests are counted if other processes share the limit: a FileStore, a RedisStore or a store of
            your own. Default: None, in this process.
        name: Distinguishes limits that are otherwise equal. Limits with different names count separately.

    Raises:
        InvalidRequestError: A value is missing, of the wrong type or out of its range.

    >>> RateLimit(per_minute=1000) == RateLimit(requests=1000, period_s=60)
    True
    """

    requests: int
    period_s: float
    burst: int | None
    concurrency: int | None
    store: Store | None
    name: str | None

    def __init__(
        self,
        *,
        per_minute: int | None = None,
        requests: int | None = None,
        period_s: float | None = None,
        burst: int | None = None,
        concurrency: int | None = None,
        store: Store | None = None,
        name: str | None = None,
    ) -> None:
        if per_minute is not None and (requests is not None or period_s is not None):
            raise InvalidRequestError("a RateLimit takes per_minute=, or requests= with period_s=, not both")
        n = whole_number("per_minute", per_minute, 1) or whole_number("requests", requests, 1)
        if n is None:
            raise InvalidRequestError("a RateLimit needs per_minute=, or requests= with period_s=")
        span_s = seconds("period_s", period_s) or 60.0
        if span_s > MAX_PERIOD_S:
            raise InvalidRequestError(f"period_s must be at most a year ({MAX_PERIOD_S:g} s), got {span_s:g}")
        if store is not None and not (hasattr(store, "acquire") and hasattr(store, "pause")):
            raise InvalidRequestError(
                f"store must have the methods acquire and pause, as FileStore has, got {describe(store)}"
            )
        values = {
            "requests": n,
            "period_s": span_s,
            "burst": whole_number("burst", burst, 1),
            "concurrency": whole_number("concurrency", concurrency, 1),
            "store": store,
            "name": text("name", name),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)  # frozen

    @property
    def emission_interval_s(self) -> float:
        """Seconds between two paced requests: a hundredth more than the limit requires."""
        return self.period_s / self.requests * (1 + _MARGIN)

    @property
    def tolerance_s(self) -> float:
        """How long before its turn a paced request may be sent. This makes the burst; one request of it is reserved."""
        return max(0, (self.burst or 1) - 2) * self.emission_interval_s

    @property
    def late_allowance_s(self) -> float:
        """How late a paced request may arrive without delaying the next one. It uses the reserved part of the burst."""
        return min(1, (self.burst or 1) - 1) * self.emission_interval_s

    @property
    def max_transit_s(self) -> float:
        """The longest time that a request is assumed to take to arrive, unless its response comes sooner."""
        return max(_MARGIN * self.period_s, _MIN_TRANSIT_S)

    @property
    def max_pause_s(self) -> float:
        """The longest pause that a response or a shared state can cause: three periods, and at least a minute."""
        return max(_MAX_PAUSE_PERIODS * self.period_s, _MIN_MAX_PAUSE_S)


PRESETS = {"trial": RateLimit(per_minute=10), "production": RateLimit(per_minute=1000)}
