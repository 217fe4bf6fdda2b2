"""The address of Cohere's API, under the name that the official client uses."""

from __future__ import annotations

import enum

from ._addresses import PRODUCTION_URL


class ClientEnvironment(enum.Enum):
    """The official client's names for the address of the API."""

    PRODUCTION = PRODUCTION_URL
