"""The part that ClientV2 and AsyncClientV2 share: the settings, copies, pickles, and the state that copies share.

A client is constructed when a program starts, so this module imports little. `_runner` sends the calls.
"""

from __future__ import annotations

from ._counters import UsageCounters
from ._settings import Config, checked_key
from ._validators import describe
from .errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from typing import Any, TypeVar

    import httpx
    from typing_extensions import Self, Unpack

    from ._clock import Clock
    from ._retry import RetryBudget, RetryPolicy
    from ._wire.dialects import BaseDialect
    from ._wire.size_limits import SizeLimit
    from .cache.score_cache import ScoreCache
    from .cost.prices import Price
    from .environment import ClientEnvironment
    from .limits.budget import Budget
    from .limits.circuit_breaker import CircuitBreaker
    from .limits.hedge import Hedge, HedgeRule
    from .local.scorer import ScoreFunction, Scorer
    from .types import ApiKey, ClientOptions, DialectName, Fallback, Limit, OnEvent, ScoreScale
    from .usage import ClientUsage

    T = TypeVar("T")


# Methods of the official clients that ours do not have.
_OTHER_ENDPOINTS = (
    *("audio", "batches", "chat", "chat_stream", "check_api_key", "classify", "connectors", "datasets", "detokenize"),
    *("embed", "embed_jobs", "embed_stream", "fetch_tokenizer", "finetuning", "generate", "generate_stream", "models"),
    *("summarize", "tokenize"),
)

_OF_CONNECTIONS = (
    "max_connections",
    "proxy",
    "verify",
)  # settings that copies cannot change, as they share connections


def _backend_id(config: Config) -> tuple[Any, ...]:
    """Return the id of the backend. All APIs have the same id, because they share connections. Local scorers do not."""
    return (config.is_local, config.scorer, config.base_url if config.is_local else None)


class ClientState:
    """The state that a client and its copies share: the sender, the retry budget, the usage, and learned facts."""

    __slots__ = (
        "_sender",
        "budget",
        "dialects",
        "has_outage",
        "hedge_rules",
        "is_closed",
        "score_scales",
        "size_limits",
        "usage",
    )

    def __init__(self) -> None:
        self._sender: dict[str, Any] = {}
        self.budget: RetryBudget | None = None  # created when it is first needed, as the sender is
        self.dialects: dict[tuple[str, str], BaseDialect] = {}  # by setting and address; found by the first call
        self.score_scales: dict[tuple[str, str | None], ScoreScale] = {}  # by address and model, once it is known
        self.size_limits: dict[str, SizeLimit] = {}  # by address; learned from refusals
        self.has_outage = False
        self.hedge_rules: dict[Hedge, HedgeRule] = {}
        self.is_closed = False
        self.usage = UsageCounters()

    @property
    def sender(self) -> Any:
        """The sender, or None before the first call."""
        return self._sender.get("sender")

    def set_sender_once(self, sender: T) -> T:
        """Set the sender unless another thread has set one, and return the one that is set."""
        return self._sender.setdefault("sender", sender)  # type: ignore[no-any-return] # one atomic step


