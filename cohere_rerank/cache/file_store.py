"""The store of scores in a SQLite file, which processes of one machine share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .stores import Entry

_VERSION = 3
_LOCK_TIMEOUT_S = 5.0  # how long to wait while another process writes
_KEYS_PER_QUERY = 500  # SQLite accepts at least 999 values in a statement


class FileScoreStore:
    """Keeps the entries in a file that processes share, and evicts the oldest ones.

    A failure of the file is logged once. It costs hits and never an answer.

    Raises:
        InvalidRequestError: The file cannot be opened, or it is not a cache file.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str], max_entries: int, ttl_s: float) -> None:
        self._path = Path(path)
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._is_healthy = True
        self._inherited: list[sqlite3.Connection] = []
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._open()
            self.secret = self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise InvalidRequestError(f"the cache file {str(self._path)!r} cannot be used: {error}") from None

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """See `ScoreStore.get`."""
        found: dict[bytes, Entry] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            batch = wanted[start : start + _KEYS_PER_QUERY]
            placeholders = ",".join("?" * len(batch))
            rows = self._execute(
                f"SELECT key, score, spans, scale FROM scores WHERE stored_at_s > ? AND key IN ({placeholders})",  # noqa: S608
                [now_s - self._ttl_s, *batch],
            )
            found.update((key, Entry(*values)) for key, *values in rows)
        return found

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """See `ScoreStore.put`."""
        rows = [(key, *entry, now_s) for key, entry in entries.items()]
        statement = "INSERT OR REPLACE INTO scores (key, score, spans, scale, stored_at_s) VALUES (?, ?, ?, ?, ?)"
        self._execute(statement, rows, many=True)
        self._execute("DELETE FROM scores WHERE id <= (SELECT max(id) FROM scores) - ?", [self._max_entries])

    def clear(self) -> None:
        """See `ScoreStore.clear`."""
        self._execute("DELETE FROM scores", [])

    def __del__(self) -> None:
        if getattr(self, "_pid", None) == os.getpid():
            self._database.close()

    def _execute(self, statement: str, values: Any, *, many: bool = False) -> list[Any]:
        if self._pid != os.getpid():  # a forked process must neither use nor close the connection of its parent
            self._inherited.append(self._database)
            self._open()
        try:
            with self._lock, self._database:
                execute = self._database.executemany if many else self._database.execute
                rows = execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if self._is_healthy:
                getLogger("cohere_rerank").warning("the cache file %s cannot be used now: %s", self._path, error)
            self._is_healthy = False
            return []
        self._is_healthy = True
        return rows

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
        self._lock, self._pid = Lock(), os.getpid()
        self._database.execute("PRAGMA synchronous = NORMAL")  # with WAL a crash can lose entries but not the file

    def _prepare(self) -> bytes:
        """Create the tables if the file is new, and return the secret of the file."""
        with self._database as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            [version] = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.execute(
                    "CREATE TABLE scores"
                    " (id INTEGER PRIMARY KEY, key BLOB UNIQUE, score REAL, spans BLOB, scale TEXT, stored_at_s REAL)"
                )
                database.execute("CREATE TABLE secret (value BLOB)")
                database.execute("INSERT INTO secret VALUES (?)", [os.urandom(32)])
                database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                advice = "delete it, or use another path"
                raise sqlite3.DatabaseError(f"it has format {version}, this release writes {_VERSION}; {advice}")
            [secret] = database.execute("SELECT value FROM secret").fetchone()
        return bytes(secret)
