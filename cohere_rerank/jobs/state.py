"""The state file beside a job's output. It says which job the output belongs to, and it is the job's lock."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cohere_rerank._file_lock import try_lock

from .errors import JobError

if TYPE_CHECKING:
    from .settings import JobSettings

__all__ = ["JobState", "make_fingerprint", "open_locked"]

_VERSION = 1
_CHUNK_BYTES = 1 << 20


def make_fingerprint(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a job: a hash of the whole input, and the options that change the output.

    Raises:
        JobError: The input cannot be read.
    """
    return {"version": _VERSION, "input": {"name": path.name, **_hash_file(path)}, "options": dict(options)}


def _hash_file(path: Path, max_bytes: float = math.inf) -> dict[str, Any]:
    """Return the length and the hash of a file, or of its first *max_bytes*."""
    digest, n_bytes = hashlib.blake2b(digest_size=16), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(int(min(_CHUNK_BYTES, max_bytes - n_bytes))):
                digest.update(chunk)
                n_bytes += len(chunk)
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": n_bytes, "blake2b": digest.hexdigest()}


class JobState:
    """The open state file of a job.

    Attributes:
        ended: The final numbers of a job that is done and has no failed rows; else None.
    """

    def __init__(self, file: IO[bytes], fingerprint: Mapping[str, Any], ended: dict[str, Any] | None = None) -> None:
        self._file = file
        self._fingerprint = fingerprint
        self.ended = ended

    def write(self) -> None:
        """Write the file, and flush it to the disk."""
        content = {**self._fingerprint, "ended": self.ended}
        self._file.seek(0)
        self._file.write(json.dumps(content, indent=1).encode() + b"\n")
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def open_locked(settings: JobSettings, fingerprint: Mapping[str, Any]) -> Iterator[JobState]:
    """Open and lock the state file of a job, and create it for a new job.

    Args:
        settings: They say where the file is, and whether the job may exist already.
        fingerprint: The job's, as `make_fingerprint` returns it.

    Raises:
        JobError: Another process holds the lock, the file cannot be written, or it belongs to another job.
    """
    output = settings.output
    try:
        settings.state.touch()
        file = settings.state.open("r+b")
    except OSError as error:
        raise JobError(f"{output}: cannot be written: {error.strerror}") from error
    with file:
        try:
            try_lock(file.fileno())
        except OSError:
            message = "another job is writing this file; wait until it ends, or choose another output"
            raise JobError(f"{output}: {message}") from None
        content = file.read()
        paths = (output, settings.errors, settings.journal)
        existing = [path for path in paths if path is not None and path.exists() and not (content and _is_empty(path))]
        if existing and not (settings.resume and content):
            if not content:
                settings.state.unlink()
            unknown = "it has no state file, so it is not the output of a job; choose another output"
            advice = "set resume=True to resume the job that wrote it, or choose another output"
            raise JobError(f"{existing[0]}: exists already; {unknown if settings.resume else advice}")
        if content and settings.resume:
            yield JobState(file, fingerprint, _check_same_job(content, fingerprint, settings))
        else:
            state = JobState(file, fingerprint)
            state.write()
            yield state


def _is_empty(path: Path) -> bool:
    """Whether a job that left this file has no results, so that nothing can be lost."""
    return path.is_file() and not path.stat().st_size


def _check_same_job(content: bytes, fingerprint: Mapping[str, Any], settings: JobSettings) -> dict[str, Any] | None:
    """Compare a state file with the current fingerprint, and return how the job ended, if it did."""
    output = settings.output
    try:
        before = json.loads(content)
        if before["version"] != _VERSION:
            raise JobError(f"{output}: another version of this program started the job; finish it with that version")
        ended: dict[str, Any] | None = before["ended"]
        inputs, options = (before["input"], fingerprint["input"]), (before["options"], fingerprint["options"])
        n_bytes, n_bytes_now = inputs[0]["bytes"], inputs[1]["bytes"]
        is_same_input = inputs[0]["blake2b"] == inputs[1]["blake2b"]
        has_grown = n_bytes < n_bytes_now and _hash_file(settings.input, n_bytes)["blake2b"] == inputs[0]["blake2b"]
        changed = sorted(name for name in {*options[0], *options[1]} if options[0].get(name) != options[1].get(name))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise JobError(f"{settings.state}: the state file is corrupt; choose another output") from None
    if not is_same_input:
        change, advice = ("grown", f"cut it back to its first {n_bytes} bytes, or ") if has_grown else ("changed", "")
        raise JobError(
            f"{output}: the input has {change} since the job started ({n_bytes} bytes then, {n_bytes_now} now); "
            f"{advice}choose another output to start a new job"
        )
    if changed:
        changes = "; ".join(f"{name} was {options[0].get(name)!r}, now {options[1].get(name)!r}" for name in changed)
        raise JobError(f"{output}: options have changed since the job started: {changes}; choose another output")
    return ended
