"""The module where the official package has the types of its v2 API."""

from __future__ import annotations

from cohere_rerank.types import V2RerankResponse, V2RerankResponseResultsItem

__all__ = ["V2RerankResponse", "V2RerankResponseResultsItem"]
