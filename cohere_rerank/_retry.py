"""Decide when to send a request again and how long to wait first. The caller passes the clock in.

The loop is tenacity's. Each call builds its own loop after its first failure. A shared ``AsyncRetrying`` would mix the
states of several tasks, and a call that succeeds at once does not pay for a loop.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._error_bodies import is_busy
from ._validators import describe, flag, needed_number, needed_whole_number
from ._wire.contract import FIRST_SERVER_ERROR, TOO_MANY_REQUESTS, is_request_id
from .errors import (
    ApiError,
    CircuitOpenError,
    CohereRerankError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    QuotaExceededError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import AsyncRetrying, RetryCallState, Retrying

    from ._clock import Clock, Deadline


COHERE_WINDOW_S = 60.0
"""The period of Cohere's rate limits."""

_OUTAGES = (424, TOO_MANY_REQUESTS)  # 424: a model behind the server failed


@dataclass(frozen=True)
class RetryPolicy:
    """The rules of retries: which failures are retried, and how long to wait before each retry.

    A rerank call only reads, so it is safe to send it again. Every temporary failure is retried, also a request
    whose response was lost.

    Args:
        max_retries: Retries after the first attempt, >= 0. Default: 2.
        wait_initial_s: Wait before the first retry, in seconds. Each further wait is twice as long. If the
            server asks for a shorter wait, this wait is used. Default: 0.5.
        wait_max_s: The longest of these waits, in seconds. Default: 30.
        jitter: Random share added to or taken from a wait, 0 to 1. It keeps clients from retrying at the same moment.
            Default: 0.2.
        rate_limit_window_s: Seconds over which the retries of a 429 without a hint are spread, for a server that counts
            requests per period. Default: None, which means 60 on Cohere's own addresses, because Cohere counts per
            minute, and the usual backoff with every other server.
        retry_statuses: Statuses that are retried besides 5xx. Default: 408, 409, 425, 429.
        no_retry_statuses: Statuses among 5xx that are not retried. Default: 501.
        remote_protocol_errors: Whether to retry after the server closed the connection early. Default: True.
        budget: The number of retries that all calls of one client may use before successes refill the budget. It
            limits the load on a server in an outage; see RetryBudget. Retries of a 429 do not use it. Default: 100.

    Raises:
        InvalidRequestError: A value is out of range.
    """

    max_retries: int = 2
    wait_initial_s: float = 0.5
    wait_max_s: float = 30.0
    jitter: float = 0.2
    rate_limit_window_s: float | None = None
    retry_statuses: frozenset[int] = frozenset({408, 409, 425, 429})
    no_retry_statuses: frozenset[int] = frozenset({501})
    remote_protocol_errors: bool = True
    budget: int = 100

    def __post_init__(self) -> None:
        for name in ("max_retries", "budget"):
            object.__setattr__(self, name, needed_whole_number(name, getattr(self, name), 0))  # frozen
        for name in ("wait_initial_s", "wait_max_s", "rate_limit_window_s", "jitter"):
            value = getattr(self, name)
            if value is not None or name != "rate_limit_window_s":
                needed_number(name, value, 0, 1 if name == "jitter" else math.inf)
        for name in ("retry_statuses", "no_retry_statuses"):
            object.__setattr__(self, name, _checked_statuses(name, getattr(self, name)))
        if flag("remote_protocol_errors", self.remote_protocol_errors) is None:
            raise InvalidRequestError("remote_protocol_errors must be True or False, got None")

    def should_retry(self, error: BaseException) -> bool:
        """Return whether a retry may help after this failure."""
        if isinstance(error, QuotaExceededError):
            return False
        if isinstance(error, ApiError):
            status = error.status_code or 0
            return status in self.retry_statuses or (
                FIRST_SERVER_ERROR <= status < 600 and status not in self.no_retry_statuses
            )
        if isinstance(error, (CircuitOpenError, DeadlineExceededError)) or not isinstance(error, ConnectionFailedError):
            return False
        return error.is_transient and (self.remote_protocol_errors or not error.is_disconnect)

    def is_outage(self, error: BaseException) -> bool:
        """Return whether the server failed and not the caller, so that a fallback may answer.

        A reply that breaks the contract counts too: garbage, or an HTML page with status 200.
        """
        if isinstance(error, InvalidResponseError) or getattr(error, "is_from_environment", False):
            return True
        if isinstance(error, ConnectionFailedError):
            return error.is_transient
        status = (error.status_code or 0) if isinstance(error, ApiError) else 0
        return status in _OUTAGES or status >= FIRST_SERVER_ERROR or self.should_retry(error)

    def backoff_s(
        self, error: BaseException, n_failed: int, left_s: float, draw: Callable[[], float] = random.random
    ) -> float:
        """Return the seconds to wait after attempt *n_failed* (from 1) failed, with *left_s* seconds remaining."""
        hint = getattr(error, "retry_after", None)
        if hint is not None:
            # A hint of 0, or a time in the past, must not make all clients retry at once.
            return max(float(hint), self.wait_initial_s * (1 + self.jitter * (2 * draw() - 1)))
        is_rate_limit = isinstance(error, ApiError) and error.status_code == TOO_MANY_REQUESTS
        if is_rate_limit and self.rate_limit_window_s is not None:
            n_left = max(1, self.max_retries - n_failed + 1)
            share = self.rate_limit_window_s / max(1, self.max_retries) * (1 + self.jitter * draw())
            return min(share, max(0.0, left_s) / (n_left + 1))
        backoff = min(self.wait_initial_s * 2.0 ** min(n_failed - 1, 60), self.wait_max_s)
        return min(backoff * (1 + self.jitter * (2 * draw() - 1)), self.wait_max_s)

    def max_backoffs_s(self, n_retries: int) -> float:
        """Return the longest total time in seconds of the backoffs before this number of retries."""
        n_growing = min(n_retries, 60)  # after that many doublings each wait is wait_max_s
        growing = (self.wait_initial_s * 2.0**n * (1 + self.jitter) for n in range(n_growing))
        return sum(min(wait_s, self.wait_max_s) for wait_s in growing) + (n_retries - n_growing) * self.wait_max_s


