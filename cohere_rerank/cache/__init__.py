"""Keep scores that were paid for, by document: in memory, or on disk for all processes of a machine.

`keys` names the scores, `stores` and `file_store` keep them, `cached_call` decides what to send, and `rerank` does it.
"""

from __future__ import annotations

from .score_cache import ScoreCache

__all__ = ["ScoreCache"]
