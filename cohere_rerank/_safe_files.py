"""Our own files next to those of a user. Opening them follows no link, waits for no pipe and replaces no other file."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["create_temporary", "open_regular", "publish", "sync_folder"]

# Some of these flags do not exist on Windows, which needs O_BINARY in turn.
_FLAGS = os.O_RDWR
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)


def open_regular(path: Path, *, mode: int = 0o600, allow_links: bool = False) -> tuple[int, bool]:
    """Open a regular file for reading and writing, or create it.

    A symbolic link is not followed, and a pipe or a device is not opened. The call never waits.

    Args:
        path: The file.
        mode: The permissions of a new file, before the umask.
        allow_links: Whether the file may have a second name, which is a hard link to it.

    Returns:
        The file descriptor, and whether the file is new.

    Raises:
        OSError: The file cannot be opened, or it is not a regular file with one name.
    """
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, mode), True
    except FileExistsError:
        pass
    _check(path, os.lstat(path), allow_links)  # first, because opening a device can have an effect
    fd = os.open(path, _FLAGS)
    try:
        _check(path, os.fstat(fd), allow_links)
    except OSError:
        os.close(fd)
        raise
    return fd, False


def _check(path: Path, found: os.stat_result, allow_links: bool) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if found.st_nlink > 1 and not allow_links:
        raise OSError(errno.EMLINK, "it has a second name (a hard link)", str(path))


def create_temporary(folder: Path) -> tuple[int, Path]:
    """Create a file with an unpredictable name, with the permissions of any new file.

    Returns:
        The file descriptor and the path.
    """
    path = folder / f".cohere-rerank-{secrets.token_hex(8)}.tmp"
    return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), path


def publish(temporary: Path, path: Path, *, replace: bool) -> None:
    """Rename a complete file.

    Args:
        temporary: The file, in the folder of *path*.
        path: Its new name.
        replace: Whether an existing file of that name is replaced.

    Raises:
        FileExistsError: A file of that name exists, and *replace* is False.
    """
    if replace:
        temporary.replace(path)
    elif sys.platform == "win32":
        temporary.rename(path)  # on Windows it fails for an existing file
    else:
        try:
            os.link(temporary, path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            temporary.replace(path)
        else:
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to the disk, where the system can do that."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
