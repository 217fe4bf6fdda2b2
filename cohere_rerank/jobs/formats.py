"""Readers for the input of a job, one record at a time: JSON Lines, CSV and Parquet.

A reader yields raw records with their numbers, and `Reader.parse` parses one of them. A resumed job can therefore skip
the rows that are done without parsing them.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from cohere_rerank._json_lines import UTF8_BOM, numbered_lines, parse_json
from cohere_rerank.errors import InvalidRequestError

from .errors import JobError
from .files import format_of, open_file, require_pyarrow, require_zstd
from .rows import ARGUMENTS

__all__ = ["Reader", "check_readable", "open_reader"]

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_JSON_COLUMNS = ("documents", "relevant_spans", "rank_fields", "top_n", "max_tokens_per_doc", "priority", "min_score")
_BATCH_ROWS = 256
_MAX_RATIO = {None: 1, ".gz": 1032, ".zst": 1 << 17}  # the largest ratios of the two formats
Raw = TypeVar("Raw")


class Reader(ABC, Generic[Raw]):
    """An iterator over the records of a file.

    Attributes:
        word: What the number of a record counts: ``"line"`` or ``"row"``.
    """

    word = "row"

    def __init__(self, path: Path, compression: str | None) -> None:
        self._path = path
        self._compression = compression
        self._n_bytes = max(path.stat().st_size, 1)
        self._raw_file: IO[bytes] | None = None
        self._fraction = 0.0

    def close(self) -> None:
        """Close the file. The iterator closes it too, but an error may keep that iterator alive."""
        if self._raw_file is not None:
            self._raw_file.close()

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0.0 to 1.0."""
        if self._raw_file is not None and not self._raw_file.closed:
            self._fraction = min(self._raw_file.tell() / self._n_bytes, 1.0)
        return self._fraction

    def max_row(self) -> int:
        """Return an upper bound of the record numbers: a record takes at least one byte."""
        return self._n_bytes * _MAX_RATIO[self._compression]

    def place(self, number: int) -> str:
        """Return how an error message names a record, such as ``"line 7"``."""
        return f"{self.word} {number}"

    def __iter__(self) -> Iterator[tuple[int, Raw]]:
        number = 0
        try:
            with open_file(self._path, self._compression) as (content, self._raw_file):
                try:
                    for number, raw in self._records(content):
                        yield number, raw
                finally:
                    self.fraction()
            self._fraction = 1.0
        except _decompression_errors(self._compression) as error:
            raise JobError(f"{self._path}: broken after {self.place(number)}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise JobError(f"{self._path}: cannot be read after {self.place(number)}: {reason}") from error

    @abstractmethod
    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, Raw]]: ...

    @abstractmethod
    def parse(self, raw: Raw) -> object:
        """Parse a raw record.

        Raises:
            InvalidRequestError: It is broken.
        """


class JsonLines(Reader[bytes]):
    """One JSON value on each line, in UTF-8. Blank lines are skipped."""

    word = "line"

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        return numbered_lines(_utf8_lines(self._path, content))

    def parse(self, raw: bytes) -> object:
        """Parse one line."""
        return parse_json(raw)


class Csv(Reader["list[str] | csv.Error"]):
    """Comma-separated values in UTF-8. The first record names the columns; documents are a JSON list in one cell."""

    def __init__(self, path: Path, compression: str | None) -> None:
        super().__init__(path, compression)
        self._names: list[str] = []

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, list[str] | csv.Error]]:
        lines = _text_lines(self._path, content)
        with _no_cell_limit():
            rows = csv.reader(lines, strict=True)
            self._names = self._checked_names(next(_rows_or_errors(rows), []))
            number = 0
            for cells in _rows_or_errors(rows):
                if cells:
                    number += 1
                    yield number, cells

    def _checked_names(self, names: list[str] | csv.Error) -> list[str]:
        if isinstance(names, csv.Error):
            raise JobError(f"{self._path}: the first record must name the columns, but it is broken CSV: {names}")
        if not all(map(_is_utf8, names)):
            raise JobError(f"{self._path}: the first record must name the columns, but it is not UTF-8")
        if not {"query", "documents"} <= set(names):
            raise JobError(f"{self._path}: the first record must name the columns, including query and documents")
        duplicates = [name for name in ("id", *ARGUMENTS) if names.count(name) > 1]
        if duplicates:
            raise JobError(f"{self._path}: more than one column is named {', '.join(duplicates)}; rename or remove one")
        return names

    def parse(self, raw: list[str] | csv.Error) -> object:
        """Return the cells of a record by column name, without empty cells."""
        if isinstance(raw, csv.Error):
            raise InvalidRequestError(f"broken CSV: {raw}")
        if len(raw) != len(self._names):
            raise InvalidRequestError(f"the row has {len(raw)} cells, but the first record names {len(self._names)}")
        record: dict[str, Any] = {}
        for name, cell in zip(self._names, raw, strict=True):
            if not _is_utf8(cell):
                raise InvalidRequestError(f"{name} is not UTF-8")
            if cell:
                record[name] = _parse_cell(name, cell) if name in _JSON_COLUMNS else cell
        return record


