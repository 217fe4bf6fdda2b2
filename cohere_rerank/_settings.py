"""A client's settings, validated once: key, address, times and limits.

There is no I/O here. Only the environment variables are read. A client is constructed when a program starts, so this
module imports nothing heavier than ``os``.
"""

from __future__ import annotations

import os

from ._addresses import (
    CLOUDS,
    LOCAL_SCHEME,
    PRODUCTION_URL,
    checked_base_url,
    checked_proxy,
    checked_rerank_url,
    cloud_scheme,
)
from ._validators import choice, describe, describe_address, flag, header_value, seconds, text, whole_number
from ._wire.contract import MAX_DOCUMENTS
from .errors import InvalidRequestError, MissingApiKeyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ._clock import Clock
    from ._retry import RetryPolicy
    from .cache.score_cache import ScoreCache
    from .cost.prices import Price, PriceTable
    from .limits.budget import Budget
    from .limits.circuit_breaker import CircuitBreaker
    from .limits.hedge import Hedge
    from .local.scorer import ScoreFunction, Scorer
    from .types import ApiKey, DialectName, Fallback, FallbackMember, Limit, OnEvent, ScoreScale

FALLBACK_NAMES = ("local", "keep-order")
DEFAULT_TIMEOUT_S = 300.0  # the official client's default, which it applies to each phase of a call
DEFAULT_CONNECT_TIMEOUT_S = 10.0
_IS_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself is too heavy for a constructor
_DIALECTS = ("cohere", "v1", "jina", "tei", "llamacpp", "auto")
_DIALECTS_OF_SERVERS = {
    "vllm": "cohere",
    "litellm": "cohere",
    "xinference": "jina",
    "infinity": "auto",
    "llama.cpp": "llamacpp",
}
_AUTH_HEADERS = ("authorization", "api-key", "x-api-key")  # a client with one of them needs no api_key
LIMIT_PRESETS = ("trial", "production", "auto")


class Secret:
    """A key, or a function that returns one. No repr, log or traceback shows it.

    Raises:
        InvalidRequestError: The value is neither, or an HTTP header cannot contain it.
    """

    __slots__ = ("value",)
    is_signer = False

    def __init__(self, value: ApiKey, name: str = "api_key") -> None:
        if not callable(value):
            header_value(name, value, "a string or a function")
        self.value = value

    def __repr__(self) -> str:
        return "<secret>"

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that no error or log may show."""
        return (self.value,) if isinstance(self.value, str) else ()


class Signer(Secret):
    """A key that authenticates each request in its own way, in place of the header ``Authorization: Bearer``."""

    __slots__ = ()
    is_signer = True

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers that authenticate one request. It is called for every attempt.

        Args:
            method: ``"POST"``.
            url: The address as it is sent, with its query.
            headers: The other headers, with ``host``. Names are in lower case.
            body: The complete body.
        """
        raise NotImplementedError


class SecretList:
    """Several keys, and the state that all copies of a client share: which of them sends the next request.

    Raises:
        InvalidRequestError: There is no key, or one is not valid, or two are equal.
    """

    __slots__ = ("ring", "secrets")

    def __init__(self, values: Sequence[ApiKey]) -> None:
        from ._key_ring import KeyRing

        if not values:
            raise InvalidRequestError("api_key must not be an empty list; pass at least one key")
        self.secrets = tuple(Secret(value, f"api_key[{index}]") for index, value in enumerate(values))
        for index, value in enumerate(values):
            if value == "":
                raise InvalidRequestError(f"api_key[{index}] is empty; remove it from the list")
            if value in values[:index]:
                raise InvalidRequestError(
                    f"api_key[{index}] is the same key as api_key[{values.index(value)}]; remove one of them"
                )
        self.ring = KeyRing(len(values))

    def __repr__(self) -> str:
        return f"<{len(self.secrets)} secrets>"


def checked_key(
    api_key: ApiKey | Sequence[ApiKey] | Secret | SecretList | None,
) -> Secret | SecretList | None:
    """Return the key or the keys that the caller passed."""
    if api_key is None or isinstance(api_key, (Secret, SecretList)):
        return api_key
    if isinstance(api_key, (list, tuple)):
        return SecretList(api_key) if len(api_key) != 1 else Secret(api_key[0])
    if not isinstance(api_key, str) and not callable(api_key):
        raise InvalidRequestError(
            f"api_key must be a string, a function that returns one, or a list of these, got {type(api_key).__name__}"
        )
    return Secret(api_key)


