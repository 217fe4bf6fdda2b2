"""Rerank a stream of lists with bounded memory: errors stay with their rows, the rest goes on.

Runs offline with CO_API_URL=local:, against Cohere with CO_API_KEY; add limit="trial" or "production" there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cohere_rerank as cohere

COLOURS = ("red", "green", "blue", "yellow")


def rows(n: int) -> Iterator[dict[str, Any]]:
    """Requests made, or read from somewhere, only when there is room for them."""
    documents = [f"a {colour} bicycle" for colour in COLOURS]
    for number in range(n):
        query = f"bicycles in {COLOURS[number % 4]}" if number % 100 else ""  # every hundredth is broken
        yield {"id": f"row-{number}", "query": query, "documents": documents}


def main() -> None:
    """Count what came of them."""
    n_right = n_failed = 0
    with cohere.ClientV2(tag="nightly") as client:
        for row_id, answer in client.rerank_many(rows(1000), model="rerank-v4.0-fast", top_n=1, concurrency=32):
            if isinstance(answer, cohere.CohereRerankError):
                n_failed += 1
                continue
            number = int(row_id.removeprefix("row-"))
            n_right += answer.results[0].document == f"a {COLOURS[number % 4]} bicycle"
        print(f"{n_right} right, {n_failed} failed, {client.usage.requests} requests sent")


if __name__ == "__main__":
    main()
