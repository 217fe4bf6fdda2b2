"""Documents of retrieval files for ``rank``: pairs, lists, tables without a header, compressed and binary files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.errors import FileError
from cohere_rerank.files.opening import open_records
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.readers import Reader, TrecRun
from cohere_rerank.files.rows import open_rows
from cohere_rerank.files.shapes import Shape, recognize
from cohere_rerank.files.sources import compression_of
from cohere_rerank.files.tables import Parquet, Table

__all__ = ["read_retrieved"]

_N_TRIED = 20
_GROUPING = re.compile(r", grouped by [^)]*\)")  # the query of the command ranks all documents together


def read_retrieved(path: Path, query: str, options: ReadOptions) -> Iterator[tuple[Any, str, Any]] | None:
    """Return the documents of a file that needs the reader of retrieval files, with places and ids; else None.

    Args:
        path: The file.
        query: The query of the command. A query in the file is not used.
        options: How the file is read.

    Raises:
        FileError: The file is broken, or it is a run, which has no texts.
    """
    try:
        reader = open_records(path, options)
    except FileError:
        return None
    with closing(reader):
        record = _first_record(reader)
        is_run = isinstance(reader, TrecRun)
        is_special = isinstance(reader, Parquet) or compression_of(path) is not None or is_run
        if isinstance(reader, Table):
            is_special = is_special or not reader.has_header or bool(reader.notes) or options != ReadOptions()
        if record is not None and not _is_one_list(reader, record, options):
            shape, used = _shape_of(record, query, options, is_table=reader.is_table)
            if shape is not None:
                return _from_rows(path, used, shape)
        return _from_records(path, options) if is_special or options.encoding is not None else None


def notes_of(path: Path, query: str, options: ReadOptions) -> list[str]:
    """Return how the file is read, one sentence each."""
    with closing(open_rows(path, _with_query(options, query))) as rows:
        return [_GROUPING.sub(")", note) for note in rows.notes]


def _first_record(reader: Reader[Any]) -> Mapping[str, Any] | None:
    for _, raw in islice(reader, _N_TRIED):
        try:
            record = reader.parse(raw)
        except InvalidRequestError:
            continue
        if isinstance(record, Mapping):
            return record
    return None


def _shape_of(
    record: Mapping[str, Any], query: str, options: ReadOptions, *, is_table: bool
) -> tuple[Shape | None, ReadOptions]:
    """Return the shape of rows with documents, or None, and the options with which it is recognized."""
    try:
        return recognize(record, options, is_table=is_table), options
    except InvalidRequestError as error:
        if "no texts" in error.message:
            advice = "`batch` with --corpus and --queries ranks it"
            raise FileError(f"a run has ids and no texts, so it cannot be ranked by one query; {advice}") from None
    used = _with_query(options, query)
    try:
        shape = recognize(record, used, is_table=is_table)
    except InvalidRequestError:
        return None, options
    return (shape, used) if shape.kind == "lists" else (None, options)


def _is_one_list(reader: Reader[Any], record: Mapping[str, Any], options: ReadOptions) -> bool:
    """Whether a JSON file is a single object with an array under documents, whose items have places of their own."""
    is_json = options.format == "json" or reader.path.suffix.lower() == ".json"
    return is_json and isinstance(record.get("documents"), list) and len(list(islice(reader, 2))) == 1


def _with_query(options: ReadOptions, query: str) -> ReadOptions:
    return replace(options, query=query)


def _from_rows(path: Path, used: ReadOptions, shape: Shape) -> Iterator[tuple[Any, str, Any]]:
    if shape.kind == "pairs":
        yield from _from_pairs(path, used, shape)
        return
    with closing(open_rows(path, used)) as rows:
        for number, raw in rows:
            row = rows.parse(raw)
            if not isinstance(row.documents, list):
                raise FileError(f"{rows.full_place(number)}: documents must be a list")
            ids = row.document_ids or [None] * len(row.documents)
            for index, (document, doc_id) in enumerate(zip(row.documents, ids)):
                yield document, f"{path}:{number}[{index}]", doc_id


def _from_pairs(path: Path, options: ReadOptions, shape: Shape) -> Iterator[tuple[Any, str, Any]]:
    with closing(open_records(path, options)) as reader:
        for number, raw in reader:
            place = _place(reader, number, raw)
            try:
                record = reader.parse(raw)
                if not isinstance(record, Mapping):
                    raise InvalidRequestError("a row must be an object")
                document = shape.read(record).document
            except FileError:
                raise
            except InvalidRequestError as error:
                raise FileError(f"{place}: {error.message}") from None
            yield document.content, place, document.id


def _from_records(path: Path, options: ReadOptions) -> Iterator[tuple[Any, str, Any]]:
    with closing(open_records(path, options)) as reader:
        for number, raw in reader:
            place = _place(reader, number, raw)
            try:
                yield reader.parse(raw), place, None
            except FileError:
                raise
            except InvalidRequestError as error:
                raise FileError(f"{place}: {error.message}") from None


def _place(reader: Reader[Any], number: int, raw: Any) -> str:
    if isinstance(reader, Table):
        return f"{reader.path}:{raw[0]}"
    return f"{reader.path}:{number}" if reader.word == "line" else f"{reader.path}[{number - 1}]"
