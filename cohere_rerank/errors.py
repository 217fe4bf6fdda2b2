"""The errors of this package: one type for each way in which a call can fail.

    CohereRerankError
     ├─ InvalidRequestError        an argument is not valid; nothing was sent (also a ValueError)
     ├─ ScorerError                a local scorer returned something that is not a score (also a ValueError)
     ├─ ClientClosedError          the client was closed (also a RuntimeError)
     ├─ BudgetExceededError        our own budget= does not allow the call (nothing was sent)
     ├─ RateLimitStoreError        the store of a shared limit or budget cannot say what remains of it
     ├─ ApiError                   the server answered with an error; one class for each status
     │   ├─ BadRequestError 400 · UnauthorizedError 401 · PaymentRequiredError 402 · ForbiddenError 403
     │   ├─ NotFoundError 404 · RequestTimeoutError 408 · ConflictError 409 · PayloadTooLargeError 413
     │   ├─ UnprocessableEntityError 422 · TooManyRequestsError 429 ( └─ QuotaExceededError )
     │   ├─ InvalidTokenError 498 · ClientClosedRequestError 499 · InternalServerError 500
     │   ├─ NotImplementedError 501 · BadGatewayError 502 · ServiceUnavailableError 503 · GatewayTimeoutError 504
     │   ├─ RedirectError          3xx that is not followed
     │   └─ MissingApiKeyError     no key was given (nothing was sent)
     ├─ InvalidResponseError       a 2xx that breaks the contract
     │   └─ ResponseTooLargeError
     └─ ConnectionFailedError      no complete response arrived; also the httpx exception that happened
         ├─ CertificateError       the server's certificate was rejected
         ├─ CircuitOpenError       the circuit breaker is open after several failures (nothing was sent)
         └─ TimeoutExceededError   a single phase took too long (also a TimeoutError)
             └─ DeadlineExceededError   the whole call took too long
                 └─ RateLimitWaitError  our own limit= would delay the call past its deadline (nothing was sent)

The official names are the names of ``cohere.errors``. Errors can be pickled and copied. The text of an error never
shows a key or a header. It contains the server's own message, cut to 200 characters, and that message may quote the
request. ``body`` has the whole message. The library logs only the type, the status and the request id.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "ApiError",
    "BadGatewayError",
    "BadRequestError",
    "BudgetExceededError",
    "CertificateError",
    "CircuitOpenError",
    "ClientClosedError",
    "ClientClosedRequestError",
    "CohereRerankError",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "ForbiddenError",
    "GatewayTimeoutError",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidResponseError",
    "InvalidTokenError",
    "MissingApiKeyError",
    "NotFoundError",
    "NotImplementedError",
    "PayloadTooLargeError",
    "PaymentRequiredError",
    "QuotaExceededError",
    "RateLimitStoreError",
    "RateLimitWaitError",
    "RedirectError",
    "RequestTimeoutError",
    "ResponseTooLargeError",
    "ScorerError",
    "ServiceUnavailableError",
    "TimeoutExceededError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnprocessableEntityError",
]


class CohereRerankError(Exception):
    """The base of every error that this library raises.

    Attributes:
        message: What was wrong, in one sentence.
        request_id: The id of the reply, to quote in support questions. None if there was no reply or no id.
        attempts: The number of requests sent for the call. 0 if none was sent.
        waited_s: Seconds of waits between these requests.
        retry_after: Seconds after which a retry may succeed, as the server said. None if it did not say so.
        part: The part of a split list that failed, such as ``"documents 1000 to 1999"``. None if there are no parts.
        status_code: The HTTP status of the reply. None if there was no reply.
        headers: The headers of the reply, with names in lower case. None if there was no reply.
        body: The body of the reply: parsed if it is JSON, else its text. None if there was no reply, or if its body
            could not be read.
    """

    status_code: int | None = None
    headers: dict[str, str] | None = None
    body: Any = None
    request_id: str | None = None
    attempts: int = 0
    waited_s: float = 0.0
    retry_after: float | None = None
    part: str | None = None
    key_index: int | None = None

    def __init__(self, message: str = "") -> None:
        Exception.__init__(self, message)
        self.message = message

    def __str__(self) -> str:
        details = []
        if self.part is not None:
            details.append(self.part)
        if self.request_id is not None:
            details.append(f"request id {self.request_id}")
        if self.attempts > 1:
            details.append(f"{self.attempts} attempts")
        if self.key_index is not None:
            details.append(f"sent with api_key[{self.key_index}]")
        return f"{self.message} ({', '.join(details)})" if details else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own method calls cls(*args), which fails for keyword-only constructors. An httpx request is
        # not pickled, because it contains the key and the documents.
        state = {name: value for name, value in self.__dict__.items() if name != "_request"}
        return rebuild_error, (type(self), state)

    def __copy__(self) -> CohereRerankError:
        return rebuild_error(type(self), dict(self.__dict__))


def rebuild_error(cls: type[CohereRerankError], state: dict[str, Any]) -> CohereRerankError:
    """Return the error that was pickled or copied with this state."""
    error = cls.__new__(cls)
    CohereRerankError.__init__(error, state.get("message", ""))
    if hasattr(cls, "request"):  # a property of httpx's errors that reads _request
        error.__dict__["_request"] = None
    error.__dict__.update(state)
    return error


class InvalidRequestError(CohereRerankError, ValueError):
    """An argument of a call or a client is not valid. Nothing was sent.

    Attributes:
        is_from_environment: Whether the proxy settings of the environment are not valid, rather than an argument. Then
            a fallback answers.
    """

    is_from_environment: bool = False


class ScorerError(CohereRerankError, ValueError):
    """A scorer failed, or it returned the wrong number of scores or something that is not a score."""


class ClientClosedError(CohereRerankError, RuntimeError):
    """The client was used after ``close()``."""


class ApiError(CohereRerankError):
    """The server answered with an error status."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        status_code: int | None = None,
        body: Any = None,
    ) -> None:
        from ._error_bodies import error_message, request_id

        super().__init__(error_message(status_code, body))
        self.headers = dict(headers) if headers is not None else None
        self.status_code = status_code
        self.body = body
        self.request_id = request_id(self.headers, body)


