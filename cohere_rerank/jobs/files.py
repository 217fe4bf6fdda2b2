"""What a job's files are by their names, and how they are opened: packed or not, with pyarrow or without."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cohere_rerank._extras import importing
from cohere_rerank.errors import InvalidRequestError

from .errors import JobError

__all__ = ["arrow", "kind_of", "opened", "zstd"]

_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_PACKED = (".gz", ".zst")


def kind_of(path: Path) -> tuple[str, str | None]:
    """What a file's name says of its format, and of its packing: None, ``".gz"`` or ``".zst"``.

    Raises:
        InvalidRequestError: The name says nothing a job can use.
    """
    packing = path.suffix.lower() if path.suffix.lower() in _PACKED else None
    ending = (path.with_suffix("") if packing else path).suffix.lower()
    kind = _ENDINGS.get(ending)
    if kind is None or (packing and kind == "parquet"):
        raise InvalidRequestError(
            f"{path}: the name of a job's file must end with .jsonl (or .ndjson) or .csv, each perhaps with .gz or "
            ".zst, or with .parquet"
        )
    return kind, packing


def zstd() -> Any:
    """The module of the standard library that packs with zstd.

    Raises:
        JobError: This Python has none.
    """
    try:
        from compression import zstd as module  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise JobError("zstd needs Python 3.14 or newer; use gzip or no packing") from None
    return module


@contextmanager
def opened(path: Path, packing: str | None, mode: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A file's plain bytes (``mode`` is "rb" or "wb"), and beneath them the bytes on the disk."""
    with path.open(mode) as beneath:
        if packing is None:
            yield beneath, beneath
        else:
            if packing == ".gz":
                plain: Any = gzip.GzipFile(filename="", mode=mode, fileobj=beneath, mtime=0)
            else:
                plain = zstd().ZstdFile(beneath, mode=mode)
            with plain:
                yield plain, beneath


def arrow() -> Any:
    """The package pyarrow, with its module for Parquet.

    Raises:
        ImportError: It is not installed; names the extra that brings it.
    """
    with importing("arrow", "Parquet"):
        import pyarrow.parquet  # type: ignore[import-untyped, unused-ignore]
    return pyarrow
