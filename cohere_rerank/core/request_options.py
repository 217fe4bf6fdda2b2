"""The module where the official package has the options of one call."""

from __future__ import annotations

from cohere_rerank.types import RequestOptions

__all__ = ["RequestOptions"]
