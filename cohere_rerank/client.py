"""ClientV2. Its twin, with the same rules and an ``await``, is in `async_client`.

A request's walk: `_request.encode` packs the arguments, ``_http`` sends bytes and reads a reply, `_reply.decode` makes
a response or an error of it, ``_retry`` decides about a repeat. All imports that cost time wait for the first call.
"""

from __future__ import annotations

from ._base_client import BaseClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Self, Unpack

    from ._raw_response import RawClientV2
    from ._runner import Runner
    from .async_client import AsyncClientV2
    from .batch import Batch, BatchProgress
    from .types import CommonArguments, Documents, ModelName, RequestOptions, RerankRelevantSpans, V2RerankResponse

__all__ = ["AsyncClientV2", "ClientV2"]


class BaseSyncClient(BaseClient):
    """The part that ClientV2 and the v1 Client share."""

    _httpx_kind = ("httpx.Client", "close")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of this client and of its copies. A later call raises ClientClosedError."""
        self._state.is_closed = True
        sender = self._state.sender or self._httpx_client
        if sender is not None:
            sender.close()

    @property
    def _calls(self) -> Runner:
        if self._runner is None:
            from ._runner import Runner

            self._runner = Runner(self._config, self._state, self._httpx_client)
        runner: Runner = self._runner
        return runner


class ClientV2(BaseSyncClient):
    """A blocking client of Cohere's rerank API. Threads can share it, and it works after a fork.

    Use it as a context manager, or call `close`, to close its connections.
    """

    @property
    def v2(self) -> ClientV2:
        """This client. The official client has its v2 methods under this name."""
        return self

    @property
    def with_raw_response(self) -> RawClientV2:
        """A client whose ``rerank`` returns a RawResponse: the response with its status and headers."""
        from ._raw_response import RawClientV2

        return RawClientV2(self._calls)

    def rerank(
        self,
        *,
        model: ModelName,
        query: str,
        documents: Documents,
        top_n: int | None = None,
        max_tokens_per_doc: int | None = None,
        relevant_spans: RerankRelevantSpans | Mapping[str, Any] | None = None,
        priority: int | None = None,
        request_options: RequestOptions | None = None,
        rank_fields: Sequence[str] | None = None,
        text: str | Callable[[Any], str] | None = None,
        on_empty: Literal["error", "skip"] | None = None,
        min_score: float | None = None,
        max_documents_per_request: int | None = None,
        deadline: float | None = None,
    ) -> V2RerankResponse:
        """Order documents by how well each answers the query.

        Args:
            model: Such as ``"rerank-v4.0-fast"``; any name on a ``local:`` address.
            query: The question, not blank.
            documents: n texts, mappings, dataclasses or pydantic models, mixed freely, read once. All but texts are
                sent as YAML, keys in the given order. None of them may be empty.
            top_n: How many results to keep, >= 1. None keeps all n.
            max_tokens_per_doc: Longer documents are cut to this many tokens, >= 1; the API's default is 4096.
            relevant_spans: Ask for the passages that count (Rerank v5 and newer, and ``local:``).
            priority: 0 (first) to 999, under load; the API's default is 0.
            request_options: The official client's per-call options.
            rank_fields: Names or dotted paths of the fields of structured documents to send, in this order.
            text: Where the text of a structured document is: a field's name, a dotted path, or a function of the
                document that returns it. Default: the documents of common frameworks are recognized.
            on_empty: What to do with a document that has neither text nor a field with a value. ``"error"`` raises;
                ``"skip"`` leaves it out, and the indices of the results still refer to *documents*.
                Default: ``"error"``.
            min_score: Keep results at or above this score only; applied last.
            max_documents_per_request: For this call, as in the constructor.
            deadline: For this call, as in the constructor, in seconds.

        Returns:
            At most min(top_n, n) results, best first, ties by index. ``index`` is 0-based into *documents*;
            ``relevance_score`` is in [0, 1] and comparable only within one query. No documents give no results,
            and nothing is sent.

        Raises:
            InvalidRequestError: Before anything is sent.
            ApiError: The API answered with an error; one class per status.
            ConnectionFailedError: No complete answer arrived, or not in time.
            InvalidResponseError: The answer breaks the contract.

        Source: Cohere API reference, POST /v2/rerank.
        """
        calls = self._calls
        call = calls.encode(
            model=model,
            query=query,
            documents=documents,
            top_n=top_n,
            max_tokens_per_doc=max_tokens_per_doc,
            relevant_spans=relevant_spans,
            priority=priority,
            request_options=request_options,
            rank_fields=rank_fields,
            text=text,
            on_empty=on_empty,
            min_score=min_score,
            max_documents_per_request=max_documents_per_request,
            deadline=deadline,
        )
        return calls.rerank(call)[0]

    def rerank_many(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_error: Literal["return", "raise"] = "return",
        progress: bool | Callable[[BatchProgress], object] | None = None,
        **common: Unpack[CommonArguments],
    ) -> Batch:
        """Rerank many lists, a few at a time, while their input is read and their answers are used.

        Args:
            requests: Mappings of arguments of `rerank`, each with an ``id`` if it has a name; its position otherwise.
                Read in the caller's thread as they are needed: at most 2 x *concurrency* are read and not given back.
            concurrency: Calls under way at once, >= 1.
            ordered: Answers in the order of *requests*: behind a slow one, others wait, and once there is no more
                room nothing is sent. False gives each as soon as it is there.
            on_error: ``"return"`` gives the error in place of the response; ``"raise"`` raises the first one when its
                turn comes, and ends what is under way.
            progress: True for a bar (extra ``progress``), or a function of a BatchProgress, called at each answer.
            **common: Arguments for every request that does not have them itself (None counts as not having).

        Returns:
            An iterator of ``(id, response or error)``, one for each request. Leaving it early, or its ``close()``,
            sends nothing more. No request fails because ``limit=`` lets it wait; its deadline counts from its turn.

        Raises:
            InvalidRequestError: An argument of this method is of the wrong type or out of its range.
            CohereRerankError: While iterating, whatever *on_error* says, if every further request would meet the same:
                QuotaExceededError, UnauthorizedError, PaymentRequiredError, MissingApiKeyError, ClientClosedError,
                RateLimitStoreError. What is under way is given first; the requests that failed so are not given.
            Exception: While iterating: what *requests* raised, once the answers to those before it are given.
        """
        from .batch.threads import rerank_many

        return rerank_many(
            self._calls,
            requests,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            progress=progress,
            common=common,
        )


if not TYPE_CHECKING:
    # The type checkers do not know the v1 clients here: this module and theirs would import each other.
    _ELSEWHERE = {"AsyncClient": "v1", "AsyncClientV2": "async_client", "Client": "v1"}

    def __getattr__(name: str) -> object:
        """Import the other clients when they are used: the official package has all of them in this module."""
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"cohere_rerank.{_ELSEWHERE[name]}"), name)

    def __dir__() -> list[str]:
        """Return all public names, so that completion in a shell shows the other clients too."""
        return sorted({*globals(), *__all__})