class Parquet(Reader[tuple[Any, int]]):
    """The rows of a Parquet file. Documents are a list or JSON text."""

    def __init__(self, path: Path, compression: str | None) -> None:
        super().__init__(path, compression)
        self._n_read = 0
        self._n_rows = 1

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0.0 to 1.0."""
        return self._n_read / self._n_rows

    def max_row(self) -> int:
        """Return the number of rows."""
        pyarrow = require_pyarrow()
        try:
            return int(pyarrow.parquet.read_metadata(self._path).num_rows)
        except (pyarrow.ArrowException, OSError) as error:
            raise JobError(f"{self._path}: broken after row 0: {error}") from error

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, tuple[Any, int]]]:
        pyarrow = require_pyarrow()
        try:
            file = pyarrow.parquet.ParquetFile(content)
            self._n_rows = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for index in range(batch.num_rows):
                    self._n_read += 1
                    yield self._n_read, (batch, index)
        except (pyarrow.ArrowException, OSError) as error:
            raise JobError(f"{self._path}: broken after row {self._n_read}: {error}") from error

    def parse(self, raw: tuple[Any, int]) -> object:
        """Return the row without its nulls."""
        batch, index = raw
        record = {name: value for name, value in batch.slice(index, 1).to_pylist()[0].items() if value is not None}
        if isinstance(record.get("documents"), str):
            record["documents"] = _parse_cell("documents", record["documents"])
        return record


def open_reader(path: Path) -> Reader[Any]:
    """Return the reader for a file. Its name says the format.

    Raises:
        InvalidRequestError: The name has no ending that a job knows.
        JobError: The file does not exist, or it is not a regular file.
        ImportError: The format needs an extra that is not installed.
    """
    file_format, compression = format_of(path)
    if not path.is_file():
        reason = "not a regular file, which could be read again" if path.exists() else "no such file"
        raise JobError(f"{path}: {reason}")
    if compression == ".zst":
        require_zstd()
    if file_format == "parquet":
        require_pyarrow()
    readers: dict[str, type[Reader[Any]]] = {"jsonl": JsonLines, "csv": Csv, "parquet": Parquet}
    try:
        return readers[file_format](path, compression)
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}") from error


def check_readable(path: Path) -> None:
    """Read the first record of an input, before the job writes anything.

    Raises:
        JobError: The record cannot be read. Other errors are those of `open_reader`.
    """
    next(iter(open_reader(path)), None)


def _parse_cell(name: str, cell: str) -> object:
    try:
        return parse_json(cell)
    except InvalidRequestError as error:
        example = _EXAMPLES.get(name, 3)
        raise InvalidRequestError(f"{name} must be JSON, such as {example}: {error}") from None


_EXAMPLES = {
    "documents": '["one", "another"]',
    "rank_fields": '["title"]',
    "relevant_spans": '{"mode": "enabled"}',
    "min_score": "0.5",
}


def _rows_or_errors(rows: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    """Yield each record, or the error that the csv module raises for it."""
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _decompression_errors(compression: str | None) -> tuple[type[Exception], ...]:
    """Return the errors that a broken compressed file raises."""
    errors = (EOFError, zlib.error, gzip.BadGzipFile)
    return (*errors, require_zstd().ZstdError) if compression == ".zst" else errors


def _is_utf8(text: str) -> bool:
    """Whether a text has none of the surrogates that `_text_lines` makes from bytes that are not UTF-8."""
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


def _utf8_lines(path: Path, content: IO[bytes]) -> Iterable[bytes]:
    """Return the lines of a file, unless it starts like UTF-16: then every line would be broken."""
    first = content.readline()
    if first.startswith(_UTF16_BOMS):
        raise JobError(f"{path}: the file is UTF-16; convert it to UTF-8")
    return chain([first], content)


def _text_lines(path: Path, content: IO[bytes]) -> Iterator[str]:
    """Yield lines as text. Bytes that are not UTF-8 become lone surrogates, so that only their record is refused."""
    for number, line in enumerate(_utf8_lines(path, content)):
        yield (line if number else line.removeprefix(UTF8_BOM)).decode("utf-8", "surrogateescape")


@contextmanager
def _no_cell_limit() -> Iterator[None]:
    """Lift the limit of the csv module, which refuses cells above 128 KiB for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
