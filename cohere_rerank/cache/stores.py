"""What a store of scores does, and the one in the memory of a process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """What is known about one document.

    Attributes:
        score: The relevance score, in [0, 1] for the models of Cohere.
        spans: The relevant spans as JSON. None: they were not asked for, or there are none.
        scale: The score scale that the reply stated. None: it stated none.
    """

    score: float
    spans: bytes | None
    scale: str | None


class ScoreStore(Protocol):
    """Keeps entries by key. It may lose an entry at any time, and it never makes a call fail."""

    secret: bytes
    blocks: bool  # whether it would block an event loop noticeably

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """Return the known entries that have not expired, by key."""
        ...

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """Keep these entries."""
        ...

    def clear(self) -> None:
        """Remove all entries."""
        ...


class MemoryScoreStore:
    """Keeps the entries in memory and evicts the least recently used ones."""

    blocks = False

    def __init__(self, max_entries: int, ttl_s: float) -> None:
        self.secret = os.urandom(32)
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._entries: OrderedDict[bytes, tuple[float, Entry]] = OrderedDict()
        self._lock, self._pid = Lock(), os.getpid()

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """See `ScoreStore.get`."""
        found = {}
        with self._lock_of_process():
            for key in keys:
                stored_at_s, entry = self._entries.get(key, (0.0, None))
                if entry is not None and now_s - stored_at_s < self._ttl_s:
                    self._entries.move_to_end(key)
                    found[key] = entry
        return found

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """See `ScoreStore.put`."""
        with self._lock_of_process():
            for key, entry in entries.items():
                self._entries[key] = (now_s, entry)
                self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """See `ScoreStore.clear`."""
        with self._lock_of_process():
            self._entries.clear()

    def _lock_of_process(self) -> Lock:
        if self._pid != os.getpid():  # a thread of the parent may have held the lock during the fork
            self._lock, self._pid = Lock(), os.getpid()
        return self._lock
