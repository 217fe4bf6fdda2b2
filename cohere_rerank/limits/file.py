"""The store that shares a limit between the processes of one machine: a file with a lock."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank._file_lock import try_lock, unlock
from cohere_rerank._validators import describe
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .shared_state import SharedState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rate_limit import RateLimit

_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):  # O_NONBLOCK: opening a FIFO must not wait
    _FLAGS |= getattr(os, _name, 0)
_LOCK_POLL_S, _LOCK_TIMEOUT_S = 0.001, 5.0  # a process holds the lock for about 20 microseconds

_blocked_since_s: dict[str, float] = {}  # by path: when this process first failed to get a lock it still does not have


@dataclass(frozen=True)
class FileStore:
    """Counts a limit in a file. All processes that can write the file share the limit.

    The file is created when it is first needed. It must be on a local disk, because some network file systems ignore
    locks. Times are those of the monotonic clock of the machine, which all its processes share. Only its owner can
    read and write the file (mode 0600). Symbolic links and other files are refused. A damaged file recovers by itself.

    Args:
        path: The file. Its folder must exist. Every API key needs a file of its own.

    Raises:
        InvalidRequestError: The path is not a string or a path.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        path: Any = self.path
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InvalidRequestError(f"the path of a FileStore must be the name of a file, got {describe(path)}")
        # Absolute: a change of the working directory does not change the limit. A string: equal paths compare equal.
        object.__setattr__(self, "path", str(Path(path).absolute()))

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`. If another process holds the lock, the answer is to ask again in a millisecond.

        Raises:
            RateLimitStoreError: The file cannot be used, or another process has held its lock for five seconds.
        """
        path = str(self.path)
        try:
            with self._locked_state(limit) as state:
                _blocked_since_s.pop(path, None)
                return state.acquire(limit, state.advance(now_s))
        except BlockingIOError:
            if now_s - _blocked_since_s.setdefault(path, now_s) > _LOCK_TIMEOUT_S:
                raise self._lock_error() from None
            return _LOCK_POLL_S

    async def acquire_async(self, limit: RateLimit, now_s: float) -> float:
        """Do the same as `acquire`. It takes about 10 microseconds, which is less than a switch to a worker thread."""
        return self.acquire(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`.

        Raises:
            RateLimitStoreError: The file cannot be used, or another process holds its lock for five seconds.
        """
        for _ in range(round(_LOCK_TIMEOUT_S / _LOCK_POLL_S)):
            try:
                with self._locked_state(limit) as state:
                    state.pause(limit, seconds, state.advance(now_s))
                return
            except BlockingIOError:
                time.sleep(_LOCK_POLL_S)
        raise self._lock_error()

    def _lock_error(self) -> RateLimitStoreError:
        return RateLimitStoreError(
            f"cannot lock {self.path!r}: another process has held the lock for {_LOCK_TIMEOUT_S:g} s; "
            "stop that process, or use another path"
        )

    @contextmanager
    def _locked_state(self, limit: RateLimit) -> Iterator[SharedState]:
        """Yield the state in the file, to be changed while no other process or thread uses it."""
        try:
            # Opened each time: a fork inherits no open file, and threads exclude one another like processes.
            fd = os.open(self.path, _FLAGS, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise ValueError("it is not a regular file")
                try_lock(fd)
                try:
                    state = SharedState.from_bytes(_read(fd, SharedState.max_bytes(limit)))
                    yield state
                    os.lseek(fd, 0, os.SEEK_SET)
                    os.write(fd, state.to_bytes())
                finally:
                    unlock(fd)
            finally:
                os.close(fd)
        except BlockingIOError:
            raise
        except (OSError, ValueError) as error:
            raise RateLimitStoreError(
                f"the file {self.path!r} cannot be used to count a limit: {error}; use another path"
            ) from error


def _read(fd: int, max_bytes: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, min(os.fstat(fd).st_size, max_bytes))
