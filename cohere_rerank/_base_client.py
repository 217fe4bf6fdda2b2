"""What ClientV2 and AsyncClientV2 share: settings, the pool that copies share, every decision that needs no waiting."""

from __future__ import annotations

from ._addresses import rerank_url
from ._counters import Ledger
from ._settings import Config, Secret
from ._wire.call import BULK
from ._wire.contract import FIRST_ERROR, FIRST_REDIRECT, TOO_MANY_REQUESTS
from ._wire.request import encode
from ._wire.response import decode, is_monthly_quota
from .errors import (
    ApiError,
    ClientClosedError,
    CohereRerankError,
    ConnectionFailedError,
    InvalidRequestError,
    InvalidResponseError,
    MissingApiKeyError,
    RateLimitWaitError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Any, TypeVar

    import httpx
    from typing_extensions import Self, Unpack

    from ._clock import Clock, Deadline
    from ._retry import RetryBudget, RetryLoop, RetryPolicy
    from ._settings import ApiKey, DialectName, Fallback, Limit
    from ._transport.http import Reply
    from ._wire.call import Call, Part
    from ._wire.dialects import Dialect
    from .cache.score_cache import ScoreCache
    from .environment import ClientEnvironment
    from .limits.limiter import Limiter
    from .local.scorer import ScoreFunction, Scorer
    from .types import ClientOptions, RerankArguments, V2RerankResponse
    from .usage import ClientUsage

    T = TypeVar("T")

_AFTER_SENDING = (ApiError, ConnectionFailedError, InvalidResponseError)
_BEFORE_SENDING = (MissingApiKeyError, RateLimitWaitError)  # though their bases say otherwise


def _engine(config: Config) -> tuple[Any, ...]:
    """Who answers: one API or another through the same pool, or a scorer of this process."""
    return (config.is_local, config.scorer, config.base_url if config.is_local else None)


class Shared:
    """One pool, one retry budget, one count of what was used; the first two are made at the first need."""

    __slots__ = ("_pool", "budget", "dialects", "has_outage", "is_closed", "ledger")

    def __init__(self) -> None:
        self._pool: dict[str, Any] = {}
        self.budget: RetryBudget | None = None
        self.dialects: dict[tuple[str, str], Dialect] = {}  # found out, by setting and address
        self.has_outage = False
        self.is_closed = False
        self.ledger = Ledger()

    @property
    def http(self) -> Any:
        """The pool's shell, or None before the first call."""
        return self._pool.get("http")

    def use(self, http: T) -> T:
        """Take this one as the pool's shell, unless another thread was first; whichever it is (one step)."""
        return self._pool.setdefault("http", http)  # type: ignore[no-any-return]


class BaseClient:
    """What both clients share: settings, the pool that copies share, and every decision that needs no waiting."""

    _httpx_kind: tuple[str, str]  # which class of httpx the client may bring, and that one's word for closing
    _own_clock: Clock | None = None  # outranks the settings' one; see `_on_clock`

    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        base_url: str | None = None,
        environment: ClientEnvironment | None = None,
        client_name: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        httpx_client: httpx.Client | httpx.AsyncClient | None = None,
        thread_pool_executor: Executor | None = None,  # noqa: ARG002 - part of the official signature
        log_warning_experimental_features: bool = True,  # noqa: ARG002 - part of the official signature
        connect_timeout: float | None = None,
        deadline: float | None = None,
        retry_policy: RetryPolicy | None = None,
        max_documents_per_request: int | None = None,
        max_connections: int | None = None,
        max_response_bytes: int | None = None,
        fallback: Fallback | None = None,
        scorer: Scorer | ScoreFunction | None = None,
        limit: Limit | None = None,
        cache: ScoreCache | None = None,
        tag: str | None = None,
        dialect: DialectName | None = None,
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
            timeout: Seconds for one attempt, from connecting to the last byte of the reply. Default: 300 for each phase
                (connect, write, each read); with an *httpx_client*, its own.
            max_retries: Repeats after a failure that may pass, >= 0; 2.
            httpx_client: Your own client, used as it is: proxies, HTTP/2, certificates, event hooks.
            thread_pool_executor: As in the official client, which has no use for it in rerank either.
            log_warning_experimental_features: As in the official client; rerank has no such features.
            connect_timeout: Seconds to connect, TLS included; 10, or *timeout* if that is less.
            deadline: Seconds for a whole call with its retries and waits. Default: 300, or if *timeout* is given, as
                long as all attempts and the backoffs between them can take.
            retry_policy: Everything about repeats; *max_retries* outranks the policy's own.
            max_documents_per_request: Longer lists are split, 1 to 10,000 (the API's limit). Cohere advises 1,000.
            max_connections: Connections open at once, >= 1; 100. Further requests queue in order.
            max_response_bytes: A longer reply, decompressed, is refused; 256 MiB.
            fallback: Who answers when the API cannot: ``"local"``, a scorer, or a function of
                ``(query, documents)`` that gives one score in [0, 1] a document. None: the error is raised.
            scorer: Who scores for a ``local:`` address, in the same forms.
            limit: How often to send: ``"trial"`` (10 a minute), ``"production"`` (1,000), ``"auto"``, or a RateLimit.
                Shared by all clients of the process with the same limit, key and address. None: as often as asked.
            cache: Where scores are kept, so that a document is not paid for twice. None: nowhere.
            tag: Under what name `usage` counts this client's calls.
            dialect: What the server speaks: ``"cohere"``, ``"v1"``, ``"jina"`` (infinity, Xinference, vLLM), ``"tei"``,
                ``"llamacpp"``; ``"auto"`` finds out with the first call and remembers.
            clock: The time, for tests.

        Raises:
            MissingApiKeyError: No key anywhere, and the address is not ``local:``.
            InvalidRequestError: A setting is of the wrong type or out of its range.
        """
        self._config = Config(
            api_key=None if api_key is None else Secret(api_key),
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
            limit=limit,
            cache=cache,
            tag=tag,
            dialect=dialect,
            clock=clock,
        )
        self._httpx_client = self._checked_httpx_client(httpx_client)
        self._shared = Shared()

    def _checked_httpx_client(self, client: Any) -> Any:
        kind, closes = self._httpx_kind
        if client is None or (hasattr(client, "build_request") and hasattr(client, closes)):
            return client
        raise InvalidRequestError(f"httpx_client must be an {kind}, got {type(client).__name__}")

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """A copy with some settings changed, which shares this client's connections and retry budget.

        Args:
            **options: Arguments of the constructor, apart from those that make the pool (*httpx_client*,
                *max_connections*), *environment*, and the two without a use here. None keeps what was set.

        Raises:
            InvalidRequestError: No such option, or a value is out of its range.
        """
        unknown = sorted(options.keys() - (vars(self._config).keys() - {"max_connections"}))
        if unknown:
            raise InvalidRequestError(f"with_options takes no {', '.join(unknown)}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = self._config.but(**options)
        if _engine(copy._config) != _engine(self._config):
            copy._shared = Shared()  # another engine answers: nothing to share
        return copy

    def __repr__(self) -> str:
        config = self.__dict__.get("_config")  # missing where the constructor refused its arguments
        return f"<{type(self).__name__} {config.base_url}>" if config else f"<{type(self).__name__}>"

    def __copy__(self) -> Self:
        return self.with_options()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.with_options()  # a copy by way of a pickle would lose its key and its connections

    def __getstate__(self) -> dict[str, Any]:
        if self._httpx_client is not None:
            raise TypeError("a client with an httpx_client of yours cannot be pickled")
        return {"_config": self._config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _httpx_client=None, _shared=Shared())

    def _check_open(self) -> None:
        if self._shared.is_closed:
            raise ClientClosedError("The client is closed; make a new one, or close it later")

    def _clock(self) -> Clock:
        from ._clock import SystemClock

        return self._own_clock or self._config.clock or SystemClock()

    def _on_clock(self, clock: Clock) -> Self:
        """A copy that waits on this clock, for work whose waits may end early.

        No setting: a limit is shared by clients whose settings name the same clock, and this copy goes on sharing it.
        """
        copy = self.with_options()
        copy._own_clock = clock
        return copy

    def _deadline(self, call: Call) -> Deadline:
        from ._clock import Deadline

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

        if self._shared.budget is None:
            self._shared.budget = RetryBudget(policy.budget)
        return self._shared.budget

    def _succeeded(self, n_repeats: int = 0) -> None:
        """Note that the API answers: repeats are given back, and an outage, if there was one, is over."""
        if self._shared.budget is not None:
            self._shared.budget.refund(n_repeats)
        self._shared.has_outage = False

    def _retries(self, part: Part, deadline: Deadline, error: CohereRerankError) -> RetryLoop | None:
        """The repeats that this first failure deserves; None if it deserves none."""
        from ._retry import RetryLoop

        if isinstance(error, _AFTER_SENDING) and not isinstance(error, _BEFORE_SENDING):
            error.attempts = 1
        policy = self._policy(part.call)
        if policy.max_retries == 0 or not policy.should_retry(error):
            return None
        return RetryLoop(policy, self._budget(policy), deadline, error, is_limited=self._gate() is not None)

    def _decode(self, part: Part, reply: Reply) -> V2RerankResponse:
        now = self._clock().time() if reply.status_code >= FIRST_ERROR else 0.0
        response = decode(part, reply.status_code, reply.headers, reply.content, now)
        self._shared.ledger.add_billed(self._config.tag, response)
        return response

    def _parts(self, call: Call) -> list[Part]:
        """The requests to send, written in the server's dialect."""
        name = self._config.dialect
        if name not in (None, "cohere") and not self._config.is_local:
            from ._wire.dialects import initial_dialect

            call.dialect = self._shared.dialects.get((name, self._config.base_url)) or initial_dialect(name)
        return call.parts()

    def _should_turn(self, part: Part, reply: Reply) -> bool:
        """Whether "auto" has another dialect to try after this reply; the part is written in it then."""
        if self._config.dialect != "auto" or part.dialect is None:
            return False
        if reply.status_code < FIRST_REDIRECT:
            self._shared.dialects["auto", self._config.base_url] = part.dialect
            return False
        from ._wire.dialects import next_dialect

        other = next_dialect(part.dialect, self._config.base_url, reply.status_code, reply.content)
        if other is not None:
            part.encode_as(other)
        return other is not None

    def _count(self, name: str) -> None:
        self._shared.ledger.add(self._config.tag, name)

    def _count_call(self, call: Call, error: CohereRerankError | None) -> None:
        """Count a call that has ended, unless its batch makes the same call again once its turn is near."""
        if call.traffic_class == BULK and isinstance(error, RateLimitWaitError):
            return
        self._count("calls")
        if error is not None:
            self._count("failed_calls")

    @property
    def usage(self) -> ClientUsage:
        """What this client and the copies made of it have used so far: calls, requests, billed units, by tag."""
        from .usage import read

        return read(self._shared.ledger)

    def _gate(self) -> Limiter | None:
        """Where sends wait for their turn; None if nothing limits them."""
        config = self._config
        if config.limit is None or config.is_local:
            return None
        from ._transport.errors import rate_limit_wait_error
        from .limits.limiter import limiter_for

        return limiter_for(
            config.limit,
            address=rerank_url(config.base_url),
            key=getattr(config.api_key, "value", None),
            clock=config.clock,
            wait_error=rate_limit_wait_error,
        )

    def _hear(self, limiter: Limiter, reply: Reply) -> None:
        """Let the limiter know what the server said, for all who share it.

        Not of a used-up month: that no pause mends, and whoever calls next may have another key by then.
        """
        if reply.status_code == TOO_MANY_REQUESTS and is_monthly_quota(reply.content):
            return
        clock, hint_s = self._clock(), None
        if reply.status_code >= FIRST_ERROR:
            from ._wire.retry_after import retry_after_s

            hint_s = retry_after_s(reply.headers, clock.time())
        limiter.on_response(clock, reply.status_code, reply.headers, hint_s)

    def _encode_bulk(self, **arguments: Unpack[RerankArguments]) -> Call:
        """A call of a batch: where sends wait for their turn, it lets interactive ones pass."""
        call = encode(self._config, **arguments)
        call.traffic_class = BULK
        return call

    def _may_fall_back(self, call: Call, error: CohereRerankError) -> bool:
        return self._config.fallback is not None and self._policy(call).is_outage(error)

    def _fallback_answer(self, call: Call, error: CohereRerankError) -> V2RerankResponse:
        from .local import fallback

        self._count("fallbacks")
        if not self._shared.has_outage:
            self._shared.has_outage = True
            from logging import getLogger

            from ._retry import for_log

            getLogger("cohere_rerank").warning("the fallback answers until the API can again: %s", for_log(error))
        return fallback.fallback_response(call, error, self._config.fallback)
