"""The files a job leaves, made of its journal once all rows are answered; each appears as a whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json, to_json

from .errors import JobError
from .files import arrow, kind_of, opened
from .journal import Journal

__all__ = ["check_writable", "finish", "is_plain", "rows_of"]

_BATCH_ROWS = 1024
_COLUMNS = ("id", "row", "results", "error", "search_units", "estimated_search_units")
Record = dict[str, Any]


def is_plain(output: Path, errors: Path | None) -> bool:
    """Whether the journal itself is the output: JSONL, unpacked, with errors where they belong."""
    return kind_of(output) == ("jsonl", None) and errors is None


def check_writable(path: Path) -> None:
    """Find out before anything is paid for.

    Raises:
        JobError: The folder is missing or not ours to write, or something else has the name.
    """
    folders = (path.parent, path.resolve().parent)  # of a link, and of what it leads to
    for folder in folders:
        if not folder.is_dir():
            raise JobError(f"{path}: cannot be written: there is no folder {folder}")
    if path.exists() and not path.is_file():
        raise JobError(f"{path}: cannot be written: not a regular file")
    if not all(os.access(place, os.W_OK) for place in (*folders, path) if place.exists()):
        raise JobError(f"{path}: cannot be written: permission denied")


def finish(journal: Journal, output: Path, errors: Path | None, *, ordered: bool, with_spans: bool) -> None:
    """Make the files of a job whose rows are all in its journal.

    Raises:
        OSError: One of them cannot be written; the journal stays.
    """
    rows = partial(rows_of, journal, ordered=ordered)
    if not is_plain(output, errors):
        write(output, partial(rows, failed=None if errors is None else False), with_spans=with_spans)
        if errors is not None:
            write(errors, partial(rows, failed=True), with_spans=False)
    elif journal.has_repeats or (ordered and not journal.is_in_order):
        write(output, rows, with_spans=with_spans)


def rows_of(journal: Journal, *, ordered: bool, failed: bool | None = None) -> Iterator[Record]:
    """The last record of each row; of those with an error only, or of those without one."""
    for line in _last_lines(journal, ordered=ordered):
        row: Record = from_json(line)
        if failed is None or ("error" in row) is failed:
            yield row


def _last_lines(journal: Journal, *, ordered: bool) -> Iterator[bytes]:
    with journal.path.open("rb") as file:
        if not journal.has_repeats and (journal.is_in_order or not ordered):
            yield from file
            return
        starts: Iterable[int] = (start - 1 for start in journal.offsets() if start)
        for start in starts if ordered else sorted(starts):
            file.seek(start)
            yield file.readline()


def write(path: Path, rows: Callable[[], Iterable[Record]], *, with_spans: bool) -> None:
    """Write a file beside its place, have it reach the disk, and only then give it its name.

    Args:
        path: Its name says the format.
        rows: Gives the rows, anew each time it is called.
        with_spans: Whether a Parquet file has a place for relevant spans.
    """
    kind, packing = kind_of(path)
    path = path.resolve()  # a link stays one
    beside = path.with_name(path.name + ".tmp")
    try:
        with opened(beside, packing, "wb") as (plain, _):
            if kind == "jsonl":
                plain.writelines(to_json(row) + b"\n" for row in rows())
            elif kind == "csv":
                _write_csv(plain, rows())
            else:
                _write_parquet(plain, rows, with_spans=with_spans)
        with beside.open("rb") as whole:
            os.fsync(whole.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _flat(row: Mapping[str, Any]) -> Record:
    units = row.get("billed_units", {}).get("search_units")
    return {**{name: row.get(name) for name in _COLUMNS}, "search_units": units}


def _write_csv(plain: IO[bytes], rows: Iterable[Record]) -> None:
    text = io.TextIOWrapper(plain, encoding="utf-8", newline="")
    cells = csv.writer(text)
    cells.writerow(_COLUMNS)
    for row in rows:
        flat = _flat(row)
        for name in ("results", "error"):
            if flat[name] is not None:
                flat[name] = to_json(flat[name]).decode()
        cells.writerow(flat.values())
    text.detach()


def _write_parquet(plain: IO[bytes], rows: Callable[[], Iterable[Record]], *, with_spans: bool) -> None:
    pyarrow = arrow()
    are_numbers = all(row["id"] is None or _fits(row["id"]) for row in rows())
    schema = _schema(pyarrow, pyarrow.int64() if are_numbers else pyarrow.string(), with_spans)
    flat = map(_flat, rows())
    with pyarrow.parquet.ParquetWriter(plain, schema) as writer:
        for first in flat:
            batch = [*chain([first], islice(flat, _BATCH_ROWS - 1))]
            for row in batch:
                if not are_numbers and row["id"] is not None:
                    row["id"] = str(row["id"])
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _fits(name: object) -> bool:
    """Whether an id is a number of 64 bits, with a sign."""
    return isinstance(name, int) and -(1 << 63) <= name < 1 << 63


def _schema(pyarrow: Any, id_type: Any, with_spans: bool) -> Any:
    result = {"index": pyarrow.int32(), "relevance_score": pyarrow.float64()}
    if with_spans:
        span = {"start": pyarrow.int32(), "end": pyarrow.int32(), "score": pyarrow.float64()}
        result["relevant_spans"] = pyarrow.list_(pyarrow.struct(span))
    texts = dict.fromkeys(("type", "message", "request_id"), pyarrow.string())
    error = {**texts, **dict.fromkeys(("status_code", "attempts"), pyarrow.int32())}
    types = {
        "id": id_type,
        "row": pyarrow.int64(),
        "results": pyarrow.list_(pyarrow.struct(result)),
        "error": pyarrow.struct(error),
        "search_units": pyarrow.float64(),
        "estimated_search_units": pyarrow.float64(),
    }
    return pyarrow.schema(types)
