"""A document compressor for LangChain and LangGraph."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from cohere_rerank._extras import importing
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.types import V2RerankResponse, V2RerankResponseResultsItem

from ._clients import ClientPair, common_arguments, spans_of, text_of_spans

with importing("langchain", "The document compressor"):
    from langchain_core.callbacks import (
        AsyncCallbackManager,
        AsyncCallbackManagerForChainRun,
        CallbackManager,
        CallbackManagerForChainRun,
        Callbacks,
    )
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.load.serializable import Serializable, SerializedConstructor, SerializedNotImplemented
    from langchain_core.runnables.config import ensure_config, run_in_executor

__all__ = ["CohereRerank"]


class CohereRerank(BaseDocumentCompressor, Serializable):
    """Orders documents by relevance, for a ``ContextualCompressionRetriever``, a node of LangGraph or direct calls.

    It has the name and the arguments of the class in langchain-cohere. The returned documents are copies with the
    caller's ``id`` and metadata. Two keys of the metadata are new:

    - ``relevance_score``: the score. It is None if the fallback "keep-order" answered.
    - ``rerank``: a dict with ``rank`` (from 1), ``is_fallback``, ``answered_by`` and ``request_id``, as in the
      response of ``ClientV2.rerank``; and ``relevant_spans``, if they were asked for.

    Documents without text are left out. Errors of the client are raised as they are.

    Each call is a run of the type "chain" for the handlers of the callbacks.

    Args:
        model: As in ``ClientV2.rerank``.
        top_n: The number of documents to return, >= 1. None returns all. Default: 3.
        min_score: The lowest score of a document to return. Default: None, no limit.
        max_tokens_per_doc: As in ``ClientV2.rerank``.
        relevant_spans: Asks for the relevant passages, such as ``{"mode": "enabled"}``. Default: None.
        spans_in: ``"metadata"`` keeps the text of the documents and adds the positions of the spans to the metadata.
            ``"page_content"`` also replaces the text by that of its spans, in their order, one line for each. A
            document without spans keeps its text. Default: "metadata".
        arguments: Further arguments of ``ClientV2.rerank``, such as ``{"priority": 5}``. Default: none.
        api_key: The key. Default: CO_API_KEY, then COHERE_API_KEY.
        cohere_api_key: The same, under the name that langchain-cohere has for it.
        base_url: As in ``ClientV2``, such as ``"local:"``.
        client_options: Further arguments of ``ClientV2``, such as ``{"fallback": "local"}``. Those that may contain a
            secret are not accepted. Default: none.
        client: A client to use instead of creating one. Default: None.
        async_client: The same for the asynchronous methods. With *client* alone, these use a thread. Default: None.
        tags: Tags of the runs. Default: None.
        metadata: Metadata of the runs. Default: None.

    Raises:
        InvalidRequestError: An argument is out of its range, or arguments exclude each other.
        MissingApiKeyError: There is no key.
        pydantic.ValidationError: An argument has the wrong type.
    """

    # The input may contain the key.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    model: str
    top_n: int | None = 3
    min_score: float | None = None
    max_tokens_per_doc: int | None = None
    relevant_spans: dict[str, Any] | None = None
    spans_in: Literal["metadata", "page_content"] = "metadata"
    arguments: dict[str, Any] = Field(default_factory=dict)
    api_key: SecretStr | None = None
    base_url: str | None = None
    client_options: dict[str, Any] = Field(default_factory=dict)
    client: ClientV2 | None = Field(default=None, exclude=True, repr=False)
    async_client: AsyncClientV2 | None = Field(default=None, exclude=True, repr=False)
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None

    _clients: ClientPair = PrivateAttr()

    def __init__(
        self,
        *,
        model: str,
        top_n: int | None = 3,
        min_score: float | None = None,
        max_tokens_per_doc: int | None = None,
        relevant_spans: dict[str, Any] | None = None,
        spans_in: Literal["metadata", "page_content"] = "metadata",
        arguments: dict[str, Any] | None = None,
        api_key: str | SecretStr | None = None,
        cohere_api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        client_options: dict[str, Any] | None = None,
        client: ClientV2 | None = None,
        async_client: AsyncClientV2 | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        fields: dict[str, Any] = {  # the type checkers know the arguments of the base class only
            "model": model,
            "top_n": top_n,
            "min_score": min_score,
            "max_tokens_per_doc": max_tokens_per_doc,
            "relevant_spans": relevant_spans,
            "spans_in": spans_in,
            "arguments": arguments or {},
            "api_key": cohere_api_key if api_key is None else api_key,
            "base_url": base_url,
            "client_options": client_options or {},
            "client": client,
            "async_client": async_client,
            "tags": tags,
            "metadata": metadata,
        }
        super().__init__(**fields)
        if spans_in == "page_content" and relevant_spans is None:
            raise InvalidRequestError(
                'spans_in="page_content" needs relevant_spans, got None; pass relevant_spans={"mode": "enabled"}'
            )
        self._clients = ClientPair(
            client=self.client,
            async_client=self.async_client,
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
            base_url=self.base_url,
            client_options=self.client_options,
        )
        self._clients.check(**common_arguments(self, self.top_n))

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the documents that fit the query best, best first. The given documents do not change."""
        run = self._start(documents, query, callbacks)
        with _reporting(run):
            response = self._clients.client.rerank(
                query=query, documents=documents, **common_arguments(self, self.top_n)
            )
            compressed = self._compressed(response)
        run.on_chain_end({"documents": compressed})
        return compressed

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """As `compress_documents`, without blocking the event loop."""
        run = await self._start_async(documents, query, callbacks)
        try:
            response = await self._clients.rerank_async(
                query=query, documents=documents, **common_arguments(self, self.top_n)
            )
            compressed = self._compressed(response)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": compressed})
        return compressed

    def compress_many(
        self,
        requests: Iterable[Mapping[str, Any]],
        callbacks: Callbacks | None = None,
        *,
        concurrency: int = 8,
        return_exceptions: bool = False,
    ) -> list[list[Document]]:
        """Compress the documents of many queries with ``ClientV2.rerank_many``.

        Args:
            requests: Mappings with ``query`` and ``documents``, and other arguments of ``rerank``, such as ``top_n``.
            callbacks: As in `compress_documents`. Each request is a run.
            concurrency: The number of calls in flight, >= 1. Default: 8.
            return_exceptions: True returns an error in place of the documents of a request that failed. False raises
                the first error. Default: False.

        Returns:
            A list of documents for each request, in the order of the requests.
        """
        runs: dict[int, CallbackManagerForChainRun] = {}

        def started() -> Iterator[dict[str, Any]]:
            for index, request in enumerate(requests):
                runs[index] = self._start(request.get("documents"), request.get("query"), callbacks)
                yield {**request, "id": index}

        outcomes = self._clients.client.rerank_many(
            started(),
            concurrency=concurrency,
            on_error="return" if return_exceptions else "raise",
            **common_arguments(self, self.top_n),
        )
        compressed: list[Any] = []
        try:
            for index, outcome in outcomes:
                if isinstance(outcome, CohereRerankError):
                    compressed.append(outcome)
                    runs.pop(index).on_chain_error(outcome)
                else:
                    compressed.append(self._compressed(outcome))
                    runs.pop(index).on_chain_end({"documents": compressed[-1]})
        except BaseException as error:
            for run in runs.values():
                run.on_chain_error(error)
            raise
        return compressed

    async def acompress_many(
        self,
        requests: Iterable[Mapping[str, Any]],
        callbacks: Callbacks | None = None,
        *,
        concurrency: int = 8,
        return_exceptions: bool = False,
    ) -> list[list[Document]]:
        """As `compress_many`, without blocking the event loop."""
        client = self._clients.async_client
        if client is None:
            options: dict[str, Any] = {"concurrency": concurrency, "return_exceptions": return_exceptions}
            return await run_in_executor(None, self.compress_many, requests, callbacks, **options)
        runs: dict[int, AsyncCallbackManagerForChainRun] = {}

        async def started() -> AsyncIterator[dict[str, Any]]:
            for index, request in enumerate(requests):
                runs[index] = await self._start_async(request.get("documents"), request.get("query"), callbacks)
                yield {**request, "id": index}

        outcomes = client.rerank_many(
            started(),
            concurrency=concurrency,
            on_error="return" if return_exceptions else "raise",
            **common_arguments(self, self.top_n),
        )
        compressed: list[Any] = []
        try:
            async for index, outcome in outcomes:
                if isinstance(outcome, CohereRerankError):
                    compressed.append(outcome)
                    await runs.pop(index).on_chain_error(outcome)
                else:
                    compressed.append(self._compressed(outcome))
                    await runs.pop(index).on_chain_end({"documents": compressed[-1]})
        except BaseException as error:
            for run in runs.values():
                await run.on_chain_error(error)
            raise
        return compressed

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: LangChain may save the settings. They never contain the key."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The name of the variable whose value the key is."""
        return {"api_key": "CO_API_KEY"}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return the settings for ``dumpd`` of LangChain; with a given client, which it cannot save, a description."""
        return self.to_json_not_implemented() if self._clients.are_given else super().to_json()

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "api_key": None}}

    def _compressed(self, response: V2RerankResponse) -> list[Document]:
        return [self._compress(result, rank, response) for rank, result in enumerate(response.results, start=1)]

    def _compress(self, result: V2RerankResponseResultsItem, rank: int, response: V2RerankResponse) -> Document:
        document: Document = result.document
        about: dict[str, Any] = {
            "rank": rank,
            "is_fallback": response.is_fallback,
            "answered_by": response.answered_by,
            "request_id": response.request_id,
        }
        if self.relevant_spans is not None:
            about["relevant_spans"] = spans_of(result)
        changed: dict[str, Any] = {
            "metadata": {**document.metadata, "relevance_score": result.relevance_score, "rerank": about}
        }
        if self.spans_in == "page_content" and result.relevant_spans:
            changed["page_content"] = text_of_spans(result)
        return document.model_copy(update=changed)

    def _start(self, documents: Any, query: Any, callbacks: Callbacks | None) -> CallbackManagerForChainRun:
        manager = CallbackManager.configure(**self._settings_of_runs(callbacks))
        return manager.on_chain_start(None, {"query": query, "documents": documents}, name=type(self).__name__)

    async def _start_async(
        self, documents: Any, query: Any, callbacks: Callbacks | None
    ) -> AsyncCallbackManagerForChainRun:
        manager = AsyncCallbackManager.configure(**self._settings_of_runs(callbacks))
        return await manager.on_chain_start(None, {"query": query, "documents": documents}, name=type(self).__name__)

    def _settings_of_runs(self, callbacks: Callbacks | None) -> dict[str, Any]:
        """Without callbacks, a run is a child of the one around it, such as that of a node of LangGraph."""
        config = ensure_config() if callbacks is None else {"callbacks": callbacks}
        return {
            "inheritable_callbacks": config.get("callbacks"),
            "inheritable_tags": config.get("tags"),
            "local_tags": self.tags,
            "inheritable_metadata": config.get("metadata"),
            "local_metadata": self.metadata,
        }


@contextmanager
def _reporting(run: CallbackManagerForChainRun) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        run.on_chain_error(error)
        raise