class _StatusError(ApiError):
    """An error of one status. The body is the first argument, as in the official classes."""

    _status = 0

    def __init__(self, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=headers, status_code=self._status, body=body)


class BadRequestError(_StatusError):
    """400: the request is malformed."""

    _status = 400


class UnauthorizedError(_StatusError):
    """401: the key is missing or not accepted."""

    _status = 401


class PaymentRequiredError(_StatusError):
    """402: a payment or a billing setting is missing."""

    _status = 402


class ForbiddenError(_StatusError):
    """403: the key does not have the permission."""

    _status = 403


class NotFoundError(_StatusError):
    """404: the path or the model does not exist."""

    _status = 404


class RequestTimeoutError(_StatusError):
    """408: the server did not get the whole request in time."""

    _status = 408


class ConflictError(_StatusError):
    """409: the request conflicts with the state of the server."""

    _status = 409


class PayloadTooLargeError(_StatusError):
    """413: the body is larger than the server accepts."""

    _status = 413


class UnprocessableEntityError(_StatusError):
    """422: a field is unknown, or a value is not allowed."""

    _status = 422


class TooManyRequestsError(_StatusError):
    """429: a rate limit. ``retry_after`` is the wait in seconds, if the server asked for one."""

    _status = 429


class QuotaExceededError(TooManyRequestsError):
    """429: the quota of a month or a day is used up. It is not retried, because a short wait does not help."""


class InvalidTokenError(_StatusError):
    """498: the request or the reply contains a token of the deny list. This is not about the API key."""

    _status = 498


class ClientClosedRequestError(_StatusError):
    """499: the request was cancelled before the server had answered."""

    _status = 499


class InternalServerError(_StatusError):
    """500: the server failed."""

    _status = 500


class NotImplementedError(_StatusError):  # noqa: A001 - the official name, which shadows the builtin there too
    """501: the server does not have this feature."""

    _status = 501


class BadGatewayError(_StatusError):
    """502: a gateway got no valid response from the server behind it."""

    _status = 502


class ServiceUnavailableError(_StatusError):
    """503: the server is overloaded or down for a while."""

    _status = 503


class GatewayTimeoutError(_StatusError):
    """504: a gateway got no response in time from the server behind it."""

    _status = 504


