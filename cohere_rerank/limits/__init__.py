"""Keep to the rate limit of an API key, shared by threads, tasks, processes and machines.

>>> from cohere_rerank import ClientV2
>>> from cohere_rerank.limits import RateLimit
>>> client = ClientV2(api_key="k", limit=RateLimit(per_minute=600, burst=10))

A `RateLimit` states the limit, a store counts the requests, and the client waits.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .budget import Budget as Budget
    from .budget import BudgetStore as BudgetStore
    from .budget import Spent as Spent
    from .circuit_breaker import CircuitBreaker as CircuitBreaker
    from .file import FileStore as FileStore
    from .hedge import Hedge as Hedge
    from .rate_limit import RateLimit as RateLimit
    from .rate_limit import Store as Store
    from .redis import RedisStore as RedisStore

_EXPORTS = {
    "Budget": "budget",
    "BudgetStore": "budget",
    "CircuitBreaker": "circuit_breaker",
    "Hedge": "hedge",
    "FileStore": "file",
    "RateLimit": "rate_limit",
    "RedisStore": "redis",
    "Spent": "budget",
    "Store": "rate_limit",
}
__all__ = [
    "Budget",
    "BudgetStore",
    "CircuitBreaker",
    "FileStore",
    "Hedge",
    "RateLimit",
    "RedisStore",
    "Spent",
    "Store",
]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
