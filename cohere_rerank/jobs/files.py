"""The format and the compression of a job's output files, by their names."""

from __future__ import annotations

import os
from pathlib import Path

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.sources import COMPRESSIONS

from .errors import JobError

__all__ = ["check_writable", "format_of", "journal_is_output"]

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".trec": "trec",
    ".run": "trec",
}


def format_of(path: Path) -> tuple[str, str | None]:
    """Return the format and the compression that the name of an output says.

    Returns:
        The format is ``"jsonl"``, ``"json"``, ``"csv"``, ``"parquet"`` or ``"trec"``. The compression is ``".gz"``,
        ``".bz2"``, ``".xz"``, ``".zst"`` or None.

    Raises:
        InvalidRequestError: The name has no ending that a job knows.
    """
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else None
    ending = (path.with_suffix("") if compression else path).suffix.lower()
    file_format = _FORMATS.get(ending)
    if file_format is None or (compression and file_format == "parquet"):
        raise InvalidRequestError(
            f"{path}: the name of an output must end with .jsonl, .ndjson, .json, .csv, .trec or .run (each optionally "
            "followed by .gz, .bz2, .xz or .zst), or with .parquet; rename it"
        )
    return file_format, compression


def journal_is_output(output: Path, errors: Path | None) -> bool:
    """Whether the journal is the output itself: uncompressed JSON Lines that contain the errors too."""
    return format_of(output) == ("jsonl", None) and errors is None


def check_writable(path: Path) -> None:
    """Check that a file can be written, before anything is paid for.

    Raises:
        JobError: The folder does not exist or is not writable, or the name belongs to something else than a file.
    """
    try:
        folders = (path.parent, path.resolve().parent)  # of a link and of its target
        for folder in folders:
            if not folder.is_dir():
                raise JobError(f"{path}: cannot be written: there is no folder {folder}")
        if path.exists() and not path.is_file():
            raise JobError(f"{path}: cannot be written: it is not a regular file")
        if not all(os.access(place, os.W_OK) for place in (*folders, path) if place.exists()):
            raise JobError(f"{path}: cannot be written: permission denied")
    except (OSError, RuntimeError) as error:  # the name is too long, or links lead in a circle
        raise JobError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
