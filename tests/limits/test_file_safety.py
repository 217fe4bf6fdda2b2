"""A file of a limit that was damaged, poisoned or replaced: never a hang, never a raw traceback, and it recovers."""

from __future__ import annotations

import math
import os
import stat
from array import array

import pytest

from cohere_rerank.errors import RateLimitStoreError
from cohere_rerank.limits import FileStore, RateLimit
from cohere_rerank.limits.shared_state import SharedState

PACED = RateLimit(requests=10, period_s=1, burst=4)
WINDOW = RateLimit(requests=10, period_s=1)
BOTH = pytest.mark.parametrize("limit", [PACED, WINDOW], ids=["paced", "window"])
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file types")


@posix
def test_only_the_owner_can_read_and_write_the_file(tmp_path):
    """The mode is 0600, even with an umask that allows more."""
    before = os.umask(0)
    try:
        FileStore(tmp_path / "limit").acquire(PACED, 5.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "limit").stat().st_mode) == 0o600


@posix
def test_a_symbolic_link_is_refused_and_its_target_not_changed(tmp_path):
    """Another user who can write the folder cannot make the store write elsewhere."""
    (tmp_path / "target").touch()
    (tmp_path / "limit").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    for name in ("limit", "dangling"):
        with pytest.raises(RateLimitStoreError, match="cannot be used to count a limit"):
            FileStore(tmp_path / name).acquire(PACED, 5.0)
    assert (tmp_path / "target").stat().st_size == 0
    assert not (tmp_path / "new").exists()


@posix
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_a_file_that_is_not_regular_is_refused_at_once(tmp_path, kind):
    """A FIFO without a writer does not hang the call."""
    path = tmp_path / "limit"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    with pytest.raises(RateLimitStoreError, match="cannot be used to count a limit"):
        FileStore(path).acquire(PACED, 5.0)


@BOTH
@pytest.mark.parametrize("content", [b"crlimit1", b"crlimit1" + b"\xff" * 8, b"crlimit1" + bytes(17)])
def test_a_truncated_file_starts_again(tmp_path, limit, content):
    """It has the mark of a limit, so it is not another program's file."""
    (tmp_path / "limit").write_bytes(content)
    assert FileStore(tmp_path / "limit").acquire(limit, 5.0) == 0.0


@BOTH
@pytest.mark.parametrize("time_s", [1e300, 1e9, math.inf, -math.inf, math.nan, 1e4])
def test_a_poisoned_time_blocks_a_limit_for_its_longest_pause_at_most(tmp_path, limit, time_s):
    """The state recovers by itself, whichever of its times is wrong."""
    longest_s = limit.max_pause_s + limit.period_s + limit.max_transit_s + limit.tolerance_s
    for position in range(14):
        state = SharedState(1000.0, -math.inf, -math.inf, array("d", [1000.0 - 10 * n for n in range(11)]))
        content = bytearray(state.to_bytes())
        content[8 * (position + 1) : 8 * (position + 2)] = array("d", [time_s]).tobytes()
        (tmp_path / "limit").write_bytes(content)
        store, now_s = FileStore(tmp_path / "limit"), 1000.0
        while (wait_s := store.acquire(limit, now_s)) > 0:
            now_s += wait_s
            assert now_s - 1000.0 <= longest_s


def test_only_as_much_of_a_file_is_read_as_the_limit_needs(tmp_path):
    """A file of a gigabyte costs neither its size in memory nor its time."""
    path = tmp_path / "limit"
    path.write_bytes(SharedState(1000.0).to_bytes())
    os.truncate(path, 10**9)  # sparse
    read, store = [], FileStore(path)
    original = os.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", lambda fd, n: read.append(n) or original(fd, n))
        assert store.acquire(WINDOW, 1000.0) == 0.0
    assert read == [8 * (1 + 3 + WINDOW.requests)]


def test_a_lock_that_is_held_for_five_seconds_is_a_typed_error(tmp_path):
    """A process that was stopped while it held the lock does not keep others waiting for ever."""
    store = FileStore(tmp_path / "limit")
    with FileStore(tmp_path / "limit")._locked_state(WINDOW):
        assert 0 < store.acquire(WINDOW, 100.0) < 0.1
        assert 0 < store.acquire(WINDOW, 104.0) < 0.1
        with pytest.raises(RateLimitStoreError, match="held the lock for 5 s"):
            store.acquire(WINDOW, 106.0)
    assert store.acquire(WINDOW, 107.0) == 0.0
