"""Client and AsyncClient: ``rerank`` as in the v1 clients of the official package, sent to ``/v1/rerank``.

For programs and frameworks that still use them. New programs use ClientV2.
"""

from __future__ import annotations

from ._base_client import BaseClient
from ._wire.contract import DEFAULT_V1_MODEL
from .async_client import AsyncClientV2, BaseAsyncClient
from .client import BaseSyncClient, ClientV2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ._calls import BaseCalls
    from ._wire.call import Call
    from .types import (
        Documents,
        ModelName,
        RequestOptions,
        RerankResponse,
        RerankResponseResultsItem,
        V2RerankResponse,
    )

__all__ = ["AsyncClient", "Client"]


class Client(BaseSyncClient):
    """The v1 client of the official package, for ``rerank`` alone.

    It takes the arguments of `ClientV2` and has its connections, retries, limits and errors. ``dialect`` is ``"v1"``
    by default. ``client.v2`` is a ClientV2 with the same settings and connections.
    """

    _default_dialect = "v1"

    @property
    def v2(self) -> ClientV2:
        """A ClientV2 with the same settings and connections."""
        v2: ClientV2 = _as_v2(self, ClientV2)
        return v2

    def rerank(
        self,
        *,
        query: str,
        documents: Documents,
        model: ModelName | None = None,
        top_n: int | None = None,
        rank_fields: Sequence[str] | None = None,
        return_documents: bool | None = None,
        max_chunks_per_doc: int | None = None,
        request_options: RequestOptions | None = None,
    ) -> RerankResponse:
        """Order documents by how well each answers the query.

        Args:
            query: The question, not blank.
            documents: n texts or mappings with a ``text``. With *rank_fields*, mappings need no ``text``.
            model: The name of the model. Default: the choice of the API.
            top_n: The number of results to return, >= 1. Default: all n.
            rank_fields: The fields of mappings to rank by, in this order. Default: ``["text"]``.
            return_documents: Whether each result has its document. Default: False.
            max_chunks_per_doc: The number of chunks that a long document may be split into, >= 1.
            request_options: The official client's options of one call.

        Returns:
            At most min(top_n, n) results, best first.

        Raises:
            InvalidRequestError: An argument is not valid. Nothing was sent.
            ApiError: The API answered with an error. There is one class for each status.
            ConnectionFailedError: No complete reply arrived, or it arrived too late.
            InvalidResponseError: The reply breaks the contract.
        """
        calls = self._calls
        call = _encode(calls, query, documents, model, top_n, rank_fields, max_chunks_per_doc, request_options)
        return _as_v1(calls.rerank(call)[0], bool(return_documents))


class AsyncClient(BaseAsyncClient):
    """As `Client`, for asyncio and trio."""

    _default_dialect = "v1"

    @property
    def v2(self) -> AsyncClientV2:
        """An AsyncClientV2 with the same settings and connections."""
        v2: AsyncClientV2 = _as_v2(self, AsyncClientV2)
        return v2

    async def rerank(
        self,
        *,
        query: str,
        documents: Documents,
        model: ModelName | None = None,
        top_n: int | None = None,
        rank_fields: Sequence[str] | None = None,
        return_documents: bool | None = None,
        max_chunks_per_doc: int | None = None,
        request_options: RequestOptions | None = None,
    ) -> RerankResponse:
        """As `Client.rerank`."""
        calls = self._calls
        call = _encode(calls, query, documents, model, top_n, rank_fields, max_chunks_per_doc, request_options)
        return _as_v1((await calls.rerank(call))[0], bool(return_documents))


def _as_v2(client: BaseClient, kind: type[Any]) -> Any:
    v2 = object.__new__(kind)
    v2.__dict__.update(client.__dict__, _runner=None)
    if client._config.dialect == "v1":
        v2._config = client._config.replace(dialect="cohere")
    return v2


def _encode(
    calls: BaseCalls,
    query: str,
    documents: Documents,
    model: str | None,
    top_n: int | None,
    rank_fields: Sequence[str] | None,
    max_chunks_per_doc: int | None,
    request_options: RequestOptions | None,
) -> Call:
    from ._validators import whole_number

    call = calls.encode(
        query=query,
        documents=documents,
        model=DEFAULT_V1_MODEL if model is None else model,
        top_n=top_n,
        text="text" if rank_fields is None else text_of_fields(rank_fields),
        request_options=request_options,
    )
    n_chunks = whole_number("max_chunks_per_doc", max_chunks_per_doc, 1)
    if calls.config.is_local:
        return call
    # The API has its own way to rank by several fields, so it gets the documents as they are.
    call.body["documents"] = [document if hasattr(document, "keys") else text for document, text in _pairs(call)]
    further = {"rank_fields": None if rank_fields is None else list(rank_fields), "max_chunks_per_doc": n_chunks}
    call.body.update({name: value for name, value in further.items() if value is not None})
    if model is None:
        del call.body["model"]
    return call


def _pairs(call: Call) -> list[tuple[Any, str]]:
    if call.indices is None:
        return list(zip(call.documents, call.texts))
    return [(call.documents[index], text) for index, text in zip(call.indices, call.texts)]


def text_of_fields(rank_fields: Sequence[str]) -> Callable[[Mapping[str, Any]], str]:
    """Return a function for the text of a mapping: its fields, one a line."""
    from .errors import InvalidRequestError

    if isinstance(rank_fields, str) or not all(isinstance(name, str) for name in rank_fields) or not rank_fields:
        raise InvalidRequestError("rank_fields must be a list of at least one field name, such as ['title', 'text']")

    def text_of(document: Mapping[str, Any]) -> str:
        return "\n".join(str(document[name]) for name in rank_fields if name in document)

    return text_of


def _as_v1(response: V2RerankResponse, with_documents: bool) -> RerankResponse:
    from .types import RerankResponse

    return RerankResponse(id=response.id, results=v1_results(response, with_documents), meta=response.meta)


def v1_results(response: V2RerankResponse, with_documents: bool) -> list[RerankResponseResultsItem]:
    """Return the results as those of the v1 client, with the text of each document if *with_documents*."""
    from ._result_base import replace
    from .types import RerankResponseResultsItem

    empty = RerankResponseResultsItem(index=0, relevance_score=0.0)
    return [
        replace(  # the score is None if the fallback "keep-order" answered
            empty,
            index=item.index,
            relevance_score=item.relevance_score,
            document=_document(item.document) if with_documents else None,
        )
        for item in response.results
    ]


def _document(document: Any) -> Any:
    from ._result_base import replace
    from .types import RerankResponseResultsItemDocument

    fields = dict(document) if hasattr(document, "keys") else {"text": document}
    # Not validated: the documents are the caller's.
    return replace(
        RerankResponseResultsItemDocument(text=""),
        **{name: value for name, value in fields.items() if isinstance(name, str) and name[:2] != "__"},
    )
