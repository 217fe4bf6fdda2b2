"""The formats of a job's output: JSON Lines, a JSON array, CSV, Parquet, and a run of TREC."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from typing import IO, Any

from pydantic_core import to_json

from cohere_rerank.files.sources import require_pyarrow

__all__ = ["write_rows"]

Record = dict[str, Any]
Rows = Callable[[], Iterable[Record]]

_BATCH_ROWS = 1024
_COLUMNS = ("id", "row", "results", "error", "search_units", "estimated_search_units")
_NOT_KEPT = frozenset((*_COLUMNS, "billed_units", "is_fallback"))
# Spreadsheets run a cell that starts with one of these as a formula. The last four are their full-width forms.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_RUN_TAG = "cohere-rerank"


def write_rows(content: IO[bytes], file_format: str, rows: Rows, *, with_spans: bool, csv_safe: bool) -> None:
    """Write rows in one of the formats of `format_of`.

    Args:
        content: The open file.
        file_format: The format.
        rows: Returns the rows. It may be called more than once.
        with_spans: Whether a Parquet file has a column for relevant spans.
        csv_safe: Whether no cell of a CSV file may be a formula.
    """
    if file_format == "jsonl":
        content.writelines(to_json(row) + b"\n" for row in rows())
    elif file_format == "json":
        _write_array(content, rows())
    elif file_format == "csv":
        _write_csv(content, rows, csv_safe=csv_safe)
    elif file_format == "trec":
        _write_run(content, rows())
    else:
        _write_parquet(content, rows, with_spans=with_spans)


def _write_array(content: IO[bytes], rows: Iterable[Record]) -> None:
    before = b"[\n"
    for row in rows:
        content.write(before + to_json(row))
        before = b",\n"
    content.write(b"\n]\n" if before != b"[\n" else b"[]\n")


def _write_run(content: IO[bytes], rows: Iterable[Record]) -> None:
    """Write the results of rows without an error. A document without an id has its index.

    Raises:
        ValueError: An id has white space, which a run cannot hold.
    """
    for row in rows:
        for rank, result in enumerate(row.get("results", ()), start=1):
            doc_id = result.get("id")
            fields = [str(row["id"]), "Q0", str(result["index"] if doc_id is None else doc_id), str(rank)]
            for field in fields:
                if not field or field.split() != [field]:
                    raise ValueError(f"a run cannot hold the id {field!r}; choose another format")
            content.write(f"{' '.join(fields)} {result['relevance_score']!r} {_RUN_TAG}\n".encode())


def _kept_names(rows: Rows) -> list[str]:
    """Return the names of the fields that are kept from the input, in the order of their first appearance."""
    names: dict[str, None] = {}
    for row in rows():
        names.update(dict.fromkeys(name for name in row if name not in _NOT_KEPT))
    return list(names)


def _flat_row(row: Mapping[str, Any], kept: Iterable[str] = ()) -> Record:
    units = row.get("billed_units", {}).get("search_units")
    return {**{name: row.get(name) for name in (*_COLUMNS, *kept)}, "search_units": units}


def _write_csv(content: IO[bytes], rows: Rows, *, csv_safe: bool) -> None:
    text = io.TextIOWrapper(content, encoding="utf-8", newline="")
    writer = csv.writer(text)
    kept = _kept_names(rows)
    writer.writerow((*_COLUMNS, *kept))
    for row in rows():
        flat = _flat_row(row, kept)
        for name, value in flat.items():
            if isinstance(value, (dict, list)):
                flat[name] = to_json(value).decode()
            elif csv_safe and isinstance(value, str):  # an id or a kept field
                flat[name] = _escape_formula(value)
        writer.writerow(flat.values())
    text.detach()


def _escape_formula(cell: str) -> str:
    """Return a cell that a spreadsheet shows as text."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _write_parquet(content: IO[bytes], rows: Rows, *, with_spans: bool) -> None:
    pyarrow = require_pyarrow()
    types, result_types = _types(rows)
    schema = _schema(pyarrow, types, result_types, with_spans)
    texts = [name for name in types if schema.field(name).type == pyarrow.string()]
    result_texts = [name for name, found in result_types.items() if _arrow_type(pyarrow, found) == pyarrow.string()]
    flat_rows = (_flat_row(row, types.keys() - {"id"}) for row in rows())
    with pyarrow.parquet.ParquetWriter(content, schema) as writer:
        for first in flat_rows:
            batch = [*chain([first], islice(flat_rows, _BATCH_ROWS - 1))]
            for row in batch:
                _make_texts(row, texts)
                for result in row["results"] or ():
                    _make_texts(result, result_texts)
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _types(rows: Rows) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the types of the values of each column, and of each field of the results, whose type is not fixed."""
    types: dict[str, set[str]] = {"id": set()}
    result_types: dict[str, set[str]] = {"id": set(), "document": set()}
    for row in rows():
        for name, value in row.items():
            if name == "id" or name not in _NOT_KEPT:
                types.setdefault(name, set()).add(_type_of(value))
        for result in row.get("results", ()):
            for name in result_types.keys() & result.keys():
                result_types[name].add(_type_of(result[name]))
    return types, result_types


def _make_texts(values: Record, names: Iterable[str]) -> None:
    """Replace values by texts. Objects become JSON."""
    for name in names:
        if name in values:
            values[name] = _as_text(values[name])


def _type_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int64" if _is_int64(value) else "string"
    return {bool: "bool", float: "float64", type(None): "null"}.get(type(value), "string")


def _arrow_type(pyarrow: Any, types: set[str]) -> Any:
    """Return the type of a column that holds values of these types."""
    found = types - {"null"}
    if len(found) == 1:
        return getattr(pyarrow, {"bool": "bool_"}.get(name := next(iter(found)), name))()
    return pyarrow.float64() if found == {"int64", "float64"} else pyarrow.string()


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return to_json(value).decode() if isinstance(value, (dict, list, bool)) else str(value)


def _is_int64(row_id: object) -> bool:
    return isinstance(row_id, int) and -(1 << 63) <= row_id < 1 << 63


def _schema(pyarrow: Any, types: dict[str, set[str]], result_types: dict[str, set[str]], with_spans: bool) -> Any:
    result = {"index": pyarrow.int32(), "relevance_score": pyarrow.float64()}
    result.update({name: _arrow_type(pyarrow, found) for name, found in result_types.items() if found})
    if with_spans:
        span = {"start": pyarrow.int32(), "end": pyarrow.int32(), "score": pyarrow.float64()}
        result["relevant_spans"] = pyarrow.list_(pyarrow.struct(span))
    texts = dict.fromkeys(("type", "message", "request_id"), pyarrow.string())
    error = {**texts, **dict.fromkeys(("status_code", "attempts"), pyarrow.int32())}
    kept = {name: _arrow_type(pyarrow, found) for name, found in types.items() if name != "id"}
    columns = {
        "id": _arrow_type(pyarrow, types["id"] or {"int64"}),
        "row": pyarrow.int64(),
        **kept,
        "results": pyarrow.list_(pyarrow.struct(result)),
        "error": pyarrow.struct(error),
        "search_units": pyarrow.float64(),
        "estimated_search_units": pyarrow.float64(),
    }
    return pyarrow.schema(columns)
