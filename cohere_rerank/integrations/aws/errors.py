"""The errors of AWS: their types, and the classes of this package for them."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from cohere_rerank._error_bodies import KEY_HINT, error_message
from cohere_rerank.errors import ApiError, QuotaExceededError, UnauthorizedError, error_from_response

if TYPE_CHECKING:
    from collections.abc import Mapping

# AWS returns 403 for credentials that it does not accept, and for permissions that are missing.
_OF_CREDENTIALS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException"),
        *("InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken"),
        *("MissingAuthenticationTokenException", "NotAuthorized", "RequestExpired", "RequestTimeTooSkewed"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException"),
    }
)
_THROTTLING = frozenset({"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"})
_MIN_SKEW_S = 60.0
_CHECK_CREDENTIALS = "; check the AWS credentials, and that they belong to this region and partition"


def aws_error(status: int, headers: Mapping[str, str], body: Any, action: str) -> ApiError:
    """Return the error for a reply of AWS.

    Its message begins with AWS's type of the error. An error of a model in a SageMaker endpoint has the status that the
    model returned.

    Args:
        status: Of the reply.
        headers: Names in lower case.
        body: The parsed body.
        action: The permission that the request needs.
    """
    kind = _kind_of(headers, body)
    known = dict(body) if isinstance(body, dict) else {}
    text = known.get("message") or known.get("Message") or known.get("OriginalMessage")
    if kind:
        body = {**known, "message": f"{kind}: {text}" if text else kind}
    original = known.get("OriginalStatusCode")
    if kind == "ModelError" and isinstance(original, int) and 400 <= original < 600:
        status = original
    if kind in _OF_CREDENTIALS:
        error: ApiError = _with_status(UnauthorizedError(body, headers), status)
        error.message = error.message.replace(KEY_HINT, "") + _advice_on_credentials(kind, headers, str(text))
    elif kind == "ServiceQuotaExceededException":
        error = _with_status(QuotaExceededError(body, headers), status)
    else:
        error = error_from_response(429 if kind in _THROTTLING else status, headers, body)
        # A model in an endpoint has credentials of its own.
        error.message = error.message.replace(KEY_HINT, "" if kind == "ModelError" else _CHECK_CREDENTIALS)
        if kind.startswith("AccessDenied"):
            error.message += f"; allow {action} for this model, and check that the region offers it"
    return error


def _kind_of(headers: Mapping[str, str], body: Any) -> str:
    """Return AWS's type of an error, such as ``"ThrottlingException"``, or "" if the reply has none."""
    named = headers.get("x-amzn-errortype")
    if named is None and isinstance(body, dict):
        named = next((body[name] for name in ("__type", "code", "Code", "ErrorCode") if body.get(name)), None)
    kind = named.partition(":")[0].rpartition("#")[2].strip() if isinstance(named, str) else ""
    return kind if kind.isidentifier() and len(kind) <= 60 else ""


def _with_status(error: ApiError, status: int) -> ApiError:
    """Return the error with the status of its reply, which is not the usual one of its class."""
    error.status_code = status
    error.message = error_message(status, error.body)
    return error


def _advice_on_credentials(kind: str, headers: Mapping[str, str], text: str) -> str:
    skew_s = _clock_skew_s(headers)
    if skew_s is not None and abs(skew_s) >= _MIN_SKEW_S:
        direction = "behind" if skew_s > 0 else "ahead of"
        return f"; the clock of this machine is {abs(skew_s):.0f} s {direction} AWS's: set it"
    if "Expired" in kind or "expired" in text:
        return "; the credentials have expired: renew them, such as with aws sso login"
    return _CHECK_CREDENTIALS


def _clock_skew_s(headers: Mapping[str, str]) -> float | None:
    """Return by how many seconds the server's clock is ahead of the system's, or None if it does not say."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(headers["date"]).timestamp() - time()
    except (KeyError, ValueError, OverflowError):
        return None
