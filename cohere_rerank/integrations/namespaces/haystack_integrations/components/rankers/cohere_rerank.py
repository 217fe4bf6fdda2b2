"""The ranker of ``cohere_rerank.integrations.haystack``, under the name that saved pipelines have."""

from cohere_rerank.integrations.haystack import CohereRanker

__all__ = ["CohereRanker"]
