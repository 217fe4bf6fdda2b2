"""Readers of tables: text with delimiters, Parquet and Arrow IPC."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cohere_rerank.errors import InvalidRequestError

from .errors import FileError
from .json_values import MAX_RECORD_BYTES
from .names import is_known_name
from .options import ReadOptions
from .readers import NOT_UTF8_HINT, Reader
from .sources import require_pyarrow, utf8

__all__ = ["ArrowFile", "Parquet", "Table", "unnamed_columns"]

_BATCH_ROWS = 256
_SAMPLE_BYTES = 1 << 16
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_MAX_NAME_CHARS, _MAX_NAME_WORDS = 64, 3
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")  # Excel reads and writes it as the first line


class Table(Reader["tuple[int, list[str] | csv.Error]"]):
    """A table as text. The first line names the columns, unless it is data.

    Attributes:
        names: The names of the columns. Empty before the first record.
        has_header: Whether the first line has these names.
        is_collection: Whether the table is a corpus or has queries: the first column is an id, and the last one a text.
    """

    is_table = True

    def __init__(self, path: Path, compression: str | None, options: ReadOptions, *, by_format: str) -> None:
        super().__init__(path, compression, options.encoding)
        self._options = options
        self._by_format = by_format
        self.names: list[str] = []
        self.has_header = True
        self.is_collection = False

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, tuple[int, list[str] | csv.Error]]]:
        file = utf8(content, self._options.encoding, str(self.path))
        sample = file.peek(_SAMPLE_BYTES)[:_SAMPLE_BYTES].decode("utf-8", "surrogateescape")  # type: ignore[attr-defined]
        self.notes.clear()
        if found := _SEPARATOR_LINE.match(sample):
            file.readline()
            sample = sample[found.end() :]
        delimiter = self._options.delimiter or (found[1] if found else self._detect_delimiter(sample))
        quoting: Any = csv.QUOTE_MINIMAL if self._has_quotes(sample, delimiter) else csv.QUOTE_NONE
        lines = _BoundedLines(file, self.path)
        with _no_cell_limit():
            rows = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
            records = _records_with_lines(rows, lines)
            first = next(records, None)
            if first is None:
                return
            number = 0
            if self._set_names(first[1]):
                number += 1
                yield number, first
            for record in records:
                number += 1
                yield number, record

    def _detect_delimiter(self, sample: str) -> str:
        usual = "\t" if self._by_format == "tsv" else ","
        line = _QUOTED.sub("", next((line for line in sample.splitlines() if line.strip()), ""))
        if usual == "\t" and usual in line:
            return usual
        counts = {mark: line.count(mark) for mark in _DELIMITERS}
        best = max(counts, key=lambda mark: (counts[mark], mark == usual))
        if not counts[best] or best == usual:
            return usual
        self.notes.append(f"the cells are separated by {_DELIMITERS[best]}")
        return best

    def _has_quotes(self, sample: str, delimiter: str) -> bool:
        """Whether quotes enclose cells. Programs that write tabs often write quotes as they are."""
        if self._options.quotes is not None:
            return self._options.quotes
        if delimiter != "\t":
            return True
        lines = sample.split("\n")[: -1 if len(sample) >= _SAMPLE_BYTES // 2 else None]
        cells = [cell for line in lines for cell in line.rstrip("\r").split("\t") if cell.startswith('"')]
        n_tabs = {line.count("\t") for line in lines if line.strip()}
        is_regular = len(n_tabs) == 1 and n_tabs != {0}
        return not (is_regular and cells and not all(_QUOTED.fullmatch(cell) for cell in cells))

    def _set_names(self, cells: list[str] | csv.Error) -> bool:
        """Set the names of the columns. Return whether the first record is data."""
        if isinstance(cells, csv.Error):
            raise FileError(f"{self.path}: the first line is broken: {cells}; --no-quotes reads quotes as text")
        if not all(map(_is_utf8, cells)):
            raise FileError(f"{self.path}: the first line is not UTF-8; {NOT_UTF8_HINT}")
        options = self._options
        if options.columns:
            if len(options.columns) != len(cells):
                n_names = len(options.columns)
                raise FileError(
                    f"{self.path}: --columns has {n_names} names, but the first line has {len(cells)} cells"
                )
            self.names, self.has_header = list(options.columns), False
        elif options.header is False or (options.header is None and self._is_data(cells)):
            self.names, self.has_header = self._unnamed_columns(cells), False
            if options.header is None:
                self.notes.append("the first line is data (--has-header if it has the names of the columns)")
        else:
            self.names, self.has_header = cells, True
        twice = sorted({name for name in self.names if name and self.names.count(name) > 1})
        if twice:
            raise FileError(f"{self.path}: more than one column is named {', '.join(twice)}; rename or remove one")
        return not self.has_header

    def _is_data(self, cells: Sequence[str]) -> bool:
        return not any(map(is_known_name, cells)) if self.is_collection else _is_data(cells)

    def _unnamed_columns(self, cells: Sequence[str]) -> list[str]:
        if not self.is_collection or len(cells) < 2:
            return unnamed_columns(cells)
        return ["id", *(["url", "title"] if len(cells) == 4 else ["title"])[: len(cells) - 2], "text"][: len(cells)]

    def parse(self, raw: tuple[int, list[str] | csv.Error]) -> object:
        """Return the cells of a record by column name, without empty cells."""
        cells = raw[1]
        if isinstance(cells, csv.Error):
            raise InvalidRequestError(f"broken CSV: {cells}")
        if len(cells) != len(self.names):
            start = "the first line names" if self.has_header else "the first line has"
            raise InvalidRequestError(f"the row has {len(cells)} cells, but {start} {len(self.names)}")
        record: dict[str, Any] = {}
        for name, cell in zip(self.names, cells, strict=True):
            if not name:
                continue
            if not _is_utf8(cell):
                raise InvalidRequestError(f"{name} is not UTF-8; {NOT_UTF8_HINT}")
            if cell:
                record[name] = cell
        return record


def unnamed_columns(cells: Sequence[str]) -> list[str]:
    """Return names for the columns of a table without a header, from the cells of its first line.

    Four columns are those of MS MARCO: query id, passage id, query and passage. Other numbers of columns are named by
    what they seem to be, else ``column1``, ``column2`` and so on.
    """
    are_ids = [" " not in cell.strip() and len(cell) <= _MAX_NAME_CHARS for cell in cells]
    if are_ids == [True, True, False, False] or (len(cells) == 4 and all(map(_is_number, cells[:2]))):
        return ["qid", "pid", "query", "passage"]
    if len(cells) == 2:
        return ["id", "text"] if are_ids[0] and not are_ids[1] else ["query", "passage"]
    if len(cells) == 3 and not any(are_ids):
        return ["query", "positive", "negative"]
    if len(cells) == 3 and all(are_ids) and _is_number(cells[2]):
        return ["qid", "docno", "rank"]
    if len(cells) == 3 and are_ids[0] and not are_ids[1] and not are_ids[2]:
        return ["qid", "query", "passage"]
    if len(cells) == 6 and cells[1].upper() == "Q0":
        return ["qid", "q0", "docno", "rank", "score", "tag"]
    return [f"column{number}" for number in range(1, len(cells) + 1)]


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell.strip()))


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a first line is data: a cell is a number or a long text, and no cell is a name that is known."""
    if any(is_known_name(cell) for cell in cells):
        return False
    return any(_is_number(cell) or len(cell) > _MAX_NAME_CHARS or len(cell.split()) > _MAX_NAME_WORDS for cell in cells)


