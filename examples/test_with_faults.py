"""Test code that reranks with the pytest plugin: exact scores, outages, a limit. Run it, or give it to pytest."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cohere_rerank as cohere
from cohere_rerank.testing import FakeClock, FaultServer


class Search:
    """Code under test: the best passages, or all of them as they are when the reranker is down."""

    def __init__(self, client: cohere.ClientV2) -> None:
        self.client = client

    def best(self, question: str, passages: list[str], n: int = 1) -> list[str]:
        """At most *n* passages, best first."""
        try:
            response = self.client.rerank(model="rerank-v4.0-fast", query=question, documents=passages, top_n=n)
        except (cohere.ApiError, cohere.ConnectionFailedError):
            return passages[:n]
        return [passages[result.index] for result in response.results]


PASSAGES = ["about coffee", "about tea", "about water"]


def test_the_order_is_that_of_the_scores(fake_cohere: FaultServer) -> None:
    """Exact scores, by text."""
    fake_cohere.reply({"about tea": 0.9, "about water": 0.4})
    assert Search(fake_cohere.client()).best("tea?", PASSAGES, n=2) == ["about tea", "about water"]
    assert fake_cohere.calls[0].json["top_n"] == 2


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": "body"}, {"truncated": "chunked"}, {"hang": True}],
    ids=str,
)
def test_an_outage_leaves_the_order_as_it_was(fake_cohere: FaultServer, fault: dict[str, object]) -> None:
    """Whatever kind of outage."""
    fake_cohere.start_over({"faults": [fault]})
    search = Search(fake_cohere.client(timeout=0.5, max_retries=0))
    assert search.best("tea?", PASSAGES) == ["about coffee"]


def test_the_trial_limit_is_waited_out(fake_cohere: FaultServer) -> None:
    """Eleven calls of a key that may make ten a minute; the minute passes at once."""
    clock = FakeClock()
    fake_cohere.start_over({"limit": "trial"}, clock=clock)
    fake_cohere.reply({"about tea": 0.9})
    search = Search(fake_cohere.client(clock=clock))
    assert [search.best("tea?", PASSAGES) for _ in range(11)] == [["about tea"]] * 11


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]))
