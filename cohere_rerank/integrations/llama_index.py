"""A node postprocessor for LlamaIndex."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from cohere_rerank._extras import importing
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.types import RerankRelevantSpanResponse, V2RerankResponse

from ._clients import ClientPair, common_arguments

with importing("llama-index", "The node postprocessor"):
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # all integrations do
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

__all__ = ["CohereRerank", "RankedNode"]

_dispatcher = get_dispatcher(__name__)


class RankedNode(NodeWithScore):
    """A node with its relevance score, and what is known of the ranking. The node is the caller's own object.

    None of this is in the metadata of the node, so it is not part of a prompt.

    Attributes:
        rank: The place in the ranking, from 1.
        retrieval_score: The score that the node had before.
        is_fallback: Whether the fallback of the client ranked.
        answered_by: As in the response of ``ClientV2.rerank``.
        request_id: As in the response of ``ClientV2.rerank``.
        relevant_spans: The relevant passages, most relevant first. Their positions refer to the text that was sent,
            which is that of the metadata mode. [] if not asked for.
        span_texts: The texts of these passages.
    """

    rank: int
    retrieval_score: float | None = None
    is_fallback: bool = False
    answered_by: str | None = None
    request_id: str | None = None
    relevant_spans: list[RerankRelevantSpanResponse] = Field(default_factory=list)
    span_texts: list[str] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class, as LlamaIndex saves it."""
        return "RankedNode"


class CohereRerank(BaseNodePostprocessor):
    """Orders the nodes of a query engine or a retriever by relevance.

    It has the name and the arguments of the class in llama-index-postprocessor-cohere-rerank. It returns `RankedNode`
    objects; the given nodes never change. Nodes without text are left out. Errors of the client are raised as they are.

    Each call dispatches a ``ReRankStartEvent`` and a ``ReRankEndEvent``, and an event of the type ``RERANKING`` to the
    callback manager.

    Args:
        model: As in ``ClientV2.rerank``.
        top_n: The number of nodes to return, >= 1. None returns all. Default: 2.
        min_score: The lowest score of a node to return. Default: None, no limit.
        max_tokens_per_doc: As in ``ClientV2.rerank``.
        relevant_spans: Asks for the relevant passages, such as ``{"mode": "enabled"}``. Default: None.
        metadata_mode: Which metadata of a node is sent with its text. Default: ``MetadataMode.EMBED``, the same as for
            its embedding.
        arguments: Further arguments of ``ClientV2.rerank``, such as ``{"priority": 5}``. Default: none.
        api_key: The key. It is not part of a saved object. Default: CO_API_KEY, then COHERE_API_KEY.
        base_url: As in ``ClientV2``, such as ``"local:"``.
        client_options: Further arguments of ``ClientV2``, such as ``{"fallback": "local"}``. Those that may contain a
            secret are not accepted. Default: none.
        client: A client to use instead of creating one. ``to_dict`` does not contain it. Default: None.
        async_client: The same for the asynchronous methods. With *client* alone, these use a thread. Default: None.
        callback_manager: LlamaIndex's, for this postprocessor. Default: an empty one.

    Raises:
        InvalidRequestError: An argument is out of its range, or arguments exclude each other.
        MissingApiKeyError: There is no key.
        pydantic.ValidationError: An argument has the wrong type.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    model: str
    top_n: int | None = 2
    min_score: float | None = None
    max_tokens_per_doc: int | None = None
    relevant_spans: dict[str, Any] | None = None
    metadata_mode: MetadataMode = MetadataMode.EMBED
    arguments: dict[str, Any] = Field(default_factory=dict)
    base_url: str | None = None
    client_options: dict[str, Any] = Field(default_factory=dict)

    _clients: ClientPair = PrivateAttr()

    def __init__(
        self,
        *,
        model: str,
        top_n: int | None = 2,
        min_score: float | None = None,
        max_tokens_per_doc: int | None = None,
        relevant_spans: dict[str, Any] | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        arguments: dict[str, Any] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client_options: dict[str, Any] | None = None,
        client: ClientV2 | None = None,
        async_client: AsyncClientV2 | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        fields: dict[str, Any] = {  # the type checkers know the arguments of the base class only
            "model": model,
            "top_n": top_n,
            "min_score": min_score,
            "max_tokens_per_doc": max_tokens_per_doc,
            "relevant_spans": relevant_spans,
            "metadata_mode": metadata_mode,
            "arguments": arguments or {},
            "base_url": base_url,
            "client_options": client_options or {},
            "callback_manager": callback_manager or CallbackManager(),
        }
        super().__init__(**fields)
        self._clients = ClientPair(
            client=client, async_client=async_client, api_key=api_key, base_url=base_url, client_options=client_options
        )
        self._clients.check(**common_arguments(self, self.top_n))

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class, as LlamaIndex saves it."""
        return "CohereRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = self._start(nodes, query_bundle)
        with self.callback_manager.event(CBEventType.RERANKING, payload=self._payload(nodes, query)) as event:
            response = self._clients.client.rerank(
                query=query, documents=self._texts(nodes), **common_arguments(self, self.top_n)
            )
            ranked = _ranked(nodes, response)
            event.on_end(payload={EventPayload.NODES: ranked})
        _dispatcher.event(ReRankEndEvent(nodes=ranked))
        return ranked

    @_dispatcher.span  # LlamaIndex decorates only the blocking method by itself
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = self._start(nodes, query_bundle)
        with self.callback_manager.event(CBEventType.RERANKING, payload=self._payload(nodes, query)) as event:
            response = await self._clients.rerank_async(
                query=query, documents=self._texts(nodes), **common_arguments(self, self.top_n)
            )
            ranked = _ranked(nodes, response)
            event.on_end(payload={EventPayload.NODES: ranked})
        _dispatcher.event(ReRankEndEvent(nodes=ranked))
        return ranked

    def _start(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None) -> str:
        if query_bundle is None:
            raise InvalidRequestError("the query is missing; pass query_str= or query_bundle=")
        top_n = len(nodes) if self.top_n is None else self.top_n
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=self.model))
        return query_bundle.query_str

    def _payload(self, nodes: list[NodeWithScore], query: str) -> dict[str, Any]:
        return {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }

    def _texts(self, nodes: list[NodeWithScore]) -> list[str]:
        return [each.node.get_content(metadata_mode=self.metadata_mode) for each in nodes]

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex's own method leaves out, with a log line, what has no pickle. That could be the client.
        state = BaseModel.__getstate__(self)
        return {**state, "__dict__": {**state["__dict__"], "callback_manager": CallbackManager()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseModel.__setstate__(self, state)  # LlamaIndex's own method would create other clients


def _ranked(nodes: list[NodeWithScore], response: V2RerankResponse) -> list[NodeWithScore]:
    return [
        RankedNode(
            node=nodes[result.index].node,
            score=result.relevance_score,
            rank=rank,
            retrieval_score=nodes[result.index].score,
            is_fallback=response.is_fallback,
            answered_by=response.answered_by,
            request_id=response.request_id,
            relevant_spans=result.relevant_spans or [],
            span_texts=result.span_texts,
        )
        for rank, result in enumerate(response.results, start=1)
    ]
