"""The module where the official package has the base of its API errors."""

from __future__ import annotations

from cohere_rerank.errors import ApiError

__all__ = ["ApiError"]
