"""Rank three texts by how well they answer a query."""

from __future__ import annotations

import os

import cohere_rerank as cohere

if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
    os.environ["CO_API_URL"] = "local:"
    print("CO_API_KEY is not set: the local engine answers.")

documents = [
    "To reset your password, open Settings and choose Security.",
    "Invoices are sent on the first day of each month.",
    "A lost password can be reset by e-mail from the sign-in page.",
]

with cohere.ClientV2() as client:
    response = client.rerank(
        model="rerank-v4.0-fast",
        query="how do I reset a lost password",
        documents=documents,
        top_n=2,
    )

for result in response.results:
    print(f"{result.relevance_score:.3f}  [{result.index}]  {result.document}")
