"""What the server was told, checked once; also as one line of text, by which worker processes learn it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import LOCAL_SCHEME
from cohere_rerank._validators import header_text, seconds, whole_number
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from cohere_rerank.local.scorer import ScoreFunction, Scorer

KEYS_VARIABLE = "CO_SERVER_API_KEY"
_NUMBERS = ("upstream_timeout_s", "concurrency", "queue", "max_body_bytes", "body_timeout_s")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve.

    Attributes:
        api_keys: Whoever calls must show one of these, a list, tuple or set of strings; without any, all may call.
        scorer: ``"lexical"``, ``"semantic"``, ``"onnx?path=..."``, a scorer, or a function of (query, documents).
            None: the lexical one, unless a request's model is ``local-semantic``.
        upstream: The address of the API to ask; the local engine answers while that cannot. None: the local engine
            answers everything. The key for it is CO_API_KEY, or COHERE_API_KEY.
        upstream_timeout_s: Seconds for one answer of the upstream, repeats and waits included.
        model: For requests of dialects in which they need not name one.
        is_strict: Refuse what Cohere's API refuses: unknown fields, and null for a value.
        concurrency: Requests that are scored at the same time, each in a thread, >= 1.
        queue: Requests that may wait for that, >= 0; more are answered with 503.
        max_body_bytes: A longer request is answered with 413. At most (concurrency + queue) of them are in memory.
        body_timeout_s: Seconds for a request's body to arrive; 408 if it takes longer.

    Raises:
        InvalidRequestError: A value is of the wrong type or out of its range.
    """

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    scorer: str | Scorer | ScoreFunction | None = None
    upstream: str | None = None
    upstream_timeout_s: float = 60.0
    model: str = "rerank-v4.0-fast"
    is_strict: bool = False
    concurrency: int = 2
    queue: int = 128
    max_body_bytes: int = 16 * 1024 * 1024
    body_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_keys", _checked_keys(self.api_keys))
        _check_upstream(self.upstream)
        if self.scorer is not None and self.upstream is not None:
            raise InvalidRequestError("a scorer and an upstream exclude each other: who is to answer?")
        _check_kinds(self.model, self.is_strict)
        for name in _NUMBERS:
            if getattr(self, name) is None:
                raise InvalidRequestError(f"{name} must be a number, got None; leave it out for the default")
        whole_number("concurrency", self.concurrency, 1)
        whole_number("queue", self.queue, 0)
        whole_number("max_body_bytes", self.max_body_bytes, 1)
        seconds("body_timeout_s", self.body_timeout_s)
        seconds("upstream_timeout_s", self.upstream_timeout_s)

    def to_text(self) -> str:
        """All of it in one line, keys included: for the environment of our own processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "api_keys": tuple(values["api_keys"])})


def _check_kinds(model: Any, is_strict: Any) -> None:
    if not isinstance(model, str) or not model:
        raise InvalidRequestError(f"model must be the name of a model, got {model!r}")
    if not isinstance(is_strict, bool):
        raise InvalidRequestError(f"is_strict must be True or False, got {type(is_strict).__name__}")


def _check_upstream(upstream: Any) -> None:
    if upstream is None:
        return
    if not isinstance(upstream, str) or not upstream:
        raise InvalidRequestError("upstream must be the address of an API, like https://api.cohere.com")
    if upstream.startswith(LOCAL_SCHEME):
        raise InvalidRequestError(
            "an upstream is another server; for the local engine leave upstream out, and name a scorer (--scorer)"
        )


def _checked_keys(keys: Any) -> tuple[str, ...]:
    """The keys; never a string's letters, each of which would open the server."""
    if not isinstance(keys, (list, tuple, set, frozenset)):
        kind = type(keys).__name__
        raise InvalidRequestError(f"api_keys must be a list of strings, like ('key',) with its comma, got {kind}")
    for key in keys:
        if not header_text("an API key of the server", key):
            raise InvalidRequestError("an API key of the server is empty; leave it out to let all call")
    return tuple(keys)


def keys_from(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys in CO_SERVER_API_KEY, separated by commas; none if it is not set.

    Raises:
        InvalidRequestError: It is set but holds no key, so that a slip cannot open the server to all.
    """
    text = environment.get(KEYS_VARIABLE)
    if text is None:
        return ()
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if not keys:
        raise InvalidRequestError(f"{KEYS_VARIABLE} is set but holds no key; unset it to let all call")
    return keys
