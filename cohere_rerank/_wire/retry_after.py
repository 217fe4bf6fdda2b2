"""The wait that a reply asks for. Pure: the time is an argument."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from .contract import TOO_MANY_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HINT_S = 86_400.0
"""A longer wait is not a hint about a retry. It is ignored."""

_MAX_RESET_S = 3_600.0  # a larger number in x-ratelimit-reset is in milliseconds
_MAX_DATE_CHARS = 100
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# Numbers of this size are a time since the epoch, from the year 2001 to the year 5138.
_EPOCH_S = range(10**9, 10**11)
_EPOCH_MS = range(10**12, 10**14)


def retry_after_s(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a reply asks to wait, >= 0, or None if it has no usable hint.

    Servers disagree about units. A number is read by its size: as seconds, as milliseconds, or as seconds or
    milliseconds since the epoch. Dates and durations such as ``1m30s`` are read too. A hint of more than a day is
    ignored.

    Args:
        status: The status of the reply. ``x-ratelimit-reset`` counts only with 429: with other statuses it describes
            the quota and does not ask to wait.
        headers: The reply's headers, names in lower case.
        now: Seconds since the epoch by our clock. It is used only if the reply has no ``Date``, because a hint that
            is a time is a time by the server's clock.

    Source: RFC 9110, section 10.2.3 for ``Retry-After``. The gateways of other APIs send ``retry-after-ms`` and
    ``x-ratelimit-reset``.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds / 1000 <= MAX_HINT_S:
        return max(0.0, milliseconds / 1000)
    server_now = _epoch_s(headers.get("date", ""))
    now = now if server_now is None else server_now
    hint_s = _wait_s(headers.get("retry-after"), now, MAX_HINT_S)
    if hint_s is None and status == TOO_MANY_REQUESTS:
        hint_s = _wait_s(headers.get("x-ratelimit-reset"), now, _MAX_RESET_S)
    return hint_s


def _wait_s(text: str | None, now: float, max_seconds: float) -> float | None:
    if text is None:
        return None
    number = _number(text)
    if number is None:
        duration_s, moment = _duration_s(text), _epoch_s(text)
        wait_s = duration_s if duration_s is not None else math.inf if moment is None else moment - now
    elif number <= max_seconds:
        wait_s = number
    elif int(number) in _EPOCH_S:
        wait_s = number - now
    elif int(number) in _EPOCH_MS:
        wait_s = number / 1000 - now
    else:
        wait_s = number / 1000
    return max(0.0, wait_s) if wait_s <= MAX_HINT_S else None


def _number(text: str | None) -> float | None:
    """Return the number of a header, or the first one if the header was sent several times."""
    try:
        number = float(text.partition(",")[0]) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _duration_s(text: str) -> float | None:
    """Return a duration such as ``1m30s`` or ``20ms`` in seconds, as gateways written in Go send it."""
    parts = re.findall(r"([0-9]{1,9}(?:[.][0-9]{1,9})?)(ms|s|m|h)", text[:_MAX_DATE_CHARS])
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def _epoch_s(date: str) -> float | None:
    """Return a date of HTTP (or of ISO 8601) as seconds since the epoch, or None if it is not one."""
    from datetime import datetime, timezone
    from email.utils import mktime_tz, parsedate_tz

    date = date.strip()[:_MAX_DATE_CHARS]
    try:
        parsed = parsedate_tz(date)
        if parsed is not None:
            return float(mktime_tz(parsed))
        moment = datetime.fromisoformat(date.replace("Z", "+00:00"))  # Python 3.10 does not read Z
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (OverflowError, ValueError):
        return None
