"""Measure one call: its requests, its waits and its time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from ._clock import Clock

    class Span(Protocol):
        """What the steps of a call report to its span. No method raises an error."""

        def add_event(self, name: str, fields: Mapping[str, Any]) -> None: ...
        def end(self, response: Any) -> None: ...
        def fail(self, error: BaseException) -> None: ...
        def postpone(self, error: BaseException) -> None: ...


_MIN_WAIT_S = 0.001  # of a wait for the limit that is worth an event
_NO_HEADERS: Mapping[str, str] = {}


class CallTrace:
    """The measurements of one call. Its parts add to them from several threads or tasks.

    Attributes:
        replies: With a budget, each reply as a response, with the number of its documents.
        refused_reply: The reply that broke the contract, for ``with_raw_response``. None if there was none.
        headers: Headers that pass on the context of the trace. They are neither signed nor in the key of a cache.
        span: The span of the call, if the program has configured OpenTelemetry, otherwise None.
    """

    __slots__ = ("_clock", "_start_s", "headers", "n_requests", "refused_reply", "replies", "span", "waits_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_s = clock.monotonic()
        self.n_requests: list[None] = []  # lists, because append is atomic
        self.waits_s: list[float] = []
        self.refused_reply: Any = None
        self.replies: list[Any] = []
        self.headers: Mapping[str, str] = _NO_HEADERS
        self.span: Span | None = None

    def start_request(self) -> int:
        """Count a request, and return its number from 1."""
        self.n_requests.append(None)
        return len(self.n_requests)

    def add_limit_wait(self, seconds: float) -> None:
        """Add a wait for the client's own rate limit."""
        self.waits_s.append(seconds)
        if self.span is not None and seconds >= _MIN_WAIT_S:
            self.span.add_event("LimitWaitEvent", {"waited_s": seconds})

    def totals(self) -> tuple[int, float, float]:
        """Return the number of requests, the seconds since the call began, and those of the waits.

        The waits are those for retries and for the rate limit, added over all parts.
        """
        return len(self.n_requests), self._clock.monotonic() - self._start_s, sum(self.waits_s)
