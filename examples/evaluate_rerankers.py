"""Measure whether a reranker improves the order of a search, and find the score below which a result is not shown."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cohere_rerank as cohere
from cohere_rerank.evaluate import LabelledList, evaluate, recommend_threshold

# The articles of a help desk, in the order in which its search returns them for every question.
ARTICLES = [
    "Gift cards: buy one, check its balance, redeem it.",
    "Returns: how to send back an item within 30 days.",
    "Delivery: track a parcel and change its address.",
    "Invoices: download an invoice or correct the name on it.",
    "Cancel an order before it is shipped.",
    "Passwords: reset a password that you forgot.",
]

# Each question with the articles that answer it. No article answers the last one: the threshold needs such questions.
QUESTIONS = {
    "How do I send back an item?": {1},
    "track a parcel": {2},
    "Where can I download an invoice?": {3},
    "I forgot my password": {5},
    "Check the balance of a gift card": {0},
    "How do I cancel an order that is not shipped?": {4},
    "change the address of a parcel": {2},
    "correct the name on an invoice": {3},
    "Which stars are visible tonight?": set(),
}

LISTS = [
    LabelledList(question, ARTICLES, [1 if index in answers else 0 for index in range(len(ARTICLES))])
    for question, answers in QUESTIONS.items()
]


def search_order(query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG001 - the signature of a scorer
    """Score the documents by their place: the baseline that a reranker must beat."""
    return [1 - rank / len(documents) for rank in range(len(documents))]


def main() -> None:
    """Compare the reranker with the order of the search, then find a threshold."""
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
        os.environ["CO_API_URL"] = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    with cohere.ClientV2() as client:
        reranker = (client, "rerank-v4.0-fast")
        report = evaluate(LISTS, {"search": search_order, "reranked": reranker})
        threshold = recommend_threshold(LISTS, reranker)
    print(report)

    comparison = report.compare("search", "reranked", "mrr@10")
    difference = comparison.difference
    interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
    print(f"\nMRR@10 changes by {difference.mean:+.3f} (95 % interval: {interval}).")
    print(f"The probability of such a difference by chance is {comparison.p_value:.3f}.\n")
    print(threshold)


if __name__ == "__main__":
    main()
