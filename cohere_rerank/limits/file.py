"""One key's limit shared by the processes of one machine: counted in a file, under a lock."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .counts import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rate_limit import RateLimit

if sys.platform == "win32":
    import msvcrt

    _BYTE = 0x7FFF_FFFE  # far behind what is kept there: Windows lets nobody read a locked byte

    def _lock(fd: int) -> None:
        os.lseek(fd, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

    def _unlock(fd: int) -> None:
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile has the file open too


_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
_BUSY_S, _PATIENCE_S = 0.001, 1.0  # the lock is held for some 20 microseconds


@dataclass(frozen=True)
class FileStore:
    """A limit's counts in a file: every process that may write it shares the limit.

    The file is made when it is needed. It has to be on a local disk, since not all network file systems keep locks.
    The time is the machine's monotonic clock, which its processes have in common.

    Args:
        path: The file; its folder must exist. Every API key needs its own.

    Raises:
        InvalidRequestError: The path is none.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        path: Any = self.path
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InvalidRequestError(f"the path of a FileStore must name a file, got {path!r}")
        # Absolute, so that a change of the working folder is no change of the limit; a string, so that equal is equal.
        object.__setattr__(self, "path", str(Path(path).absolute()))

    def take(self, limit: RateLimit, now_s: float) -> float:
        """Seconds after which to ask again; 0.0 grants a send and counts it.

        Raises:
            RateLimitStoreError: The file cannot be used.
        """
        try:
            with self._counts() as counts:
                return counts.take(limit, counts.at(now_s))
        except BlockingIOError:
            return _BUSY_S

    async def take_async(self, limit: RateLimit, now_s: float) -> float:
        """As `take`, which takes some 10 microseconds: less than to ask a worker thread for it."""
        return self.take(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """Nobody who shares the limit sends for so long.

        Raises:
            RateLimitStoreError: The file cannot be used, or its lock is not to be had.
        """
        for _ in range(round(_PATIENCE_S / _BUSY_S)):
            try:
                with self._counts() as counts:
                    counts.pause(limit, seconds, counts.at(now_s))
                return
            except BlockingIOError:
                time.sleep(_BUSY_S)
        raise RateLimitStoreError(f"another process does not let go of the lock of {self.path!r}")

    @contextmanager
    def _counts(self) -> Iterator[Counts]:
        """What the file keeps, to be changed while nobody else reads or writes it."""
        try:
            # Opened each time: no open file goes through a fork, and threads lock one another out like processes.
            fd = os.open(self.path, _FLAGS, 0o666)
            try:
                _lock(fd)
                try:
                    counts = Counts.unpacked(_read(fd))
                    yield counts
                    os.lseek(fd, 0, os.SEEK_SET)
                    os.write(fd, counts.packed())
                finally:
                    _unlock(fd)
            finally:
                os.close(fd)
        except BlockingIOError:
            raise
        except (OSError, ValueError) as error:
            raise RateLimitStoreError(f"{self.path!r} cannot keep the counts of a limit: {error}") from error


def _read(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, os.fstat(fd).st_size)
