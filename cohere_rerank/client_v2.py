"""The module where the official package has its v2 clients."""

from __future__ import annotations

from .async_client import AsyncClientV2
from .client import ClientV2

__all__ = ["AsyncClientV2", "ClientV2"]
