"""Where Cohere's API lives."""

from __future__ import annotations

import enum

from ._addresses import PRODUCTION_URL


class ClientEnvironment(enum.Enum):
    """The official client's name for the address it talks to."""

    PRODUCTION = PRODUCTION_URL
