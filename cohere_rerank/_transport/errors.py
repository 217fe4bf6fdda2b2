"""Our errors that are httpx's too, so that ``except httpx.TimeoutException`` still catches what it says.

Apart from ``errors`` so that importing that costs no import of httpx.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, TypeVar

import httpx

from cohere_rerank.errors import (
    CertificateError,
    CohereRerankError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    RateLimitWaitError,
    RequestTimedOutError,
)

if TYPE_CHECKING:
    from cohere_rerank._clock import Deadline

_Error = TypeVar("_Error", bound=ConnectionFailedError)


class ConnectError(ConnectionFailedError, httpx.ConnectError):
    """No connection could be made."""


class ReadError(ConnectionFailedError, httpx.ReadError):
    """The connection broke while the reply was read."""


class WriteError(ConnectionFailedError, httpx.WriteError):
    """The connection broke while the request was written."""


class CloseError(ConnectionFailedError, httpx.CloseError):
    """The connection broke while it was closed."""


class RemoteProtocolError(ConnectionFailedError, httpx.RemoteProtocolError):
    """The server hung up early, or what it sent is no HTTP."""

    is_disconnect = True


class ProxyError(ConnectionFailedError, httpx.ProxyError):
    """The proxy refused or failed."""


class LocalProtocolError(ConnectionFailedError, httpx.LocalProtocolError):
    """The request cannot be sent as HTTP, for instance a header with a line break."""

    is_transient = False


class UnsupportedProtocol(ConnectionFailedError, httpx.UnsupportedProtocol):
    """The address is neither http nor https."""

    is_transient = False


class OtherConnectionError(ConnectionFailedError, httpx.TransportError):
    """A transport failed in a way that httpx has no closer name for."""


class ConnectTimeout(RequestTimedOutError, httpx.ConnectTimeout):
    """No connection within ``connect_timeout``."""


class ReadTimeout(RequestTimedOutError, httpx.ReadTimeout):
    """Nothing to read within ``timeout``."""


class WriteTimeout(RequestTimedOutError, httpx.WriteTimeout):
    """Nothing could be written within ``timeout``."""


class PoolTimeout(RequestTimedOutError, httpx.PoolTimeout):
    """No connection became free within ``timeout``."""


class OtherTimeout(RequestTimedOutError, httpx.TimeoutException):
    """A transport ran out of time in a phase that httpx has no name for."""


class CallDeadlineExceeded(DeadlineExceededError, httpx.TimeoutException):
    """The deadline of the call passed while a request was under way."""


class TurnAfterDeadline(RateLimitWaitError, httpx.PoolTimeout):
    """The limit's next turn for a request comes after the deadline of its call."""


class UntrustedCertificate(CertificateError, httpx.ConnectError):
    """The server's certificate was refused."""


_OURS: dict[type[httpx.HTTPError], type[ConnectionFailedError]] = {
    httpx.ConnectTimeout: ConnectTimeout,
    httpx.ReadTimeout: ReadTimeout,
    httpx.WriteTimeout: WriteTimeout,
    httpx.PoolTimeout: PoolTimeout,
    httpx.TimeoutException: OtherTimeout,
    httpx.ConnectError: ConnectError,
    httpx.ReadError: ReadError,
    httpx.WriteError: WriteError,
    httpx.CloseError: CloseError,
    httpx.RemoteProtocolError: RemoteProtocolError,
    httpx.ProxyError: ProxyError,
    httpx.LocalProtocolError: LocalProtocolError,
    httpx.UnsupportedProtocol: UnsupportedProtocol,
}
_SAYS: dict[type[ConnectionFailedError], str] = {
    ConnectError: "Cannot connect to {host}; is base_url right, and the server up?",
    ConnectTimeout: "No connection to {host} within connect_timeout",
    ReadTimeout: "No answer from {host} within timeout",
    WriteTimeout: "{host} did not take the request within timeout",
    PoolTimeout: "No connection to {host} became free within timeout; max_connections sets how many there are",
    RemoteProtocolError: "{host} hung up early, or does not speak HTTP; is base_url right, http or https?",
    ProxyError: "The proxy failed on the way to {host}",
}


def past(deadline: Deadline) -> CallDeadlineExceeded:
    """The error for a call whose deadline has passed."""
    return _with_request(
        CallDeadlineExceeded(f"The call took longer than its deadline of {deadline.seconds:g} s"), None
    )


def turn_after_deadline(wait_s: float, deadline: Deadline) -> TurnAfterDeadline:
    """The error for a call whose turn, by the client's own limit, comes too late."""
    left_s = max(0.0, deadline.remaining())
    error = TurnAfterDeadline(
        f"The client's limit lets this request go in {wait_s:.3g} s at the earliest, after the call's deadline "
        f"({left_s:.3g} s left of {deadline.seconds:g} s); it was not sent"
    )
    error.wait_s, error.left_s = wait_s, left_s
    return _with_request(error, None)


def typed(error: Exception, deadline: Deadline) -> CohereRerankError:
    """An exception of httpx as one of ours that is the same exception of httpx."""
    if isinstance(error, httpx.TimeoutException) and deadline.remaining() <= 0:
        return past(deadline)
    if isinstance(error, httpx.InvalidURL):
        return InvalidRequestError(f"base_url is no valid address: {error}")
    request = getattr(error, "_request", None)
    if isinstance(error, httpx.ConnectError) and _is_certificate(error):
        return _with_request(
            UntrustedCertificate(
                f"The server's certificate was refused ({error}); for a private authority set SSL_CERT_FILE"
            ),
            request,
        )
    cls = next((_OURS[base] for base in type(error).__mro__ if base in _OURS), OtherConnectionError)
    host = request.url.netloc.decode() if request is not None else "the server"
    says = _SAYS.get(cls, "The connection to {host} failed").format(host=host)
    return _with_request(cls(f"{says} ({str(error).strip().rstrip(':') or type(error).__name__})"), request)


def unreadable_certificates(error: OSError) -> CertificateError:
    named = [f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    return _with_request(
        UntrustedCertificate(f"The trusted certificates cannot be read ({', '.join(named) or 'the default'}): {error}"),
        None,
    )


def _with_request(error: _Error, request: httpx.Request | None) -> _Error:
    error.__dict__["_request"] = request  # what httpx's own .request property reads
    return error


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
