"""What a rerank call will cost, as far as that can be told without sending it. Pure; counts no real tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ._tokens import estimate_tokens
from ._validators import whole_number
from ._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC, MAX_DOCUMENTS
from ._wire.documents import to_texts
from .errors import InvalidRequestError

__all__ = ["SearchUnitsEstimate", "estimate_search_units"]

# Second-hand, from Cohere's price list as others quote it: a unit is one query with up to 100 documents, and what is
# longer than some 500 tokens, the query included, is split into chunks that count as documents.
_CHUNKS_IN_A_UNIT = 100
_TOKENS_IN_A_CHUNK = 500


@dataclass(frozen=True)
class SearchUnitsEstimate:
    """An estimate of what one call is billed; what it was billed stands in ``response.meta.billed_units``.

    ``int()`` and ``float()`` of it are its search units.

    Attributes:
        search_units: The estimate.
        at_least: What it costs if no document is split: a lower bound, if the price list is still the same.
        n_documents: Documents.
        n_chunks: Documents and the further pieces of long ones, estimated.
        n_requests: Requests that the call is sent as, repeats not counted.
        n_tokens: Tokens of all documents, cut to size, and of the query once for each of them, estimated. Models that
            are billed by tokens may count otherwise.
    """

    search_units: int
    at_least: int
    n_documents: int
    n_chunks: int
    n_requests: int
    n_tokens: int

    def __int__(self) -> int:
        return self.search_units

    def __float__(self) -> float:
        return float(self.search_units)

    def __str__(self) -> str:
        return f"about {self.search_units} search units (an estimate), at least {self.at_least}"


def estimate_search_units(
    query: str,
    documents: Iterable[object],
    *,
    max_tokens_per_doc: int | None = None,
    rank_fields: Sequence[str] | None = None,
    text: str | Callable[[Any], str] | None = None,
    on_empty: Literal["error", "skip"] | None = None,
    max_documents_per_request: int | None = None,
) -> SearchUnitsEstimate:
    """Estimate the search units of one call of ``rerank`` with these arguments.

    What it does not know: the model's tokenizer (four characters of an alphabetic script, or one Han, kana or Hangul
    character, count as a token); how exactly chunks are cut (a query is taken to fill at most half of one); whether
    your contract or model is billed by search units at all (newer models are said to be billed by tokens). Repeats
    are not counted: a failed call is not known to be billed.

    Args:
        query: The question.
        documents: n texts or structured documents, as for ``rerank``.
        max_tokens_per_doc: As for ``rerank``: longer documents are cut before they are split, >= 1; 4096.
        rank_fields: As for ``rerank``.
        text: As for ``rerank``.
        on_empty: As for ``rerank``.
        max_documents_per_request: As in the constructor: each part of a longer list is billed for itself, 1 to 10,000.

    Raises:
        InvalidRequestError: An argument would be refused by ``rerank``.
    """
    if not isinstance(query, str):
        raise InvalidRequestError(f"query must be a string, got {type(query).__name__}")
    most = whole_number("max_tokens_per_doc", max_tokens_per_doc, 1) or DEFAULT_MAX_TOKENS_PER_DOC
    size = _whole_part(max_documents_per_request)
    texts = [each for each in to_texts(documents, rank_fields, text, on_empty or "error")[1] if each]
    n_query = estimate_tokens(query)
    room = _TOKENS_IN_A_CHUNK - min(n_query, _TOKENS_IN_A_CHUNK // 2)
    tokens = [min(estimate_tokens(text), most) for text in texts]
    chunks = [_parts(n, room) for n in tokens]
    edges = _edges(len(texts), size)
    return SearchUnitsEstimate(
        search_units=sum(_parts(sum(chunks[start:end]), _CHUNKS_IN_A_UNIT) for start, end in edges),
        at_least=sum(_parts(end - start, _CHUNKS_IN_A_UNIT) for start, end in edges),
        n_documents=len(texts),
        n_chunks=sum(chunks),
        n_requests=len(edges),
        n_tokens=sum(tokens) + len(texts) * n_query,
    )


def _whole_part(size: Any) -> int:
    checked = whole_number("max_documents_per_request", size, 1, MAX_DOCUMENTS)
    return checked or MAX_DOCUMENTS


def _edges(n_documents: int, size: int) -> list[tuple[int, int]]:
    """First and last of each request's documents: equal shares, as the client makes them."""
    n_parts = _parts(n_documents, size)
    edges = [n_documents * i // n_parts for i in range(n_parts + 1)] if n_parts else []
    return list(pairwise(edges))


def _parts(n: int, size: int) -> int:
    return -(-n // size)
