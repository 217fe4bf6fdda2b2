"""Errors of this package that are httpx errors too, so that ``except httpx.TimeoutException`` catches them.

They are not in ``errors``, so that importing that module does not import httpx.
"""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import httpx

from cohere_rerank.errors import (
    CertificateError,
    CircuitOpenError,
    CohereRerankError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    RateLimitWaitError,
    TimeoutExceededError,
    rebuild_error,
)

from .connection_errors import without_quoted_line

if TYPE_CHECKING:
    from typing import TypeGuard

    from cohere_rerank._clock import Deadline

    from .connection_errors import ExchangeError
    from .request_secrets import Secrets

_Error = TypeVar("_Error", bound=ConnectionFailedError)
_Class = TypeVar("_Class", bound=type[ConnectionFailedError])

_BY_NAME: dict[str, type[ConnectionFailedError]] = {}  # the classes of this module


def _with_public_name(cls: _Class) -> _Class:
    """Show a class in tracebacks and logs under the name of its public base, and pickle it by its own name."""
    _BY_NAME[cls.__name__] = cls
    cls._own_name = cls.__name__  # type: ignore[attr-defined]
    public = cls.__bases__[0]
    cls.__module__, cls.__name__, cls.__qualname__ = public.__module__, public.__name__, public.__qualname__
    cls.__reduce__ = _reduce  # type: ignore[method-assign, assignment]
    return cls


def _reduce(error: Any) -> tuple[Any, ...]:
    _, (_cls, state) = CohereRerankError.__reduce__(error)
    return _restore, (error._own_name, state)


def _restore(name: str, state: dict[str, Any]) -> CohereRerankError:
    return rebuild_error(_BY_NAME[name], state)


@_with_public_name
class ConnectError(ConnectionFailedError, httpx.ConnectError):
    """No connection could be made."""


@_with_public_name
class ReadError(ConnectionFailedError, httpx.ReadError):
    """The connection broke while the reply was read."""


@_with_public_name
class WriteError(ConnectionFailedError, httpx.WriteError):
    """The connection broke while the request was written."""


@_with_public_name
class CloseError(ConnectionFailedError, httpx.CloseError):
    """The connection broke while it was closed."""


@_with_public_name
class RemoteProtocolError(ConnectionFailedError, httpx.RemoteProtocolError):
    """The server closed the connection early, or did not send HTTP."""

    is_disconnect = True


@_with_public_name
class ProxyError(ConnectionFailedError, httpx.ProxyError):
    """The proxy refused or failed."""


@_with_public_name
class LocalProtocolError(ConnectionFailedError, httpx.LocalProtocolError):
    """The request cannot be sent as HTTP, for example because a header contains a line break."""

    is_transient = False


@_with_public_name
class UnsupportedProtocol(ConnectionFailedError, httpx.UnsupportedProtocol):
    """The URL is neither http nor https."""

    is_transient = False


@_with_public_name
class OtherConnectionError(ConnectionFailedError, httpx.TransportError):
    """A transport failed in a way that httpx has no class for."""


@_with_public_name
class ConnectTimeout(TimeoutExceededError, httpx.ConnectTimeout):
    """No connection within ``connect_timeout``."""


@_with_public_name
class ReadTimeout(TimeoutExceededError, httpx.ReadTimeout):
    """No data came within ``timeout``."""


@_with_public_name
class WriteTimeout(TimeoutExceededError, httpx.WriteTimeout):
    """Nothing could be written within ``timeout``."""


@_with_public_name
class PoolTimeout(TimeoutExceededError, httpx.PoolTimeout):
    """No connection became free within ``timeout``."""


@_with_public_name
class OtherTimeout(TimeoutExceededError, httpx.TimeoutException):
    """A transport took too long in a phase that httpx has no class for."""


@_with_public_name
class AttemptTimeout(TimeoutExceededError, httpx.ReadTimeout):
    """One attempt took longer than ``timeout`` in all."""


@_with_public_name
class CallDeadlineExceeded(DeadlineExceededError, httpx.TimeoutException):
    """The deadline of the call passed while a request was in flight."""


@_with_public_name
class RateLimitWait(RateLimitWaitError, httpx.PoolTimeout):
    """The client's own limit would send the request only after the deadline of its call."""


