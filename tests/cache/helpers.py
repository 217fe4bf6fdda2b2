"""A call for the tests of the cache, and functions that read requests and responses."""

from __future__ import annotations

from typing import Any

from tests.fake_server import score

TIMEOUT_S = 10.0
CALL: dict[str, Any] = {"model": "rerank-v4.0-fast", "query": "q"}
ABC = ["aaa", "bbb", "ccc"]


def sent(server):
    """Return the documents of each request."""
    return [request.json["documents"] for request in server.requests]


def pairs(response):
    return [(item.index, item.relevance_score, item.document) for item in response.results]


class Pointwise:
    """A pointwise scorer, whose scores may be cached. It records the documents that it scores."""

    name, version, pointwise = "test", "1", True

    def __init__(self):
        self.scored = []

    def score(self, query, documents):
        self.scored += documents
        return [score(query, document) for document in documents]
