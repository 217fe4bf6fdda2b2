"""Send a row again after a temporary failure, for hours if the server is down."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cohere_rerank._retry import RetryPolicy
from cohere_rerank.batch.rules import FATAL_ERRORS
from cohere_rerank.errors import ApiError, CircuitOpenError, CohereRerankError, RateLimitWaitError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cohere_rerank._calls import AsyncCalls
    from cohere_rerank._transport.reply import Reply
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import RerankArguments, V2RerankResponse

__all__ = ["PatientCalls"]

_BACKOFF = RetryPolicy(wait_initial_s=1.0, wait_max_s=60.0)
_MAX_LONE_FAILURES = 8  # of a row, while other rows succeed: then the row is the cause and not an outage
_NOT_TEMPORARY = (*FATAL_ERRORS, CircuitOpenError, RateLimitWaitError)  # a batch waits after the last two itself


class PatientCalls:
    """The calls of a client, which retry temporary failures longer than the client does.

    A row whose failure is temporary is sent again with growing waits of up to a minute. It fails when it has been
    retried for *retry_for_s* seconds, or when it has failed eight times more while other rows succeeded.

    Args:
        calls: The calls of the client. Their own retries come first.
        retry_for_s: Seconds from the first failure of a row.
    """

    def __init__(self, calls: AsyncCalls, retry_for_s: float) -> None:
        self._calls = calls
        self._retry_for_s = retry_for_s
        self._n_succeeded = 0
        self._waiting: dict[int, str] = {}  # the last failure of each row that waits
        self.clock = calls.clock

    def waiting_for(self) -> str | None:
        """Return the number of rows that wait after a failure, and the last failure. None if no row waits."""
        if not self._waiting:
            return None
        *_, last = self._waiting.values()
        return f"{len(self._waiting):,} waiting after {last}"

    def encode_batch_call(self, **arguments: Unpack[RerankArguments]) -> Call:
        """As the method of the client's calls."""
        return self._calls.encode_batch_call(**arguments)

    async def rerank(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """Send a call, and send it again after temporary failures."""
        first_failure_s = math.inf
        n_failures = n_lone_failures = 0
        n_succeeded = self._n_succeeded
        while True:
            try:
                answered = await self._calls.rerank(call)
            except CohereRerankError as error:
                now_s = self.clock.monotonic()
                first_failure_s = min(first_failure_s, now_s)
                n_failures += 1
                n_lone_failures += self._n_succeeded > n_succeeded
                n_succeeded = self._n_succeeded
                wait_s = _BACKOFF.backoff_s(error, n_failures, math.inf)
                is_late = now_s + wait_s - first_failure_s > self._retry_for_s
                if is_late or n_lone_failures > _MAX_LONE_FAILURES or not self._is_temporary(error):
                    raise
                status = getattr(error, "status_code", None)
                failure = type(error).__name__ + ("" if status is None else f", status {status}")
            else:
                self._n_succeeded += 1
                return answered
            self._waiting[id(call)] = failure
            try:
                await self.clock.async_sleep(wait_s)
            finally:
                del self._waiting[id(call)]

    def _is_temporary(self, error: CohereRerankError) -> bool:
        policy = self._calls.config.retry_policy or RetryPolicy()
        if isinstance(error, _NOT_TEMPORARY):
            return False
        if isinstance(error, ApiError) and error.status_code in policy.no_retry_statuses:
            return False
        return policy.is_outage(error)
