"""The rows of a job's input, with errors of the job. The reading itself is in `cohere_rerank.files`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from cohere_rerank.files.errors import FileError
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.rows import RowReader, open_rows
from cohere_rerank.files.shapes import FileRow
from cohere_rerank.files.sources import find_files

from .errors import JobError

__all__ = ["Reader", "expand", "open_reader"]

_T = TypeVar("_T")


class Reader:
    """An iterator over the rows of a job's input.

    Attributes:
        word: What the number of a row counts: ``"line"`` or ``"row"``.
        notes: What was detected and a user should know, one sentence each.
        paths: The files that are read, with those that are joined.
        is_grouped: As for `RowReader`.
    """

    def __init__(self, rows: RowReader) -> None:
        self._rows = rows
        self.word = rows.word
        self.notes = rows.notes
        self.paths = rows.paths
        self.is_grouped = rows.is_grouped
        self.place = rows.place
        self.fraction = rows.fraction
        self.close = rows.close

    def prepare(self) -> None:
        """Read what is needed before the first row, such as a corpus, and the first row.

        Raises:
            JobError: A file cannot be read.
        """
        _as_job_errors(self._rows.prepare)
        next(iter(self), None)

    def max_row(self) -> int:
        """Return an upper bound of the row numbers.

        Raises:
            JobError: A file cannot be read.
        """
        return _as_job_errors(self._rows.max_row)

    def parse(self, raw: Any) -> FileRow:
        """Parse a raw row.

        Raises:
            InvalidRequestError: It is broken.
        """
        return self._rows.parse(raw)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        try:
            yield from self._rows
        except FileError as error:
            raise JobError(error.message) from error


def open_reader(paths: str | PathLike[str] | Sequence[Path], options: ReadOptions | None = None) -> Reader:
    """Return the reader for the input of a job.

    Raises:
        JobError: A file does not exist, is not a regular file, or its shape is not known.
        ImportError: The format needs an extra that is not installed.
    """
    return Reader(_as_job_errors(lambda: open_rows(paths, options or ReadOptions())))


def expand(paths: Sequence[Path]) -> list[Path]:
    """Return the files of the paths, with those of folders.

    Raises:
        JobError: A path does not exist, or a folder has no files.
    """
    return _as_job_errors(lambda: find_files(paths))


def _as_job_errors(action: Callable[[], _T]) -> _T:
    try:
        return action()
    except FileError as error:
        raise JobError(error.message) from error
