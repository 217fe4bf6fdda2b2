"""Readers of single files, one record at a time. A reader knows formats, and nothing of queries and documents.

A reader yields raw records with their numbers, and `Reader.parse` parses one of them. A resumed job can therefore skip
the rows that are done without parsing them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from cohere_rerank._json_lines import UTF8_BOM, parse_json
from cohere_rerank.errors import InvalidRequestError

from .errors import FileError
from .json_values import MAX_RECORD_BYTES, split_values
from .sources import MAX_RATIO, decompression_errors, open_file, utf8

__all__ = [
    "IS_RUN_LINE",
    "NOT_UTF8_HINT",
    "Items",
    "JsonLines",
    "JsonValues",
    "Reader",
    "RunObject",
    "TextLines",
    "TrecRun",
    "TsvRun",
    "is_run_object",
]

Raw = TypeVar("Raw")
Record = dict[str, Any]
NOT_UTF8_HINT = "if the file is from Windows, add --encoding cp1252"


class Reader(ABC, Generic[Raw]):
    """An iterator over the records of a file.

    Attributes:
        word: What the number of a record counts: ``"line"`` or ``"row"``.
        path: The file.
        compression: Its compression, or None.
        is_table: Whether a value may be text that stands for a list or a number.
        notes: What was detected and a user should know, one sentence each.
    """

    word = "row"
    is_table = False

    def __init__(self, path: Path, compression: str | None, encoding: str | None = None) -> None:
        self.path = path
        self.notes: list[str] = []
        self.compression = compression
        self._encoding = encoding
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
        return self._n_bytes * MAX_RATIO[self.compression]

    def place(self, number: int) -> str:
        """Return how an error message names a record, such as ``"line 7"``."""
        return f"{self.word} {number}"

    def __iter__(self) -> Iterator[tuple[int, Raw]]:
        number = 0
        try:
            with open_file(self.path, self.compression) as (content, self._raw_file):
                try:
                    for number, raw in self._records(content):
                        yield number, raw
                finally:
                    self.fraction()
            self._fraction = 1.0
        except decompression_errors(self.compression) as error:
            raise FileError(f"{self.path}: broken after {self.place(number)}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise FileError(f"{self.path}: cannot be read after {self.place(number)}: {reason}") from error

    @abstractmethod
    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, Raw]]: ...

    @abstractmethod
    def parse(self, raw: Raw) -> object:
        """Parse a raw record.

        Raises:
            InvalidRequestError: It is broken.
        """

    def _lines(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers from 1 and without their line breaks."""
        file, number = utf8(content, self._encoding, str(self.path)), 0
        while line := file.readline(MAX_RECORD_BYTES + 1):
            number += 1
            if len(line) > MAX_RECORD_BYTES:
                raise FileError(f"{self.path}: line {number} is longer than {MAX_RECORD_BYTES >> 20} MiB")
            stripped = line.rstrip(b"\r\n")
            if stripped and not stripped.isspace():
                yield number, stripped


class JsonLines(Reader[bytes]):
    """One JSON value on each line. Blank lines are skipped."""

    word = "line"

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        return self._lines(content)

    def parse(self, raw: bytes) -> object:
        """Parse one line."""
        return parse_text(raw)


class TextLines(Reader[bytes]):
    """One text on each line."""

    word = "line"

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        return self._lines(content)

    def parse(self, raw: bytes) -> object:
        """Return the line as a record with one text."""
        return {"text": decode(raw).strip()}


class JsonValues(Reader[bytes]):
    """The items of a JSON array, or JSON values one after another."""

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        values = split_values(utf8(content, self._encoding, str(self.path)), str(self.path))
        return enumerate(values, start=1)

    def parse(self, raw: bytes) -> object:
        """Parse one value."""
        return parse_text(raw)


