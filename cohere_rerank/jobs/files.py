"""The format and the compression of a job's files, by their names, and how to open them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cohere_rerank._extras import importing
from cohere_rerank.errors import InvalidRequestError

from .errors import JobError

__all__ = [
    "check_writable",
    "compressed",
    "format_of",
    "journal_is_output",
    "open_file",
    "require_pyarrow",
    "require_zstd",
]

_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_COMPRESSIONS = (".gz", ".zst")


def format_of(path: Path) -> tuple[str, str | None]:
    """Return the format and the compression that a file's name says.

    Returns:
        The file_format is ``"jsonl"``, ``"csv"`` or ``"parquet"``. The compression is ``".gz"``, ``".zst"`` or None.

    Raises:
        InvalidRequestError: The name has no ending that a job knows.
    """
    compression = path.suffix.lower() if path.suffix.lower() in _COMPRESSIONS else None
    ending = (path.with_suffix("") if compression else path).suffix.lower()
    file_format = _FORMATS.get(ending)
    if file_format is None or (compression and file_format == "parquet"):
        raise InvalidRequestError(
            f"{path}: the name of a job's file must end with .jsonl, .ndjson, .csv (each optionally followed by .gz or "
            ".zst), or with .parquet; rename the file"
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


def require_zstd() -> Any:
    """Return the zstd module of the standard library.

    Raises:
        JobError: This Python has no such module.
    """
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise JobError("zstd needs Python 3.14 or newer; use gzip or no compression") from None
    return zstd


@contextmanager
def open_file(path: Path, compression: str | None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file for reading, and yield its decompressed content and the raw file below it."""
    with path.open("rb") as raw_file, compressed(raw_file, compression, "rb") as content:
        yield content, raw_file


@contextmanager
def compressed(raw_file: IO[bytes], compression: str | None, mode: str) -> Iterator[IO[bytes]]:
    """Yield the decompressed content of an open file.

    Args:
        raw_file: The file. It stays open.
        compression: As `format_of` returns it.
        mode: ``"rb"`` or ``"wb"``.
    """
    if compression is None:
        yield raw_file
        return
    if compression == ".gz":
        content: Any = gzip.GzipFile(filename="", mode=mode, fileobj=raw_file, mtime=0)
    else:
        content = require_zstd().ZstdFile(raw_file, mode=mode)
    with content:
        yield content


def require_pyarrow() -> Any:
    """Return the package pyarrow, with its Parquet module loaded.

    Raises:
        ImportError: pyarrow is not installed. The message names the extra.
    """
    with importing("arrow", "Parquet"):
        import pyarrow.parquet  # type: ignore[import-untyped, unused-ignore]
    return pyarrow
