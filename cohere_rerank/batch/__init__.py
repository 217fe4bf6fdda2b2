"""Many rerank calls through one client: an iterator of rows in, an iterator of outcomes out, bounded memory.

`rules` decides and does no I/O. `threads` and `tasks` apply it, for the blocking and the asynchronous client.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rules import AsyncBatch as AsyncBatch
    from .rules import Batch as Batch
    from .rules import BatchProgress as BatchProgress

_EXPORTS = {
    "AsyncBatch": "rules",
    "Batch": "rules",
    "BatchProgress": "rules",
}
__all__ = ["AsyncBatch", "Batch", "BatchProgress"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
