"""One key's limit, shared by everyone who sends with it: threads, tasks, processes, machines.

>>> from cohere_rerank import ClientV2
>>> from cohere_rerank.limits import RateLimit
>>> client = ClientV2(api_key="k", limit=RateLimit(per_minute=600, burst=10))

`RateLimit` says how much; a store says where it is counted; the client waits.
"""

from __future__ import annotations

from .rate_limit import RateLimit
from .store import Store

__all__ = ["RateLimit", "Store"]
