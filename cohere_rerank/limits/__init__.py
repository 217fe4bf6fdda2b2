"""Keep to the rate limit of an API key, shared by threads, tasks, processes and machines.

>>> from cohere_rerank import ClientV2
>>> from cohere_rerank.limits import RateLimit
>>> client = ClientV2(api_key="k", limit=RateLimit(per_minute=600, burst=10))

A `RateLimit` states the limit, a store counts the requests, and the client waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohere_rerank._lazy import lazy_exports

from .circuit_breaker import CircuitBreaker
from .rate_limit import RateLimit, Store

if TYPE_CHECKING:
    from .file import FileStore
    from .redis import RedisStore

__all__ = ["CircuitBreaker", "FileStore", "RateLimit", "RedisStore", "Store"]

_EXPORTS = {"FileStore": "file", "RedisStore": "redis"}

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
