"""Where scores are kept: in the process, or in a file of SQLite's, which comes with Python."""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

from cohere_rerank.errors import InvalidRequestError

_VERSION = 2
_BUSY_S = 5.0  # how long to wait for another process that writes
_AT_ONCE = 500  # keys in one question to SQLite, which takes 999 at the least


class Entry(NamedTuple):
    """What is known about one document.

    Attributes:
        score: In [0, 1] for Cohere's models.
        spans: Its relevant spans as JSON, if they were asked for and found.
        scale: What the reply that it came in says its scores are on, if it does.
    """

    score: float
    spans: bytes | None
    scale: str | None


class Store(Protocol):
    """Keeps entries by key. It may forget any of them at any time, and never fails a call."""

    secret: bytes
    waits: bool  # whether a call may take long enough to matter to an event loop

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """The entries that are known, and not too old, by key."""
        ...

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """Keep them."""
        ...

    def clear(self) -> None:
        """Forget them all."""
        ...


class MemoryStore:
    """At most so many entries; those not used for longest go first."""

    waits = False

    def __init__(self, max_entries: int, ttl_s: float) -> None:
        self.secret = os.urandom(32)
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._entries: OrderedDict[bytes, tuple[float, Entry]] = OrderedDict()
        self._lock, self._pid = Lock(), os.getpid()

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """See `Store`."""
        found = {}
        with self._own_lock():
            for key in keys:
                since_s, entry = self._entries.get(key, (0.0, None))
                if entry is not None and now_s - since_s < self._ttl_s:
                    self._entries.move_to_end(key)
                    found[key] = entry
        return found

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """See `Store`."""
        with self._own_lock():
            for key, entry in entries.items():
                self._entries[key] = (now_s, entry)
                self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """See `Store`."""
        with self._own_lock():
            self._entries.clear()

    def _own_lock(self) -> Lock:
        if self._pid != os.getpid():  # another thread may have held it when this process was forked
            self._lock, self._pid = Lock(), os.getpid()
        return self._lock


class FileStore:
    """At most so many entries in a file that processes share; those written first go first.

    Trouble with the file is logged once and costs hits, never an answer.

    Raises:
        InvalidRequestError: The file cannot be opened, or is something else.
    """

    waits = True

    def __init__(self, path: str | os.PathLike[str], max_entries: int, ttl_s: float) -> None:
        self._path = Path(path)
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._is_well = True
        self._inherited: list[sqlite3.Connection] = []
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._open()
            self.secret = self._prepared()
        except (OSError, sqlite3.Error) as error:
            raise InvalidRequestError(f"the cache file {str(self._path)!r} cannot be used: {error}") from None

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """See `Store`."""
        found: dict[bytes, Entry] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            holes = ",".join("?" * len(some))
            rows = self._do(
                f"SELECT key, score, spans, scale FROM scores WHERE since_s > ? AND key IN ({holes})",  # noqa: S608
                [now_s - self._ttl_s, *some],
            )
            found.update((key, Entry(*values)) for key, *values in rows)
        return found

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """See `Store`."""
        rows = [(key, *entry, now_s) for key, entry in entries.items()]
        statement = "INSERT OR REPLACE INTO scores (key, score, spans, scale, since_s) VALUES (?, ?, ?, ?, ?)"
        self._do(statement, rows, many=True)
        self._do("DELETE FROM scores WHERE id <= (SELECT max(id) FROM scores) - ?", [self._max_entries])

    def clear(self) -> None:
        """See `Store`."""
        self._do("DELETE FROM scores", [])

    def __del__(self) -> None:
        if getattr(self, "_pid", None) == os.getpid():
            self._database.close()

    def _do(self, statement: str, values: Any, *, many: bool = False) -> list[Any]:
        if self._pid != os.getpid():  # a connection must be neither used nor closed on the other side of a fork
            self._inherited.append(self._database)
            self._open()
        try:
            with self._lock, self._database:
                execute = self._database.executemany if many else self._database.execute
                rows = execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if self._is_well:
                getLogger("cohere_rerank").warning("the cache file %s is of no use now: %s", self._path, error)
            self._is_well = False
            return []
        self._is_well = True
        return rows

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False)
        self._lock, self._pid = Lock(), os.getpid()
        self._database.execute("PRAGMA synchronous = NORMAL")  # with WAL: a crash may lose the newest, never the file

    def _prepared(self) -> bytes:
        """The file's own secret; its tables are made if it is new."""
        with self._database as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            [version] = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.execute(
                    "CREATE TABLE scores"
                    " (id INTEGER PRIMARY KEY, key BLOB UNIQUE, score REAL, spans BLOB, scale TEXT, since_s REAL)"
                )
                database.execute("CREATE TABLE secret (value BLOB)")
                database.execute("INSERT INTO secret VALUES (?)", [os.urandom(32)])
                database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                advice = "delete it, or give another path"
                raise sqlite3.DatabaseError(f"it has format {version}, this release writes {_VERSION}; {advice}")
            [secret] = database.execute("SELECT value FROM secret").fetchone()
        return bytes(secret)
