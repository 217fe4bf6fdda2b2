"""The output files of a job, made from its journal when all rows are done. Each appears complete or not at all."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json, to_json

from cohere_rerank._safe_files import create_temporary, publish, sync_folder
from cohere_rerank.files.sources import compressed, require_pyarrow

from .errors import JobError
from .files import format_of, journal_is_output
from .journal import Journal
from .state import JobState

__all__ = ["finish", "rows_of"]

_BATCH_ROWS = 1024
_COLUMNS = ("id", "row", "results", "error", "search_units", "estimated_search_units")
# Spreadsheets run a cell that starts with one of these as a formula. The last four are their full-width forms.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
Record = dict[str, Any]


def finish(
    journal: Journal,
    state: JobState,
    output: Path,
    errors: Path | None,
    *,
    ordered: bool,
    with_spans: bool,
    csv_safe: bool,
) -> None:
    """Write the output files of a job whose rows are all in its journal.

    Raises:
        OSError: A file cannot be written, or another program has written it. The journal stays.
    """
    journal.release_reserve()
    rows = partial(rows_of, journal, ordered=ordered)
    write = partial(_write_atomically, csv_safe=csv_safe)
    if not journal_is_output(output, errors):
        results = partial(rows, failed=None if errors is None else False)
        write(output, results, partial(state.claim, "output", output), with_spans=with_spans)
        if errors is not None:
            write(errors, partial(rows, failed=True), partial(state.claim, "errors", errors), with_spans=False)
    elif journal.has_duplicates or (ordered and not journal.is_in_order):

        def replace_journal(temporary: Path) -> bool:  # noqa: ARG001 - the signature of `JobState.claim`
            if not journal.is_still_at_path():
                raise JobError(f"{output} was moved, removed or replaced while the job ran; put it back")
            journal.close()  # Windows does not replace an open file
            return True

        write(output, rows, replace_journal, with_spans=with_spans)


def rows_of(journal: Journal, *, ordered: bool, failed: bool | None = None) -> Iterator[Record]:
    """Yield the last record of each row. *failed* selects the rows with an error or those without one."""
    for line in _last_lines(journal, ordered=ordered):
        row: Record = from_json(line)
        if failed is None or ("error" in row) is failed:
            yield row


def _last_lines(journal: Journal, *, ordered: bool) -> Iterator[bytes]:
    with journal.open_content() as file:
        if not journal.has_duplicates and (journal.is_in_order or not ordered):
            yield from file
            return
        for start in journal.last_starts(ordered=ordered):
            file.seek(start)
            yield file.readline()


def _write_atomically(
    path: Path,
    rows: Callable[[], Iterable[Record]],
    claim: Callable[[Path], bool],
    *,
    with_spans: bool,
    csv_safe: bool,
) -> None:
    """Write a file under a temporary name in the same folder, flush it to the disk, and then rename it.

    Args:
        path: Its name says the format.
        rows: Returns the rows. It may be called more than once.
        claim: Called with the complete temporary file. Returns whether it replaces an existing file.
        with_spans: Whether a Parquet file has a column for relevant spans.
        csv_safe: Whether no cell of a CSV file may be a formula.
    """
    file_format, compression = format_of(path)
    path = path.resolve()  # a link stays a link
    fd, temporary = create_temporary(path.parent)
    try:
        with os.fdopen(fd, "wb") as raw_file:
            with compressed(raw_file, compression, "wb") as content:
                if file_format == "jsonl":
                    content.writelines(to_json(row) + b"\n" for row in rows())
                elif file_format == "csv":
                    _write_csv(content, rows(), csv_safe=csv_safe)
                else:
                    _write_parquet(content, rows, with_spans=with_spans)
            raw_file.flush()
            os.fsync(raw_file.fileno())
        is_replacing = claim(temporary)
        if is_replacing:
            with suppress(OSError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        publish(temporary, path, replace=is_replacing)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flat_row(row: Mapping[str, Any]) -> Record:
    units = row.get("billed_units", {}).get("search_units")
    return {**{name: row.get(name) for name in _COLUMNS}, "search_units": units}


def _write_csv(content: IO[bytes], rows: Iterable[Record], *, csv_safe: bool) -> None:
    text = io.TextIOWrapper(content, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in rows:
        flat = _flat_row(row)
        if csv_safe and isinstance(flat["id"], str):  # the only cell that a user chooses freely; the others are JSON
            flat["id"] = _escape_formula(flat["id"])
        for name in ("results", "error"):
            if flat[name] is not None:
                flat[name] = to_json(flat[name]).decode()
        writer.writerow(flat.values())
    text.detach()


def _escape_formula(cell: str) -> str:
    """Return a cell that a spreadsheet shows as text."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _write_parquet(content: IO[bytes], rows: Callable[[], Iterable[Record]], *, with_spans: bool) -> None:
    pyarrow = require_pyarrow()
    are_numbers = all(row["id"] is None or _is_int64(row["id"]) for row in rows())
    schema = _schema(pyarrow, pyarrow.int64() if are_numbers else pyarrow.string(), with_spans)
    flat_rows = map(_flat_row, rows())
    with pyarrow.parquet.ParquetWriter(content, schema) as writer:
        for first in flat_rows:
            batch = [*chain([first], islice(flat_rows, _BATCH_ROWS - 1))]
            for row in batch:
                if not are_numbers and row["id"] is not None:
                    row["id"] = str(row["id"])
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _is_int64(row_id: object) -> bool:
    return isinstance(row_id, int) and -(1 << 63) <= row_id < 1 << 63


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