class _BoundedLines:
    """The lines of a file as text. Bytes that are not UTF-8 become lone surrogates, so only their record is refused.

    Attributes:
        number: The number of the last line.
        n_bytes: The size of the current record so far. The reader sets it to 0 after each record.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self.number = 0
        self.n_bytes = 0

    def __iter__(self) -> _BoundedLines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.n_bytes += len(line)
        if self.n_bytes > MAX_RECORD_BYTES:
            advice = "is a double quote not closed? --no-quotes reads quotes as text"
            raise FileError(f"{self._path}: the row at line {self.number} is larger than 256 MiB; {advice}")
        return line.decode("utf-8", "surrogateescape")


def _records_with_lines(rows: Iterator[list[str]], lines: _BoundedLines) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the first line of each record that is not blank, and the record or the error of the csv module."""
    while True:
        start, lines.n_bytes = lines.number + 1, 0
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, error
            continue
        if cells:
            yield start, cells


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


@contextmanager
def _no_cell_limit() -> Iterator[None]:
    """Lift the limit of the csv module, which refuses cells above 128 KiB for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class Parquet(Reader["tuple[Any, int]"]):
    """The rows of a Parquet file."""

    is_table = True
    _name = "Parquet"

    def __init__(self, path: Path, compression: str | None, options: ReadOptions) -> None:
        super().__init__(path, compression, options.encoding)
        self._n_read = 0
        self._n_rows = 1
        self.types: dict[str, str] = {}

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0.0 to 1.0."""
        return min(self._n_read / self._n_rows, 1.0)

    def max_row(self) -> int:
        """Return the number of rows."""
        pyarrow = require_pyarrow()
        try:
            return int(pyarrow.parquet.read_metadata(self.path).num_rows)
        except (pyarrow.ArrowException, OSError) as error:
            raise FileError(f"{self.path}: broken after row 0: {error}") from error

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, tuple[Any, int]]]:
        pyarrow = require_pyarrow()
        self._n_read = 0
        try:
            for batch in self._batches(pyarrow, content):
                for index in range(batch.num_rows):
                    self._n_read += 1
                    yield self._n_read, (batch, index)
        except (pyarrow.ArrowException, OSError) as error:
            raise FileError(f"{self.path}: broken after row {self._n_read}: {error}") from error

    def _batches(self, pyarrow: Any, content: IO[bytes]) -> Iterator[Any]:
        file = pyarrow.parquet.ParquetFile(content)
        self._n_rows = max(file.metadata.num_rows, 1)
        self._check_schema(file.schema_arrow)
        yield from file.iter_batches(batch_size=_BATCH_ROWS)

    def _check_schema(self, schema: Any) -> None:
        names = list(schema.names)
        self.types = {field.name: str(field.type) for field in schema}
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise FileError(f"{self.path}: more than one column is named {', '.join(duplicates)}; rename or remove one")

    def parse(self, raw: tuple[Any, int]) -> object:
        """Return the row without its nulls."""
        batch, index = raw
        try:
            (row,) = batch.slice(index, 1).to_pylist()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8, or a date that Python cannot hold
            raise InvalidRequestError(f"a value cannot be read: {type(error).__name__}") from None
        return {name: value for name, value in row.items() if value is not None}


class ArrowFile(Parquet):
    """The rows of an Arrow IPC file or stream (Feather version 2)."""

    def max_row(self) -> int:
        """Return an upper bound of the number of rows."""
        return max(self._n_bytes * (1 << 17), 1)

    def fraction(self) -> float:
        """Return how much of the file has been read, from 0.0 to 1.0."""
        return Reader.fraction(self)

    def _batches(self, pyarrow: Any, content: IO[bytes]) -> Iterator[Any]:
        head = content.read(6)
        content.seek(0)
        if head == b"ARROW1":
            file = pyarrow.ipc.open_file(content)
            self._check_schema(file.schema)
            for number in range(file.num_record_batches):
                yield file.get_batch(number)
        else:
            stream = pyarrow.ipc.open_stream(content)
            self._check_schema(stream.schema)
            yield from stream
