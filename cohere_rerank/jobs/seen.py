"""The ids that a job has met, for any number of rows."""

from __future__ import annotations

import hashlib
import sqlite3

from .errors import JobError

__all__ = ["SeenIds", "temporary_database"]

_CACHE_KIB = 8 << 10


class SeenIds:
    """Ids, each with the number of the first row that has it.

    They are stored as 8-byte hashes in a temporary SQLite database, which uses the disk above 8 MiB. Ten million ids
    therefore need no more memory than ten thousand. The chance that two of ten million different ids share a hash is
    1 in 370,000. The second of these rows would be refused, with an error that names both.
    """

    def __init__(self) -> None:
        self._database = temporary_database("seen (id INTEGER PRIMARY KEY, number INTEGER)")

    def first_row_with(self, row_id: str | int, number: int) -> int:
        """Return the number of the first row with this id. A new id is recorded with *number*.

        Raises:
            JobError: The temporary database cannot be written, for example because its disk is full.
        """
        text = f"{type(row_id).__name__} {row_id}".encode("utf-8", "surrogatepass")
        key = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
        try:
            added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, number))
            if added.rowcount:
                return number
            first: int = self._database.execute("SELECT number FROM seen WHERE id = ?", (key,)).fetchone()[0]
        except sqlite3.Error as error:
            raise JobError(f"the temporary database of ids cannot be used: {error}") from error
        return first

    def clear(self) -> None:
        """Forget all ids.

        Raises:
            JobError: The temporary database cannot be written.
        """
        try:
            self._database.execute("DELETE FROM seen")
        except sqlite3.Error as error:
            raise JobError(f"the temporary database of ids cannot be used: {error}") from error

    def close(self) -> None:
        """Delete the database."""
        self._database.close()


def temporary_database(table: str) -> sqlite3.Connection:
    """Create a database with one table. It is deleted when it is closed, and no other process can open it."""
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute(f"CREATE TABLE {table}")
    database.execute("BEGIN")
    return database
