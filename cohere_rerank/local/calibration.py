"""Raw lexical scores of one list -> scores in [0, 1] that keep their order."""

from __future__ import annotations

import math
from collections.abc import Sequence


def calibrate(raw: Sequence[float]) -> list[float]:
    """Map raw scores (about 0 to 2.5) to (0, 1), strictly monotone; equal stays equal."""
    return [1.0 / (1.0 + math.exp(3.0 - 2.0 * score)) for score in raw]
