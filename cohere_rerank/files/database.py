"""A temporary database on the disk, for what may be larger than memory: groups of pairs, and a corpus."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json, to_json

from .errors import FileError

__all__ = ["Database"]

_CACHE_KIB = 32 << 10
_SCHEMA = """
CREATE TABLE groups (number INTEGER PRIMARY KEY, key TEXT UNIQUE, head BLOB);
CREATE TABLE pairs (number INTEGER, doc TEXT, data BLOB);
CREATE TABLE wanted (key TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID;
CREATE TABLE queries (key TEXT PRIMARY KEY, position INTEGER, query TEXT);
"""


class Database:
    """Values by key, with at most 32 MiB in memory. It is deleted when it is closed.

    A key is a string or a whole number. 1 and "1" are the same key, because text files have no types.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        self._last: tuple[str, int] | None = None
        self.n_groups = 0

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def _execute(self, statement: str, values: Iterable[object] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, tuple(values))
        except sqlite3.Error as error:
            raise FileError(f"the temporary database on the disk cannot be used: {error}") from error

    def add_pair(self, key: str, head: object, document_key: str | None, data: object) -> tuple[int, bool]:
        """Add a document to the group of a key. *head* is kept for a new group.

        Returns:
            The number of the group, in the order of first appearance from 1, and whether it is new.
        """
        is_new = False
        if self._last is None or self._last[0] != key:
            found = self._execute("SELECT number FROM groups WHERE key = ?", (key,)).fetchone()
            if found is None:
                is_new = True
                self.n_groups += 1
                self._execute("INSERT INTO groups VALUES (?, ?, ?)", (self.n_groups, key, to_json(head)))
            self._last = key, self.n_groups if found is None else found[0]
        number = self._last[1]
        self._execute("INSERT INTO pairs VALUES (?, ?, ?)", (number, document_key, to_json(data)))
        if document_key is not None:
            self._execute("INSERT OR IGNORE INTO wanted VALUES (?, NULL)", (document_key,))
        return number, is_new

    def finish_pairs(self) -> None:
        """Prepare the reading of groups, once all pairs are added."""
        self._execute("CREATE INDEX IF NOT EXISTS by_number ON pairs (number)")

    def head(self, number: int) -> Any:
        """Return the head of a group."""
        (head,) = self._execute("SELECT head FROM groups WHERE number = ?", (number,)).fetchone()
        return from_json(head)

    def pairs(self, number: int) -> Iterator[tuple[Any, Any]]:
        """Yield the documents of a group in the order of the file, and the content of each in the corpus, or None."""
        statement = (
            "SELECT pairs.data, wanted.content FROM pairs LEFT JOIN wanted ON wanted.key = pairs.doc "
            "WHERE pairs.number = ? ORDER BY pairs.rowid"
        )
        for data, content in self._execute(statement, (number,)):
            yield from_json(data), None if content is None else from_json(content)

    def add_content(self, key: str, content: object) -> None:
        """Add the content of a document, if a pair has this key. The first content of a key is kept."""
        self._execute("UPDATE wanted SET content = ? WHERE key = ? AND content IS NULL", (to_json(content), key))

    def missing(self) -> tuple[int, int, str | None]:
        """Return how many documents of the pairs have no content, how many there are, and the key of one."""
        n, n_missing, example = self._execute(
            "SELECT count(*), sum(content IS NULL), min(CASE WHEN content IS NULL THEN key END) FROM wanted"
        ).fetchone()
        return n_missing or 0, n, example

    def add_query(self, key: str, position: int, query: str) -> None:
        """Add a query. The first one of a key is kept."""
        self._execute("INSERT OR IGNORE INTO queries VALUES (?, ?, ?)", (key, position, query))

    def query(self, key: str) -> str | None:
        """Return the query of a key, or None."""
        found = self._execute("SELECT query FROM queries WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def query_at(self, position: int) -> str | None:
        """Return the query at a position from 1, or None."""
        found = self._execute("SELECT query FROM queries WHERE position = ?", (position,)).fetchone()
        return None if found is None else found[0]
