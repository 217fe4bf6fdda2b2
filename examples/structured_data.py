"""Rank records: dicts, dataclasses and pydantic models can be documents, and each result holds the original object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date

import cohere_rerank as cohere

if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
    os.environ["CO_API_URL"] = "local:"
    print("CO_API_KEY is not set: the local engine answers.")


@dataclass
class Ticket:
    """A record of a help desk."""

    title: str
    body: str
    opened: date
    internal_id: int


tickets = [
    Ticket("Printer on fire", "Smoke comes out of the printer on floor 2.", date(2026, 3, 1), 17),
    Ticket("Slow VPN", "The VPN drops every ten minutes when I work from home.", date(2026, 3, 2), 18),
    {"title": "VPN setup", "body": "How do I install the VPN on a new laptop?", "opened": date(2026, 3, 4)},
]

with cohere.ClientV2() as client:
    response = client.rerank(
        model="rerank-v4.0-fast",
        query="VPN connection keeps dropping",
        documents=tickets,
        rank_fields=["title", "body"],  # only these fields are sent, in this order
    )

best = response.results[0]
assert best.document is tickets[best.index]  # the original object, not a copy
for result in response.results:
    print(f"{result.relevance_score:.3f}  {result.document}")
