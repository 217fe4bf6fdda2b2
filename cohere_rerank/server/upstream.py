"""Forwards requests to another API. While that API fails, the local engine answers."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cohere_rerank._addresses import cloud_scheme, host_of
from cohere_rerank._clock import SystemClock
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
    from .metrics import Metrics
    from .settings import ServerSettings

_log = logging.getLogger("cohere_rerank.server")
_KEY_REJECTED = (401, 403)
_ERROR_STATUSES = range(400, 600)
_OPERATOR_ERRORS = (502, 504)  # the operator must act on these; an upstream that sends them itself has an outage
# After one failure the local engine answers, and every few seconds one request tests the upstream.
_BREAKER = CircuitBreaker(max_failures=1, open_s=5.0, max_open_s=5.0)
# A 500 can be the effect of a single request, and one caller must not cut off all others from the upstream.
_DO_NOT_OPEN = (500,)
_FAILURE_STATUSES = {408: "timeout", 429: "rate_limit"}
_SERVER_ERROR = 500
_MODEL_NAME = re.compile(r"[\w.:/@+-]{1,100}", re.ASCII)
_FALLBACK_WARNING = "a fallback answered, because the upstream could not"


class UpstreamBackend:
    """Forwards requests to another API. The local engine answers while that API fails.

    The client has no fallback of its own, because that fallback would score in threads that this server does not limit.
    """

    def __init__(
        self, settings: ServerSettings, executor: BoundedExecutor, metrics: Metrics, clock: Clock | None = None
    ) -> None:
        from cohere_rerank.client import AsyncClientV2

        self._executor, self._metrics, self._timeout_s = executor, metrics, settings.request_timeout_s
        self._host = host_of(settings.upstream or "")
        metrics.record_circuit(is_closed=True)
        self._policy = RetryPolicy()
        self._clock: Clock = clock or SystemClock()
        self._circuit = Circuit(_BREAKER)
        is_cloud = cloud_scheme(settings.upstream or "") is not None  # a cloud has credentials of its own
        self._key = settings.upstream_key or (None if is_cloud else key_from_environment())
        self._client = AsyncClientV2(
            self._key or (None if is_cloud else ""),  # an empty key sends none, because some upstreams need none
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
            deadline = raw.deadline_after(self._timeout_s)
            ranked = await self._executor.run(rank_locally, raw, request, _lexical, deadline, _FALLBACK_WARNING)
            return ranked._replace(is_fallback=True)
        # Callers must not get this server's key, wherever the upstream may quote it.
        reply = hide(response.model_dump(exclude_none=True), self._key)
        return await self._executor.run(raw.encode_reply, request, reply, self._answered_by(request))

    def _answered_by(self, request: V2Request) -> str:
        """Return the upstream's host and the model, unless the name could break a log line or a header."""
        model = request.body["model"]
        return f"{self._host}/{model}" if _MODEL_NAME.fullmatch(model) else self._host

    async def _ask_upstream(self, request: V2Request, request_id: str) -> V2RerankResponse | None:
        """Return the upstream's response, or None if the upstream failed.

        Raises:
            HttpError: The upstream rejected the request, or its operator must act.
        """
        try:
            response = await self._client.rerank(**request.body)
        except CohereRerankError as error:
            self._count_failure(error)
            if not self._policy.is_outage(error):
                self._record_success()
                http_error = http_error_for(error)
                http_error.message = hide(http_error.message, self._key)
                if http_error.status in _OPERATOR_ERRORS:
                    _warn(http_error.message, error, request_id)
                raise http_error from error
            if getattr(error, "status_code", None) not in _DO_NOT_OPEN:
                self._circuit.record_failure(self._clock.monotonic())
                self._metrics.record_circuit(is_closed=False)
            _warn("the upstream failed, the local engine answers", error, request_id)
            return None
        self._record_success()
        return response

    def _record_success(self) -> None:
        self._circuit.record_success()
        self._metrics.record_circuit(is_closed=True)

    def _count_failure(self, error: CohereRerankError) -> None:
        kind = failure_kind(error)
        if kind is not None:
            self._metrics.record_upstream_failure(kind)

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


def failure_kind(error: CohereRerankError) -> str | None:
    """Return the kind of an upstream's failure for metrics, or None if the request is at fault."""
    if isinstance(error, TimeoutExceededError):
        return "timeout"
    if isinstance(error, ConnectionFailedError):
        return "connection"
    status = error.status_code if isinstance(error, ApiError) else None
    if status is None:
        return None if isinstance(error, InvalidRequestError) else "invalid_response"
    if status in _KEY_REJECTED:
        return "key_rejected"
    return _FAILURE_STATUSES.get(status, "server_error" if status >= _SERVER_ERROR else None)


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
