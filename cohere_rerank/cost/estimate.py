"""An estimate of the cost of a rerank call, made without sending it. Pure. Tokens are estimated, not counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from cohere_rerank._tokens import estimate_tokens
from cohere_rerank._validators import whole_number
from cohere_rerank._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC, MAX_DOCUMENTS
from cohere_rerank._wire.documents import to_texts
from cohere_rerank.errors import InvalidRequestError

from .prices import Price, PriceTable, price_of

__all__ = ["SearchUnitsEstimate", "estimate_parts", "estimate_search_units"]

# From Cohere's price list as other people quote it. A unit is one query with up to 100 documents. A document that has
# more than about 500 tokens together with the query is split into chunks, and each chunk counts as a document.
_CHUNKS_IN_A_UNIT = 100
_TOKENS_IN_A_CHUNK = 500


@dataclass(frozen=True)
class SearchUnitsEstimate:
    """An estimate of the bill of one call. ``response.meta.billed_units`` has the real bill.

    ``int()`` and ``float()`` of an estimate are its search units.

    Attributes:
        search_units: The estimate.
        lower_bound: The search units if no document is split. The call cannot cost less at today's price list.
        n_documents: The number of documents.
        n_chunks: The estimated number of chunks. A document that is not split is one chunk.
        n_requests: The number of requests, without retries.
        n_tokens: The estimated tokens of all documents after they are cut, with the query once for each document.
            Models that are billed by tokens may count differently.
    """

    search_units: int
    lower_bound: int
    n_documents: int
    n_chunks: int
    n_requests: int
    n_tokens: int

    def __int__(self) -> int:
        return self.search_units

    def __float__(self) -> float:
        return float(self.search_units)

    def cost(self, model: str, prices: Mapping[str, Price | Mapping[str, Any]] | None = None) -> float | None:
        """Return the estimate in USD, or None if the price of the model is not known.

        Args:
            model: The name of the model.
            prices: Prices as in the constructor of a client. Default: None, only the prices of Cohere's own addresses,
                ``cohere_rerank.cost.PRICES``.

        Raises:
            InvalidRequestError: A price is not valid.
        """
        price = price_of(model, (None if prices is None else PriceTable(prices), True))
        return None if price is None else price.cost(self.billed_units)

    @property
    def billed_units(self) -> dict[str, float]:
        """The estimate under the names of ``billed_units``."""
        return {"search_units": float(self.search_units), "input_tokens": float(self.n_tokens)}

    def __str__(self) -> str:
        return f"about {self.search_units} search units (an estimate), at least {self.lower_bound}"


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

    The estimate has limits:

    - It does not know the model's tokenizer. Four characters of an alphabetic script count as one token, and so does
      one Han, kana or Hangul character.
    - It does not know exactly how documents are split. The query fills at most half of a chunk.
    - Newer models may be billed by tokens and not by search units.
    - Retries are not counted, because it is not known whether a failed call is billed.

    Args:
        query: The question.
        documents: n texts or structured documents, as for ``rerank``.
        max_tokens_per_doc: As for ``rerank``. Longer documents are cut before they are split. >= 1. Default: 4096.
        rank_fields: As for ``rerank``.
        text: As for ``rerank``.
        on_empty: As for ``rerank``.
        max_documents_per_request: As in the constructor, 1 to 10,000. Each part of a longer list is billed separately.
            Default: 10,000.

    Raises:
        InvalidRequestError: ``rerank`` would refuse an argument.
    """
    if not isinstance(query, str):
        raise InvalidRequestError(f"query must be a string, got {type(query).__name__}")
    most = whole_number("max_tokens_per_doc", max_tokens_per_doc, 1) or DEFAULT_MAX_TOKENS_PER_DOC
    size = _max_documents(max_documents_per_request)
    texts = [each for each in to_texts(documents, rank_fields, text, on_empty or "error")[1] if each]
    return estimate_parts(query, texts, _edges(len(texts), size), most)


def estimate_parts(
    query: str, texts: Sequence[str], edges: Sequence[tuple[int, int]], max_tokens_per_doc: int
) -> SearchUnitsEstimate:
    """Return the estimate for texts that are sent in parts.

    Args:
        query: The question.
        texts: The texts of all documents.
        edges: Where the texts of each request start and end.
        max_tokens_per_doc: Longer documents are cut before they are split.
    """
    n_query = estimate_tokens(query)
    room = _TOKENS_IN_A_CHUNK - min(n_query, _TOKENS_IN_A_CHUNK // 2)
    tokens = [min(estimate_tokens(text), max_tokens_per_doc) for text in texts]
    chunks = [_ceil_div(n, room) for n in tokens]
    return SearchUnitsEstimate(
        search_units=sum(_ceil_div(sum(chunks[start:end]), _CHUNKS_IN_A_UNIT) for start, end in edges),
        lower_bound=sum(_ceil_div(end - start, _CHUNKS_IN_A_UNIT) for start, end in edges),
        n_documents=len(texts),
        n_chunks=sum(chunks),
        n_requests=len(edges),
        n_tokens=sum(tokens) + len(texts) * n_query,
    )


def _max_documents(size: Any) -> int:
    checked = whole_number("max_documents_per_request", size, 1, MAX_DOCUMENTS)
    return checked or MAX_DOCUMENTS


def _edges(n_documents: int, size: int) -> list[tuple[int, int]]:
    """Return where the documents of each request start and end. The requests have equal lengths, as in the client."""
    n_parts = _ceil_div(n_documents, size)
    edges = [n_documents * i // n_parts for i in range(n_parts + 1)] if n_parts else []
    return list(pairwise(edges))


def _ceil_div(n: int, size: int) -> int:
    return -(-n // size)
