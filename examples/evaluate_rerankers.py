"""Is a reranker better than the order that search gave, is the difference real, and where should one cut?

Labelled lists of a help desk: a question, the articles that search found in that order, and which of them answer it.
Add ``"api": (cohere.ClientV2(), "rerank-v4.0-fast")`` to the systems to see a model of the API beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

from cohere_rerank.evaluate import LabelledList, evaluate, recommend_threshold

ARTICLES = [
    "Gift cards: buy one, check its balance, redeem it.",
    "Returns: how to send back an item within 30 days.",
    "Delivery: track a parcel and change its address.",
    "Invoices: download an invoice or correct the name on it.",
    "Cancel an order before it is shipped.",
    "Passwords: reset a password that you forgot.",
]

# A question, and which articles answer it; the last one has no answer, which the threshold should learn.
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


def as_found(query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG001 - the form of a scorer
    """The order that search gave: the baseline that a reranker has to beat."""
    return [1 - rank / len(documents) for rank in range(len(documents))]


def main() -> None:
    """Compare two systems, then find the score from which on an article is worth showing."""
    report = evaluate(LISTS, {"search": as_found, "reranked": "local:"})
    print(report)

    comparison = report.compare("search", "reranked", "mrr@10")
    difference = comparison.difference
    print(f"\nMRR@10 {difference.mean:+.3f}, 95 % interval {difference.low:+.3f} to {difference.high:+.3f}")
    print(f"Chance alone would do as much with a probability of {comparison.p_value:.3f}.\n")

    print(recommend_threshold(LISTS, "local:", min_precision=0.9))


if __name__ == "__main__":
    main()
