"""A ranker for Haystack. Pipelines are saved with its name in Haystack's own namespace for integrations."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

from cohere_rerank._extras import importing
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.types import V2RerankResponse, V2RerankResponseResultsItem

from ._clients import ClientPair, common_arguments, spans_of

with importing("haystack", "The ranker"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret
    from haystack.utils.auth import SecretType

__all__ = ["CohereRanker"]


@component
class CohereRanker:
    """Orders documents by relevance in a pipeline of Haystack.

    It has the name and the arguments of the class in cohere-haystack. Its methods return two outputs:

    - ``documents``: copies of the best documents with the relevance score as their ``score``, best first. The score is
      None if the fallback "keep-order" answered. With *relevant_spans*, their ``meta`` has ``relevant_spans`` too.
    - ``meta``: a dict with ``model``, ``is_fallback``, ``answered_by``, ``request_id`` and ``score_scale``, as in the
      response of ``ClientV2.rerank``.

    The given documents never change. Those without text are left out. Lists of any length are ranked as a whole.
    Errors of the client are raised as they are.

    Args:
        model: As in ``ClientV2.rerank``.
        top_k: The number of documents to return, >= 1. None returns all. Default: 10.
        api_key: The key. Default: the variables CO_API_KEY and COHERE_API_KEY.
        api_base_url: The ``base_url`` of ``ClientV2``, such as ``"local:"``. Default: its default.
        meta_fields_to_embed: The fields of ``meta`` to send before the text of each document. Default: none.
        meta_data_separator: The text between these fields and the text. Default: a line feed.
        max_tokens_per_doc: As in ``ClientV2.rerank``.
        min_score: The lowest score of a document to return. Default: None, no limit.
        relevant_spans: Asks for the relevant passages, such as ``{"mode": "enabled"}``. Default: None.
        arguments: Further arguments of ``ClientV2.rerank``, such as ``{"priority": 5}``. Default: none.
        client_options: Further arguments of ``ClientV2``, such as ``{"fallback": "local"}``. Those that may contain a
            secret are not accepted. Default: none.
        client: A client to use instead of creating one. Such a ranker cannot be saved. Default: None.
        async_client: The same for ``run_async``. With *client* alone, ``run_async`` uses a thread. Default: None.

    Raises:
        InvalidRequestError: An argument is not valid, or arguments exclude each other.
    """

    # Pipeline.loads accepts names in this namespace only, also in a process that has not imported this module.
    __module__ = "haystack_integrations.components.rankers.cohere_rerank"

    def __init__(
        self,
        model: str,
        top_k: int | None = 10,
        api_key: Secret | None = Secret.from_env_var(["CO_API_KEY", "COHERE_API_KEY"], strict=False),  # noqa: B008
        api_base_url: str | None = None,
        meta_fields_to_embed: list[str] | None = None,
        meta_data_separator: str = "\n",
        max_tokens_per_doc: int | None = None,
        min_score: float | None = None,
        relevant_spans: dict[str, Any] | None = None,
        arguments: dict[str, Any] | None = None,
        client_options: dict[str, Any] | None = None,
        client: ClientV2 | None = None,
        async_client: AsyncClientV2 | None = None,
    ) -> None:
        if api_key is not None and not isinstance(api_key, Secret):
            raise InvalidRequestError(
                f"api_key must be a Secret of Haystack, got {type(api_key).__name__}; pass Secret.from_env_var(...) or "
                "Secret.from_token(...)"
            )
        self.model = model
        self.top_k = top_k
        self.api_key = api_key
        self.api_base_url = api_base_url
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.meta_data_separator = meta_data_separator
        self.max_tokens_per_doc = max_tokens_per_doc
        self.min_score = min_score
        self.relevant_spans = relevant_spans
        self.arguments = arguments or {}
        self.client_options = client_options or {}
        self._given: dict[str, Any] = {"client": client, "async_client": async_client}
        self._clients: ClientPair | None = None
        self._new_clients(api_key="").check(**self._arguments(top_k))

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Rank the documents.

        Args:
            query: The question. It must not be blank.
            documents: The documents.
            top_k: As in the constructor, for this call.
        """
        response = self._open().client.rerank(query=query, documents=self._texts(documents), **self._arguments(top_k))
        return self._outputs(documents, response)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """As `run`, without blocking the event loop."""
        clients = self._open()
        response = await clients.rerank_async(query=query, documents=self._texts(documents), **self._arguments(top_k))
        return self._outputs(documents, response)

    def warm_up(self) -> None:
        """Read the key and create the client, which connects with the first call.

        Raises:
            MissingApiKeyError: There is no key.
        """
        self._open().check(**self._arguments(None))

    def close(self) -> None:
        """Close the connections of `run`."""
        if self._clients is not None:
            self._clients.close()

    async def close_async(self) -> None:
        """Close the connections of `run_async`."""
        if self._clients is not None:
            await self._clients.aclose()

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the constructor as plain values. The key is the name of its variable.

        Raises:
            InvalidRequestError: The ranker has a client of the caller, which cannot be saved.
            ValueError: The key was given as a value.
        """
        if any(self._given.values()):
            raise InvalidRequestError(
                "a ranker with client= or async_client= cannot be saved; pass api_base_url= and client_options= instead"
            )
        return default_to_dict(self, **{name: getattr(self, name) for name in _SAVED})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CohereRanker":
        """Create a ranker from the result of `to_dict`."""
        return default_from_dict(cls, data)

    def _open(self) -> ClientPair:
        if self._clients is None:
            key = None if self.api_key is None else self.api_key.resolve_value()
            self._clients = self._new_clients(api_key=key or None)
        return self._clients

    def _new_clients(self, api_key: str | None) -> ClientPair:
        if any(self._given.values()):
            api_key = None
        return ClientPair(
            api_key=api_key, base_url=self.api_base_url, client_options=self.client_options, **self._given
        )

    def _arguments(self, top_k: int | None) -> dict[str, Any]:
        return common_arguments(self, self.top_k if top_k is None else top_k)

    def _texts(self, documents: list[Document]) -> list[str]:
        return [
            self.meta_data_separator.join(
                [
                    *(str(each.meta[name]) for name in self.meta_fields_to_embed if each.meta.get(name)),
                    each.content or "",
                ]
            )
            for each in documents
        ]

    def _outputs(self, documents: list[Document], response: V2RerankResponse) -> dict[str, Any]:
        meta = {
            "model": self.model,
            "is_fallback": response.is_fallback,
            "answered_by": response.answered_by,
            "request_id": response.request_id,
            "score_scale": response.score_scale,
        }
        return {"documents": [self._ranked(documents[each.index], each) for each in response.results], "meta": meta}

    def _ranked(self, document: Document, result: V2RerankResponseResultsItem) -> Document:
        if self.relevant_spans is None:
            return replace(document, score=result.relevance_score)
        meta = {**document.meta, "relevant_spans": spans_of(result)}
        return replace(document, score=result.relevance_score, meta=meta)

    def __getstate__(self) -> dict[str, Any]:
        is_token = self.api_key is not None and self.api_key.type is SecretType.TOKEN
        return {**self.__dict__, "_clients": None, "api_key": None if is_token else self.api_key}

    def __deepcopy__(self, memo: dict[int, Any]) -> "CohereRanker":
        copied: CohereRanker = object.__new__(type(self))  # a copy through a pickle would lose the key
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied


_SAVED = (
    *("model", "top_k", "api_key", "api_base_url", "meta_fields_to_embed", "meta_data_separator", "max_tokens_per_doc"),
    *("min_score", "relevant_spans", "arguments", "client_options"),
)
