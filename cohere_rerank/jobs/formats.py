"""The files a job reads, a record at a time: JSONL (plain, gzip, zstd), CSV, Parquet.

A reader walks over raw records, each with its number from 1; `parsed` makes something of one. So a job that goes on
passes over what is done at the speed of the disk.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from pydantic_core import from_json

from cohere_rerank.errors import InvalidRequestError

from .errors import JobError
from .files import arrow, kind_of, opened, zstd
from .rows import ARGUMENTS

__all__ = ["Reader", "check_start", "reader"]

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_IN_JSON = ("documents", "relevant_spans", "rank_fields", "top_n", "max_tokens_per_doc", "priority", "min_score")
_BATCH_ROWS = 256
Raw = TypeVar("Raw")


class Reader(ABC, Generic[Raw]):
    """A walk over the records of a file.

    Attributes:
        word: What a record's number counts: ``"line"`` or ``"row"``.
    """

    word = "row"

    def __init__(self, path: Path, packing: str | None) -> None:
        self._path = path
        self._packing = packing
        self._n_bytes = max(path.stat().st_size, 1)
        self._beneath: IO[bytes] | None = None
        self._reached = 0.0

    def fraction(self) -> float:
        """How much of the file has been read, 0.0 to 1.0."""
        if self._beneath is not None and not self._beneath.closed:
            self._reached = min(self._beneath.tell() / self._n_bytes, 1.0)
        return self._reached

    def place(self, number: int) -> str:
        """What to call a record in an error."""
        return f"{self.word} {number}"

    def __iter__(self) -> Iterator[tuple[int, Raw]]:
        number = 0
        try:
            with opened(self._path, self._packing, "rb") as (plain, self._beneath):
                try:
                    for number, raw in self._records(plain):
                        yield number, raw
                finally:
                    self.fraction()
            self._reached = 1.0
        except _unpacking_errors(self._packing) as error:
            raise JobError(f"{self._path}: broken after {self.place(number)}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise JobError(f"{self._path}: cannot be read after {self.place(number)}: {reason}") from error

    @abstractmethod
    def _records(self, plain: IO[bytes]) -> Iterator[tuple[int, Raw]]: ...

    @abstractmethod
    def parsed(self, raw: Raw) -> object:
        """What a raw record holds.

        Raises:
            InvalidRequestError: It is broken.
        """


class JsonLines(Reader[bytes]):
    """One JSON value a line, in UTF-8, with or without a byte order mark; empty lines are passed over."""

    word = "line"

    def _records(self, plain: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        for number, raw in enumerate(plain, start=1):
            line = raw
            if number == 1:
                _refuse_utf16(self._path, line)
                line = line.removeprefix(_UTF8_BOM)
            if not line.isspace() and line:
                yield number, line

    def parsed(self, raw: bytes) -> object:
        """The value of a line."""
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"not UTF-8: byte 0x{raw[error.start]:02x} at column {error.start + 1}") from None
        try:
            # With its line break the parser would tell what is missing at the end as in line 2.
            return from_json(raw.rstrip(b"\r\n"), allow_inf_nan=False)
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"broken JSON: {_reason(error)}") from None


class Csv(Reader["list[str] | csv.Error"]):
    """Comma-separated values in UTF-8, named by their first record; documents are a JSON list in one cell."""

    def __init__(self, path: Path, packing: str | None) -> None:
        super().__init__(path, packing)
        self._names: list[str] = []

    def _records(self, plain: IO[bytes]) -> Iterator[tuple[int, list[str] | csv.Error]]:
        lines = _text_lines(self._path, plain)
        with _cells_of_any_length():
            rows = csv.reader(lines, strict=True)
            self._names = self._checked_names(next(_each(rows), []))
            number = 0
            for cells in _each(rows):
                if cells:
                    number += 1
                    yield number, cells

    def _checked_names(self, names: list[str] | csv.Error) -> list[str]:
        if isinstance(names, csv.Error):
            raise JobError(f"{self._path}: the first record, with the names of the columns, is broken CSV: {names}")
        if not all(map(_is_utf8, names)):
            raise JobError(f"{self._path}: the first record, with the names of the columns, is not UTF-8")
        if not {"query", "documents"} <= set(names):
            raise JobError(f"{self._path}: the first record must name the columns, query and documents among them")
        twice = [name for name in ("id", *ARGUMENTS) if names.count(name) > 1]
        if twice:
            raise JobError(f"{self._path}: more than one column is called {', '.join(twice)}; rename or remove one")
        return names

    def parsed(self, raw: list[str] | csv.Error) -> object:
        """The cells of a record by name, without empty ones."""
        if isinstance(raw, csv.Error):
            raise InvalidRequestError(f"broken CSV: {raw}")
        if len(raw) != len(self._names):
            raise InvalidRequestError(f"{len(raw)} cells, but the first record names {len(self._names)}")
        record: dict[str, Any] = {}
        for name, cell in zip(self._names, raw, strict=True):
            if not _is_utf8(cell):
                raise InvalidRequestError(f"{name} is not UTF-8")
            if cell:
                record[name] = _from_cell(name, cell) if name in _IN_JSON else cell
        return record


class Parquet(Reader[tuple[Any, int]]):
    """The rows of a Parquet file; documents are a list, or JSON text."""

    def __init__(self, path: Path, packing: str | None) -> None:
        super().__init__(path, packing)
        self._n_read = 0
        self._n_rows = 1

    def fraction(self) -> float:
        """How much of the file has been read, 0.0 to 1.0."""
        return self._n_read / self._n_rows

    def _records(self, plain: IO[bytes]) -> Iterator[tuple[int, tuple[Any, int]]]:
        pyarrow = arrow()
        try:
            file = pyarrow.parquet.ParquetFile(plain)
            self._n_rows = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for index in range(batch.num_rows):
                    self._n_read += 1
                    yield self._n_read, (batch, index)
        except (pyarrow.ArrowException, OSError) as error:
            raise JobError(f"{self._path}: broken after row {self._n_read}: {error}") from error

    def parsed(self, raw: tuple[Any, int]) -> object:
        """The row, without nulls."""
        batch, index = raw
        record = {name: value for name, value in batch.slice(index, 1).to_pylist()[0].items() if value is not None}
        if isinstance(record.get("documents"), str):
            record["documents"] = _from_cell("documents", record["documents"])
        return record


def reader(path: Path) -> Reader[Any]:
    """The reader for a file, by its name.

    Raises:
        InvalidRequestError: No format has such a name.
        JobError: There is no such file.
        ImportError: The format is an extra, which is not installed.
    """
    kind, packing = kind_of(path)
    if not path.is_file():
        reason = "not a file that can be read again" if path.exists() else "no such file"
        raise JobError(f"{path}: {reason}")
    if packing == ".zst":
        zstd()
    if kind == "parquet":
        arrow()
    classes: dict[str, type[Reader[Any]]] = {"jsonl": JsonLines, "csv": Csv, "parquet": Parquet}
    try:
        return classes[kind](path, packing)
    except OSError as error:
        raise JobError(f"{path}: {error.strerror}") from error


def check_start(path: Path) -> None:
    """Find out before a job begins whether its input does.

    Raises:
        JobError: It cannot be read up to its first row; and as `reader`.
    """
    next(iter(reader(path)), None)


def _from_cell(name: str, cell: str) -> object:
    try:
        return from_json(cell, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        example = _EXAMPLES.get(name, 3)
        raise InvalidRequestError(f"{name} must be JSON, such as {example}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What the parser says, without its own place: that of the record is told already."""
    return str(error).replace(" at line 1 column ", " at column ")


