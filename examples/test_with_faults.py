"""Test code that reranks with the pytest plugin: exact scores, outages and a rate limit.

Run this file, or give it to pytest. It needs no key.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import cohere_rerank as cohere
from cohere_rerank.testing import FakeClock, FaultServer


class Search:
    """The code under test: a search that keeps working when the reranker fails."""

    def __init__(self, client: cohere.ClientV2) -> None:
        self.client = client

    def best(self, question: str, passages: list[str], n: int = 1) -> list[str]:
        """Return at most *n* passages, the best first; during an outage, the first ones."""
        try:
            response = self.client.rerank(model="rerank-v4.0-fast", query=question, documents=passages, top_n=n)
        except (cohere.ApiError, cohere.ConnectionFailedError):
            return passages[:n]
        return [passages[result.index] for result in response.results]


PASSAGES = ["about coffee", "about tea", "about water"]


def test_passages_are_ordered_by_score(fake_cohere: FaultServer) -> None:
    """The fake server returns the score that the test gives to each text."""
    fake_cohere.reply({"about tea": 0.9, "about water": 0.4})
    assert Search(fake_cohere.client()).best("tea?", PASSAGES, n=2) == ["about tea", "about water"]
    assert fake_cohere.calls[0].json["top_n"] == 2


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": "body"}, {"truncated": "chunked"}, {"hang": True}],
    ids=str,
)
def test_an_outage_keeps_the_original_order(fake_cohere: FaultServer, fault: dict[str, object]) -> None:
    """The search works with every kind of failure."""
    fake_cohere.load_plan({"faults": [fault]})
    search = Search(fake_cohere.client(timeout=0.5, max_retries=0))
    assert search.best("tea?", PASSAGES) == ["about coffee"]


def test_calls_wait_for_the_trial_limit(fake_cohere: FaultServer) -> None:
    """A trial key may make ten calls a minute. The eleventh call waits, on a clock that skips the minute."""
    clock = FakeClock()
    fake_cohere.load_plan({"limit": "trial"}, clock=clock)
    fake_cohere.reply({"about tea": 0.9})
    search = Search(fake_cohere.client(clock=clock))
    assert [search.best("tea?", PASSAGES) for _ in range(11)] == [["about tea"]] * 11


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]))
