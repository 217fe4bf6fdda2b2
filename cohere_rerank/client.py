"""ClientV2 and AsyncClientV2: the same rules, with and without ``await``.

A request's walk: `_wire.encode` packs the arguments, ``_http`` sends bytes and reads a reply, `_wire.decode` makes a
response or an error of it, ``_retry`` decides about a repeat. All imports that cost time wait for the first call.
"""

from __future__ import annotations

from . import _config, _wire
from .errors import CohereRerankError, InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from types import TracebackType
    from typing import Any

    import httpx
    from typing_extensions import Self

    from ._config import ApiKey, Fallback
    from ._http import AsyncHttp, Http, Reply
    from ._retry import Clock, Deadline, Retries, RetryBudget, RetryPolicy
    from ._wire import Call, Part
    from .environment import ClientEnvironment
    from .local.scorer import Scorer, ScoreFunction
    from .types import RequestOptions, RerankRelevantSpans, V2RerankResponse

_PARTS_AT_ONCE = 8  # requests of one split call under way at the same time


class _Client:
    """What both clients share: settings, the pool that copies share, and every decision that needs no waiting."""

    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        base_url: str | None = None,
        environment: ClientEnvironment | None = None,
        client_name: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        httpx_client: Any = None,
        thread_pool_executor: Executor | None = None,
        log_warning_experimental_features: bool = True,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        retry_policy: RetryPolicy | None = None,
        max_documents_per_request: int | None = None,
        max_connections: int | None = None,
        max_response_bytes: int | None = None,
        fallback: Fallback | None = None,
        scorer: Scorer | ScoreFunction | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the settings; nothing is sent, and nothing heavy imported, before the first call.

        Args:
            api_key: The key, or a function that gives it (asked before every request). Without it: CO_API_KEY, then
                COHERE_API_KEY. An empty string sends no Authorization header.
            base_url: ``https://host``, with a prefix, a version or the full endpoint; or ``local:`` for the engine
                inside this process. Without it: CO_API_URL, then *environment*.
            environment: Where the API lives; production is the only one.
            client_name: Sent as X-Client-Name.
            timeout: Seconds for each single phase (connect, write, each read), 300; with an *httpx_client*, its own.
            max_retries: Repeats after a failure that may pass, >= 0; 2.
            httpx_client: Your own client, used as it is: proxies, HTTP/2, certificates, event hooks.
            thread_pool_executor: Where `ClientV2` sends the parts of a split call; its own threads if not given.
            log_warning_experimental_features: As in the official client; rerank has no such features.
            connect_timeout: Seconds to connect, TLS included; 10, or *timeout* if that is less.
            deadline: Seconds for a whole call with its repeats and waits; 300.
            retry_policy: Everything about repeats; *max_retries* outranks the policy's own.
            max_documents_per_request: Longer lists are split, 1 to 10,000 (the API's limit). Cohere advises 1,000.
            max_connections: Connections open at once, >= 1; 100. Further requests queue in order.
            max_response_bytes: A longer reply, decompressed, is refused; 256 MiB.
            fallback: Who answers when the API cannot: ``"local"``, a scorer, or a function of
                ``(query, documents)`` that gives one score in [0, 1] a document. None: the error is raised.
            scorer: Who scores for a ``local:`` address, in the same forms.
            clock: The time, for tests.

        Raises:
            MissingApiKeyError: No key anywhere, and the address is not ``local:``.
            InvalidRequestError: A setting is of the wrong type or out of its range.
        """
        self._config = _config.Config(
            api_key=None if api_key is None else _config.Secret(api_key),
            base_url=base_url,
            environment=environment,
            client_name=client_name,
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            max_retries=max_retries,
            retry_policy=retry_policy,
            max_documents_per_request=max_documents_per_request,
            max_connections=max_connections,
            max_response_bytes=max_response_bytes,
            fallback=fallback,
            scorer=scorer,
            clock=clock,
        )
        self._executor = thread_pool_executor
        self._httpx_client = httpx_client
        self._shared: dict[str, Any] = {}  # pool, retry budget, outage: made at the first call, shared by copies

    def with_options(self, **options: Any) -> Self:
        """A copy with some settings changed, which shares this client's connections and retry budget.

        Args:
            **options: Any argument of the constructor but *httpx_client*; None keeps what was set.

        Raises:
            InvalidRequestError: No such option, or a value is out of its range.
        """
        unknown = sorted(options.keys() - set(_config.Config.__slots__) - {"thread_pool_executor"})
        if unknown:
            raise InvalidRequestError(f"with_options takes no {', '.join(unknown)}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._executor = options.pop("thread_pool_executor", None) or self._executor
        copy._config = self._config.but(**options)
        if (copy._config.is_local, copy._config.scorer) != (self._config.is_local, self._config.scorer):
            copy._shared = {}  # another engine answers: nothing to share
        return copy

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.base_url}>"

    def __getstate__(self) -> dict[str, Any]:
        if self._httpx_client is not None or self._executor is not None:
            raise TypeError("a client with its own httpx_client or thread_pool_executor cannot be pickled")
        return {"_config": self._config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _executor=None, _httpx_client=None, _shared={})

    def _clock(self) -> Clock:
        from ._retry import SystemClock

        return self._config.clock or SystemClock()

    def _deadline(self, call: Call) -> Deadline:
        from ._retry import Deadline

        return Deadline(self._clock(), call.deadline_s)

    def _policy(self, call: Call) -> RetryPolicy:
        from dataclasses import replace

        from ._retry import RetryPolicy

        policy = self._config.retry_policy or RetryPolicy()
        max_retries = self._config.max_retries if call.max_retries is None else call.max_retries
        if max_retries is not None:
            policy = replace(policy, max_retries=max_retries)
        return policy if call.retry_remote_protocol_errors else replace(policy, remote_protocol_errors=False)

    def _budget(self, policy: RetryPolicy) -> RetryBudget:
        from ._retry import RetryBudget

        budget: RetryBudget = self._shared.setdefault("budget", RetryBudget(policy.budget))
        return budget

    def _succeeded(self, n_repeats: int = 0) -> None:
        """Note that the API answers: repeats are given back, and an outage, if there was one, is over."""
        budget = self._shared.get("budget")
        if budget is not None:
            budget.succeeded(n_repeats)
        self._shared.pop("outage", None)

    def _retries(self, part: Part, deadline: Deadline, error: CohereRerankError) -> Retries | None:
        """The repeats that this first failure deserves; None if it deserves none."""
        from ._retry import Retries

        error.attempts = 1
        policy = self._policy(part.call)
        if policy.max_retries == 0 or not policy.repeats(error):
            return None
        return Retries(policy, self._budget(policy), deadline, error)

    def _decode(self, part: Part, reply: Reply) -> V2RerankResponse:
        response = reply.response
        now = 0.0 if response.status_code < 300 else self._clock().time()  # noqa: PLR2004
        return _wire.decode(part, response.status_code, response.headers, reply.content, now)

    def _may_fall_back(self, call: Call, error: CohereRerankError) -> bool:
        return self._config.fallback is not None and self._policy(call).is_outage(error)

    def _fallback_answer(self, call: Call, error: CohereRerankError) -> V2RerankResponse:
        from .local import fallback

        if not self._shared.get("outage"):
            self._shared["outage"] = True
            from logging import getLogger

            getLogger("cohere_rerank").warning("the API cannot answer, the fallback does until it can: %s", error)
        return fallback.answer_call(call, error, self._config.fallback)


class ClientV2(_Client):
    """Cohere's rerank API, blocking. Safe to share between threads, and usable after a fork.

    Use it as a context manager, or call `close`, to let go of its connections.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also for copies made by `with_options`; a later call raises ClientClosedError."""
        self._http().close()

    @property
    def v2(self) -> ClientV2:
        """This client, under the name the official one has for its v2 methods."""
        return self

    @property
    def with_raw_response(self) -> RawClientV2:
        """The same methods, with status and headers beside the response."""
        return RawClientV2(self)

    def rerank(
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
            rank_fields: Which fields of structured documents to send, in this order.
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
        call = _wire.encode(
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
            min_score=min_score,
            max_documents_per_request=max_documents_per_request,
            deadline=deadline,
        )
        return self._answer(call)[0]

    def _answer(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        if not call.texts:
            return _wire.empty_answer(call), None
        parts, deadline = call.parts(), self._deadline(call)
        try:
            if len(parts) == 1:
                answers = [self._perform(parts[0], deadline)]
            else:
                answers = self._perform_all(parts, deadline)
        except CohereRerankError as error:
            if not self._may_fall_back(call, error):
                raise
            return self._fallback_answer(call, error), None
        return _wire.answer(call, parts, [response for response, _ in answers]), answers[0][1]

    def _perform_all(self, parts: Sequence[Part], deadline: Deadline) -> list[tuple[V2RerankResponse, Reply]]:
        from concurrent.futures import ThreadPoolExecutor

        executor = self._executor or ThreadPoolExecutor(min(len(parts), _PARTS_AT_ONCE), "cohere_rerank")
        futures = [executor.submit(self._perform, part, deadline) for part in parts]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            if executor is not self._executor:
                executor.shutdown(wait=False)

    def _perform(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        """One request and, if they may help, its repeats."""
        try:
            answer = self._attempt(part, deadline)
        except CohereRerankError as error:
            retries = self._retries(part, deadline, error)
            _wire.locate(error, part)
            if retries is None:
                raise
        else:
            self._succeeded()
            return answer
        for attempt in retries.blocking(self._clock()):
            with attempt:
                retries.replay(attempt.retry_state.attempt_number)
                answer = self._attempt(part, deadline)
                self._succeeded(retries.n_drawn)
                return answer
        raise AssertionError("unreachable: the loop returns or raises")

    def _attempt(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        reply = self._http().send(self._config, part, self._key(), deadline)
        return self._decode(part, reply), reply

    def _http(self) -> Http:
        http: Http | None = self._shared.get("http")
        if http is None:
            from ._http import Http

            http = self._shared.setdefault("http", Http(self._config, self._httpx_client))
        return http

    def _key(self) -> str | None:
        secret = self._config.api_key
        if secret is None:
            if self._config.is_local:
                return None
            raise _config.missing_key()
        key = secret.value if isinstance(secret.value, str) else secret.value()
        if not isinstance(key, str):
            if hasattr(key, "close"):
                key.close()  # a coroutine that nobody will await
            raise InvalidRequestError(
                f"the api_key function must return a string, got {type(key).__name__}; "
                "asynchronous ones work with AsyncClientV2"
            )
        return key


class AsyncClientV2(_Client):
    """Cohere's rerank API, for asyncio (and trio). One client serves any number of tasks and event loops.

    Use it as an async context manager, or call `aclose`, to let go of its connections.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, also for copies made by `with_options`; a later call raises ClientClosedError."""
        await self._http().aclose()

    close = aclose

    @property
    def v2(self) -> AsyncClientV2:
        """This client, under the name the official one has for its v2 methods."""
        return self

    @property
    def with_raw_response(self) -> AsyncRawClientV2:
        """The same methods, with status and headers beside the response."""
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
        min_score: float | None = None,
        max_documents_per_request: int | None = None,
        deadline: float | None = None,
    ) -> V2RerankResponse:
        call = _wire.encode(
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
            min_score=min_score,
            max_documents_per_request=max_documents_per_request,
            deadline=deadline,
        )
        return (await self._answer(call))[0]

    rerank.__doc__ = ClientV2.rerank.__doc__

    async def _answer(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        if not call.texts:
            return _wire.empty_answer(call), None
        parts, deadline = call.parts(), self._deadline(call)
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
        return _wire.answer(call, parts, [response for response, _ in answers]), answers[0][1]

    async def _perform_all(
        self, parts: Sequence[Part], deadline: Deadline
    ) -> list[tuple[V2RerankResponse, Reply]]:
        from anyio import CapacityLimiter, create_task_group

        answers: dict[int, tuple[V2RerankResponse, Reply]] = {}
        failures: list[Exception] = []
        limiter = CapacityLimiter(_PARTS_AT_ONCE)

        async def perform(part: Part) -> None:
            try:
                async with limiter:
                    answers[part.start] = await self._perform(part, deadline)
            except Exception as error:
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
            _wire.locate(error, part)
            if retries is None:
                raise
        else:
            self._succeeded()
            return answer
        async for attempt in retries.awaiting(self._clock()):
            with attempt:
                retries.replay(attempt.retry_state.attempt_number)
                answer = await self._attempt(part, deadline)
                self._succeeded(retries.n_drawn)
                return answer
        raise AssertionError("unreachable: the loop returns or raises")

    async def _attempt(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        reply = await self._http().send(self._config, part, await self._key(), deadline)
        return self._decode(part, reply), reply

    def _http(self) -> AsyncHttp:
        http: AsyncHttp | None = self._shared.get("http")
        if http is None:
            from ._http import AsyncHttp

            http = self._shared.setdefault("http", AsyncHttp(self._config, self._httpx_client))
        return http

    async def _key(self) -> str | None:
        secret = self._config.api_key
        if secret is None:
            if self._config.is_local:
                return None
            raise _config.missing_key()
        key = secret.value if isinstance(secret.value, str) else secret.value()
        if hasattr(key, "__await__"):
            key = await key
        if not isinstance(key, str):
            raise InvalidRequestError(f"the api_key function must return a string, got {type(key).__name__}")
        return key


class RawResponse:
    """A response with its transport's side.

    Attributes:
        data: The parsed response.
        response: The ``httpx.Response``; of the first part when a long list was split, None when nothing was sent
            or a fallback answered.
    """

    def __init__(self, data: V2RerankResponse, reply: Reply | None) -> None:
        self.data = data
        self.response: httpx.Response | None = None if reply is None else reply.whole_response()

    @property
    def headers(self) -> dict[str, str]:
        """The reply's headers, names in lower case; empty without a reply."""
        return {} if self.response is None else dict(self.response.headers)

    @property
    def status_code(self) -> int | None:
        """The reply's status; None without a reply."""
        return None if self.response is None else self.response.status_code

    def __repr__(self) -> str:
        return f"RawResponse(status_code={self.status_code}, data={self.data!r})"


class RawClientV2:
    """What ``client.with_raw_response`` gives."""

    def __init__(self, client: ClientV2) -> None:
        self._client = client

    def rerank(self, **arguments: Any) -> RawResponse:
        """As `ClientV2.rerank`, with status and headers beside the response."""
        return RawResponse(*self._client._answer(_wire.encode(self._client._config, **arguments)))


class AsyncRawClientV2:
    """What ``client.with_raw_response`` gives."""

    def __init__(self, client: AsyncClientV2) -> None:
        self._client = client

    async def rerank(self, **arguments: Any) -> RawResponse:
        """As `AsyncClientV2.rerank`, with status and headers beside the response."""
        return RawResponse(*await self._client._answer(_wire.encode(self._client._config, **arguments)))
