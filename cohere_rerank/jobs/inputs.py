"""Which input a job has: a hash of each file. It tells appended rows from other changes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import JobError

__all__ = ["InputFiles", "hash_file"]

_CHUNK_BYTES = 1 << 20


def hash_file(path: Path, max_bytes: float = math.inf) -> dict[str, Any]:
    """Return the length and the hash of a file, or of its first *max_bytes*.

    Raises:
        JobError: It cannot be read.
    """
    digest, n_bytes = hashlib.blake2b(digest_size=16), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(int(min(_CHUNK_BYTES, max_bytes - n_bytes))):
                digest.update(chunk)
                n_bytes += len(chunk)
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": n_bytes, "blake2b": digest.hexdigest()}


class InputFiles:
    """The files of a job's input, as they were when the run started.

    Attributes:
        hashes: For each file its name, length and hash, as JSON values.

    Raises:
        JobError: A file cannot be read.
    """

    def __init__(self, paths: Sequence[Path], *, can_grow: bool) -> None:
        """Read the files.

        Args:
            paths: The files of the rows, and then those that are joined.
            can_grow: Whether rows that are appended to the last file keep the numbers of the others.
        """
        self._paths = paths
        self._can_grow = can_grow
        self._stats = [_stat(path) for path in paths]
        self.hashes = [_named_hash(path) for path in paths]

    def change_since(self, before: Sequence[Mapping[str, Any]]) -> str | None:
        """Return how the files differ from those of an earlier run: ``"grown"``, ``"changed"``, or None if not."""
        return self._change(before, self.hashes)

    def change_now(self) -> str | None:
        """Return how the files on the disk differ from those that the run started with, as `change_since` does."""
        if [_stat(path) for path in self._paths] == self._stats:
            return None
        try:
            return self._change(self.hashes, [_named_hash(path) for path in self._paths])
        except JobError:
            return "changed"

    def _change(self, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str | None:
        if [dict(each) for each in before] == [dict(each) for each in now]:
            return None
        if not before or not self._can_grow or len(before) > len(now):
            return "changed"
        *same, last = before
        if [dict(each) for each in same] != [dict(each) for each in now[: len(same)]]:
            return "changed"
        path, current = self._paths[len(same)], now[len(same)]
        return "grown" if last == current or _is_appended(path, last, current) else "changed"


def _is_appended(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether complete lines were appended to a file."""
    n_bytes = before["bytes"]
    if before["name"] != now["name"] or n_bytes >= now["bytes"]:
        return False
    if hash_file(path, n_bytes)["blake2b"] != before["blake2b"]:
        return False
    with path.open("rb") as file:
        file.seek(max(n_bytes - 1, 0))
        return b"\n" in file.read(2 if n_bytes else 1) or not n_bytes


def _named_hash(path: Path) -> dict[str, Any]:
    return {"name": path.name, **hash_file(path)}


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
