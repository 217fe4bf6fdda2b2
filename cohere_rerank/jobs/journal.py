"""The journal of a job: one line for each row that is done, in the order in which the rows were done.

Nothing is buffered. A line that was written survives the death of the process, and after `Journal.sync` also the death
of the machine. A crash may leave an incomplete last line. It is cut off when the file is opened again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_json

from cohere_rerank._safe_files import open_regular

from .errors import JobError
from .records import MAX_LINE_BYTES, read_records
from .row_sets import Failures, RowSet
from .seen import SeenIds, temporary_database

__all__ = ["Journal"]

_RESERVE_BYTES = 4 << 20  # disk space for the rows in flight, in case the disk gets full


class Journal:
    """A file of done rows, open for appending.

    Attributes:
        done: Numbers of the rows in the file.
        failed: Those among them whose last record is an error.
        search_units: The cost of all rows, as reported, or as estimated where no cost was reported.
        estimated_units: How much of this is estimated.
        cost_usd: The cost of all rows in USD, as far as prices are known. None if no cost is known.
        estimated_cost_usd: How much of this is estimated.
        is_in_order: Whether the rows are in the order of their numbers, each of them once.
        has_duplicates: Whether a row has more than one record. The last one is valid.
    """

    def __init__(self, path: Path, seen: SeenIds, max_row: int, *, is_output: bool = False) -> None:
        """Open the file, or create it.

        Args:
            path: The file.
            seen: Receives the ids of its rows.
            max_row: The largest row number that the input can have.
            is_output: Whether the user chose the name. Then it may be a link to the file.

        Raises:
            JobError: The file cannot be read or written, or it is not a journal.
        """
        self.path = path
        self._seen = seen
        self._max_row = max_row
        self.done = RowSet()
        self.failed = Failures()
        self.search_units = 0.0
        self.estimated_units = 0.0
        self.cost_usd: float | None = None
        self.estimated_cost_usd = 0.0
        self.is_in_order = True
        self.has_duplicates = False
        self._last_number = 0
        self._reserve: IO[bytes] | None = None
        self._fd = -1
        self._size = 0
        self._synced_size = -1
        try:
            if is_output:
                self._fd, _ = open_regular(path.resolve(), mode=0o666, allow_links=True)
            else:
                self._fd, _ = open_regular(path)
            self._restore()
        except OSError as error:
            raise JobError(f"{path}: cannot be written: {error.strerror}") from error
        finally:
            if self._synced_size < 0:
                self.close()

    def _restore(self) -> None:
        """Read the rows that are done, and cut off an incomplete last line."""
        for _, end, record in self._records():
            self._size = end
            self._count(record)
            if record["id"] is not None:
                self._seen.first_row_with(record["id"], record["row"])
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, max(self._size - 1, 0), os.SEEK_SET)
        if os.read(self._fd, 1) not in (b"", b"\n"):  # an editor removed the line break; the row itself is complete
            self._size += os.write(self._fd, b"\n")
        self._synced_size = 0

    def clear(self) -> None:
        """Remove all rows, which have no results. The caller clears the ids.

        Raises:
            JobError: The file cannot be written.
        """
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        except OSError as error:
            raise JobError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.done, self.failed = RowSet(), Failures()
        self.search_units = self.estimated_units = self.estimated_cost_usd = 0.0
        self.cost_usd = None
        self.is_in_order, self.has_duplicates, self._last_number = True, False, 0
        self._size = 0

    def _records(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        with self.open_content() as file:
            yield from read_records(file, self.path, self._max_row)

    @contextmanager
    def open_content(self) -> Iterator[IO[bytes]]:
        """Open the file once more, for reading from its start. Nothing may be appended meanwhile."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            yield file

    def _count(self, record: Mapping[str, Any]) -> None:
        number = record["row"]
        n_before = len(self.done)
        self.done.add(number)
        self.has_duplicates = self.has_duplicates or len(self.done) == n_before
        self.is_in_order = self.is_in_order and number > self._last_number
        self._last_number = number
        if "error" in record:
            self.failed.record(number, record["error"])
        elif self.failed:
            self.failed.discard(number)
        estimated = record.get("estimated_search_units") or 0.0
        self.search_units += (record.get("billed_units", {}).get("search_units") or 0.0) + estimated
        self.estimated_units += estimated
        estimated_usd = record.get("estimated_cost_usd")
        for usd in (record.get("cost_usd"), estimated_usd):
            if usd is not None:
                self.cost_usd = (self.cost_usd or 0.0) + usd
        self.estimated_cost_usd += estimated_usd or 0.0

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one row at once.

        Raises:
            OSError: It cannot be written, for example because the disk is full. The file is as it was before.
        """
        line = to_json(record, inf_nan_mode="null") + b"\n"
        if len(line) > MAX_LINE_BYTES:  # it could not be read again
            raise OSError(errno.EFBIG, f"the results of row {record['row']} have more than {MAX_LINE_BYTES >> 20} MiB")
        try:
            n_written = 0
            while n_written < len(line):
                n_written += os.write(self._fd, line[n_written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise
        self._size += len(line)
        self._count(record)

    def sync(self) -> None:
        """Flush everything that was written to the disk."""
        size = self._size
        if size != self._synced_size:
            os.fsync(self._fd)
            self._synced_size = size

    def is_still_at_path(self) -> bool:
        """Whether the path still leads to this file: it was not moved, removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except OSError:
            return False

    def reserve_space(self) -> None:
        """Reserve disk space, to be released when the disk is full. Reserving it again does nothing.

        Raises:
            OSError: There is not enough space.
        """
        if self._reserve is None:
            # A file without a name where the system has such files: a killed job leaves none.
            reserve = tempfile.TemporaryFile(dir=self.path.resolve().parent, buffering=0)  # noqa: SIM115
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(reserve.fileno(), 0, _RESERVE_BYTES)
                else:
                    reserve.write(os.urandom(_RESERVE_BYTES))  # random, so that no file system compresses it
            except OSError:
                reserve.close()
                raise
            self._reserve = reserve

    def release_reserve(self) -> None:
        """Release the reserved disk space for the rows that are written next."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    def close(self) -> None:
        """Close the file. Closing it again does nothing."""
        self.release_reserve()
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def last_starts(self, *, ordered: bool) -> Iterator[int]:
        """Yield where the last record of each row starts, by row number or by place in the file."""
        with closing(temporary_database("starts (number INTEGER PRIMARY KEY, start INTEGER)")) as database:
            starts = ((record["row"], start) for start, _, record in self._records())
            try:
                database.executemany("INSERT OR REPLACE INTO starts VALUES (?, ?)", starts)
                query = "SELECT start FROM starts ORDER BY CASE WHEN ? THEN number ELSE start END"
                for (start,) in database.execute(query, (ordered,)):
                    yield start
            except sqlite3.Error as error:
                raise JobError(f"the temporary database of rows cannot be used: {error}") from error
