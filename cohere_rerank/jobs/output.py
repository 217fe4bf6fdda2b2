"""The output files of a job, made from its journal when all rows are done. Each appears complete or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cohere_rerank._safe_files import create_temporary, publish, sync_folder
from cohere_rerank.files.sources import compressed

from .errors import JobError
from .files import format_of, journal_is_output
from .journal import Journal
from .state import JobState
from .writers import write_rows

__all__ = ["finish", "rows_of"]

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
                write_rows(content, file_format, rows, with_spans=with_spans, csv_safe=csv_safe)
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