_EXAMPLES = {
    "documents": '["one", "another"]',
    "rank_fields": '["title"]',
    "relevant_spans": '{"mode": "enabled"}',
    "min_score": "0.5",
}


def _each(rows: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    """Each record, or why it is none."""
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _unpacking_errors(packing: str | None) -> tuple[type[Exception], ...]:
    """What is raised where a packed file is broken."""
    known = (EOFError, zlib.error, gzip.BadGzipFile)
    return (*known, zstd().ZstdError) if packing == ".zst" else known


def _is_utf8(text: str) -> bool:
    """Whether a text has none of the surrogates that `_text_lines` makes of other bytes."""
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


def _refuse_utf16(path: Path, start: bytes) -> None:
    if start.startswith(_UTF16_BOMS):
        raise JobError(f"{path}: in UTF-16; write it as UTF-8")


def _text_lines(path: Path, plain: IO[bytes]) -> Iterator[str]:
    """Lines as text; bytes that are no UTF-8 become lone surrogates, so that only their record is refused."""
    for number, raw in enumerate(plain):
        line = raw
        if number == 0:
            _refuse_utf16(path, line)
            line = line.removeprefix(_UTF8_BOM)
        yield line.decode("utf-8", "surrogateescape")


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """The csv module refuses cells above 128 KiB, unless told otherwise for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
