"""The store of scores in a SQLite file, which processes of one machine share."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from cohere_rerank.errors import InvalidRequestError

from .stores import Entry

T = TypeVar("T")

_APPLICATION_ID = 0x43525363  # marks the file as ours
_VERSION = 3
_KEYS_PER_QUERY = 500  # SQLite accepts at least 999 values in a statement
_OPEN_TIMEOUT_S = 5.0  # to open the file, while other processes may be writing
# During a call, the file may cost milliseconds and never the answer. SQLite waits for locks up to _LOCK_TIMEOUT_S, and
# a statement is interrupted after _STATEMENT_TIMEOUT_S. A file that has failed is left alone, at first for _RETRY_S.
_LOCK_TIMEOUT_S, _STATEMENT_TIMEOUT_S, _THREAD_TIMEOUT_S = 0.05, 0.25, 1.0
_RETRY_S, _RETRY_MAX_S = 0.25, 30.0
_STEPS_PER_CHECK = 10_000  # SQLite's virtual machine runs about ten million steps in a second
_MAX_SPANS_BYTES = 1024 * 1024
_SCALES = (None, "unit", "logit")
_MAX_UNWRITTEN = 10_000  # entries that wait in memory while the file cannot be written
_SIDE_FILES = ("", "-wal", "-shm", "-journal")  # what SQLite opens
_SELECT = (
    "SELECT key, score, spans, scale FROM scores WHERE stored_at_s > ? AND coalesce(length(spans), 0) <= ? AND key IN"
)
_SCHEMA = {
    "scores": "CREATE TABLE scores"
    " (id INTEGER PRIMARY KEY, key BLOB UNIQUE, score REAL, spans BLOB, scale TEXT, stored_at_s REAL)",
    "secret": "CREATE TABLE secret (value BLOB)",
}


class FileScoreStore:
    """Keeps the entries in a file that processes share, and evicts the oldest ones.

    A failure of the file is logged once. It costs hits and never an answer, and milliseconds at most.

    Raises:
        InvalidRequestError: The file cannot be opened, or it is not a cache file.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str], max_entries: int, ttl_s: float) -> None:
        self._path = Path(path).absolute()  # names such as ":memory:" are special in SQLite
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._reads, self._writes = _Health(), _Health()
        self._unwritten: dict[bytes, tuple[float, Entry]] = {}
        self._inherited: list[sqlite3.Connection] = []
        self._interrupt_at_s = [math.inf]
        self._lock, self._pid = Lock(), os.getpid()
        try:
            self._check_files()
            self._open(_OPEN_TIMEOUT_S)
            self.secret = self._prepare()
            self._database.execute(f"PRAGMA busy_timeout = {1000 * _LOCK_TIMEOUT_S:.0f}")
        except (OSError, sqlite3.Error, ValueError) as error:
            raise InvalidRequestError(
                f"the cache file {str(self._path)!r} cannot be used: {error}; use another path"
            ) from None

    def get(self, keys: Iterable[bytes], now_s: float) -> dict[bytes, Entry]:
        """See `ScoreStore.get`."""
        wanted = list(keys)
        found = self._attempt(lambda: self._select(wanted, now_s), self._reads) or {}
        for key in wanted:
            stored_at_s, entry = self._unwritten.get(key, (0.0, None))
            if entry is not None and now_s - stored_at_s < self._ttl_s:
                found[key] = entry
        return found

    def put(self, entries: Mapping[bytes, Entry], now_s: float) -> None:
        """See `ScoreStore.put`. Entries that cannot be written now are written with later ones."""
        self._unwritten.update((key, (now_s, entry)) for key, entry in entries.items())
        self._write_all()
        while len(self._unwritten) > _MAX_UNWRITTEN:
            self._unwritten.pop(next(iter(self._unwritten)), None)

    def clear(self) -> None:
        """See `ScoreStore.clear`."""
        self._unwritten.clear()
        self._attempt(lambda: self._database.execute("DELETE FROM scores"), self._writes)

    def __del__(self) -> None:
        if getattr(self, "secret", None) is None or self._pid != os.getpid():
            return
        if self._unwritten:
            self._writes = _Health()
            self._write_all()
        self._database.close()

    def _select(self, keys: list[bytes], now_s: float) -> dict[bytes, Entry]:
        found: dict[bytes, Entry] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            batch = keys[start : start + _KEYS_PER_QUERY]
            placeholders = ",".join("?" * len(batch))
            values = [now_s - self._ttl_s, _MAX_SPANS_BYTES, *batch]
            rows = self._database.execute(f"{_SELECT} ({placeholders})", values)
            for key, *columns in rows:
                if (entry := _valid_entry(*columns)) is not None:
                    found[key] = entry
        return found

    def _write_all(self) -> None:
        rows = dict(self._unwritten)
        if self._attempt(lambda: self._insert(rows), self._writes) is not None:
            for key in rows:
                self._unwritten.pop(key, None)

    def _insert(self, rows: Mapping[bytes, tuple[float, Entry]]) -> bool:
        self._database.executemany(
            "INSERT OR REPLACE INTO scores (key, score, spans, scale, stored_at_s) VALUES (?, ?, ?, ?, ?)",
            [(key, *entry, stored_at_s) for key, (stored_at_s, entry) in rows.items()],
        )
        self._database.execute("DELETE FROM scores WHERE id <= (SELECT max(id) FROM scores) - ?", [self._max_entries])
        return True

    def _attempt(self, action: Callable[[], T], health: _Health) -> T | None:
        """Run the action in a transaction and return its result. Return None if the file fails or failed just now."""
        if self._pid != os.getpid():  # a thread of the parent may have held the lock during the fork
            self._lock, self._pid = Lock(), os.getpid()
            self._inherited.append(self._database)  # a forked process must neither use nor close it
            self._must_reopen = True
        if health.is_waiting() or not self._lock.acquire(timeout=_THREAD_TIMEOUT_S):
            return None
        try:
            if health.is_waiting():  # another thread failed while this one waited
                return None
            if self._must_reopen:
                self._open(_LOCK_TIMEOUT_S)
            self._interrupt_at_s[0] = time.monotonic() + _STATEMENT_TIMEOUT_S
            with self._database:
                result = action()
        except (sqlite3.Error, ValueError, OverflowError) as error:
            self._record_failure(error, health)
            return None
        finally:
            self._lock.release()
        health.record_success()
        return result

    def _record_failure(self, error: Exception, health: _Health) -> None:
        is_first = not (self._reads.is_failing or self._writes.is_failing)
        health.record_failure()
        if is_first:
            getLogger("cohere_rerank").warning(
                "the cache file %s cannot be used now: %s; calls continue without it", self._path, error
            )

    def _check_files(self) -> None:
        """Create the file with mode 0600 if it is new. Refuse links, FIFOs and the like before SQLite opens them.

        An existing file is not opened here: closing it again would release the locks of SQLite in this process.
        """
        for suffix in _SIDE_FILES:
            try:
                mode = os.lstat(f"{self._path}{suffix}").st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(mode):
                raise ValueError(f"{self._path.name}{suffix} is not a regular file")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        try:
            os.close(os.open(self._path, flags, 0o600))
        except FileExistsError:
            return

    def _open(self, timeout_s: float) -> None:
        self._database = sqlite3.connect(self._path, timeout=timeout_s, check_same_thread=False)
        self._must_reopen = False
        interrupt_at_s = self._interrupt_at_s  # not self: a reference cycle would keep the file open
        interrupt_at_s[0] = time.monotonic() + _OPEN_TIMEOUT_S
        self._database.set_progress_handler(lambda: time.monotonic() > interrupt_at_s[0], _STEPS_PER_CHECK)
        self._database.text_factory = lambda content: content.decode("utf-8", "replace")
        self._database.execute("PRAGMA trusted_schema = OFF")
        self._database.execute("PRAGMA synchronous = NORMAL")  # with WAL a crash can lose entries but not the file

    def _prepare(self) -> bytes:
        """Create the tables if the file is new, and return the secret of the file."""
        database = self._database
        [application_id] = database.execute("PRAGMA application_id").fetchone()
        [n_objects] = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application_id != _APPLICATION_ID and (application_id or n_objects):
            raise ValueError("it is a database of another program")
        database.execute("PRAGMA journal_mode = WAL")
        with database:
            database.execute("BEGIN IMMEDIATE")
            [version] = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.values():
                    database.execute(statement)
                database.execute("INSERT INTO secret VALUES (?)", [os.urandom(32)])
                database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise ValueError(f"it has format {version}, and this release writes {_VERSION}; delete it")
            return self._checked_secret()

    def _checked_secret(self) -> bytes:
        schema = dict(self._database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
        rows = self._database.execute("SELECT value FROM secret").fetchmany(2)
        if schema != _SCHEMA or len(rows) != 1 or not isinstance(rows[0][0], bytes) or len(rows[0][0]) != 32:
            raise ValueError("it is damaged; delete it")
        secret: bytes = rows[0][0]
        return secret


class _Health:
    """Whether reading or writing works. After a failure the file is not used for some time, longer each time."""

    def __init__(self) -> None:
        self._n_failures = 0
        self._retry_at_s = -math.inf

    def is_waiting(self) -> bool:
        """Return whether it is too early to try again after the last failure."""
        return time.monotonic() < self._retry_at_s

    def record_success(self) -> None:
        self._n_failures = 0

    @property
    def is_failing(self) -> bool:
        return self._n_failures > 0

    def record_failure(self) -> None:
        self._retry_at_s = time.monotonic() + min(_RETRY_S * 2**self._n_failures, _RETRY_MAX_S)
        self._n_failures = min(self._n_failures + 1, 10)


def _valid_entry(score: Any, spans: Any, scale: Any) -> Entry | None:
    """Return the entry of a row, or None if this package cannot have written it."""
    if not isinstance(score, float) or not math.isfinite(score):
        return None
    if not (spans is None or isinstance(spans, bytes)):
        return None
    return Entry(score, spans, scale) if scale in _SCALES else None
