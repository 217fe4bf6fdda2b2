"""Read and check the lines of a journal. A crash, an editor or another program may have changed the file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from .errors import JobError

__all__ = ["MAX_LINE_BYTES", "read_records"]

_LINE_START = b'{"id":'  # of every line
_AMOUNTS = ("estimated_search_units", "cost_usd", "estimated_cost_usd")
MAX_LINE_BYTES = 128 << 20  # results of more than a million documents


def read_records(file: IO[bytes], path: Path, max_row: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the complete lines of a journal: where each starts and ends, and its record.

    A last line that is incomplete is left out, because a crash may have left it.

    Args:
        file: The journal, open at its start.
        path: Its name, for messages.
        max_row: The largest row number that the input can have.

    Raises:
        JobError: A line is not a row of this job.
    """
    number, end = 0, 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number, start, end = number + 1, end, end + len(line)
        if len(line) > MAX_LINE_BYTES:
            raise JobError(f"{path}: line {number} is longer than {MAX_LINE_BYTES >> 20} MiB, so it is not a row")
        try:
            record = from_json(line, allow_inf_nan=False)
        except ValueError:
            is_last = not file.read(1)
            if is_last and (number > 1 or _may_be_torn(line)):
                return
            raise _not_a_row(path, number) from None
        if not _is_row(record, max_row):
            raise _not_a_row(path, number)
        yield start, end, record


def _not_a_row(path: Path, number: int) -> JobError:
    return JobError(
        f"{path}: line {number} is not a row of this job; was the file changed? Restore it, or choose another output"
    )


def _may_be_torn(line: bytes) -> bool:
    """Whether a crash may have left this of a first row: the start of a row, or the zeros of an unwritten block."""
    return line[: len(_LINE_START)] == _LINE_START[: len(line)] or not line.strip(b"\0")


def _is_row(record: object, max_row: int) -> bool:
    """Whether a value is a record that a job may have written."""
    if not isinstance(record, dict) or type(record.get("row")) is not int or not 1 <= record["row"] <= max_row:
        return False
    if type(record.get("id", 0.0)) not in (str, int, type(None)) or ("results" in record) is ("error" in record):
        return False
    billed = record.get("billed_units", {})
    return (
        isinstance(record.get("results", []), list)
        and isinstance(record.get("error", {}), dict)
        and isinstance(billed, dict)
        and _is_amount(billed.get("search_units"))
        and all(map(_is_amount, map(record.get, _AMOUNTS)))
    )


def _is_amount(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value < math.inf)  # type: ignore[operator]
