"""One key's limit shared by the processes of one machine: counted in a file, under a lock."""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

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


_MAGIC = b"crlimit1"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
_BUSY_S, _PATIENCE_S = 0.001, 1.0  # the lock is held for some 20 microseconds
_NOW_S = 1e-6  # a wait this short is none, as in the decisions
_SET_BACK_S = 5.0  # another process may be ahead of the time that is passed in, but not by that much


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
    def _counts(self) -> Iterator[_Counts]:
        """What the file keeps, to be changed while nobody else reads or writes it."""
        try:
            # Opened each time: no open file goes through a fork, and threads lock one another out like processes.
            fd = os.open(self.path, _FLAGS, 0o666)
            try:
                _lock(fd)
                try:
                    counts = _Counts.unpacked(_read(fd))
                    yield counts
                    os.lseek(fd, 0, os.SEEK_SET)
                    os.write(fd, counts.packed())
                finally:
                    _unlock(fd)
            finally:
                os.close(fd)
        except BlockingIOError:
            raise
        except OSError as error:
            raise RateLimitStoreError(f"the file of a limit cannot be used: {error}") from error


def _read(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, os.fstat(fd).st_size)


@dataclass
class _Counts:
    """What the file keeps: times in seconds."""

    seen_s: float = -math.inf  # the latest time of all
    paused_s: float = -math.inf  # when a pause ends
    due_s: float = -math.inf  # if paced: when the next send is due in even steps
    sent_s: array[float] = field(default_factory=lambda: array("d"))  # if not: the last n sends, newest first

    @classmethod
    def unpacked(cls, content: bytes) -> _Counts:
        """The counts in a file's content, new ones if there is none."""
        if not content:
            return cls()
        times = array("d")
        times.frombytes(content[len(_MAGIC) : len(content) // 8 * 8])
        if not content.startswith(_MAGIC) or len(times) < 3:
            raise OSError(errno.EINVAL, "it holds something else")
        return cls(times[0], times[1], times[2], times[3:])

    def packed(self) -> bytes:
        """The file's content."""
        return _MAGIC + (array("d", [self.seen_s, self.paused_s, self.due_s]) + self.sent_s).tobytes()

    def at(self, now_s: float) -> float:
        """The time to go by."""
        ahead_s = self.seen_s - now_s
        if ahead_s > _SET_BACK_S:  # the clock began anew with the machine: all this was at most just now
            self.seen_s, self.paused_s, self.due_s = (t - ahead_s for t in (self.seen_s, self.paused_s, self.due_s))
            self.sent_s = array("d", (t - ahead_s for t in self.sent_s))
        self.seen_s = max(self.seen_s, now_s)
        return self.seen_s

    def take(self, limit: RateLimit, now_s: float) -> float:
        """As `Store.take`."""
        if limit.burst is not None:
            free_s = max(self.due_s, now_s) - limit.slack_s
        else:
            oldest = self.sent_s[limit.requests - 1 : limit.requests]
            free_s = oldest[0] + limit.period_s + limit.max_delay_s if oldest else now_s
        wait_s = max(self.paused_s, free_s) - now_s
        if wait_s > _NOW_S:
            return wait_s
        if limit.burst is not None:
            self.due_s = max(self.due_s, now_s) + limit.step_s
        else:
            self.sent_s = array("d", [now_s]) + self.sent_s[: limit.requests - 1]
        return 0.0

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """As `Store.pause`; a paced limit goes on in even steps afterwards, not at once."""
        self.paused_s = max(self.paused_s, now_s + seconds)
        self.due_s = max(self.due_s, self.paused_s + limit.slack_s)
