"""Many rerank calls through one client: rows in, outcomes out, never more than a window of them in memory.

`rules` decides (pure), `threads` and `tasks` do, for the blocking client and for the one that awaits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rules import BatchProgress
from .tasks import rerank_many_async
from .threads import rerank_many

if TYPE_CHECKING:
    from .rules import AsyncBatch as AsyncBatch
    from .rules import Batch as Batch

__all__ = ["BatchProgress", "rerank_many", "rerank_many_async"]