class BaseClient:
    """The part that both clients share."""

    _httpx_kind: tuple[str, str]  # the class that httpx_client must have, and the name of its method that closes it
    _default_dialect: DialectName | None = None
    _runner: Any = None  # created for the first call

    def __init__(
        self,
        api_key: ApiKey | Sequence[ApiKey] | None = None,
        *,
        base_url: str | None = None,
        rerank_url: str | None = None,
        environment: ClientEnvironment | None = None,
        client_name: str | None = None,
        headers: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        proxy: str | None = None,
        verify: bool | str | os.PathLike[str] | ssl.SSLContext | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        httpx_client: httpx.Client | httpx.AsyncClient | None = None,
        thread_pool_executor: Executor | None = None,  # noqa: ARG002 - part of the official signature
        log_warning_experimental_features: bool = True,  # noqa: ARG002 - part of the official signature
        connect_timeout: float | None = None,
        deadline: float | None = None,
        retry_policy: RetryPolicy | None = None,
        max_documents_per_request: int | None = None,
        max_request_bytes: int | None = None,
        pointwise: bool | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        hedge: Hedge | None = None,
        max_connections: int | None = None,
        max_response_bytes: int | None = None,
        fallback: Fallback | None = None,
        scorer: Scorer | ScoreFunction | None = None,
        limit: Limit | None = None,
        budget: Budget | None = None,
        prices: Mapping[str, Price | Mapping[str, Any]] | None = None,
        cache: ScoreCache | None = None,
        tag: str | None = None,
        dialect: DialectName | None = None,
        strict: bool | None = None,
        score_scale: ScoreScale | None = None,
        clock: Clock | None = None,
        on_event: OnEvent | None = None,
        telemetry: bool | None = None,
    ) -> None:
        """Check the settings. Nothing is sent before the first call.

        Args:
            api_key: The key, or a function that returns it and is called before every request. An empty string sends
                no Authorization header. A list of keys: each has its own *limit*, and a request that gets a 429 is sent
                again with the next one. Default: the variable CO_API_KEY, then COHERE_API_KEY.
            base_url: ``https://host``, with a prefix, a version or the full endpoint; ``local:`` for the engine
                inside this process; or the address of a cloud, such as ``bedrock:us-east-1``. Default: the variable
                CO_API_URL, then *environment*.
            rerank_url: The full address of the endpoint, used exactly as it is, with a query if it has one. It has
                priority over *base_url*. Default: None.
            environment: The official client's name for an address. Default: production, the only one.
            client_name: The value of the header X-Client-Name. Default: None, no header.
            headers: Headers of every request, such as ``{"api-key": "..."}`` for Azure. They have priority over those
                that the client sends by itself. With ``Authorization``, ``api-key`` or ``x-api-key`` among them, no
                *api_key* is needed, and none is read from the environment. Default: None.
            params: Query parameters of every request. They are added to those of *rerank_url*. Default: None.
            proxy: The URL of a proxy (``http``, ``https``, ``socks5``, ``socks5h``), with a user name and a password if
                it needs them. The variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are then ignored.
                Default: the proxy that these variables name, or none.
            verify: How to check the server's certificate: the path of a file (PEM) or folder with the certificates of
                authorities, or an ``ssl.SSLContext``. False checks nothing, so anyone on the way can read the key and
                the documents. Default: True, SSL_CERT_FILE, SSL_CERT_DIR or the authorities of certifi.
            timeout: Seconds for one attempt, from connecting to the last byte of the reply. Default: 300 for each phase
                (connect, write, each read); with an *httpx_client*, its own.
            max_retries: The number of retries after a temporary failure, >= 0. Default: 2.
            httpx_client: A client of httpx with your own proxies, HTTP/2, certificates or event hooks. It is used as
                it is. Default: None, connections of our own.
            thread_pool_executor: For compatibility with the official client. It has no effect on rerank.
            log_warning_experimental_features: For compatibility with the official client. It has no effect on rerank.
            connect_timeout: Seconds to connect, TLS included. Default: 10, or *timeout* if that is less.
            deadline: Seconds for a whole call with its retries and waits. Default: 300, or if *timeout* is given, as
                long as all attempts and the backoffs between them can take.
            retry_policy: All rules of retries. *max_retries* has priority over the policy's own. Default:
                ``RetryPolicy()``.
            max_documents_per_request: Longer lists are split, 1 to 10,000. Cohere recommends 1,000. Default: 10,000,
                the limit of the API.
            max_request_bytes: Lists whose request would be longer are split too, >= 1. Default: no limit. A limit that
                a server states in a refusal is learned, and the list is sent again in parts.
            pointwise: False for a model that scores the documents of a list together. Its lists are neither split nor
                cached. Default: True, as for all models of Cohere.
            max_connections: The number of open connections, >= 1. Further requests wait in order. Default: 100.
            max_response_bytes: A larger reply, decompressed, raises ResponseTooLargeError, >= 1. Default: what the
                request can need, from its size and from what it asks for.
            fallback: The source of answers when the API cannot answer: ``"local"`` (the local engine), ``"keep-order"``
                (the documents in their order, each with None as its score), another client of the same kind, a scorer,
                a function of ``(query, documents)`` that returns one score in [0, 1] for each document, or a list of
                these, tried in order. One deadline covers the whole chain. Default: None, the error is raised.
            scorer: A scorer for a ``local:`` address, or a function as in *fallback*. Default: the one that the address
                names.
            limit: The rate limit: ``"trial"`` (10 requests a minute), ``"production"`` (1,000), ``"auto"``, or a
                RateLimit. All clients of the process with the same limit, key and address share it. Default: None,
                unlimited.
            budget: A Budget. A call that would exceed it raises BudgetExceededError and is not sent; with a *fallback*,
                the fallback answers. Default: None, unlimited.
            prices: The price of each model in USD, as a Price or as a mapping of its arguments, for ``cost`` of a
                response and for budgets in USD. Default: None, ``cohere_rerank.cost.PRICES`` for Cohere's own
                addresses. Models that are missing in *prices* have these prices too.
            cache: A ScoreCache, so that the same query and document are not paid for twice. Default: None, no caching.
            circuit_breaker: A CircuitBreaker, which stops sending to a server that fails several times in a row, and
                probes it after a while. Default: None, every call tries.
            hedge: A Hedge, which sends a request a second time if its response takes longer than usual, and uses the
                first response. The server may bill both. Default: None, never.
            tag: The name under which `usage` counts the calls of this client. Default: None.
            dialect: The API of the server: ``"cohere"``, ``"v1"``, ``"jina"`` (infinity, Xinference, vLLM), ``"tei"``,
                ``"llamacpp"``, or ``"auto"``, which tries them in the first call. Default: ``"cohere"``.
            strict: Whether a reply with too few results is an InvalidResponseError. False returns it as a response
                with ``is_partial``. Default: True.
            score_scale: The scale of the server's scores: ``"unit"``, in [0, 1], or ``"logit"``, any number. Default:
                found from the address, the dialect and the scores; see ``score_scale`` of a response.
            clock: The clock, for tests. Default: the system's.
            on_event: A function that gets an event for each request, response, retry, second request, fallback and
                change of the circuit breaker; see ``cohere_rerank.events``. Default: None.
            telemetry: Whether calls make spans and metrics of OpenTelemetry in a program that has configured it. False
                also sends no ``traceparent`` header. Default: True.

        Raises:
            MissingApiKeyError: There is no key, and the address is not ``local:``.
            InvalidRequestError: A setting has the wrong type or is out of its range.
        """
        self._config = Config(
            api_key=checked_key(api_key),
            base_url=base_url,
            rerank_url=rerank_url,
            environment=environment,
            client_name=client_name,
            headers=headers,
            params=params,
            proxy=proxy,
            verify=verify,
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            max_retries=max_retries,
            retry_policy=retry_policy,
            max_documents_per_request=max_documents_per_request,
            max_request_bytes=max_request_bytes,
            pointwise=pointwise,
            circuit_breaker=circuit_breaker,
            hedge=hedge,
            max_connections=max_connections,
            max_response_bytes=max_response_bytes,
            fallback=fallback,
            scorer=scorer,
            limit=limit,
            budget=budget,
            prices=prices,
            cache=cache,
            tag=tag,
            dialect=self._default_dialect if dialect is None else dialect,
            strict=strict,
            score_scale=score_scale,
            clock=clock,
            on_event=on_event,
            telemetry=telemetry,
        )
        self._check_fallbacks(self._config)
        self._httpx_client = self._checked_httpx_client(httpx_client)
        for name, value in (("proxy", proxy), ("verify", verify)):
            if httpx_client is not None and value is not None:
                raise InvalidRequestError(
                    f"{name} has no effect on your own httpx_client; pass {name} to the constructor of that client"
                )
        self._state = ClientState()

    def _check_fallbacks(self, config: Config) -> None:
        for member in config.fallbacks:
            if isinstance(member, BaseClient) and member._httpx_kind != self._httpx_kind:
                raise InvalidRequestError(
                    f"the fallback of {type(self).__name__} must be a client of the same kind, got "
                    f"{type(member).__name__}; a blocking client and an asynchronous one cannot be mixed"
                )

    def _checked_httpx_client(self, client: Any) -> Any:
        kind, closes = self._httpx_kind
        if client is None or (hasattr(client, "build_request") and hasattr(client, closes)):
            return client
        raise InvalidRequestError(f"httpx_client must be an {kind}, got {describe(client)}")

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a copy with some settings changed. It shares the connections and the retry budget of this client.

        Args:
            **options: Arguments of the constructor, except those of the connections (*httpx_client*,
                *max_connections*, *proxy*, *verify*), *environment*, and the two that have no effect. None keeps the
                setting. *headers* and *params* are added to those of this client; one whose value is None is removed.

        Raises:
            InvalidRequestError: An option does not exist, or its value is not valid.
        """
        known = vars(self._config).keys() - {*_OF_CONNECTIONS, "cloud"}
        for name in sorted(options.keys() - known):
            raise InvalidRequestError(_why_not_an_option(name, known))
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._config = self._config.replace(**options)
        copy._check_fallbacks(copy._config)
        copy._runner = None
        if _backend_id(copy._config) != _backend_id(self._config):
            copy._state = ClientState()
        return copy

    if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too

        def __getattr__(self, name: str) -> object:
            """Say which methods of the official client are not included."""
            kind = type(self).__name__
            if name in _OTHER_ENDPOINTS:
                message = f"{kind} has no {name}: cohere-rerank includes rerank only. Use cohere.{kind} for {name}"
                raise AttributeError(f"{message} (pip install cohere)", name=name, obj=self)
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        config = self.__dict__.get("_config")  # missing if the constructor raised
        # A query may contain a key.
        address = f" {config.base_url.partition('?')[0]}" if config else ""
        return f"<{type(self).__name__}{address}>"

    def __copy__(self) -> Self:
        return self.with_options()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.with_options()  # a copy through a pickle would lose the key and the connections

    def __getstate__(self) -> dict[str, Any]:
        if self._httpx_client is not None:
            raise TypeError("a client with its own httpx_client cannot be pickled")
        return {"_config": self._config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _httpx_client=None, _state=ClientState(), _runner=None)

    @property
    def usage(self) -> ClientUsage:
        """The calls, requests and billed units of this client and its copies so far, in all and by tag."""
        from .usage import usage_from

        return usage_from(self._state.usage)


def _why_not_an_option(name: str, known: Iterable[str]) -> str:
    if name in ("environment", "httpx_client", *_OF_CONNECTIONS):
        return f"with_options cannot change {name}; create a new client"
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(sorted(known))}"
    return f"with_options has no option {name!r}; {hint}"
