"""Rank many lists at the same time with one asynchronous client, as a web service does."""

from __future__ import annotations

import asyncio
import os

import cohere_rerank as cohere

RECIPES = {
    "a quick dinner": ["Twenty-minute pasta with lemon", "Bread that rises overnight", "A quick weeknight curry"],
    "something sweet": ["Pickled onions", "Sweet rice pudding", "Roast chicken"],
    "vegan lunch": ["A vegan lentil lunch bowl", "Beef stew", "Cheese toast"],
}


async def find_best(client: cohere.AsyncClientV2, query: str, documents: list[str]) -> str:
    """Return the document that answers the query best."""
    response = await client.rerank(model="rerank-v4.0-fast", query=query, documents=documents, top_n=1)
    return documents[response.results[0].index]


async def main() -> None:
    """Send all requests at the same time; the client has at most 50 connections."""
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
        os.environ["CO_API_URL"] = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    async with cohere.AsyncClientV2(max_connections=50, deadline=20) as client:
        best = await asyncio.gather(*(find_best(client, query, recipes) for query, recipes in RECIPES.items()))
    for query, recipe in zip(RECIPES, best, strict=True):
        print(f"{query}: {recipe}")


if __name__ == "__main__":
    asyncio.run(main())
