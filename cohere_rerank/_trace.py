"""Measure one call: its requests, its waits and its time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._clock import Clock


class CallTrace:
    """The measurements of one call. Its parts add to them from several threads or tasks.

    Attributes:
        replies: With a budget, each reply as a response, with the number of its documents.
        refused_reply: The reply that broke the contract, for ``with_raw_response``. None if there was none.
    """

    __slots__ = ("_clock", "_start_s", "n_requests", "refused_reply", "replies", "waits_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_s = clock.monotonic()
        self.n_requests: list[None] = []  # lists, because append is atomic
        self.waits_s: list[float] = []
        self.refused_reply: Any = None
        self.replies: list[Any] = []

    def start_request(self) -> int:
        """Count a request, and return its number from 1."""
        self.n_requests.append(None)
        return len(self.n_requests)

    def totals(self) -> tuple[int, float, float]:
        """Return the number of requests, the seconds since the call began, and those of the waits.

        The waits are those for retries and for the rate limit, added over all parts.
        """
        return len(self.n_requests), self._clock.monotonic() - self._start_s, sum(self.waits_s)
