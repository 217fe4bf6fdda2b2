"""What the tests of the cache ask, and how they read requests and answers."""

from __future__ import annotations

from typing import Any

from tests.fake_server import score

PATIENCE_S = 10.0
CALL: dict[str, Any] = {"model": "rerank-v4.0-fast", "query": "q"}
ABC = ["aaa", "bbb", "ccc"]


def sent(server):
    """The documents of each request."""
    return [request.json["documents"] for request in server.requests]


def pairs(response):
    return [(item.index, item.relevance_score, item.document) for item in response.results]


class Pointwise:
    """A scorer of the kind whose scores may be kept; it counts what it scores."""

    name, version, pointwise = "test", "1", True

    def __init__(self):
        self.scored = []

    def score(self, query, documents):
        self.scored += documents
        return [score(query, document) for document in documents]
