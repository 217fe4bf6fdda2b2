"""A lock between processes on an open file. The system releases it when the process ends."""

from __future__ import annotations

import os
import sys

__all__ = ["try_lock", "unlock"]

if sys.platform == "win32":
    import msvcrt

    # Windows does not let other processes read a locked byte, so the lock is on one far behind the content.
    _LOCKED_BYTE = 0x7FFF_FFFE

    def try_lock(fd: int) -> None:
        """Lock an open file; raise BlockingIOError if another open file holds the lock."""
        try:
            _change_lock(fd, msvcrt.LK_NBLCK)
        except PermissionError as error:
            raise BlockingIOError from error

    def unlock(fd: int) -> None:
        """Release the lock."""
        _change_lock(fd, msvcrt.LK_UNLCK)

    def _change_lock(fd: int, mode: int) -> None:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, mode, 1)
        finally:
            os.lseek(fd, position, os.SEEK_SET)

else:
    import fcntl

    def try_lock(fd: int) -> None:
        """Lock an open file; raise BlockingIOError if another open file holds the lock."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(fd: int) -> None:
        """Release the lock."""
        # Closing the file is not enough: a process that was forked meanwhile has it open too.
        fcntl.flock(fd, fcntl.LOCK_UN)
