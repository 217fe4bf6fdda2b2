"""The state file next to a job's output. It says which job the output belongs to, and it is the job's lock."""

from __future__ import annotations

import errno
import json
import os
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank._file_lock import try_lock
from cohere_rerank._json_lines import parse_json
from cohere_rerank._safe_files import open_regular
from cohere_rerank.errors import InvalidRequestError

from .errors import JobError
from .inputs import InputFiles, hash_file
from .report import JobReport
from .rows import ARGUMENTS

if TYPE_CHECKING:
    from .settings import JobSettings

__all__ = ["JobState", "open_locked"]

_VERSION = 3
_MAX_STATE_BYTES = 16 << 20  # an input may have many files
_BLOCK_BYTES, _SPARE_BYTES = 4096, 2048


# These options say what is asked. The rows that failed may be asked again with others, beside the results of before.
_ASKING = {"address", "scorer", "ordered", "csv_safe", *ARGUMENTS}


class JobState:
    """The open state file of a job.

    Attributes:
        ended: The final numbers of a job that is done and has no failed rows; else None.
        has_grown: Whether rows were appended to the input since the last run.
    """

    def __init__(self, fd: int, path: Path, files: InputFiles, options: Mapping[str, Any]) -> None:
        self._fd = fd
        self._path = path
        self._files = files
        self._options = options
        self._old_options = options  # of the last run
        self.has_grown = False
        self._written: dict[str, list[str]] = {}  # hashes of the last files that the job wrote, by their use
        self.ended: JobReport | None = None

    def write(self) -> None:
        """Write the file, and flush it to the disk.

        Raises:
            OSError: It cannot be written.
        """
        ended = None if self.ended is None else vars(self.ended)
        content = {
            "version": _VERSION,
            "input": self._files.hashes,
            "options": dict(self._options),
            "written": self._written,
            "ended": ended,
        }
        text = json.dumps(content, indent=1).encode() + b"\n"
        # Padded, so that the numbers at the end need no new block on a disk that has become full.
        n_blocks = -(-(len(text) + _SPARE_BYTES) // _BLOCK_BYTES)
        rest = text.ljust(max(n_blocks * _BLOCK_BYTES, os.fstat(self._fd).st_size))
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fsync(self._fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def restore(self, content: bytes, settings: JobSettings) -> None:
        """Read what an earlier run wrote, and check that it had the same input. Rows may have been appended since.

        Raises:
            JobError: The content is corrupt, or of another input.
        """
        before = _parse(content, self._path)
        change = self._files.change_since(before["input"])
        if change == "changed":
            raise JobError(
                f"{settings.output}: the input has changed since the job started{_lengths(before, self._files)}; "
                "only complete lines may be appended to it; choose another output to start a new job"
            )
        self.has_grown = change == "grown"
        self._written, self.ended, self._old_options = before["written"], before["ended"], before["options"]
        changed = self._changed_options()
        if "errors" in changed and any(map(_has_content, (settings.output, settings.part))):
            raise JobError(self._changed_message(settings, changed))  # its rows may be in another file

    def _changed_options(self) -> set[str]:
        old, new = self._old_options, self._options
        return {name for name in {*old, *new} if old.get(name) != new.get(name)}

    def _changed_message(self, settings: JobSettings, changed: set[str], advice: str = "") -> str:
        old, new = self._old_options, self._options
        shown = [
            f"{name} was {reprlib.repr(old.get(name))}, now {reprlib.repr(new.get(name))}" for name in sorted(changed)
        ]
        changes = "; ".join(shown)
        return (
            f"{settings.output}: options have changed since the job started: {changes}; {advice}choose another output"
        )

    def accept_command(self, settings: JobSettings, *, n_rows: int, n_results: int) -> bool:
        """Check that a run may continue the job with its options, and record them and the input.

        Args:
            settings: Of this run.
            n_rows: Rows that earlier runs have saved.
            n_results: Those among them that have results.

        Returns:
            Whether the job starts again, because the options have changed and no row has results.

        Raises:
            JobError: The options have changed, and results or files depend on the earlier ones.
        """
        changed = self._changed_options()
        if not changed and not self.has_grown:
            return False
        if changed and n_results and not (settings.retry_errors and changed <= _ASKING):
            keep = "set retry_errors=True to keep the results and continue with the new options, or "
            raise JobError(self._changed_message(settings, changed, keep if changed <= _ASKING else ""))
        self.ended = None
        try:
            self.write()
        except OSError as error:
            raise JobError(f"{error.filename}: cannot be written: {error.strerror}") from error
        return bool(changed) and n_rows > 0 and not n_results

    def has_written(self, use: str, path: Path) -> bool:
        """Whether an existing file is as this job has written it."""
        return path.is_file() and hash_file(path)["blake2b"] in self._written.get(use, [])

    def claim(self, use: str, path: Path, temporary: Path) -> bool:
        """Record a complete file before it gets its name, and return whether it replaces an existing file.

        Args:
            use: ``"output"`` or ``"errors"``.
            path: Its name.
            temporary: The file.

        Raises:
            OSError: A file that this job has not written has that name.
        """
        exists = os.path.lexists(path.resolve())
        if exists and not self.has_written(use, path):
            raise FileExistsError(errno.EEXIST, "another program has changed this file; move it away", str(path))
        # The older file may stay, if the process dies before it is replaced.
        self._written[use] = [*self._written.get(use, [])[-1:], hash_file(temporary)["blake2b"]]
        self.write()
        return exists


@contextmanager
def open_locked(settings: JobSettings, files: InputFiles, options: Mapping[str, Any]) -> Iterator[JobState]:
    """Open and lock the state file of a job, and create it for a new job.

    Args:
        settings: They say where the file is, and whether the job may exist already.
        files: The input.
        options: The options that change the results or the files, as JSON values.

    Raises:
        JobError: Another process holds the lock, the file cannot be written, or a file of the job exists already and
            belongs to another job or program.
    """
    path = settings.state
    with _locked_file(path, settings.output) as fd, ExitStack() as locks:
        state = JobState(fd, path, files, options)
        content = _read_all(fd)
        try:
            if content and settings.resume:
                state.restore(content, settings)
                if state.ended is None:
                    _check_own_files(state, settings)
            else:
                if content:
                    _parse(content, path)  # it is replaced only if a job wrote it
                _check_new_files(settings, may_be_empty=bool(content))
            if settings.errors is not None and state.ended is None:
                locks.enter_context(_locked_errors(settings.errors, settings.output))
            if not (content and settings.resume):
                state.write()
        except BaseException as error:
            if not content:
                os.ftruncate(fd, 0)
            if isinstance(error, OSError):
                raise JobError(f"{error.filename}: cannot be written: {error.strerror}") from error
            raise
        yield state


@contextmanager
def _locked_errors(errors: Path, output: Path) -> Iterator[None]:
    """Lock an errors file by a file next to it, which is removed at the end."""
    path = errors.with_name(errors.name + ".job")
    owner = json.dumps({"errors_of": output.name}).encode()
    with _locked_file(path, errors) as fd:
        content = _read_all(fd)
        if content not in (b"", owner):
            raise JobError(f"{path}: it belongs to another job or program; choose another errors file")
        try:
            if not content:
                os.write(fd, owner)
            yield
        finally:
            os.ftruncate(fd, 0)


@contextmanager
def _locked_file(path: Path, target: Path) -> Iterator[int]:
    """Open and lock a file, and remove it afterwards if it is empty, unless it was an empty file before."""
    try:
        fd, is_new = open_regular(path)
    except OSError as error:
        raise JobError(f"{path}: cannot be used as the lock of {target.name}: {error.strerror}") from error
    is_ours = is_new or os.fstat(fd).st_size > 0
    try:
        _lock(fd, path, target)
        yield fd
    finally:
        is_empty = os.fstat(fd).st_size == 0
        os.close(fd)
        if is_ours and is_empty:
            with suppress(OSError):
                path.unlink()


def _read_all(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, _MAX_STATE_BYTES + 1)


def _lock(fd: int, path: Path, target: Path) -> None:
    try:
        try_lock(fd)
        is_locked = os.path.samestat(os.fstat(fd), os.lstat(path))  # another job may have removed it meanwhile
    except OSError:
        is_locked = False
    if not is_locked:
        raise JobError(f"{target}: another job is writing this file; wait until it ends, or choose another file")


def _check_new_files(settings: JobSettings, *, may_be_empty: bool) -> None:
    """Check that no file of a new job exists. A job that left empty files has no results to lose."""
    for path in filter(None, (settings.output, settings.errors, settings.journal)):
        if path.exists() and not (may_be_empty and path.is_file() and not path.stat().st_size):
            unknown = "it has no state file, so it is not the output of a job; choose another output"
            advice = "set resume=True to resume the job that wrote it, or choose another output"
            raise JobError(f"{path}: exists already; {unknown if settings.resume else advice}")


def _check_own_files(state: JobState, settings: JobSettings) -> None:
    """Check that a resumed job will replace only files that it has written."""
    if settings.journal == settings.output:
        return
    for use, path in (("output", settings.output), ("errors", settings.errors)):
        if path is not None and path.exists() and not state.has_written(use, path):
            raise JobError(f"{path}: this job has not written this file, or it was changed since; move it away")


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    """Return a state that a job may have written. Its field ``ended`` is a JobReport or None.

    Raises:
        JobError: The content is corrupt, or the file belongs to another program or another version.
    """
    try:
        if len(content) > _MAX_STATE_BYTES:
            raise ValueError
        state = parse_json(content)
        if state["version"] != _VERSION:
            raise JobError(f"{path}: another version of this program started the job; finish it with that version")
        hashes = [text for texts in state["written"].values() for text in texts]
        texts = [each[name] for each in state["input"] for name in ("name", "blake2b")]
        is_valid = isinstance(state["input"], list)
        is_valid = is_valid and all(type(each["bytes"]) is int and each["bytes"] >= 0 for each in state["input"])
        is_valid = is_valid and bool(state["input"]) and isinstance(state["options"], dict)
        is_valid = is_valid and all(isinstance(each, list) for each in state["written"].values())
        if not is_valid or not all(isinstance(text, str) for text in [*texts, *hashes]):
            raise ValueError
        state["ended"] = None if state["ended"] is None else _as_report(state["ended"])
    except (InvalidRequestError, ValueError, KeyError, TypeError, AttributeError):
        message = "it is not the state file of a job, or it is corrupt; move it away, or choose another output"
        raise JobError(f"{path}: {message}") from None
    return state  # type: ignore[no-any-return]


def _as_report(values: Mapping[str, Any]) -> JobReport:
    texts = {name: values[name] for name in ("stopped", "most_common_error", "waiting_for")}
    may_be_none = ("cost_usd", "units_above_estimate", "usd_above_estimate")
    others = {name: value for name, value in values.items() if name not in texts}
    numbers = [value for name, value in others.items() if value is not None or name not in may_be_none]
    if not all(type(value) in (int, float) for value in numbers) or not all(map(_is_text_or_none, texts.values())):
        raise ValueError
    return JobReport(**values)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _lengths(before: Mapping[str, Any], files: InputFiles) -> str:
    then, now = (sum(each["bytes"] for each in hashes) for hashes in (before["input"], files.hashes))
    return f" ({then} bytes then, {now} now)"
