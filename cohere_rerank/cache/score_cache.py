"""`ScoreCache`: what a client is given to keep scores in."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from cohere_rerank._validators import seconds, whole_number
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .stores import Store


class ScoreCache:
    """Keeps each document's score, so that it is not sent and paid for twice with the same query.

    One cache may serve any number of clients, threads, tasks and event loops; on disk, any number of processes of one
    machine. What is kept is told apart by address, model, query, document and every option that matters to a score.
    Only scores and spans are kept, under keyed digests: no query and no document.

    Scores of scorers that look at the whole list (the lexical one does) are never kept, nor are errors and the answers
    of a fallback.

    Args:
        max_entries: Documents, >= 1. In memory those not used for longest go first, on disk those written first.
            In memory an entry takes about 0.3 kB.
        path: A file to keep them in, made if it is not there (its folder must be). None: in this process's memory.
        ttl_s: Seconds after which a score is asked for anew, > 0. None: never.

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
        n_entries = whole_number("max_entries", max_entries, 1)
        if n_entries is None:
            raise InvalidRequestError("max_entries must be a whole number, at least 1, got None")
        self.max_entries = n_entries
        self.path = None if path is None else os.fspath(path)
        self.ttl_s = seconds("ttl_s", ttl_s)
        self._store = self._new_store()
        self._flights: dict[bytes, object] = {}
        self._pid = os.getpid()

    def clear(self) -> None:
        """Forget everything, on disk for all who share the file."""
        self._store.clear()

    def _new_store(self) -> Store:
        from .stores import FileStore, MemoryStore

        ttl_s = self.ttl_s or math.inf
        return (
            MemoryStore(self.max_entries, ttl_s) if self.path is None else FileStore(self.path, self.max_entries, ttl_s)
        )

    def _lead(self, keys: Iterable[bytes], who: object) -> list[bytes]:
        """Of these keys, those that nobody else is asking for; *who* now is."""
        if self._pid != os.getpid():  # whoever was asking does so in the process that was forked
            self._flights, self._pid = {}, os.getpid()
        return [key for key in keys if self._flights.setdefault(key, who) is who]

    def _land(self, keys: Iterable[bytes]) -> None:
        """These are no longer asked for."""
        for key in keys:
            self._flights.pop(key, None)

    def _is_flying(self, keys: Iterable[bytes]) -> bool:
        return any(key in self._flights for key in keys)

    def __repr__(self) -> str:
        return f"ScoreCache(max_entries={self.max_entries}, path={self.path!r}, ttl_s={self.ttl_s})"

    def __getstate__(self) -> dict[str, Any]:
        return {"max_entries": self.max_entries, "path": self.path, "ttl_s": self.ttl_s}  # entries stay where they are

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
