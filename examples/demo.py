"""Rank Cohere's two published examples, a list of texts and a list of records, with the local engine.

The query and the documents are from Cohere's overview of Rerank. This example needs no key and no network.
"""

from __future__ import annotations

import cohere_rerank as cohere

QUERY = "What is the capital of the United States?"

TITLES = [
    "Facts about Carson City",
    "The Commonwealth of Northern Mariana Islands",
    "The Capital of United States Virgin Islands",
    "Washington D.C.",
    "Capital Punishment in the US",
]

TEXTS = [
    "Carson City is the capital city of the American state of Nevada. At the 2010 United States Census, Carson City "
    "had a population of 55,274.",
    "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific Ocean that are a political "
    "division controlled by the United States. Its capital is Saipan.",
    "Charlotte Amalie is the capital and largest city of the United States Virgin Islands. It has about 20,000 people. "
    "The city is on the island of Saint Thomas.",
    "Washington, D.C. (also known as simply Washington or D.C., and officially as the District of Columbia) is the "
    "capital of the United States. It is a federal district. The President of the USA and many major national "
    "government offices are in the territory. This makes it the political center of the United States of America.",
    "Capital punishment has existed in the United States since before the United States was a country. As of 2017, "
    "capital punishment is legal in 30 of the 50 states. The federal government (including the United States military) "
    "also uses capital punishment.",
]

BAR = 20  # characters for a score of 1


def show(title: str, response: cohere.V2RerankResponse) -> None:
    """Print the rank, score, bar, index and first words of each result."""
    print(f"\n{title}")
    for rank, result in enumerate(response.results, start=1):
        bar = "█" * round(result.relevance_score * BAR)
        document = result.document
        start = document["Title"] if isinstance(document, dict) else str(document)[:48] + "…"
        print(f"  {rank}. {result.relevance_score:.3f} {bar:{BAR}} [{result.index}] {start}")
    for warning in (response.meta.warnings if response.meta else None) or []:
        print(f"  note: {warning}")


def main() -> None:
    """Rank the texts, then the records."""
    print(f"Query: {QUERY}")
    with cohere.ClientV2(base_url="local:") as client:
        show("Plain texts", client.rerank(model="rerank-v4.0-pro", query=QUERY, documents=TEXTS))
        records = [{"Title": title, "Content": text} for title, text in zip(TITLES, TEXTS, strict=True)]
        show("Records, sent as YAML", client.rerank(model="rerank-v4.0-pro", query=QUERY, documents=records))


if __name__ == "__main__":
    main()
