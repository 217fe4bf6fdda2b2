"""The official package's places for a few names, for imports such as ``from cohere.core.api_error import ApiError``."""

from __future__ import annotations

from .api_error import ApiError as ApiError
