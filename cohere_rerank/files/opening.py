"""Open a file with the reader of its format: by an option, by the ending of its name, or by its first bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .errors import FileError
from .options import ReadOptions
from .readers import IS_RUN_LINE, JsonLines, JsonValues, Reader, TrecRun, TsvRun
from .sources import (
    COMPRESSIONS,
    check_regular,
    compression_of,
    decompression_errors,
    open_file,
    require_pyarrow,
    require_zstd,
    utf8,
)
from .tables import ArrowFile, Parquet, Table

__all__ = ["ENDINGS", "open_records"]

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".trec": "trec",
    ".run": "trec",
    ".res": "trec",
}
_HEAD_BYTES = 1 << 16
_RANK_LINE = re.compile(rb"\S+\t\S+\t[0-9]+\s*$")


def open_records(path: Path, options: ReadOptions) -> Reader[Any]:
    """Return the reader of a file's records.

    Raises:
        FileError: The file does not exist, is not a regular file, cannot be read, or its format cannot be detected.
        ImportError: The format needs an extra that is not installed.
    """
    check_regular(path)
    try:
        compression = compression_of(path)
        if compression == ".zst":
            require_zstd()
        name = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
        file_format = options.format or ENDINGS.get(name.suffix.lower())
        if file_format in ("parquet", "arrow") or (file_format is None and _is_arrow(path)):
            require_pyarrow()
        return _reader(path, compression, file_format, options)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error


def _is_arrow(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"))


def _reader(path: Path, compression: str | None, file_format: str | None, options: ReadOptions) -> Reader[Any]:
    if file_format in ("parquet", "arrow"):
        return (Parquet if file_format == "parquet" else ArrowFile)(path, compression, options)
    head = _head(path, compression, options)
    file_format = file_format or _detect(path, head)
    if file_format in ("parquet", "arrow"):
        return (Parquet if file_format == "parquet" else ArrowFile)(path, compression, options)
    if file_format == "trec" or (file_format == "tsv" and options.header is not True):
        line = head.split(b"\n", 1)[0]
        if IS_RUN_LINE.match(line):
            return TrecRun(path, compression, options.encoding)
        if file_format == "trec" and _RANK_LINE.match(line):
            return TsvRun(path, compression, options.encoding)
        if file_format == "trec":
            return TrecRun(path, compression, options.encoding)
    if file_format in ("csv", "tsv"):
        return Table(path, compression, options, by_format=file_format)
    is_lines = _is_json_lines(head) if file_format == "json" else not _is_json_document(head)
    return (JsonLines if is_lines else JsonValues)(path, compression, options.encoding)


def _head(path: Path, compression: str | None, options: ReadOptions) -> bytes:
    """Return the first bytes of a text, in UTF-8. A broken file has none: reading it names the error."""
    errors: tuple[type[Exception], ...] = (*decompression_errors(compression), FileError)
    try:
        with open_file(path, compression) as (content, _):
            return utf8(content, options.encoding, str(path)).read(_HEAD_BYTES)
    except errors:
        return b""


def _detect(path: Path, head: bytes) -> str:
    """Return the format of a file whose name does not say it."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    line = head.lstrip().split(b"\n", 1)[0]
    if line.startswith((b"{", b"[")):
        return "json"
    if IS_RUN_LINE.match(line):
        return "trec"
    if b"\t" in line:
        return "tsv"
    advice = "add --format jsonl, json, csv, tsv, parquet, arrow or trec"
    raise FileError(f"{path}: neither the ending of the name nor the first line says the format; {advice}")


def _is_json_lines(head: bytes) -> bool:
    """Whether a JSON file has one object on each line: then a broken line costs only itself."""
    line, mark, _ = head.lstrip().partition(b"\n")
    if not line.startswith(b"{") or (not mark and len(head) >= _HEAD_BYTES):
        return line.startswith(b"{") and not mark and b"\n" not in head
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_json_document(head: bytes) -> bool:
    """Whether a file with the ending of JSON Lines is one array, or has objects of several lines."""
    line = head.lstrip().split(b"\n", 1)[0].strip()
    return line in (b"[", b"{") or line.startswith(b"[{")
