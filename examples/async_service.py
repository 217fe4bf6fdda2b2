"""Rerank many queries at once from a service: one client, as many tasks as come in.

Runs offline with CO_API_URL=local:, against Cohere with CO_API_KEY.
"""

from __future__ import annotations

import asyncio

import cohere_rerank as cohere

SHELVES = {
    "a quick dinner": ["Twenty-minute pasta with lemon", "Bread that proves overnight", "A quick weeknight curry"],
    "something sweet": ["Pickled onions", "Sweet rice pudding", "Roast chicken"],
    "vegan lunch": ["A vegan lentil lunch bowl", "Beef stew", "Cheese toast"],
}


async def best(client: cohere.AsyncClientV2, query: str, documents: list[str]) -> str:
    """The document that answers the query best."""
    response = await client.rerank(model="rerank-v4.0-fast", query=query, documents=documents, top_n=1)
    return documents[response.results[0].index]


async def main() -> None:
    """Ask for everything at once; requests beyond max_connections queue in order."""
    async with cohere.AsyncClientV2(max_connections=50, deadline=20) as client:
        answers = await asyncio.gather(*(best(client, query, docs) for query, docs in SHELVES.items()))
    for query, answer in zip(SHELVES, answers, strict=True):
        print(f"{query}: {answer}")


if __name__ == "__main__":
    asyncio.run(main())
