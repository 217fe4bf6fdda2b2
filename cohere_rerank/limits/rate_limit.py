"""How many requests a key may send: a value, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cohere_rerank._validators import seconds, whole_number
from cohere_rerank.errors import InvalidRequestError

__all__ = ["PRESETS", "RateLimit", "Store"]

_MARGIN = 0.01  # of the period: two clocks never agree, and a send that comes early costs a 429
_MIN_DELAY_S = 0.25  # between letting a send go and its arrival, even where a hundredth of the period is less
_MAX_PERIOD_S = 366 * 86_400.0


class Store(Protocol):
    """Counts the sends of all who share a limit. Hashable and picklable, like the RateLimit that holds it.

    A store whose answer takes time may also have ``take_async`` and ``pause_async``, coroutine functions of the same
    arguments; without them ``take`` and ``pause`` run in a worker thread when an event loop is waiting.
    """

    def take(self, limit: RateLimit, now_s: float) -> float:
        """Ask for one send.

        Args:
            limit: What is allowed.
            now_s: This process's monotonic clock, for stores without a clock of their own.

        Returns:
            0.0: the send is granted, and counted, in one step. Else the seconds after which to ask again.

        Raises:
            RateLimitStoreError: The store cannot say.
        """
        ...

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """Let nobody who shares the limit send for so many seconds from now; a longer pause stays."""
        ...


@dataclass(frozen=True, init=False)
class RateLimit:
    """At most so many requests in a period, shared by all who send with the same key.

    Without *burst*, at most that many are sent in **any** stretch of time as long as the period: the first ones at
    once, the others as soon as the oldest is a period old. With *burst*, they are paced: one every
    ``period_s / requests`` seconds in the long run, and at most *burst* at once after a rest.

    Args:
        per_minute: Requests a minute, >= 1; the short form of ``requests=n, period_s=60``.
        requests: Requests in a period, >= 1.
        period_s: Length of the period in seconds, > 0 and at most a year; 60.
        burst: How many may go at once, >= 1; None: as many as a whole period allows.
        concurrency: How many may be under way at once, >= 1, in each process; None: any number.
        store: Where the count is kept when other processes share it: a FileStore, a RedisStore or one of your own.
            None: in this process.
        name: Tells limits apart that are otherwise equal; limits with different names count separately.

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
        if span_s > _MAX_PERIOD_S:
            raise InvalidRequestError(f"period_s must be at most a year ({_MAX_PERIOD_S:g} s), got {span_s:g}")
        if store is not None and not (hasattr(store, "take") and hasattr(store, "pause")):
            raise InvalidRequestError(f"store must have the methods take and pause, got {type(store).__name__}")
        if name is not None and not isinstance(name, str):
            raise InvalidRequestError(f"name must be a string, got {type(name).__name__}")
        values = {
            "requests": n,
            "period_s": span_s,
            "burst": whole_number("burst", burst, 1),
            "concurrency": whole_number("concurrency", concurrency, 1),
            "store": store,
            "name": name,
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)  # frozen

    @property
    def step_s(self) -> float:
        """Seconds from one paced send to the next, a hundredth more than the limit asks for."""
        return self.period_s / self.requests * (1 + _MARGIN)

    @property
    def slack_s(self) -> float:
        """How much sooner than that a paced send may go: what makes a burst. One send of the burst is kept back."""
        return max(0, (self.burst or 1) - 2) * self.step_s

    @property
    def spare_s(self) -> float:
        """By how much a paced send may arrive late without the next one coming too soon: it takes what is kept back."""
        return min(1, (self.burst or 1) - 1) * self.step_s

    @property
    def max_delay_s(self) -> float:
        """How long after it was let go a send is taken to arrive, unless its reply shows that it already has."""
        return max(_MARGIN * self.period_s, _MIN_DELAY_S)


PRESETS = {"trial": RateLimit(per_minute=10), "production": RateLimit(per_minute=1000)}
