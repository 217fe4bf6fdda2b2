"""The wait that a reply asks for. Pure: the time is an argument."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .contract import TOO_MANY_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HINT_S = 86_400.0
"""A longer wait is not a hint about a retry. It is ignored."""

_MAX_RESET_S = 3_600.0  # a larger number in x-ratelimit-reset is in milliseconds
# Numbers of this size are a time since the epoch, from the year 2001 to the year 5138.
_EPOCH_S = range(10**9, 10**11)
_EPOCH_MS = range(10**12, 10**14)


def retry_after_s(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a reply asks to wait, >= 0, or None if it has no usable hint.

    Servers disagree about units. A number is read by its size: as seconds, as milliseconds, or as seconds or
    milliseconds since the epoch. A hint of more than a day is ignored.

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
        moment = _epoch_s(text)
        wait_s = math.inf if moment is None else moment - now
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
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _epoch_s(date: str) -> float | None:
    """Return a date of HTTP as seconds since the epoch, or None if it is not one."""
    from email.utils import mktime_tz, parsedate_tz

    parsed = parsedate_tz(date[:100])
    if parsed is None:
        return None
    try:
        return float(mktime_tz(parsed))
    except (OverflowError, ValueError):
        return None