def _checked_statuses(name: str, statuses: Any) -> frozenset[int]:
    if not hasattr(statuses, "__iter__") or isinstance(statuses, (str, bytes, type)):
        raise InvalidRequestError(
            f"{name} must be a set of HTTP statuses such as {{429, 503}}, got {describe(statuses)}"
        )
    return frozenset(needed_whole_number(name, status, 100, 599) for status in statuses)


class RetryBudget:
    """A token bucket of retries that all calls of a client share. It limits the load on a server in an outage.

    Each retry takes one token. A retry that succeeds returns its token, and any other success returns a tenth of one.
    When the bucket is empty, failures are raised at once. This is the standard retry mode of the AWS SDKs.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._n_tokens = float(size)

    def try_acquire(self) -> bool:
        """Take one token. Return False if there is none: then no retry may be sent."""
        # No lock: a token lost between threads does no harm, but a lock that is held during a fork does.
        if self._n_tokens < 1:
            return False
        self._n_tokens -= 1
        return True

    def refund(self, n_tokens: int = 0) -> None:
        """Return the tokens of a call that succeeded; a tenth of one if it took none."""
        if self._n_tokens < self._size:
            self._n_tokens = min(self._size, self._n_tokens + (n_tokens or 0.1))


class RetryLoop:
    """The retries of one call, from its first failure on.

    Args:
        policy: The rules.
        budget: Of the client.
        deadline: Of the call.
        first: The first failure.
        is_limited: Whether a limiter already delays a request after a 429.
        can_wait: Whether to wait until the deadline for a model that is loading or overloaded, beyond the number of
            retries of the policy.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        deadline: Deadline,
        first: CohereRerankError,
        *,
        is_limited: bool = False,
        can_wait: bool = False,
    ) -> None:
        self._is_limited = is_limited
        self._can_wait = can_wait
        self._policy = policy
        self._budget = budget
        self._deadline = deadline
        self._first = self.last_error = first
        self.n_tokens = 0

    def attempts(self, clock: Clock) -> Retrying:
        """Return a new loop for one call in a thread. Its first attempt is the one that has already failed."""
        from tenacity import Retrying

        return Retrying(sleep=clock.sleep, **self._tenacity_options())

    def async_attempts(self, clock: Clock) -> AsyncRetrying:
        """Return the same loop for a task."""
        from tenacity import AsyncRetrying

        return AsyncRetrying(sleep=clock.async_sleep, **self._tenacity_options())

    def reraise_first(self, n_attempt: int) -> None:
        """Raise the first failure in the loop's first attempt; do nothing in later ones."""
        if n_attempt == 1:
            raise self._first

    def _tenacity_options(self) -> dict[str, Any]:
        return {
            "retry": self._should_retry,
            "wait": self._wait,
            "stop": self._stop,
            "before_sleep": _log_retry,
            "reraise": True,
        }

    def _should_retry(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, CohereRerankError):
            error.attempts = state.attempt_number
            error.waited_s = state.idle_for
            error.part = self._first.part
            self.last_error = error
        return error is not None and self._policy.should_retry(error)

    def _wait(self, state: RetryCallState) -> float:
        error = _failure(state)
        if self._is_limited and error.retry_after is None and getattr(error, "status_code", None) == TOO_MANY_REQUESTS:
            return 0.0  # the shared limiter pauses all its requests, this one too
        left_s = self._deadline.remaining()
        wait_s = self._policy.backoff_s(error, state.attempt_number, left_s)
        if error.retry_after is None and self._waits_for_model(error):
            # So that the last requests come near the deadline, and not one long wait before it.
            return min(wait_s, max(left_s / 2, self._policy.wait_initial_s))
        return wait_s

    def _waits_for_model(self, error: CohereRerankError) -> bool:
        return self._can_wait and isinstance(error, ApiError) and is_busy(error.status_code, error.body)

    def _stop(self, state: RetryCallState) -> bool:
        error = _failure(state)
        waits_for_model = self._waits_for_model(error)
        if state.attempt_number > self._policy.max_retries and not waits_for_model:
            return True
        wait_s, left_s = state.upcoming_sleep, self._deadline.remaining()
        if wait_s >= left_s:
            if error.retry_after is not None:
                error.message += (
                    f"; the server asks to wait {wait_s:g} s, but only {max(0.0, left_s):.3g} s of the deadline remain"
                )
            elif waits_for_model:
                error.message += f"; the model was not ready within the deadline of {self._deadline.seconds:.3g} s"
            return True
        if waits_for_model or getattr(error, "status_code", None) == TOO_MANY_REQUESTS:
            return False
        if not self._budget.try_acquire():
            error.message += "; not retried, because this client's retry budget is used up"
            return True
        self.n_tokens += 1
        return False


def _failure(state: RetryCallState) -> CohereRerankError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, CohereRerankError), error  # RetryPolicy.should_retry is False for all others
    return error


def _log_retry(state: RetryCallState) -> None:
    from logging import getLogger

    getLogger("cohere_rerank").info(
        "attempt %d failed: %s; retrying in %.3g s",
        state.attempt_number,
        for_log(_failure(state)),
        state.upcoming_sleep,
    )


def for_log(error: CohereRerankError) -> str:
    """Return an error's type, status and request id; not its text, in which a server may quote documents."""
    said = [type(error).__name__]
    if (status := getattr(error, "status_code", None)) is not None:
        said.append(f"status {status}")
    if is_request_id(error.request_id):
        said.append(f"request id {error.request_id}")
    return ", ".join(said)
