"""The record of what a job has done: its output, a row a line, in the order in which rows were answered.

Nothing is buffered: a line that was written survives the death of the process, and `sync` makes it survive the death
of the machine. A line without an end is what a crash leaves; it is cut off when the file is opened again.
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

_BEGINNING = b'{"id":'  # of every line
_SPARE_BYTES = 4 << 20  # room for what is under way when the disk is full


class Journal:
    """A file of answered rows, opened to go on with it.

    Attributes:
        done: Numbers of the rows in it.
        failed: Those among them whose last record is an error.
        search_units: What all answers cost, as reported; and as estimated where they were not.
        estimated_units: How much of that is estimated.
        is_in_order: Whether the rows stand in the order of their numbers, each once.
    """

    def __init__(self, path: Path, seen: SeenIds) -> None:
        """Open it, or make it.

        Args:
            path: The file.
            seen: Is told the ids of its rows.

        Raises:
            JobError: It cannot be read or written, or is no such file.
        """
        self.path = path
        self._seen = seen
        self.done = RowSet()
        self.failed = Failures()
        self.search_units = 0.0
        self.estimated_units = 0.0
        self.is_in_order = True
        self.has_repeats = False
        self._last = 0
        self._spare = path.with_name(path.name + ".spare")
        self._fd = -1
        self._synced_size = -1
        try:
            self._size = self._read()
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            self._reserve()
        except OSError as error:
            self.close()
            raise JobError(f"{path}: cannot be written: {error.strerror}") from error

    def _read(self) -> int:
        """Learn what is done; the length of what is whole."""
        if not self.path.exists():
            return 0
        size = 0
        for _, end, record in records(self.path):
            size = end
            self._note(record)
            if record.get("id") is not None:
                self._seen.first(record["id"], record["row"])
        return size

    def _note(self, record: Mapping[str, Any]) -> None:
        number = record["row"]
        self.has_repeats = self.has_repeats or number in self.done
        self.is_in_order = self.is_in_order and number > self._last
        self._last = number
        self.done.add(number)
        if "error" in record:
            self.failed.put(number, record["error"])
        else:
            self.failed.discard(number)
        estimated = record.get("estimated_search_units", 0.0)
        self.search_units += record.get("billed_units", {}).get("search_units", 0.0) + estimated
        self.estimated_units += estimated

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one row, at once.

        Raises:
            OSError: The disk is full, for example; the file is as it was before.
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
        self._note(record)

    def sync(self) -> None:
        """Have everything written reach the disk itself; at once if it has."""
        size = self._size
        if size != self._synced_size:
            os.fsync(self._fd)
            self._synced_size = size

    def is_in_place(self) -> bool:
        """Whether the file still has its name: nobody has moved, removed or replaced it."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except OSError:
            return False

    def _reserve(self) -> None:
        """Keep some room on the disk, to be freed when there is no other left."""
        with self._spare.open("wb") as spare:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(spare.fileno(), 0, _SPARE_BYTES)
            else:
                spare.write(os.urandom(_SPARE_BYTES))  # which no file system can pack

    def free_spare(self) -> None:
        """Give the room that was kept to the rows that come now."""
        with suppress(OSError):
            self._spare.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; closing again does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self.free_spare()
            os.close(fd)

    def offsets(self) -> array[int]:
        """Where the last record of each row begins, plus 1, by the row's number; 0 where there is none."""
        found = array("Q")
        for start, _, record in records(self.path):
            number = record["row"]
            if number >= len(found):
                found.extend([0] * (number + 1 - len(found)))
            found[number] = start + 1
        return found


def records(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The whole lines of a journal: where each begins and ends, and what it says.

    What a crash may leave at the end, a line without an end or one of nonsense, is left out.

    Raises:
        JobError: A line in the middle is no row of a job.
    """
    end, broken = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if broken:
                raise JobError(f"{path}: line {broken} is no row of a job; was the file changed?")
            start, end = end, end + len(line)
            record = _record(line) if line.endswith(b"\n") else None
            if record is None:
                if number == 1 and not _may_be_torn(line):
                    raise JobError(f"{path}: line 1 is no row of a job; was the file changed?")
                broken = number
            else:
                yield start, end, record


def _may_be_torn(line: bytes) -> bool:
    """Whether a crash may have left this of a first row: its beginning, or the zeros of a block."""
    return line[: len(_BEGINNING)] == _BEGINNING[: len(line)] or not line.strip(b"\0")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = from_json(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("row"), int) or record["row"] < 1:
        return None
    if not isinstance(record.get("error", {}), dict):
        return None
    return record