class Items(Reader[Any]):
    """The items of a list inside of each record, such as ``responses`` of a reply to several searches."""

    def __init__(self, records: Reader[Any], name: str) -> None:
        super().__init__(records.path, records.compression)
        self._records_reader = records
        self._name = name
        self.is_table = records.is_table
        self.fraction = records.fraction  # type: ignore[method-assign]
        self.close = records.close  # type: ignore[method-assign]

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        number = 0
        for outer, raw in self._records_reader:
            try:
                items = self._items(self._records_reader.parse(raw))
            except InvalidRequestError as error:
                raise FileError(f"{self.path}, {self._records_reader.place(outer)}: {error.message}") from None
            for item in items:
                number += 1
                yield number, item

    def _items(self, record: object) -> list[Any]:
        items = record.get(self._name) if isinstance(record, dict) else None
        if not isinstance(items, list):
            raise InvalidRequestError(f"{self._name} must be a list")
        return items

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, Any]]:
        raise NotImplementedError

    def parse(self, raw: Any) -> object:
        """Return the item."""
        return raw


class RunObject(Items):
    """A run as one object, as BEIR, ranx and pytrec_eval have it: the score of each document of each query."""

    def __init__(self, records: Reader[Any]) -> None:
        super().__init__(records, "")

    def _items(self, record: object) -> list[Any]:
        if not is_run_object(record):
            raise InvalidRequestError("a run must be an object of queries, each with an object of documents and scores")
        assert isinstance(record, dict)
        return [
            {"qid": query, "docno": document, "score": score}
            for query, scores in record.items()
            for document, score in scores.items()
        ]


def is_run_object(record: object) -> bool:
    """Whether a value maps queries to objects that map documents to scores."""
    if not isinstance(record, dict) or not record:
        return False
    return all(
        isinstance(scores, dict)
        and all(isinstance(score, (int, float)) and not isinstance(score, bool) for score in scores.values())
        for scores in record.values()
    )


def parse_text(raw: bytes) -> object:
    """Parse JSON. The errors for bytes that are not UTF-8, and for two values on a line, have the option that helps."""
    if raw.startswith(UTF8_BOM):
        raise InvalidRequestError("not JSON: expected value at column 1")
    try:
        return parse_json(raw)
    except InvalidRequestError as error:
        if error.message.startswith("not UTF-8"):
            raise InvalidRequestError(f"{error.message}; {NOT_UTF8_HINT}") from None
        if "trailing characters" in error.message:
            raise InvalidRequestError(f"{error.message}; if a line has several values, add --format json") from None
        raise


_RUN_NAMES = ("qid", "q0", "docno", "rank", "score", "tag")


class TrecRun(Reader[bytes]):
    """A run of TREC: query id, Q0, document id, rank, score and tag, with spaces or tabs between them."""

    word = "line"

    def _records(self, content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        return self._lines(content)

    def parse(self, raw: bytes) -> object:
        """Return the fields by name. The tag may be missing."""
        fields = decode(raw).split()
        if not 5 <= len(fields) <= 6:
            raise InvalidRequestError(
                f"a line of a run has 6 fields (query, Q0, document, rank, score, tag), got {len(fields)}"
            )
        record: Record = dict(zip(_RUN_NAMES, fields))
        record["rank"], record["score"] = number_in(record, "rank"), number_in(record, "score")
        return record


class TsvRun(TrecRun):
    """A run of MS MARCO: query id, document id and rank."""

    def parse(self, raw: bytes) -> object:
        """Return the fields by name."""
        fields = decode(raw).split()
        if len(fields) != 3:
            raise InvalidRequestError(
                f"a line must have a query id, a document id and a rank, got {len(fields)} fields"
            )
        record: Record = dict(zip(("qid", "docno", "rank"), fields))
        record["rank"] = number_in(record, "rank")
        return record


def number_in(record: Record, name: str) -> float:
    """Return a field as a finite number.

    Raises:
        InvalidRequestError: It is not one.
    """
    try:
        value = float(record[name])
    except ValueError:
        value = float("nan")
    if not -1e308 < value < 1e308:
        raise InvalidRequestError(f"{name} must be a finite number")
    return value


def decode(raw: bytes) -> str:
    """Return a line as text.

    Raises:
        InvalidRequestError: It is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        byte, column = raw[error.start], error.start + 1
        raise InvalidRequestError(f"not UTF-8: byte 0x{byte:02x} at column {column}; {NOT_UTF8_HINT}") from None


IS_RUN_LINE = re.compile(rb"\S+[ \t]+[Qq]0[ \t]+\S+[ \t]+\S+[ \t]+-?[0-9][0-9.eE+-]*([ \t]+\S+)?\s*$")
ReaderType = Callable[..., Reader[Any]]
