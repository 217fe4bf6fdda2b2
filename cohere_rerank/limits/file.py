"""The store that shares a limit or a budget between the processes of one machine: a file with a lock."""

from __future__ import annotations

import os
import stat
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cohere_rerank._file_lock import try_lock, unlock
from cohere_rerank._validators import describe
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .shared_state import SharedState
from .spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .rate_limit import RateLimit
    from .spending import Amounts, Reservation

_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):  # O_NONBLOCK: opening a FIFO must not wait
    _FLAGS |= getattr(os, _name, 0)
_LOCK_POLL_S, _LOCK_TIMEOUT_S = 0.001, 5.0  # a process holds the lock for about 20 microseconds

T = TypeVar("T")

_blocked_since_s: dict[str, float] = {}  # by path: when this process first failed to get a lock it still does not have


@dataclass(frozen=True)
class FileStore:
    """Counts a limit or a budget in a file. All processes that can write the file share it.

    The file is created when it is first needed. It must be on a local disk, because some network file systems ignore
    locks. Times are those of the monotonic clock of the machine, which all its processes share. Only its owner can
    read and write the file (mode 0600). Symbolic links and other files are refused. A damaged file recovers by itself.

    Args:
        path: The file. Its folder must exist. Every limit of an API key and every budget needs a file of its own.

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
                raise _lock_error(path) from None
            return _LOCK_POLL_S

    async def acquire_async(self, limit: RateLimit, now_s: float) -> float:
        """Do the same as `acquire`. It takes about 10 microseconds, which is less than a switch to a worker thread."""
        return self.acquire(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`.

        Raises:
            RateLimitStoreError: The file cannot be used, or another process holds its lock for five seconds.
        """
        with _patiently(str(self.path), lambda: self._locked_state(limit)) as state:
            state.pause(limit, seconds, state.advance(now_s))

    def budget_store(self) -> _FileBudget:
        """Return the store of a budget in this file."""
        return _FileBudget(str(self.path))

    @contextmanager
    def _locked_state(self, limit: RateLimit) -> Iterator[SharedState]:
        """Yield the state in the file, to be changed while no other process or thread uses it."""
        with _locked_file(str(self.path), "limit") as fd:
            state = SharedState.from_bytes(_read(fd, SharedState.max_bytes(limit)))
            yield state
            _write(fd, state.to_bytes())


class _FileBudget:
    """Counts a budget in a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def reserve(self, per: str, limits: tuple[int | None, int | None], wanted: Amounts, now_s: float) -> Reservation:
        with _patiently(self._path, self._locked_spending) as spending:
            return spending.reserve(per, limits, wanted, now_s)

    def correct(self, period_s: int, change: Amounts) -> None:
        with _patiently(self._path, self._locked_spending) as spending:
            spending.correct(period_s, change)

    @contextmanager
    def _locked_spending(self) -> Iterator[Spending]:
        with _locked_file(self._path, "budget") as fd:
            spending = Spending.from_bytes(_read(fd, Spending.max_bytes()))
            yield spending
            _write(fd, spending.to_bytes())


@contextmanager
def _locked_file(path: str, what: str) -> Iterator[int]:
    """Open and lock a file, which is created if it does not exist.

    Raises:
        BlockingIOError: Another process or thread holds the lock.
        RateLimitStoreError: The file cannot be used.
    """
    try:
        # Opened each time: a fork inherits no open file, and threads exclude one another like processes.
        fd = os.open(path, _FLAGS, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError("it is not a regular file")
            try_lock(fd)
            try:
                yield fd
            finally:
                unlock(fd)
        finally:
            os.close(fd)
    except BlockingIOError:
        raise
    except (OSError, ValueError) as error:
        raise RateLimitStoreError(
            f"the file {path!r} cannot be used to count a {what}: {error}; use another path"
        ) from error


@contextmanager
def _patiently(path: str, locked: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """Yield a locked state, once no other process holds the lock.

    Raises:
        RateLimitStoreError: Another process holds the lock for five seconds.
    """
    for _ in range(round(_LOCK_TIMEOUT_S / _LOCK_POLL_S)):
        with ExitStack() as stack:
            try:
                state = stack.enter_context(locked())
            except BlockingIOError:
                time.sleep(_LOCK_POLL_S)
                continue
            yield state
            return
    raise _lock_error(path)


def _lock_error(path: str) -> RateLimitStoreError:
    return RateLimitStoreError(
        f"cannot lock {path!r}: another process has held the lock for {_LOCK_TIMEOUT_S:g} s; "
        "stop that process, or use another path"
    )


def _read(fd: int, max_bytes: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, min(os.fstat(fd).st_size, max_bytes))


def _write(fd: int, content: bytes) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, content)
