"""Test code that reranks, without a key, a network or a mock; run this file, or give it to pytest."""

from __future__ import annotations

from collections.abc import Sequence

import cohere_rerank as cohere


def find_answer(client: cohere.ClientV2, question: str, passages: list[str]) -> str | None:
    """Return the best passage, or None if its score is low. This is the code under test."""
    response = client.rerank(model="rerank-v4.0-fast", query=question, documents=passages, top_n=1)
    best = response.results[0]
    return passages[best.index] if best.relevance_score >= 0.1 else None


def test_the_passage_that_answers_is_found() -> None:
    """The local engine really ranks, so a test can expect the correct answer."""
    client = cohere.ClientV2(base_url="local:")
    passages = ["Cats sleep most of the day.", "The Nile flows north into the Mediterranean."]
    assert find_answer(client, "where does the Nile flow", passages) == passages[1]


def test_a_low_score_is_no_answer() -> None:
    """A function gives the exact scores that a test needs."""

    def scores(_query: str, documents: Sequence[str]) -> list[float]:
        return [0.05 for _ in documents]

    client = cohere.ClientV2(base_url="local:", scorer=scores)
    assert find_answer(client, "anything", ["something"]) is None


if __name__ == "__main__":
    test_the_passage_that_answers_is_found()
    test_a_low_score_is_no_answer()
    print("2 tests passed, without a key or a network")
