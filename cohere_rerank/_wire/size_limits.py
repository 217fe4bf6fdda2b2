"""The size of requests that a server accepts, learned from its refusals. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .contract import PAYLOAD_TOO_LARGE

if TYPE_CHECKING:
    from cohere_rerank.errors import ApiError

    from .call import Part

_MIN_LARGE_BYTES = 65_536  # no proxy has a lower limit; a 413 to a shorter body has another reason
_REFUSALS = (400, PAYLOAD_TOO_LARGE, 422)
_STATED = (
    re.compile(r"maximum allowed batch size (\d{1,6})\b"),  # text-embeddings-inference, 413 or 422
    re.compile(r"number of (?:documents|texts|passages) must be at most (\d{1,6})\b"),  # this package's server
    re.compile(r"\b(?:at most|up to|maximum of|limit of|limited to) (\d{1,6}) (?:documents|texts|passages|sources)\b"),
)


class SizeLimit(NamedTuple):
    """The limits of one request to a server. None means that a limit is not known."""

    max_documents: int | None = None
    max_bytes: int | None = None

    def merged_with(self, other: SizeLimit) -> SizeLimit:
        """Return the stricter of both limits."""
        return SizeLimit(*(min((n for n in pair if n is not None), default=None) for pair in zip(self, other)))


def stated_limit(error: ApiError, part: Part) -> SizeLimit | None:
    """Return the limit that this refusal states, or None if it is not about the size of the request.

    A number of documents in the message counts. A 413 without one, to a body that is large, halves the bytes.
    """
    if error.status_code not in _REFUSALS or part.n_documents < 2:
        return None
    for pattern in _STATED:
        found = pattern.search(error.message)
        if found is not None and 1 <= int(found[1]) < part.n_documents:
            return SizeLimit(max_documents=int(found[1]))
    if error.status_code == PAYLOAD_TOO_LARGE and len(part.content) >= _MIN_LARGE_BYTES:
        return SizeLimit(max_bytes=len(part.content) // 2)
    return None
