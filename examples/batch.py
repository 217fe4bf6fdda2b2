"""Rank a thousand lists with one client, in constant memory, and keep the errors of single rows apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cohere_rerank as cohere

COLOURS = ("red", "green", "blue", "yellow")


def rows(n: int) -> Iterator[dict[str, Any]]:
    """Yield the requests one by one; the client asks for the next one when it can send it."""
    documents = [f"a {colour} bicycle" for colour in COLOURS]
    for number in range(n):
        query = f"bicycles in {COLOURS[number % 4]}" if number % 100 else ""  # every hundredth row is not valid
        yield {"id": f"row-{number}", "query": query, "documents": documents}


def main() -> None:
    """Count the correct rankings and the errors."""
    n_rows = 1000
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
        os.environ["CO_API_URL"] = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    else:
        n_rows = 8  # each row costs a search unit
    n_correct = n_failed = 0
    with cohere.ClientV2(tag="nightly", limit="auto") as client:
        for row_id, outcome in client.rerank_many(rows(n_rows), model="rerank-v4.0-fast", top_n=1, concurrency=32):
            if isinstance(outcome, cohere.CohereRerankError):
                n_failed += 1
                continue
            number = int(row_id.removeprefix("row-"))
            n_correct += outcome.results[0].document == f"a {COLOURS[number % 4]} bicycle"
        print(f"{n_rows} rows: {n_correct} correct, {n_failed} failed, {client.usage.requests} requests sent")


if __name__ == "__main__":
    main()
