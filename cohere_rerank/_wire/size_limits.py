"""How many documents a server accepts in one request, learned from its refusals. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .contract import PAYLOAD_TOO_LARGE

if TYPE_CHECKING:
    from cohere_rerank.errors import ApiError

    from .call import Part

_REFUSALS = (400, PAYLOAD_TOO_LARGE, 422)
_STATED = (
    re.compile(r"maximum allowed batch size (\d{1,6})\b"),  # text-embeddings-inference, 413 or 422
    re.compile(r"number of (?:documents|texts|passages) must be at most (\d{1,6})\b"),  # this package's server
    re.compile(r"\b(?:at most|up to|maximum of|limit of|limited to) (\d{1,6}) (?:documents|texts|passages|sources)\b"),
)


def accepted_documents(error: ApiError, part: Part) -> int | None:
    """Return how many documents to send at once after this refusal; None if it is not about the size.

    A number in the message counts. A 413 without one halves the part.
    """
    if error.status_code not in _REFUSALS or part.n_documents < 2:
        return None
    for pattern in _STATED:
        found = pattern.search(error.message)
        if found is not None and 1 <= int(found[1]) < part.n_documents:
            return int(found[1])
    return (part.n_documents + 1) // 2 if error.status_code == PAYLOAD_TOO_LARGE else None
