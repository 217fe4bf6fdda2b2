"""The bytes of a file: found in folders, decompressed, and converted to UTF-8. All I/O of single files is here."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cohere_rerank._extras import importing, missing_extra
from cohere_rerank.errors import InvalidRequestError

from .errors import FileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "COMPRESSIONS",
    "MAX_RATIO",
    "check_regular",
    "compressed",
    "compression_of",
    "decompression_errors",
    "find_files",
    "first_line",
    "open_file",
    "require_pyarrow",
    "require_zstd",
    "utf8",
]

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
MAX_RATIO = {None: 1, ".gz": 1032, ".bz2": 1 << 20, ".xz": 1 << 17, ".zst": 1 << 17}
"""How much a compressed file can grow at most, rounded up."""

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK_BYTES = 1 << 16


def find_files(paths: Sequence[str | PathLike[str]]) -> list[Path]:
    """Return the files of the paths. Those of a folder are sorted by name, also in the folders below.

    Names that start with a point or an underscore are left out, as Spark and Hadoop write them for their own use.

    Raises:
        FileError: A path does not exist, or a folder has no files.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.exists():
                raise FileError(f"{path}: no such file")
            found.append(path)
            continue
        inside = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
        if not inside:
            raise FileError(f"{path}: the folder has no files")
        found += inside
    return found


def compression_of(path: Path) -> str | None:
    """Return the compression of a file: by the ending of its name, else by its first bytes."""
    ending = path.suffix.lower()
    if ending in COMPRESSIONS:
        return ending
    with path.open("rb") as file:
        head = file.read(8)
    return next((compression for magic, compression in _MAGIC.items() if head.startswith(magic)), None)


def require_zstd() -> Any:
    """Return the zstd module of the standard library, or the package that brings it to older versions of Python.

    Raises:
        ImportError: There is none. The message names the extra.
    """
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd  # type: ignore[import-not-found, unused-ignore, no-redef]
        except ImportError as error:
            raise ImportError(missing_extra("zstd", "zstd before Python 3.14", error), name=error.name) from error
    return zstd


def require_pyarrow() -> Any:
    """Return the package pyarrow, with its modules for Parquet and IPC loaded.

    Raises:
        ImportError: pyarrow is not installed. The message names the extra.
    """
    with importing("arrow", "Parquet"):
        import pyarrow.ipc
        import pyarrow.parquet  # type: ignore[import-untyped, unused-ignore]
    return pyarrow


def decompression_errors(compression: str | None) -> tuple[type[Exception], ...]:
    """Return the errors that a broken compressed file raises."""
    errors = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
    return (*errors, require_zstd().ZstdError) if compression == ".zst" else errors


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
        compression: One of COMPRESSIONS, or None.
        mode: ``"rb"`` or ``"wb"``.
    """
    if compression is None:
        yield raw_file
        return
    content: Any
    file: Any = raw_file
    if compression == ".gz":
        content = gzip.GzipFile(filename="", mode=mode, fileobj=raw_file, mtime=0)
    elif compression == ".bz2":
        content = bz2.BZ2File(file, "wb" if mode == "wb" else "rb")
    elif compression == ".xz":
        content = lzma.LZMAFile(raw_file, mode)  # noqa: SIM115 - closed below
    else:
        content = require_zstd().ZstdFile(raw_file, mode=mode)
    with content:
        yield content


def utf8(content: IO[bytes], encoding: str | None, place: str) -> IO[bytes]:
    """Return the content in UTF-8, without a byte order mark.

    Args:
        content: The bytes of a file from its start.
        encoding: The encoding. None: UTF-8, which is not checked here, or another one that a byte order mark says.
        place: The name of the file, for messages.
    """
    buffered = content if isinstance(content, io.BufferedReader) else io.BufferedReader(_Raw(content))
    head = buffered.peek(4)[:4]
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        if head.startswith(codecs.BOM_UTF8):
            buffered.read(len(codecs.BOM_UTF8))
            return buffered
        encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)
        if encoding is None:
            return buffered
    return io.BufferedReader(_Transcoded(buffered, encoding, place))


class _Raw(io.RawIOBase):
    """A raw stream on top of any binary file. Closing it leaves the file open."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)


class _Transcoded(io.RawIOBase):
    """A stream in UTF-8 on top of a binary file in another encoding."""

    def __init__(self, file: IO[bytes], encoding: str, place: str) -> None:
        self._file = file
        self._encoding = encoding
        self._place = place
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while not self._ready:
            data = self._file.read(_CHUNK_BYTES)
            try:
                text = self._decoder.decode(data, final=not data)
                self._ready = text.encode()
            except UnicodeError as error:
                message = f"{self._place}: not {self._encoding} near byte {self._n_read}"
                raise FileError(f"{message}; --encoding names another encoding") from error
            self._n_read += len(data)
            if not data:
                break
        n_bytes = min(len(view), len(self._ready))
        view[:n_bytes] = self._ready[:n_bytes]
        self._ready = self._ready[n_bytes:]
        return n_bytes


def first_line(path: Path) -> bytes:
    """Return the start of the first line of a file."""
    with path.open("rb") as file:
        return file.readline(_CHUNK_BYTES)


def check_regular(path: Path) -> None:
    """Check that a file can be read more than once.

    Raises:
        FileError: It is a pipe or another special file.
        InvalidRequestError: The name is not valid.
    """
    if "\0" in str(path):
        raise InvalidRequestError(f"a path must not have null characters, got {str(path)!r}")
    if not path.is_file():
        reason = "not a regular file, which could be read again" if path.exists() else "no such file"
        raise FileError(f"{path}: {reason}")
