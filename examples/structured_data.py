"""Rerank records: dicts, dataclasses and pydantic models go in as they are and come back as they were.

Runs offline with CO_API_URL=local:, against Cohere with CO_API_KEY.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import cohere_rerank as cohere


@dataclass
class Ticket:
    """A record of one's own."""

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
        rank_fields=["title", "body"],  # what the model reads, in this order; the rest stays here
    )

best = response.results[0]
assert best.document is tickets[best.index]  # your own object, not a copy
for result in response.results:
    print(f"{result.relevance_score:.3f}  {result.document}")
