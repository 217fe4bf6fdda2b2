"""One key's limit, shared by everyone who sends with it: threads, tasks, processes, machines.

>>> from cohere_rerank import ClientV2
>>> from cohere_rerank.limits import RateLimit
>>> client = ClientV2(api_key="k", limit=RateLimit(per_minute=600, burst=10))

`RateLimit` says how much; a store says where it is counted; the client waits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .rate_limit import RateLimit
from .store import Store

if TYPE_CHECKING:
    from .file import FileStore
    from .redis import RedisStore

__all__ = ["FileStore", "RateLimit", "RedisStore", "Store"]

_WHERE = {"FileStore": "file", "RedisStore": "redis"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
