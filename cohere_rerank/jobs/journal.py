"""The journal of a job: one line for each row that is done, in the order in which the rows were done.

Nothing is buffered. A line that was written survives the death of the process, and after `Journal.sync` also the death
of the machine. A crash may leave an incomplete last line. It is cut off when the file is opened again.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from .errors import JobError
from .row_sets import Failures, RowSet
from .seen import SeenIds

__all__ = ["Journal"]

_LINE_START = b'{"id":'  # of every line
_RESERVE_BYTES = 4 << 20  # disk space for the rows in flight, in case the disk gets full


class Journal:
    """A file of done rows, open for appending.

    Attributes:
        done: Numbers of the rows in the file.
        failed: Those among them whose last record is an error.
        search_units: The cost of all rows, as reported, or as estimated where no cost was reported.
        estimated_units: How much of this is estimated.
        is_in_order: Whether the rows are in the order of their numbers, each of them once.
        has_duplicates: Whether a row has more than one record. The last one is valid.
    """

    def __init__(self, path: Path, seen: SeenIds) -> None:
        """Open the file, or create it.

        Args:
            path: The file.
            seen: Receives the ids of its rows.

        Raises:
            JobError: The file cannot be read or written, or it is not a journal.
        """
        self.path = path
        self._seen = seen
        self.done = RowSet()
        self.failed = Failures()
        self.search_units = 0.0
        self.estimated_units = 0.0
        self.is_in_order = True
        self.has_duplicates = False
        self._last_number = 0
        self._reserve_path = path.with_name(path.name + ".spare")
        self._fd = -1
        self._synced_size = -1
        try:
            self._size = self._read()
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            self._reserve_space()
        except OSError as error:
            self.close()
            raise JobError(f"{path}: cannot be written: {error.strerror}") from error

    def _read(self) -> int:
        """Read the rows that are done, and return the length of the complete lines."""
        if not self.path.exists():
            return 0
        size = 0
        for _, end, record in read_records(self.path):
            size = end
            self._count(record)
            if record.get("id") is not None:
                self._seen.first_row_with(record["id"], record["row"])
        return size

    def _count(self, record: Mapping[str, Any]) -> None:
        number = record["row"]
        self.has_duplicates = self.has_duplicates or number in self.done
        self.is_in_order = self.is_in_order and number > self._last_number
        self._last_number = number
        self.done.add(number)
        if "error" in record:
            self.failed.record(number, record["error"])
        else:
            self.failed.discard(number)
        estimated = record.get("estimated_search_units", 0.0)
        self.search_units += record.get("billed_units", {}).get("search_units", 0.0) + estimated
        self.estimated_units += estimated

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one row at once.

        Raises:
            OSError: It cannot be written, for example because the disk is full. The file is as it was before.
        """
        line = to_json(record) + b"\n"
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

    def _reserve_space(self) -> None:
        """Reserve disk space, to be released when the disk is full."""
        with self._reserve_path.open("wb") as reserve:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(reserve.fileno(), 0, _RESERVE_BYTES)
            else:
                reserve.write(os.urandom(_RESERVE_BYTES))  # random, so that no file system compresses it

    def release_reserve(self) -> None:
        """Release the reserved disk space for the rows that are written next."""
        with suppress(OSError):
            self._reserve_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. Closing it again does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self.release_reserve()
            os.close(fd)

    def offsets(self) -> array[int]:
        """Return where the last record of each row starts, plus 1, by row number. 0 is for a row without a record."""
        offsets = array("Q")
        for start, _, record in read_records(self.path):
            number = record["row"]
            if number >= len(offsets):
                offsets.extend([0] * (number + 1 - len(offsets)))
            offsets[number] = start + 1
        return offsets


def read_records(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the complete lines of a journal: where each starts and ends, and its record.

    A last line that is incomplete or broken is left out, because a crash may have left it.

    Raises:
        JobError: Another line is not a row of a job.
    """
    end, broken = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if broken:
                raise JobError(f"{path}: line {broken} is not a row of a job; was the file changed?")
            start, end = end, end + len(line)
            record = _parse_record(line) if line.endswith(b"\n") else None
            if record is None:
                if number == 1 and not _may_be_torn(line):
                    raise JobError(f"{path}: line 1 is not a row of a job; was the file changed?")
                broken = number
            else:
                yield start, end, record


def _may_be_torn(line: bytes) -> bool:
    """Whether a crash may have left this of a first row: the start of a row, or the zeros of an unwritten block."""
    return line[: len(_LINE_START)] == _LINE_START[: len(line)] or not line.strip(b"\0")


def _parse_record(line: bytes) -> dict[str, Any] | None:
    try:
        record = from_json(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("row"), int) or record["row"] < 1:
        return None
    if not isinstance(record.get("error", {}), dict):
        return None
    return record
