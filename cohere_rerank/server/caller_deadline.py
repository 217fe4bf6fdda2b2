"""The header in which a caller says how long it waits for the response."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .http import HttpError

TIMEOUT_HEADER = "x-request-timeout"
_MAX_SHOWN = 20


def caller_timeout_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header X-Request-Timeout, or None without the header.

    Raises:
        HttpError: 400, if the value is not a number of seconds above 0.
    """
    text = headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s < math.inf:
        raise HttpError(
            400, f"the header X-Request-Timeout must be a number of seconds above 0, got {text[:_MAX_SHOWN]!r}"
        )
    return timeout_s


def late_error(timeout_s: float) -> HttpError:
    """Return the error for a response that is not ready in time."""
    return HttpError(504, f"the ranking was not ready within the {timeout_s:g} seconds of X-Request-Timeout")
