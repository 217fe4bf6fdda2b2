"""The call that the tests of the clients make, and its right answer."""

from __future__ import annotations

from typing import Any

from cohere_rerank import AsyncClientV2, ClientV2
from tests.fake_server import score

CALL: dict[str, Any] = {
    "model": "rerank-v3.5",
    "query": "which bird cannot fly",
    "documents": ["a penguin", "a swallow", "a train"],
}
BEST_FIRST = sorted(range(3), key=lambda index: -score(CALL["query"], CALL["documents"][index]))
KINDS = [ClientV2, AsyncClientV2]
SECRET = "co-5ecret-key"


def ranking(response):
    return [item.index for item in response.results]
