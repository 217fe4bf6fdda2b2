"""The wait that a reply asks for. Pure: the time is an argument."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a reply asks to wait, or None if it has no readable hint.

    Args:
        headers: The reply's headers, names in lower case.
        now: Seconds since the epoch, to turn a date into a wait.

    Source: RFC 9110, section 10.2.3 for ``Retry-After``. The gateways of other APIs send ``retry-after-ms`` and
    ``x-ratelimit-reset`` (seconds since the epoch, or from now if the number is small).
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        seconds = _seconds_until(value, now)
    if seconds is not None:
        return seconds
    reset = _number(headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    # No interval is this long, and no date is this early (2001).
    return max(0.0, reset - now) if reset > 1e9 else reset


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _seconds_until(date: str, now: float) -> float | None:
    from email.utils import mktime_tz, parsedate_tz

    parsed = parsedate_tz(date)
    if parsed is None:
        return None
    try:
        return max(0.0, mktime_tz(parsed) - now)
    except (OverflowError, ValueError):
        return None
