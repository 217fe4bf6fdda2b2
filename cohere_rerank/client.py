"""ClientV2. AsyncClientV2, with the same rules and an ``await``, is in `async_client`.

The lifecycle of a request: `_wire.request` encodes the arguments, `_runner` sends them with retries through
`_transport`, and `_wire.response` decodes the reply. All imports that cost time wait for the first call.
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
    from .types import (
        CommonArguments,
        Documents,
        ModelName,
        OtherArguments,
        RequestOptions,
        RerankRelevantSpans,
        V2RerankResponse,
    )

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
        **others: Unpack[OtherArguments],
    ) -> V2RerankResponse:
        """Order documents by how well each answers the query.

        Args:
            model: The name of a model, such as ``"rerank-v4.0-fast"``. With ``local:`` any name works.
            query: The question. It must not be blank.
            documents: n texts, mappings, dataclasses, pydantic models, rows, or documents of a framework, also mixed.
                They are read once. Structured documents are sent as YAML with their keys in the given order.
            top_n: The number of results to return, >= 1. Default: None, all n.
            max_tokens_per_doc: Longer documents are cut to this number of tokens, >= 1. Default: the API's, 4096.
            relevant_spans: Asks for the relevant passages of each document (Rerank v5 and newer, and ``local:``).
                Default: None.
            priority: 0 (first) to 999 (last), for when the API is under load. Default: the API's, 0.
            request_options: The official client's options of one call. Default: None.
            rank_fields: Names or dotted paths of the fields of structured documents to send, in this order.
                Default: None, all fields.
            text: Where the text of a structured document is: a field's name, a dotted path, or a function of the
                document that returns it. Default: the documents of common frameworks are recognized.
            on_empty: What to do with a document that has neither text nor a field with a value. ``"error"`` raises;
                ``"skip"`` leaves it out, and the indices of the results still refer to *documents*.
                Default: ``"error"``.
            min_score: The lowest score of a result to return. Default: None, no limit.
            max_documents_per_request: As in the constructor, for this call.
            deadline: As in the constructor, for this call, in seconds.
            **others: ``return_documents`` is accepted with a warning, because it has no effect in v2.

        Returns:
            At most min(top_n, n) results, best first, ties by index. ``index`` is 0-based and refers to *documents*.
            ``relevance_score`` is in [0, 1] for Cohere and the local engine; for other servers see ``score_scale``. It
            can be compared only within one query. Without documents there are no results, and nothing is sent.

        Raises:
            InvalidRequestError: An argument is not valid. Nothing was sent.
            ApiError: The API answered with an error. There is one class for each status.
            ConnectionFailedError: No complete reply arrived, or it arrived too late.
            InvalidResponseError: The reply breaks the contract.

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
            **others,  # type: ignore[misc]
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
        """Rerank many lists, several at a time, while the input is read and the results are used.

        Args:
            requests: Mappings of arguments of `rerank`. Each can have an ``id``; without one, its position is its id.
                They are read in the caller's thread when they are needed. At most 2 x *concurrency* requests are
                outstanding.
            concurrency: The number of calls in flight, >= 1. Default: 8.
            ordered: True yields in input order; a slow request holds back later ones. False yields each result as
                soon as it arrives. Default: True.
            on_error: ``"return"`` yields an error in place of the response. ``"raise"`` raises the first error when
                its turn comes, and cancels the requests in flight. Default: ``"return"``.
            progress: True for a progress bar (extra ``progress``), or a function that gets a BatchProgress after each
                result. Default: None.
            **common: Arguments of `rerank` for all requests. A request's own argument has priority if it is not None.

        Returns:
            An iterator of ``(id, response or error)``, one for each request. Closing it stops the batch: nothing more
            is sent. A wait for the rate limit never fails a request, because its deadline starts after the wait.

        Raises:
            InvalidRequestError: An argument of this method is not valid.
            CohereRerankError: While iterating, with any *on_error*: an error that would affect every further request,
                that is a QuotaExceededError, UnauthorizedError, PaymentRequiredError, MissingApiKeyError,
                ClientClosedError, BudgetExceededError or RateLimitStoreError. It is raised after the results of the
                requests in flight. The requests that failed with it are not yielded.
            Exception: While iterating: an exception that *requests* raised, after the results of the requests before
                it.
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