class RedirectError(ApiError):
    """A redirect that is not followed, because it leaves the origin or would drop the body.

    Attributes:
        location: The address that the server named.
    """

    location: str | None = None


class MissingApiKeyError(ApiError):
    """No API key was given, and the environment has none. The constructor of the client raises it."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        status_code: int | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(headers=headers, status_code=status_code, body=body)
        if isinstance(body, str):
            self.message = body  # a text of this package, which is not cut as that of a server


class InvalidResponseError(CohereRerankError):
    """The status is a success, but the reply breaks the contract and cannot be trusted.

    ``client.with_raw_response`` returns such a reply instead of raising this error, if its body could be read.
    """

    def __init__(
        self,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        status_code: int | None = None,
        body: Any = None,
    ) -> None:
        from ._error_bodies import request_id

        super().__init__(message)
        self.headers = dict(headers) if headers is not None else None
        self.status_code = status_code
        self.body = body
        self.request_id = request_id(self.headers, body)

    def __reduce__(self) -> tuple[Any, ...]:
        # The body is not pickled, because it may be large and may echo the documents.
        rebuild, (cls, state) = super().__reduce__()
        return rebuild, (cls, {**state, "body": None})


class ResponseTooLargeError(InvalidResponseError):
    """The reply is larger than this request can need, or larger than ``max_response_bytes``."""


class ConnectionFailedError(CohereRerankError):
    """No complete response arrived. Each instance is also the httpx exception that happened.

    Attributes:
        is_transient: Whether a retry may help. False if the request itself cannot be sent.
        is_disconnect: Whether the server closed the connection, or broke HTTP, before its reply was complete.
    """

    is_transient = True
    is_disconnect = False


class CertificateError(ConnectionFailedError):
    """The server's certificate was rejected. A retry cannot help."""

    is_transient = False


class CircuitOpenError(ConnectionFailedError):
    """The circuit breaker of the client is open, because the server failed several times in a row. Nothing was sent.

    Attributes:
        wait_s: Seconds until the next request probes the server.
    """

    wait_s: float = 0.0


class TimeoutExceededError(ConnectionFailedError, TimeoutError):
    """Connecting, writing, reading, or waiting for a free connection took longer than its timeout."""


class DeadlineExceededError(TimeoutExceededError):
    """The whole call, with its attempts and waits, took longer than its deadline."""


class RateLimitWaitError(DeadlineExceededError):
    """The client's own ``limit=`` would delay a request past the deadline of its call, so it was not sent.

    It is raised as soon as that is certain. It says nothing about the API's own limits. For those there is
    TooManyRequestsError.

    Attributes:
        wait_s: Seconds until the request could have been sent, at the earliest.
        left_s: Seconds that remained of the deadline.
    """

    wait_s: float = 0.0
    left_s: float = 0.0


class RateLimitStoreError(CohereRerankError):
    """The store of a shared limit or budget does not respond and no count is known, so nothing can be sent safely."""


class BudgetExceededError(CohereRerankError):
    """The client's own ``budget=`` does not allow this call, so it was not sent. It is not retried.

    Attributes:
        unit: The unit of the budget that would be exceeded: ``"usd"`` or ``"search_units"``.
        limit: The budget in this unit.
        spent: What was spent in the current period, with the estimates of calls in flight.
        estimate: What this call is estimated to cost.
        resets_in_s: Seconds until the next period begins. None for a budget without periods.
    """

    unit: str = ""
    limit: float = 0.0
    spent: float = 0.0
    estimate: float = 0.0
    resets_in_s: float | None = None


_BY_STATUS: dict[int, type[_StatusError]] = {cls._status: cls for cls in _StatusError.__subclasses__() if cls._status}


def error_from_response(status_code: int, headers: Mapping[str, str], body: Any) -> ApiError:
    """Return the error for a reply. The status decides the class, and the form of the body does not matter."""
    from ._error_bodies import is_quota

    if status_code == 429 and is_quota(body):
        return QuotaExceededError(body, headers)
    cls = _BY_STATUS.get(status_code)
    if cls is not None:
        return cls(body, headers)
    return ApiError(status_code=status_code, headers=headers, body=body)
