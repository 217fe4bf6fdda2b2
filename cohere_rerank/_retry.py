"""When to send a request again, and how long to wait first: values and pure decisions on a clock that is passed in.

The loop itself is tenacity's. It is built for a call after that call's first failure, never shared: one tenacity
``AsyncRetrying`` used by several tasks mixes their states, and a call that succeeds at once should not pay for it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import (
    ApiError,
    CohereRerankError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    QuotaExceededError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import AsyncRetrying, RetryCallState, Retrying

    from ._clock import Clock, Deadline


_REQUEST_ID = r"[\w.:/+=@-]{1,128}"  # such as servers give; anything else may be a text


@dataclass(frozen=True)
class RetryPolicy:
    """Which failures are worth a repeat, and the waits in between.

    Reranking only reads, so every failure that may pass is repeated, a lost answer too.

    Args:
        max_retries: Repeats after the first attempt, >= 0.
        wait_initial_s: Wait before the first repeat, in seconds; doubled for each further one.
        wait_max_s: The longest such wait, in seconds.
        jitter: Random share added to or taken from a wait, 0 to 1, so that clients do not come back in step.
        rate_limit_window_s: Over how many seconds the repeats of a 429 without a hint are spread; Cohere counts
            requests by the minute, so sooner repeats are mostly wasted.
        statuses: Statuses that are repeated besides 5xx.
        never: Statuses of 5xx that are not repeated.
        remote_protocol_errors: Whether a server that hung up early is asked again.
        budget: Repeats that may be open at once over all calls of a client before an outage is no longer met with
            more load; see RetryBudget. Rate limits do not draw on it.

    Raises:
        InvalidRequestError: A value is out of range.
    """

    max_retries: int = 2
    wait_initial_s: float = 0.5
    wait_max_s: float = 30.0
    jitter: float = 0.2
    rate_limit_window_s: float = 60.0
    statuses: frozenset[int] = frozenset({408, 409, 425, 429})
    never: frozenset[int] = frozenset({501})
    remote_protocol_errors: bool = True
    budget: int = 100

    def __post_init__(self) -> None:
        for name in ("max_retries", "budget"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise InvalidRequestError(f"{name} must be a whole number, at least 0, got {value!r}")
        for name in ("wait_initial_s", "wait_max_s", "rate_limit_window_s", "jitter"):
            value, most = getattr(self, name), 1 if name == "jitter" else math.inf
            if not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise InvalidRequestError(f"{name} must be a number between 0 and {most}, got {value!r}")

    def repeats(self, error: BaseException) -> bool:
        """Whether a repeat may help against this failure."""
        if isinstance(error, QuotaExceededError):
            return False
        if isinstance(error, ApiError):
            status = error.status_code or 0
            return status in self.statuses or (500 <= status < 600 and status not in self.never)
        if isinstance(error, DeadlineExceededError) or not isinstance(error, ConnectionFailedError):
            return False
        return error.is_transient and (self.remote_protocol_errors or not error.is_early_hang_up)

    def is_outage(self, error: BaseException) -> bool:
        """Whether the API, and not the caller, is to blame, so that a fallback may answer."""
        if isinstance(error, ConnectionFailedError):
            return error.is_transient
        status = (error.status_code or 0) if isinstance(error, ApiError) else 0
        return status == 429 or status >= 500 or self.repeats(error)

    def wait_s(
        self, error: BaseException, n_failed: int, left_s: float, draw: Callable[[], float] = random.random
    ) -> float:
        """Seconds to wait after the n-th failed attempt (from 1), with ``left_s`` seconds of the deadline left."""
        hint = getattr(error, "retry_after", None)
        if hint is not None:
            return float(hint)
        if isinstance(error, ApiError) and error.status_code == 429:
            n_left = max(1, self.max_retries - n_failed + 1)
            share = self.rate_limit_window_s / max(1, self.max_retries) * (1 + self.jitter * draw())
            return min(share, max(0.0, left_s) / (n_left + 1))
        backoff = min(self.wait_initial_s * 2.0 ** min(n_failed - 1, 60), self.wait_max_s)
        return min(backoff * (1 + self.jitter * (2 * draw() - 1)), self.wait_max_s)


class RetryBudget:
    """Repeats that a client's calls share, so that an outage is not met with a multiple of the load.

    Each repeat takes one; a repeat that succeeds gives it back, and any other success gives back a tenth. When the
    budget is empty, failures are raised at once. The scheme of the AWS SDKs' standard retry mode.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = float(size)

    def take(self) -> bool:
        """Whether one more repeat may be sent."""
        # No lock: a count lost between threads does no harm, a lock held over a fork would.
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def succeeded(self, n_repeats: int = 0) -> None:
        """A call succeeded after this many repeats."""
        if self._left < self._size:
            self._left = min(self._size, self._left + (n_repeats or 0.1))


