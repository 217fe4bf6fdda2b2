"""Keep scores that were paid for, by document: in memory, or on disk for all processes of a machine.

`keys` names the scores, `stores` and `file_store` keep them, `cached_call` decides what to send, and `rerank` does it.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .score_cache import ScoreCache as ScoreCache

_EXPORTS = {
    "ScoreCache": "score_cache",
}
__all__ = ["ScoreCache"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
