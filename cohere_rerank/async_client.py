"""AsyncClientV2: the twin of `client`, where the rules are told; tasks and ``await`` take the place of threads."""

from __future__ import annotations

from ._base_client import BaseClient
from ._settings import made_key, missing_key
from ._wire.call import MAX_CONCURRENT_PARTS
from ._wire.request import encode
from ._wire.response import build_response, empty_response, tag_with_part
from .errors import CohereRerankError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Self, Unpack

    from ._clock import Deadline
    from ._raw_response import AsyncRawClientV2
    from ._settings import Secret
    from ._transport.http import AsyncSender, Reply
    from ._wire.call import Call, Part
    from .batch import AsyncBatch, BatchProgress
    from .types import CommonArguments, RequestOptions, RerankRelevantSpans, V2RerankResponse

__all__ = ["AsyncClientV2"]


class AsyncClientV2(BaseClient):
    """Cohere's rerank API, for asyncio (and trio). One client serves any number of tasks and event loops.

    Use it as an async context manager, or call `aclose`, to let go of its connections.
    """

    _httpx_kind = ("httpx.AsyncClient", "aclose")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, also for copies made by `with_options`; a later call raises ClientClosedError."""
        self._shared.is_closed = True
        http = self._shared.http or self._httpx_client
        if http is not None:
            await http.aclose()

    close = aclose

    @property
    def v2(self) -> AsyncClientV2:
        """This client, under the name the official one has for its v2 methods."""
        return self

    @property
    def with_raw_response(self) -> AsyncRawClientV2:
        """The same methods, with status and headers beside the response."""
        from ._raw_response import AsyncRawClientV2

        return AsyncRawClientV2(self)

    async def rerank(
        self,
        *,
        model: str,
        query: str,
        documents: Iterable[object],
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
        """As `ClientV2.rerank`."""
        call = encode(
            self._config,
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
        return (await self._answer(call))[0]

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
        """As `ClientV2.rerank_many`, as an asynchronous iterator; *requests* may be one too."""
        from .batch.tasks import rerank_many_async

        return rerank_many_async(
            self,
            requests,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            progress=progress,
            common=common,
        )

    async def _answer(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        if not call.texts:
            return empty_response(call), None
        try:
            if self._config.cache is None:
                answered = await self._answer_fresh(call)
            else:
                from .cache.rerank import rerank_cached_async

                answered = await rerank_cached_async(self, call)
        except CohereRerankError as error:
            self._count_call(call, error)
            raise
        self._count_call(call, None)
        return answered

    async def _answer_fresh(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """The answer to a call, of documents there are, without a look into the cache."""
        parts, deadline = self._parts(call), self._deadline(call)
        try:
            if len(parts) == 1:
                answers = [await self._perform(parts[0], deadline)]
            else:
                answers = await self._perform_all(parts, deadline)
        except CohereRerankError as error:
            if not self._may_fall_back(call, error):
                raise
            from anyio import to_thread

            return await to_thread.run_sync(self._fallback_answer, call, error), None
        return build_response(call, parts, [response for response, _ in answers]), answers[0][1]

    async def _perform_all(self, parts: Sequence[Part], deadline: Deadline) -> list[tuple[V2RerankResponse, Reply]]:
        from anyio import CapacityLimiter, create_task_group

        answers: dict[int, tuple[V2RerankResponse, Reply]] = {}
        failures: list[Exception] = []
        limiter = CapacityLimiter(MAX_CONCURRENT_PARTS)

        async def perform(part: Part) -> None:
            try:
                async with limiter:
                    answers[part.start] = await self._perform(part, deadline)
            except Exception as error:  # noqa: BLE001 - raised below, bare of the group's wrapping
                failures.append(error)
                group.cancel_scope.cancel()

        async with create_task_group() as group:
            for part in parts:
                group.start_soon(perform, part)
        if failures:
            raise failures[0]
        return [answers[part.start] for part in parts]

    async def _perform(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        """One request and, if they may help, its repeats."""
        try:
            answer = await self._attempt(part, deadline)
        except CohereRerankError as error:
            retries = self._retries(part, deadline, error)
            tag_with_part(error, part)
            if retries is None:
                raise
        else:
            self._succeeded()
            return answer
        async for attempt in retries.async_attempts(self._clock()):
            with attempt:
                retries.reraise_first(attempt.retry_state.attempt_number)
                self._count("retries")
                answer = await self._attempt(part, deadline)
                self._succeeded(retries.n_tokens)
                return answer
        raise AssertionError("unreachable: the loop returns or raises")

    async def _attempt(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        limiter = self._gate()
        if limiter is None:
            reply = await self._send(part, deadline)
        else:
            self._http()  # what the first call imports must not come between its turn and its send
            await limiter.acquire_async(self._clock(), deadline, part.call.traffic_class)
            try:
                reply = await self._send(part, deadline)
                self._hear(limiter, reply)
            finally:
                limiter.release()
        return self._decode(part, reply), reply

    async def _send(self, part: Part, deadline: Deadline) -> Reply:
        while True:
            self._count("requests")
            reply = await self._http().send(self._config, part, await self._key(deadline), deadline)
            if not self._should_turn(part, reply):
                return reply

    def _http(self) -> AsyncSender:
        http: AsyncSender | None = self._shared.http
        if http is None:
            from ._transport.http import AsyncSender

            self._check_open()
            http = self._shared.use(AsyncSender(self._config, self._httpx_client))
        return http

    async def _key(self, deadline: Deadline) -> Secret | None:
        secret = self._config.api_key
        if secret is None and not self._config.is_local:
            raise missing_key()
        if secret is None or isinstance(secret.value, str):
            return secret
        made: Any = secret.value()
        if not hasattr(made, "__await__"):
            return made_key(made)
        from anyio import move_on_after

        with move_on_after(deadline.remaining()):
            return made_key(await made)
        from ._transport.errors import deadline_exceeded

        raise deadline_exceeded(deadline)