class Retries:
    """The repeats of one call, from its first failure on."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        deadline: Deadline,
        first: CohereRerankError,
        *,
        is_limited: bool = False,
    ) -> None:
        self._is_limited = is_limited
        self._policy = policy
        self._budget = budget
        self._deadline = deadline
        self._first = first
        self.n_drawn = 0

    def blocking(self, clock: Clock) -> Retrying:
        """A fresh loop for one call in a thread. Its first turn is the attempt that has already failed."""
        from tenacity import Retrying

        return Retrying(sleep=clock.sleep, **self._decisions())

    def awaiting(self, clock: Clock) -> AsyncRetrying:
        """The same in a task."""
        from tenacity import AsyncRetrying

        return AsyncRetrying(sleep=clock.async_sleep, **self._decisions())

    def replay(self, n_attempt: int) -> None:
        """Raise the first failure on the loop's first turn; do nothing on later ones."""
        if n_attempt == 1:
            raise self._first

    def _decisions(self) -> dict[str, Any]:
        return {
            "retry": self._repeats,
            "wait": self._wait,
            "stop": self._stop,
            "before_sleep": _log_repeat,
            "reraise": True,
        }

    def _repeats(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, CohereRerankError):
            error.attempts = state.attempt_number
            error.waited_s = state.idle_for
            error.part = self._first.part
        return error is not None and self._policy.repeats(error)

    def _wait(self, state: RetryCallState) -> float:
        error = _failure(state)
        if self._is_limited and error.retry_after is None and getattr(error, "status_code", None) == 429:
            return 0.0  # the limit, which all who share it now wait for, says when
        return self._policy.wait_s(error, state.attempt_number, self._deadline.left())

    def _stop(self, state: RetryCallState) -> bool:
        error = _failure(state)
        if state.attempt_number > self._policy.max_retries:
            return True
        wait_s, left_s = state.upcoming_sleep, self._deadline.left()
        if wait_s >= left_s:
            if error.retry_after is not None:
                error.message += (
                    f"; the server asks to wait {wait_s:g} s, longer than the {max(0.0, left_s):.3g} s left"
                )
            return True
        if getattr(error, "status_code", None) == 429:
            return False
        if not self._budget.take():
            error.message += "; not repeated, since this client's retry budget is used up"
            return True
        self.n_drawn += 1
        return False


def _failure(state: RetryCallState) -> CohereRerankError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, CohereRerankError), error  # RetryPolicy.repeats lets nothing else come here
    return error


def _log_repeat(state: RetryCallState) -> None:
    from logging import getLogger

    getLogger("cohere_rerank").info(
        "attempt %d failed: %s; next in %.3g s", state.attempt_number, for_log(_failure(state)), state.upcoming_sleep
    )


def for_log(error: CohereRerankError) -> str:
    """An error's type, status and request id; not its text, in which a server may quote what it was sent."""
    import re

    said = [type(error).__name__]
    if (status := getattr(error, "status_code", None)) is not None:
        said.append(f"status {status}")
    if error.request_id is not None and re.fullmatch(_REQUEST_ID, error.request_id, re.ASCII):
        said.append(f"request id {error.request_id}")
    return ", ".join(said)