@_with_public_name
class CircuitOpen(CircuitOpenError, httpx.ConnectError):
    """The circuit breaker is open, so the request was not sent."""


@_with_public_name
class UntrustedCertificate(CertificateError, httpx.ConnectError):
    """The server's certificate is not trusted."""


_ERROR_MAP: dict[type[httpx.HTTPError], type[ConnectionFailedError]] = {
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
_BY_HTTPX_NAME = {cls.__name__: ours for cls, ours in _ERROR_MAP.items()}  # httpx2 has the same names
# OpenSSL's words for an answer that is not TLS, and how TLS records look to a parser of HTTP.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_TLS_RECORDS = (r"\x15\x03", "\x15\x03")
_BASE_NAMES = ("HTTPError", "InvalidURL", "StreamError")
_MESSAGES: dict[type[ConnectionFailedError], str] = {
    ConnectError: "Cannot connect to {host}; check base_url, and that the server runs",
    ConnectTimeout: "No connection to {host} within connect_timeout",
    ReadTimeout: "No response from {host} within timeout",
    WriteTimeout: "{host} did not read the request within timeout",
    PoolTimeout: "No connection to {host} became free within timeout; max_connections sets their number",
    RemoteProtocolError: "{host} closed the connection early or is not an HTTP server; check base_url",
    ProxyError: "The proxy failed on the way to {host}",
}


def deadline_exceeded(deadline: Deadline) -> ConnectionFailedError:
    """Return the error for a call, or for one attempt of it, whose deadline has passed."""
    if deadline.call is None:
        return _with_request(
            CallDeadlineExceeded(f"The call took longer than its deadline of {deadline.seconds:g} s"), None
        )
    if deadline.call.remaining() <= 0:
        return deadline_exceeded(deadline.call)
    message = f"The reply was not complete within timeout={deadline.seconds:g} s; timeout bounds one attempt as a whole"
    return _with_request(AttemptTimeout(message), None)


def remaining_or_raise(deadline: Deadline) -> float:
    """Return the seconds that remain of the deadline.

    Raises:
        CallDeadlineExceeded: No time remains.
    """
    left_s = deadline.remaining()
    if left_s <= 0:
        raise deadline_exceeded(deadline)
    return left_s


def as_httpx_error(error: ExchangeError, request: httpx.Request) -> httpx.TransportError:
    """Return the exception of httpx for a failure of an exchange, with its request and its cause."""
    cls: Any = getattr(httpx, type(error).__name__)
    made: httpx.TransportError = cls(str(error), request=request)
    made.__cause__ = error
    return made


def rate_limit_wait_error(wait_s: float, deadline: Deadline) -> RateLimitWait:
    """Return the error for a request that the client's own limit delays beyond the deadline."""
    left_s = max(0.0, deadline.remaining())
    error = RateLimitWait(
        f"The client's own limit would delay this request by at least {wait_s:.3g} s, but only {left_s:.3g} s of the "
        f"deadline of {deadline.seconds:g} s remain; it was not sent"
    )
    error.wait_s, error.left_s = wait_s, left_s
    return _with_request(error, None)


def circuit_open_error(address: str, wait_s: float, failure: str) -> CircuitOpen:
    """Return the error for a request that is not sent, because the server failed several times in a row."""
    error = CircuitOpen(
        f"{address} failed several times in a row (last: {failure}), so the circuit breaker is open; the request was "
        f"not sent; the next one probes the server in {wait_s:.3g} s"
    )
    error.wait_s = wait_s
    return _with_request(error, None)


def is_httpx_error(error: BaseException) -> bool:
    """Return whether an exception is one of httpx or of httpx2."""
    return any(cls.__name__ in _BASE_NAMES and _is_of_httpx(cls) for cls in type(error).__mro__)


def is_status_error(error: Any) -> TypeGuard[httpx.HTTPStatusError]:
    """Return whether an exception is an ``HTTPStatusError`` of httpx or of httpx2."""
    return any(cls.__name__ == "HTTPStatusError" and _is_of_httpx(cls) for cls in type(error).__mro__)


def _is_of_httpx(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("httpx", "httpx2")


def drop_tracebacks(error: BaseException, outer: BaseException | None = None) -> None:
    """Drop the frames of an exception and of all that it was raised from or during, up to *outer*."""
    pending: list[BaseException | None] = [error]
    seen = {id(None), id(outer)}
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        pending += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def hide_secrets_in(error: Exception, secrets: Secrets) -> None:
    """Remove the secrets of a request from the texts of an error, wherever a server or a library quotes them."""
    error.args = tuple(secrets.hide(argument) if isinstance(argument, str) else argument for argument in error.args)
    for name in ("message", "headers", "body", "location", "request_id"):
        if name in error.__dict__:
            error.__dict__[name] = secrets.hide(error.__dict__[name])


def map_httpx_error(error: Exception, deadline: Deadline) -> CohereRerankError:
    """Return the error of this package for an exception of httpx or httpx2. It has the same httpx class too."""
    classes = [cls for cls in type(error).__mro__ if _is_of_httpx(cls)]
    names = [cls.__name__ for cls in classes]
    if "TimeoutException" in names and (deadline.call or deadline).remaining() <= 0:
        return deadline_exceeded(deadline)
    if "InvalidURL" in names:
        return InvalidRequestError(f"base_url is not a valid URL: {error}")
    request = getattr(error, "_request", None)
    text = without_quoted_line(str(error)).strip().rstrip(":") or type(error).__name__
    is_not_tls = False
    if "ConnectError" in names and _is_certificate(error):
        ours: type[ConnectionFailedError] = UntrustedCertificate
        advice = "for a private authority pass verify=, or set SSL_CERT_FILE"
        says = f"The server's certificate is not trusted ({text}); {advice}"
    else:
        ours = next((_BY_HTTPX_NAME[name] for name in names if name in _BY_HTTPX_NAME), OtherConnectionError)
        host = request.url.netloc.decode() if request is not None else "the server"
        if is_not_tls := ours is ConnectError and any(sign in text for sign in _NOT_TLS):
            advice = "a server without TLS needs http:// in place of https:// in base_url"
            says = f"{host} does not speak TLS on this port; {advice}"
        else:
            is_plain = request is not None and request.url.scheme == "http"
            says = f"{_message_for(ours, text, is_plain=is_plain).format(host=host)} ({text})"
    known = next((cls for cls in classes if cls.__name__ in _BY_HTTPX_NAME), ours)
    cls = cast("type[ConnectionFailedError]", _with_base(cast("Any", ours), known))
    mapped = _with_request(cls(says), request)
    if is_not_tls:
        mapped.is_transient = False  # a retry would reach the same server
    return mapped


def _message_for(cls: type[ConnectionFailedError], text: str, *, is_plain: bool) -> str:
    if cls is RemoteProtocolError and any(sign in text for sign in _TLS_RECORDS):
        return "{host} speaks TLS on this port; check base_url: https:// in place of http://"
    message = _MESSAGES.get(cls, "The connection to {host} failed")
    if cls is RemoteProtocolError and is_plain:  # many servers with TLS close such a connection without a word
        return f"{message}: a server with TLS needs https://"
    return message


@lru_cache
def _with_base(ours: type, other: type) -> type:
    """Return a class that is the exception of httpx2 too, so that ``except httpx2.ReadTimeout`` catches it."""
    if issubclass(ours, other):
        return ours
    return type(ours.__name__, (ours, other), {"__module__": ours.__module__, "__doc__": ours.__doc__})


def system_error(error: OSError) -> ConnectionFailedError:
    """Return the error for one of the operating system that httpx has no class for, such as one of a mock."""
    kind = OtherTimeout if isinstance(error, TimeoutError) else OtherConnectionError
    return _with_request(kind(f"The connection failed ({str(error) or type(error).__name__})"), None)


def certificate_load_error(error: Exception) -> CertificateError:
    named = [f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    return _with_request(
        UntrustedCertificate(f"The trusted certificates cannot be read ({', '.join(named) or 'the default'}): {error}"),
        None,
    )


def _with_request(error: _Error, request: httpx.Request | None) -> _Error:
    error.__dict__["_request"] = request  # httpx's .request property reads it
    return error


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