class Config:
    """The checked settings of a client. Immutable by convention; `replace` returns a changed copy."""

    def __init__(
        self,
        *,
        api_key: ApiKey | Sequence[ApiKey] | Secret | SecretList | None,
        base_url: str | None,
        rerank_url: str | None = None,
        environment: Any = None,
        client_name: str | None = None,
        headers: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        proxy: str | None = None,
        verify: bool | str | os.PathLike[str] | ssl.SSLContext | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
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
        prices: Mapping[str, Price | Mapping[str, Any]] | PriceTable | None = None,
        cache: ScoreCache | None = None,
        tag: str | None = None,
        dialect: DialectName | None = None,
        strict: bool | None = None,
        score_scale: ScoreScale | None = None,
        clock: Clock | None = None,
        on_event: OnEvent | None = None,
        telemetry: bool | None = None,
    ) -> None:
        self.rerank_url: str | None = None if rerank_url is None else checked_rerank_url(rerank_url)
        self.base_url = self.rerank_url or _base_url(base_url, getattr(environment, "value", environment))
        self.cloud: Any = _cloud(self.base_url)  # a `_wire.cloud.Cloud`, or None
        if self.cloud is not None:
            self.base_url = self.cloud.address
        self.headers: Mapping[str, str] | None = _checked_headers(headers)
        self.params: Mapping[str, Any] | None = _checked_params(params)
        self.proxy = None if proxy is None else checked_proxy(proxy)
        self.verify = _checked_verify(verify)
        self.api_key: Secret | SecretList | None = self._find_key(api_key)
        self.client_name = (
            None if client_name is None else header_value("client_name", text("client_name", client_name))
        )
        self.timeout = seconds("timeout", timeout)
        self.connect_timeout = seconds("connect_timeout", connect_timeout)
        self.deadline = seconds("deadline", deadline)
        self.max_retries = whole_number("max_retries", max_retries, 0)
        self.retry_policy: RetryPolicy | None = _checked_policy(retry_policy)
        self.max_documents_per_request = (
            whole_number("max_documents_per_request", max_documents_per_request, 1, MAX_DOCUMENTS) or MAX_DOCUMENTS
        )
        self.max_request_bytes = whole_number("max_request_bytes", max_request_bytes, 1)
        self.pointwise = flag("pointwise", pointwise)
        if self.cloud is not None:
            self._apply_limits_of_cloud()
        self.circuit_breaker: CircuitBreaker | None = _checked_breaker(circuit_breaker)
        self.hedge: Hedge | None = _checked_hedge(hedge)
        self.max_connections = whole_number("max_connections", max_connections, 1) or 100
        self.max_response_bytes = whole_number("max_response_bytes", max_response_bytes, 1)
        self.fallback: Fallback | None = _checked_fallback(fallback)
        if scorer is not None and not self.is_local:
            raise InvalidRequestError("scorer= answers on base_url='local:' only; for outages of the API use fallback=")
        self.scorer = _checked_scorer(scorer)
        self.limit: Limit | None = _checked_limit(limit)
        if isinstance(self.api_key, SecretList) and getattr(limit, "store", None) is not None:
            raise InvalidRequestError(
                f"limit has a store, which counts the requests of one key, but api_key has {len(self.api_key.secrets)} "
                "keys; use one client with a store of its own for each key"
            )
        self.budget: Budget | None = _checked_budget(budget)
        self.prices: PriceTable | None = _checked_prices(prices)
        self.cache: ScoreCache | None = _checked_cache(cache)
        self.tag = text("tag", tag)
        self.dialect: DialectName | None = _checked_dialect(dialect)
        if self.cloud is not None and self.dialect is not None:
            raise InvalidRequestError(
                f"dialect has no effect on {describe_address(self.base_url)}; leave it out, and use ClientV2 or "
                "AsyncClientV2 in place of a v1 client"
            )
        self.strict = flag("strict", strict)
        self.score_scale: ScoreScale | None = choice("score_scale", score_scale, ("unit", "logit"))  # type: ignore[assignment]
        self.clock: Clock | None = _checked_clock(clock)
        self.on_event: OnEvent | None = _checked_on_event(on_event)
        self.telemetry = flag("telemetry", telemetry)

    def _find_key(self, api_key: Any) -> Secret | SecretList | None:
        if self.cloud is not None and (api_key is not None or self.needs_key):
            found: Secret | SecretList | None = self.cloud.find_key(checked_key(api_key))
            return found
        if isinstance(api_key, (Secret, SecretList)):
            return api_key
        return _find_key(api_key, self.needs_key)

    def _apply_limits_of_cloud(self) -> None:
        max_documents, max_bytes = self.cloud.max_documents, self.cloud.max_bytes
        if self.pointwise is not False:
            self.max_documents_per_request = min(self.max_documents_per_request, max_documents or MAX_DOCUMENTS)
            self.max_request_bytes = min(filter(None, (self.max_request_bytes, max_bytes)), default=None)

    def missing_key_error(self) -> MissingApiKeyError:
        """Return the error for a client that needs a key and has none."""
        error: MissingApiKeyError = missing_key_error() if self.cloud is None else self.cloud.missing_key_error()
        return error

    def retry_time_s(self, max_retries: int | None, timeout_s: float) -> float:
        """Return the longest time in seconds that the retries of one request can take, with the waits before them."""
        from ._retry import RetryPolicy

        policy = self.retry_policy or RetryPolicy()
        n_retries = next(n for n in (max_retries, self.max_retries, policy.max_retries) if n is not None)
        # With a limit, a retry after a 429 waits until the limit allows it.
        period_s = 0.0 if self.limit is None else float(getattr(self.limit, "period_s", 60.0))
        return n_retries * timeout_s + policy.max_backoffs_s(n_retries) + period_s

    @property
    def fallbacks(self) -> tuple[FallbackMember, ...]:
        """The members of the fallback chain, in the order in which they are tried."""
        chain: Any = self.fallback
        if chain is None:
            return ()
        return chain if isinstance(chain, tuple) else (chain,)

    @property
    def is_local(self) -> bool:
        """Whether the local engine of this process answers."""
        return self.base_url.startswith(LOCAL_SCHEME)

    @property
    def needs_key(self) -> bool:
        """Whether a request needs an API key: not for the local engine, and not if a header authenticates it."""
        return not self.is_local and not has_auth(self.headers)

    def replace(self, **changes: Any) -> Config:
        """Return a copy with these settings changed. None keeps a setting.

        Headers and parameters are added to those of this copy. One whose value is None is removed.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if "base_url" in changes:
            changes.setdefault("rerank_url", None)  # the new address replaces both
        address = changes.get("rerank_url") or changes.get("base_url") or self.base_url
        if _cloud_module(self.base_url) != _cloud_module(str(address)):
            changes.setdefault("api_key", None)  # a key of one cloud is never sent to another
        for name in ("headers", "params"):
            if name in changes:
                changes[name] = _merged(name, getattr(self, name), changes[name])
        settings = {**vars(self), **changes}
        del settings["cloud"]  # it follows from the address
        return Config(**settings)

    def __repr__(self) -> str:
        address = getattr(self, "base_url", "unfinished")  # a debugger may show an object that is not complete
        return f"<Config {address.partition('?')[0]}>"  # a query may contain a key

    def __copy__(self) -> Config:
        return self  # it never changes, and a copy through a pickle would lose the key

    def __deepcopy__(self, memo: dict[int, Any]) -> Config:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Pickles are stored on disks and in brokers, so they do not contain the key. The process that loads the
        # pickle uses the key of its own environment. A function that returns the key is pickled by name.
        state = dict(vars(self))
        check_picklable(self)
        secrets = self.api_key.secrets if isinstance(self.api_key, SecretList) else (self.api_key,)
        if any(secret is not None and _is_of_process(secret.value) for secret in secrets):
            state["api_key"] = None
        del state["cloud"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.cloud = _cloud(self.base_url)
        if self.api_key is not None or has_auth(self.headers):
            return
        if self.cloud is not None:
            try:
                self.api_key = self.cloud.find_key(None)
            except MissingApiKeyError:  # the first call raises it
                self.api_key = None
        else:
            key = key_from_environment()
            self.api_key = None if key is None else Secret(key)


def _is_of_process(value: Any) -> bool:
    """Return whether a key stays out of pickles: a text, or a source that finds it in the environment."""
    return (isinstance(value, str) and value != "") or hasattr(value, "known")


def _cloud(address: str) -> Any:
    """Return the cloud behind an address, or None. Its module is imported only here."""
    module = _cloud_module(address)
    if module is None:
        return None
    from importlib import import_module

    return import_module(f"cohere_rerank.integrations.{module}").cloud(address)


def _cloud_module(address: str) -> str | None:
    scheme = cloud_scheme(address)
    return None if scheme is None else CLOUDS[scheme]


def _base_url(base_url: Any, environment: Any) -> str:
    """Return the base of the address: the argument, CO_API_URL, or *environment*. An empty string counts as None."""
    candidates = (
        ("base_url", base_url),
        ("the environment variable CO_API_URL", os.environ.get("CO_API_URL")),
        ("environment", environment),
    )
    for name, url in candidates:
        if url is not None and url != "":
            return checked_base_url(url, name)
    return PRODUCTION_URL


def _find_key(api_key: Any, needs_key: bool) -> Secret | SecretList | None:
    """Return the key in the official order: the argument, CO_API_KEY, COHERE_API_KEY.

    An empty argument means that no key is sent.
    """
    if api_key is not None:
        return checked_key(api_key)
    if not needs_key:
        return None
    key = key_from_environment()
    if key is None:
        raise missing_key_error()
    variable = "CO_API_KEY" if os.environ.get("CO_API_KEY") else "COHERE_API_KEY"
    return Secret(key, f"the environment variable {variable}")


def has_auth(headers: Mapping[str, str] | None) -> bool:
    """Return whether one of the headers, names in lower case, authenticates a request without an API key."""
    return any(name in _AUTH_HEADERS for name in headers or ())


def key_from_environment() -> str | None:
    """Return CO_API_KEY, else COHERE_API_KEY, else None. An empty variable counts as unset."""
    return os.environ.get("CO_API_KEY") or os.environ.get("COHERE_API_KEY") or None


def missing_key_error() -> MissingApiKeyError:
    """Return the error for a client that needs a key and has none."""
    return MissingApiKeyError(
        body="No API key: pass api_key=, or set CO_API_KEY or COHERE_API_KEY. The local engine needs no key: pass"
        " base_url='local:', or set CO_API_URL=local:"
    )


def secret_from_callable(key: Any) -> Secret:
    """Return the key that the caller's function returned, or that a cloud's source found."""
    if isinstance(key, Secret):
        return key
    if not isinstance(key, str):
        raise InvalidRequestError(f"the api_key function must return a string, got {type(key).__name__}")
    return Secret(key)


def _checked_headers(headers: Any) -> Any:
    if headers is None:
        return None
    from ._http_options import checked_headers, option_mapping

    return checked_headers("headers", option_mapping("headers", headers))


def _checked_params(params: Any) -> Any:
    if params is None:
        return None
    from ._http_options import option_mapping, query_pairs

    given = option_mapping("params", params)
    query_pairs("params", given)
    return given


def _merged(option: str, old: Any, new: Any) -> dict[str, Any]:
    """Return the old values with the new ones in their place. Names of headers do not depend on their case."""
    from ._http_options import option_mapping

    option_mapping(option, new)
    return {**(old or {}), **{name.lower() if option == "headers" else name: value for name, value in new.items()}}


def _checked_verify(verify: Any) -> Any:
    if verify is None or isinstance(verify, bool) or hasattr(verify, "wrap_socket"):
        return verify
    if not isinstance(verify, (str, os.PathLike)):
        raise InvalidRequestError(
            f"verify must be True, False, an ssl.SSLContext, or the path of a file or folder with certificates of "
            f"authorities, got {describe(verify)}"
        )
    path = os.fspath(verify)
    if not os.path.exists(path):  # noqa: PTH110 - pathlib is too heavy for a constructor
        raise InvalidRequestError(
            f"verify names {describe_address(path)}, which does not exist; pass the path of a PEM file or a folder"
        )
    return path


def check_picklable(config: Config) -> None:
    """Raise an error for a setting that would put a secret into a pickle, or that has no pickle."""
    from ._secrets import SECRET_NAME

    query = (config.rerank_url or "").partition("?")[2]
    in_query = [pair.partition("=")[0] for pair in query.split("&")]
    for name in (*(config.headers or ()), *(config.params or ()), *in_query):
        if SECRET_NAME.search(name):
            raise TypeError(
                f"a client with {name!r} in headers=, params= or rerank_url= cannot be pickled, because the pickle "
                "would contain its secret; create the client in the process that uses it"
            )
    if config.proxy is not None and "@" in config.proxy:
        raise TypeError(
            "a client with a password in proxy= cannot be pickled, because the pickle would contain it; "
            "create the client in the process that uses it"
        )
    if hasattr(config.verify, "wrap_socket"):
        raise TypeError("a client with an ssl.SSLContext in verify= cannot be pickled; pass the path of a PEM file")


def _checked_clock(clock: Any) -> Any:
    methods = ("monotonic", "time", "sleep", "async_sleep")
    if clock is None or hasattr(clock, "monotonic"):
        return clock
    raise InvalidRequestError(f"clock must have the methods {', '.join(methods)}, got {describe(clock)}")


def _checked_scorer(scorer: Any) -> Any:
    if scorer is None or callable(scorer) or hasattr(scorer, "score"):
        return scorer
    raise InvalidRequestError(
        f"scorer must be a function of (query, documents) or an object with a method score, got {describe(scorer)}"
    )


def _checked_policy(policy: Any) -> Any:
    if policy is None or hasattr(policy, "max_retries"):
        return policy
    raise InvalidRequestError(
        f"retry_policy must be a RetryPolicy, got {describe(policy)}; pass RetryPolicy(max_retries=...)"
    )


def _checked_fallback(fallback: Any) -> Any:
    if isinstance(fallback, (list, tuple)):
        if not fallback:
            raise InvalidRequestError("fallback must not be an empty list; pass None for no fallback")
        return tuple(map(_checked_fallback_member, fallback))
    return None if fallback is None else _checked_fallback_member(fallback)


def _checked_fallback_member(member: Any) -> Any:
    if _is_async(member):
        raise InvalidRequestError("fallback must not be an async function: it runs in a worker thread")
    is_known = isinstance(member, str) and member in FALLBACK_NAMES
    if is_known or callable(member) or hasattr(member, "score") or hasattr(member, "_calls"):
        return member
    raise InvalidRequestError(
        f"fallback must be 'local', 'keep-order', a client, a scorer, a function of (query, documents), or a list of "
        f"these, got {describe(member)}"
    )


def _checked_on_event(function: Any) -> Any:
    if function is None or (callable(function) and not _is_async(function)):
        return function
    what = "an async function" if callable(function) else describe(function)
    raise InvalidRequestError(f"on_event must be a function of one event, got {what}")


def _is_async(function: Any) -> bool:
    function = getattr(function, "func", function)  # of functools.partial
    method = type(function).__dict__.get("__call__")  # of an object
    code = getattr(function, "__code__", None) or getattr(method, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _IS_COROUTINE)


def _checked_limit(limit: Any) -> Any:
    if limit is None or (isinstance(limit, str) and limit in LIMIT_PRESETS) or hasattr(limit, "period_s"):
        return limit
    raise InvalidRequestError(
        f"limit must be a RateLimit or one of {', '.join(map(repr, LIMIT_PRESETS))}, got {describe(limit)}"
    )


def _checked_budget(budget: Any) -> Any:
    if budget is None or hasattr(budget, "limits"):
        return budget
    raise InvalidRequestError(f"budget must be a Budget, got {describe(budget)}; pass Budget(usd=...)")


def _checked_dialect(dialect: Any) -> DialectName | None:
    """Return the name of an API format. The error for the name of a server says which format it has."""
    if isinstance(dialect, str) and (format_name := _DIALECTS_OF_SERVERS.get(dialect.lower())):
        raise InvalidRequestError(f"dialect must name an API format, got {dialect!r}; that server has {format_name!r}")
    return choice("dialect", dialect, _DIALECTS)  # type: ignore[return-value]


def _checked_prices(prices: Any) -> Any:
    if prices is None or hasattr(prices, "by_model"):  # of a copy
        return prices
    from .cost.prices import PriceTable

    return PriceTable(prices)


def _checked_breaker(breaker: Any) -> Any:
    if breaker is None or hasattr(breaker, "max_open_s"):
        return breaker
    raise InvalidRequestError(
        f"circuit_breaker must be a CircuitBreaker, got {describe(breaker)}; pass CircuitBreaker() for the defaults"
    )


def _checked_hedge(hedge: Any) -> Any:
    if hedge is None or hasattr(hedge, "max_extra"):
        return hedge
    raise InvalidRequestError(f"hedge must be a Hedge, got {describe(hedge)}; pass Hedge() for the defaults")


def _checked_cache(cache: Any) -> Any:
    if cache is None or hasattr(cache, "max_entries"):
        return cache
    raise InvalidRequestError(f"cache must be a ScoreCache, got {describe(cache)}; pass ScoreCache() for the defaults")
