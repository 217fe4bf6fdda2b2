"""The settings of a server, validated once. Worker processes receive them as one line of JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import LOCAL_SCHEME, checked_base_url
from cohere_rerank._validators import header_value, seconds, whole_number
from cohere_rerank.errors import InvalidRequestError

from .cors import check_origins

if TYPE_CHECKING:
    from typing_extensions import Self

    from cohere_rerank.local.scorer import ScoreFunction, Scorer

_HOST = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:.]+\]?", re.ASCII)
_SECONDS = ("upstream_timeout_s", "body_timeout_s", "request_timeout_s", "stuck_after_s")
_NUMBERS = (*_SECONDS, "concurrency", "queue", "max_body_bytes")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        api_keys: Keys that the server accepts, as a list, tuple or set of strings. Empty: the server accepts every
            caller. Default: empty.
        scorer: The scorer: ``"lexical"``, ``"semantic"``, ``"multilingual"``, ``"onnx?path=..."``, a scorer object, or
            a function of (query, documents). None: the lexical scorer, or another one for the models
            ``local-semantic`` and ``local-multilingual``. Default: None.
        upstream: The address of another API that ranks the documents. The local engine ranks while that API fails.
            None: the local engine ranks everything. Default: None.
        upstream_key: The key for the upstream. None: the key in CO_API_KEY or COHERE_API_KEY. Default: None.
        upstream_timeout_s: Seconds for one response of the upstream, with retries and their waits. Default: 60.
        model: The model name for requests that need none in their dialect. Default: ``"rerank-v4.0-fast"``.
        is_strict: Whether to reject what Cohere's API rejects: unknown fields and null values. Default: False.
        concurrency: The number of requests that are scored at the same time, each in a thread, >= 1. Default: 2.
        queue: The number of further requests that may wait, >= 0. Others get 503. Default: 128.
        max_body_bytes: The largest accepted body in bytes; a larger one gets 413. At most (concurrency + queue)
            bodies are in memory. Default: 16 MiB.
        body_timeout_s: Seconds within which a body must arrive; a slower one gets 408. A body without progress for 10
            seconds gets 408 too. Default: 30.
        request_timeout_s: Seconds from the end of the body within which the local engine must rank; a request that
            takes longer gets 503. Default: 60.
        stuck_after_s: ``/ready`` fails when all threads have been busy with their request for longer than this number
            of seconds. Default: 90.
        allowed_hosts: The hosts that the Host header of a request may name, and the Origin header if there is one.
            Other requests get 421. None: every host. Default: None; `serve` sets it for loopback addresses.
        cors_origins: The origins of web pages that may call the server from a browser, such as
            ``"https://app.example.org"``. ``"*"`` allows every web page. Default: none.

    Raises:
        InvalidRequestError: A value has the wrong type or is out of range.
    """

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    scorer: str | Scorer | ScoreFunction | None = None
    upstream: str | None = None
    upstream_key: str | None = field(default=None, repr=False)
    upstream_timeout_s: float = 60.0
    model: str = "rerank-v4.0-fast"
    is_strict: bool = False
    concurrency: int = 2
    queue: int = 128
    max_body_bytes: int = 16 * 1024 * 1024
    body_timeout_s: float = 30.0
    request_timeout_s: float = 60.0
    stuck_after_s: float = 90.0
    allowed_hosts: tuple[str, ...] | None = None
    cors_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_keys", _check_keys(self.api_keys))
        if self.upstream is not None:
            check_upstream(self.upstream)
        if self.upstream_key is not None:
            header_value("upstream_key", self.upstream_key)
        if self.scorer is not None and self.upstream is not None:
            raise InvalidRequestError("scorer and upstream are mutually exclusive; set only one of them")
        _check_types(self.model, self.is_strict)
        for name in _NUMBERS:
            if getattr(self, name) is None:
                raise InvalidRequestError(f"{name} must be a number, got None; omit it for the default")
        whole_number("concurrency", self.concurrency, 1)
        whole_number("queue", self.queue, 0)
        whole_number("max_body_bytes", self.max_body_bytes, 1)
        for name in _SECONDS:
            seconds(name, getattr(self, name))
        if self.allowed_hosts is not None:
            object.__setattr__(self, "allowed_hosts", check_hosts(self.allowed_hosts))
        object.__setattr__(self, "cors_origins", check_origins(self.cors_origins))

    def to_json(self) -> str:
        """Return the settings as one line of JSON, with the keys, for the environment of worker processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the settings from the JSON that `to_json` wrote."""
        values = json.loads(text)
        return cls(**values)


def _check_types(model: Any, is_strict: Any) -> None:
    if not isinstance(model, str) or not model:
        raise InvalidRequestError(f"model must be a non-empty string with the name of a model, got {model!r}")
    if not isinstance(is_strict, bool):
        raise InvalidRequestError(f"is_strict must be True or False, got {type(is_strict).__name__}")


def check_upstream(upstream: Any) -> str:
    """Check the address of an upstream, and return it."""
    if not isinstance(upstream, str) or not upstream:
        raise InvalidRequestError(
            "upstream must be a non-empty string with the address of an API, such as https://api.cohere.com"
        )
    if upstream.startswith(LOCAL_SCHEME):
        raise InvalidRequestError(
            "upstream must be the address of another server; for the local engine, omit upstream and set scorer "
            "(--scorer)"
        )
    return checked_base_url(upstream, "upstream")


def _check_keys(keys: Any) -> tuple[str, ...]:
    """Return the keys as a tuple. A plain string is an error, because each of its letters would become a key."""
    if not isinstance(keys, (list, tuple, set, frozenset)):
        kind = type(keys).__name__
        raise InvalidRequestError(f"api_keys must be a list or tuple of strings, such as ('key',), got {kind}")
    for key in keys:
        if not header_value("an API key of the server", key):
            raise InvalidRequestError("an API key of the server is empty; omit the keys to accept every caller")
    return tuple(keys)


def check_hosts(hosts: Any) -> tuple[str, ...]:
    """Return the hosts in lower case, without the brackets of IPv6 addresses."""
    if not isinstance(hosts, (list, tuple, set, frozenset)) or not all(isinstance(host, str) for host in hosts):
        raise InvalidRequestError(f"allowed_hosts must be a list or tuple of strings, got {type(hosts).__name__}")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise InvalidRequestError(
                f"allowed_hosts must be host names or IP addresses, such as rerank.example.org, got {host!r}; "
                "omit the scheme and the port"
            )
    return tuple(host.strip("[]").rstrip(".").lower() for host in hosts)
