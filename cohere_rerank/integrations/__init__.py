"""The client in frameworks and distributed engines. Each has its own module, which is imported only by name."""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .official_client import as_cohere as as_cohere

__all__ = ["as_cohere"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(globals(), {"as_cohere": "official_client"})
