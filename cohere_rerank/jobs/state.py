"""What a job is, kept beside its output: the input's content and the options that make its answers.

The file is also the lock: who holds it is the one job that writes the output.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import JobError

if TYPE_CHECKING:
    from .settings import Settings

__all__ = ["State", "fingerprint", "locked"]

_VERSION = 1
_CHUNK = 1 << 20


def fingerprint(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one job from another: a hash of the whole input, and the options that make the answers.

    Raises:
        JobError: The input cannot be read.
    """
    return {"version": _VERSION, "input": {"name": path.name, **_hashed(path)}, "options": dict(options)}


def _hashed(path: Path, most: float = math.inf) -> dict[str, Any]:
    """The length and the hash of a file, or of so many of its first bytes."""
    digest, n_bytes = hashlib.blake2b(digest_size=16), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(int(min(_CHUNK, most - n_bytes))):
                digest.update(chunk)
                n_bytes += len(chunk)
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}") from error
    return {"bytes": n_bytes, "blake2b": digest.hexdigest()}


class State:
    """The state file of the job that holds it.

    Attributes:
        ended: The final numbers of a job that is done and has left nothing to ask for again; else None.
    """

    def __init__(self, file: IO[bytes], described: Mapping[str, Any], ended: dict[str, Any] | None = None) -> None:
        self._file = file
        self._described = described
        self.ended = ended

    def write(self) -> None:
        """Write it, through to the disk."""
        content = {**self._described, "ended": self.ended}
        self._file.seek(0)
        self._file.write(json.dumps(content, indent=1).encode() + b"\n")
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def locked(settings: Settings, described: Mapping[str, Any]) -> Iterator[State]:
    """Hold the state file of a job, new or begun.

    Args:
        settings: Say where it is, and whether the job may have been begun.
        described: Its `fingerprint`.

    Raises:
        JobError: Another job holds it, it cannot be written, or this is not the job that it describes.
    """
    output = settings.output
    try:
        settings.state.touch()
        file = settings.state.open("r+b")
    except OSError as error:
        raise JobError(f"{output}: cannot be written: {error.strerror}") from error
    with file:
        _lock(file, output)
        content = file.read()
        paths = (output, settings.errors, settings.journal)
        there = [path for path in paths if path is not None and path.exists() and not (content and _is_empty(path))]
        if there and not (settings.resume and content):
            if not content:
                settings.state.unlink()
            here = "no job's state is beside it; choose another output"
            advice = "resume the job that wrote it (resume=True, or --resume), or choose another output"
            raise JobError(f"{there[0]}: exists already; {here if settings.resume else advice}")
        if content and settings.resume:
            yield State(file, described, _compared(content, described, settings))
        else:
            state = State(file, described)
            state.write()
            yield state


def _is_empty(path: Path) -> bool:
    """Whether a job that left this file answered nothing: there is nothing to lose."""
    return path.is_file() and not path.stat().st_size


def _lock(file: IO[bytes], output: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JobError(f"{output}: another job is writing it; let it end, or choose another output") from None


def _compared(content: bytes, described: Mapping[str, Any], settings: Settings) -> dict[str, Any] | None:
    """How the job ended, if it did."""
    output = settings.output
    try:
        before = json.loads(content)
        if before["version"] != _VERSION:
            raise JobError(f"{output}: the job was begun by another version of this program, which must end it")
        ended: dict[str, Any] | None = before["ended"]
        inputs, options = (before["input"], described["input"]), (before["options"], described["options"])
        n_bytes, n_bytes_now = inputs[0]["bytes"], inputs[1]["bytes"]
        is_same_input = inputs[0]["blake2b"] == inputs[1]["blake2b"]
        has_grown = n_bytes < n_bytes_now and _hashed(settings.input, n_bytes)["blake2b"] == inputs[0]["blake2b"]
        changed = sorted(name for name in {*options[0], *options[1]} if options[0].get(name) != options[1].get(name))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise JobError(f"{output}: its state file is broken, so that nobody can tell which job it is of") from None
    if not is_same_input:
        told, advice = ("grown", f"cut it back to its first {n_bytes} bytes, or ") if has_grown else ("changed", "")
        raise JobError(
            f"{output}: the input has {told} since the job began ({n_bytes} bytes then, {n_bytes_now} now); "
            f"{advice}choose another output to begin anew"
        )
    if changed:
        told = "; ".join(f"{name} was {options[0].get(name)!r}, now {options[1].get(name)!r}" for name in changed)
        raise JobError(f"{output}: options have changed since the job began: {told}; choose another output")
    return ended
