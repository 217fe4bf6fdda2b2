"""Test code that reranks: no key, no network, no mock. Run it, or collect it with pytest."""

from __future__ import annotations

from collections.abc import Sequence

import cohere_rerank as cohere


def find_answer(client: cohere.ClientV2, question: str, passages: list[str]) -> str | None:
    """Code under test: the best passage, or None when nothing fits."""
    response = client.rerank(model="rerank-v4.0-fast", query=question, documents=passages, top_n=1)
    best = response.results[0]
    return passages[best.index] if best.relevance_score >= 0.1 else None


def test_the_right_passage_wins() -> None:
    """The local engine really ranks, so a test may ask for the right answer."""
    client = cohere.ClientV2(base_url="local:")
    passages = ["Cats sleep most of the day.", "The Nile flows north into the Mediterranean."]
    assert find_answer(client, "where does the Nile flow", passages) == passages[1]


def test_a_low_score_gives_no_answer() -> None:
    """Where a test needs exact scores, a function gives them."""

    def scores(_query: str, documents: Sequence[str]) -> list[float]:
        return [0.05 for _ in documents]

    client = cohere.ClientV2(base_url="local:", scorer=scores)
    assert find_answer(client, "anything", ["something"]) is None


if __name__ == "__main__":
    test_the_right_passage_wins()
    test_a_low_score_gives_no_answer()
    print("2 tests passed, offline")
