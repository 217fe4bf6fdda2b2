"""`ScoreCache`: the cache that a client is given."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from cohere_rerank._validators import describe, needed_whole_number, seconds
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .stores import ScoreStore


class ScoreCache:
    """Keeps the score of each document, so that it is not sent and paid for twice with the same query.

    One cache can serve any number of clients, threads, tasks and event loops; on disk, any number of processes of one
    machine. A score belongs to an address, a model, a query, a document and every option that affects a score. Only
    scores and spans are kept, under keyed digests, and neither queries nor documents.

    Scores of scorers that look at the whole list (such as the lexical one) are never kept. Errors and the answers of a
    fallback are not kept either.

    Args:
        max_entries: The largest number of documents, at least 1. In memory, the least recently used are removed first.
            On disk, the oldest are. An entry in memory takes about 0.3 kB. Default: 100,000.
        path: A file to keep them in. It is created if it does not exist; its folder must exist. Default: None, the
            memory of this process.
        ttl_s: Seconds after which a score expires, above 0. Default: None, never.

    Raises:
        InvalidRequestError: A value is of the wrong type or out of its range, or the file cannot be used.
    """

    def __init__(
        self,
        *,
        max_entries: int = 100_000,
        path: str | os.PathLike[str] | None = None,
        ttl_s: float | None = None,
    ) -> None:
        self.max_entries = needed_whole_number("max_entries", max_entries, 1)
        self.path = None if path is None else _checked_path(path)
        self.ttl_s = seconds("ttl_s", ttl_s)
        self._store = self._new_store()
        self._in_flight: dict[bytes, object] = {}
        self._pid = os.getpid()

    def clear(self) -> None:
        """Remove all entries; on disk, for all processes that share the file."""
        self._store.clear()

    def _new_store(self) -> ScoreStore:
        ttl_s = self.ttl_s or math.inf
        if self.path is None:
            from .stores import MemoryScoreStore

            return MemoryScoreStore(self.max_entries, ttl_s)
        from .file_store import FileScoreStore

        return FileScoreStore(self.path, self.max_entries, ttl_s)

    def _claim(self, keys: Iterable[bytes], call: object) -> list[bytes]:
        """Return those keys that no other call is asking for. They now belong to this call."""
        if self._pid != os.getpid():  # the calls in flight belong to the process that was forked
            self._in_flight, self._pid = {}, os.getpid()
        return [key for key in keys if self._in_flight.setdefault(key, call) is call]

    def _release(self, keys: Iterable[bytes]) -> None:
        """Record that no call is asking for these keys any more."""
        for key in keys:
            self._in_flight.pop(key, None)

    def _is_in_flight(self, keys: Iterable[bytes]) -> bool:
        return any(key in self._in_flight for key in keys)

    def __repr__(self) -> str:
        return f"ScoreCache(max_entries={self.max_entries}, path={self.path!r}, ttl_s={self.ttl_s})"

    def __getstate__(self) -> dict[str, Any]:
        return {"max_entries": self.max_entries, "path": self.path, "ttl_s": self.ttl_s}  # without the entries

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _checked_path(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(name := os.fspath(path), str) or not name:
        raise InvalidRequestError(f"path must be the name of a file, got {describe(path)}; pass None for no file")
    return name
