"""Many rerank calls through one client: an iterator of rows in, an iterator of outcomes out, bounded memory.

`rules` decides and does no I/O. `threads` and `tasks` apply it, for the blocking and the asynchronous client.
"""

from __future__ import annotations

from .rules import AsyncBatch, Batch, BatchProgress

__all__ = ["AsyncBatch", "Batch", "BatchProgress"]
