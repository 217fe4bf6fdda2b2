"""AsyncClientV2. It does the same as ClientV2 in `client`, with tasks and ``await`` instead of threads."""

from __future__ import annotations

from ._base_client import BaseClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Self, Unpack

    from ._async_runner import AsyncRunner
    from ._raw_response import AsyncRawClientV2
    from .batch import AsyncBatch, BatchProgress
    from .types import (
        CommonArguments,
        Documents,
        ModelName,
        OtherArguments,
        RequestOptions,
        RerankRelevantSpans,
        V2RerankResponse,
    )

__all__ = ["AsyncClientV2"]


class BaseAsyncClient(BaseClient):
    """The part that AsyncClientV2 and the v1 AsyncClient share."""

    _httpx_kind = ("httpx.AsyncClient", "aclose")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of this client and of its copies. A later call raises ClientClosedError."""
        self._state.is_closed = True
        sender = self._state.sender or self._httpx_client
        if sender is not None:
            await sender.aclose()

    close = aclose

    @property
    def _calls(self) -> AsyncRunner:
        if self._runner is None:
            from ._async_runner import AsyncRunner

            self._runner = AsyncRunner(self._config, self._state, self._httpx_client)
        runner: AsyncRunner = self._runner
        return runner


class AsyncClientV2(BaseAsyncClient):
    """A client of Cohere's rerank API for asyncio and trio. Any number of tasks and event loops can share it.

    Use it as an async context manager, or call `aclose`, to close its connections.
    """

    @property
    def v2(self) -> AsyncClientV2:
        """This client. The official client has its v2 methods under this name."""
        return self

    @property
    def with_raw_response(self) -> AsyncRawClientV2:
        """A client whose ``rerank`` returns a RawResponse: the response with its status and headers."""
        from ._raw_response import AsyncRawClientV2

        return AsyncRawClientV2(self._calls)

    async def rerank(
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
        """As `ClientV2.rerank`."""
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
        return (await calls.rerank(call))[0]

    def rerank_many(
        self,
        requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        on_error: Literal["return", "raise"] = "return",
        progress: bool | Callable[[BatchProgress], object] | None = None,
        **common: Unpack[CommonArguments],
    ) -> AsyncBatch:
        """As `ClientV2.rerank_many`, as an asynchronous iterator. *requests* can be asynchronous too."""
        from .batch.tasks import rerank_many_async

        return rerank_many_async(
            self._calls,
            requests,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            progress=progress,
            common=common,
        )
