"""Which ids have been met, for any number of rows."""

from __future__ import annotations

import hashlib
import sqlite3

__all__ = ["SeenIds"]

_CACHE_KIB = 8 << 10


class SeenIds:
    """Ids and the numbers of the first rows that have them.

    They are kept as 8-byte hashes in a temporary SQLite database, which goes to the disk beyond 8 MiB: ten million take
    no more memory than ten thousand. That two different ids of ten million share a hash has a chance of 1 in 370,000;
    the second row would be refused, with an error that names both.
    """

    def __init__(self) -> None:
        # No name: private, deleted when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, number INTEGER)")
        self._database.execute("BEGIN")

    def first(self, name: str | int, number: int) -> int:
        """The number of the first row with this id: *number* itself, if it is new."""
        text = f"{type(name).__name__} {name}".encode("utf-8", "surrogatepass")
        key = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, number))
        if added.rowcount:
            return number
        found: int = self._database.execute("SELECT number FROM seen WHERE id = ?", (key,)).fetchone()[0]
        return found

    def close(self) -> None:
        """Forget them."""
        self._database.close()
