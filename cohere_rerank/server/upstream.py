"""Forwards requests to another API. While that API fails, the local engine answers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank._retry import RetryPolicy
from cohere_rerank._secrets import hide
from cohere_rerank._settings import key_from_environment
from cohere_rerank.errors import (
    ApiError,
    CohereRerankError,
    ConnectionFailedError,
    InvalidRequestError,
    TimeoutExceededError,
)
from cohere_rerank.limits.circuit_breaker import Circuit, CircuitBreaker
from cohere_rerank.local.registry import get_scorer

from .backends import BackendResponse, RawRequest, rank_locally, validate
from .http import HttpError
from .logs import error_fields

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock
    from cohere_rerank.local.scorer import Scorer
    from cohere_rerank.types import V2RerankResponse

    from .dialects import V2Request
    from .executor import BoundedExecutor
    from .settings import ServerSettings

_log = logging.getLogger("cohere_rerank.server")
_KEY_REJECTED = (401, 403)
_ERROR_STATUSES = range(400, 600)
_OPERATOR_ERRORS = (502, 504)  # the operator must act on these; an upstream that sends them itself has an outage
# After one failure the local engine answers, and every few seconds one request tests the upstream.
_BREAKER = CircuitBreaker(max_failures=1, open_s=5.0, max_open_s=5.0)
# A 500 can be the effect of a single request, and one caller must not cut off all others from the upstream.
_DO_NOT_OPEN = (500,)
_FALLBACK_WARNING = "a fallback answered, because the upstream could not"


class UpstreamBackend:
    """Forwards requests to another API. The local engine answers while that API fails.

    The client has no fallback of its own, because that fallback would score in threads that this server does not limit.
    """

    def __init__(self, settings: ServerSettings, executor: BoundedExecutor, clock: Clock | None = None) -> None:
        from cohere_rerank.client import AsyncClientV2

        self._executor, self._timeout_s = executor, settings.request_timeout_s
        self._policy = RetryPolicy()
        self._clock: Clock = clock or SystemClock()
        self._circuit = Circuit(_BREAKER)
        self._key = key_from_environment()
        self._client = AsyncClientV2(
            self._key or "",  # an empty key sends no key, because some upstreams need none
            base_url=settings.upstream,
            retry_policy=self._policy,
            deadline=settings.upstream_timeout_s,
        )

    def rank_now(self, raw: RawRequest) -> None:
        """Return None, because the upstream takes its time."""

    async def rerank(self, raw: RawRequest) -> BackendResponse:
        """Return the upstream's response. The request is validated before it is sent."""
        request = await self._executor.run(validate, raw)
        may_ask = self._circuit.try_acquire(self._clock.monotonic()) == 0.0
        response = await self._ask_upstream(request, raw.request_id) if may_ask else None
        if response is None:
            deadline = Deadline(SystemClock(), self._timeout_s)
            return await self._executor.run(rank_locally, raw, request, _lexical, deadline, _FALLBACK_WARNING)
        # Callers must not get this server's key, wherever the upstream may quote it.
        reply = hide(response.model_dump(exclude_none=True), self._key)
        return await self._executor.run(raw.encode_reply, request, reply)

    async def _ask_upstream(self, request: V2Request, request_id: str) -> V2RerankResponse | None:
        """Return the upstream's response, or None if the upstream failed.

        Raises:
            HttpError: The upstream rejected the request, or its operator must act.
        """
        try:
            response = await self._client.rerank(**request.body)
        except CohereRerankError as error:
            if not self._policy.is_outage(error):
                self._circuit.record_success()
                http_error = http_error_for(error)
                http_error.message = hide(http_error.message, self._key)
                if http_error.status in _OPERATOR_ERRORS:
                    _warn(http_error.message, error, request_id)
                raise http_error from error
            if getattr(error, "status_code", None) not in _DO_NOT_OPEN:
                self._circuit.record_failure(self._clock.monotonic())
            _warn("the upstream failed, the local engine answers", error, request_id)
            return None
        self._circuit.record_success()
        return response

    def load(self) -> None:
        """Do nothing. The first request opens the connection."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _lexical(_model: str) -> Scorer:
    return get_scorer("lexical")


def http_error_for(error: CohereRerankError) -> HttpError:
    """Return the error for the caller when the upstream failed and the fallback must not answer."""
    status = error.status_code if isinstance(error, ApiError) else None
    if status in _KEY_REJECTED:
        return HttpError(502, "the upstream rejected this server's own key")
    if isinstance(error, ApiError) and status is not None and status in _ERROR_STATUSES:
        return HttpError(status, _upstream_message(error), _retry_after(error))
    if isinstance(error, TimeoutExceededError):
        return HttpError(504, "the upstream did not answer in time")
    if isinstance(error, ConnectionFailedError):
        return HttpError(502, "the upstream cannot be reached")
    if isinstance(error, InvalidRequestError):
        return HttpError(400, f"invalid request: {error.message}")
    return HttpError(502, "the upstream's response is not valid")


def _warn(what: str, error: CohereRerankError, request_id: str) -> None:
    """Log why the upstream failed. The operator sees this, callers do not."""
    status = error.status_code if isinstance(error, ApiError) else None
    fields = {"reason": type(error).__name__, "upstream_status": status, **error_fields(error)}
    _log.warning(what, extra={"fields": {"request_id": request_id, **fields}})


def _upstream_message(error: ApiError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, Mapping) else None
    return message if isinstance(message, str) else f"the upstream answered {error.status_code}"


def _retry_after(error: ApiError) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(math.ceil(max(error.retry_after, 0.0)))}
