"""Times as a user types them: a number of seconds, or a number with a unit."""

from __future__ import annotations

import math
import re

import click

__all__ = ["DURATION", "Duration"]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)")


class Duration(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since click 8.4
    """A time in seconds, from a text such as ``90``, ``15m``, ``6h`` or ``1.5d``."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _DURATION.fullmatch(str(value).strip().lower())
        seconds = float(found[1]) * _SECONDS[found[2]] if found else math.inf
        if math.isinf(seconds):
            self.fail(f"{value!r} must be a number of seconds, or a number with s, m, h or d, such as 6h.", param, ctx)
        return seconds


DURATION = Duration()
