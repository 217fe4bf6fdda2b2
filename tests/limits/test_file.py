"""A limit counted in a file: the processes of a machine share it, even if one of them is killed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError
from cohere_rerank.limits import FileStore, RateLimit
from cohere_rerank.limits import file as file_module
from tests.limits.processes import Processes

PACED = RateLimit(requests=10, period_s=1, burst=4)
WINDOW = RateLimit(requests=10, period_s=1)


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "limit")


def n_granted(store, limit, now_s):
    """Return how many requests a store grants at one moment."""
    n = 0
    while store.acquire(limit, now_s) == 0.0:
        n += 1
    return n


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_stores_of_one_file_share_its_count(tmp_path, limit):
    """A request that one store grants counts for another store with the same path."""
    alone = n_granted(FileStore(tmp_path / "a"), limit, 5.0)
    one, other = FileStore(tmp_path / "b"), FileStore(str(tmp_path / "b"))
    assert one.acquire(limit, 5.0) == 0.0
    assert n_granted(other, limit, 5.0) == alone - 1
    assert one.acquire(limit, 5.0) > 0


def test_limits_in_different_files_count_separately(tmp_path):
    """Each file is a limit of its own."""
    n_granted(FileStore(tmp_path / "a"), WINDOW, 5.0)
    assert n_granted(FileStore(tmp_path / "b"), WINDOW, 5.0) == WINDOW.requests


def test_a_lower_limit_counts_the_requests_of_a_higher_one(store):
    """Processes that are updated to a new limit one after another still share one count."""
    higher, lower = RateLimit(requests=8, period_s=60), RateLimit(requests=5, period_s=60)
    n_granted(store, higher, 5.0)
    assert store.acquire(lower, 5.0) > 0
    assert store.acquire(higher, 5.0) > 0


@pytest.mark.parametrize(
    "limit", ["RateLimit(requests=40, period_s=1, burst=5)", "RateLimit(requests=20, period_s=0.5)"]
)
def test_four_processes_together_stay_within_the_limit(store, limit):
    """Together they send no more than one process might, and no fewer than the burst."""
    rule = eval(limit)
    with Processes(4, "acquire_worker.py", store, limit, 1.5) as workers:
        workers.start()
        n_granted = sum(said.count("granted") for said, _ in workers.outcomes())
    # Every grant lies between the start and now, so this also holds on a busy machine.
    span_s = time.monotonic() - workers.started_s
    most = (
        rule.requests * (1 + span_s / rule.period_s)
        if rule.burst is None
        else rule.burst + span_s / rule.emission_interval_s
    )
    assert (rule.requests if rule.burst is None else rule.burst - 1) <= n_granted <= most


def test_a_killed_process_leaves_no_lock(store):
    """The other processes continue."""
    with Processes(3, "acquire_worker.py", store, "RateLimit(requests=10**6, period_s=1, burst=10**5)", 0.5) as workers:
        workers.start()
        for process in workers.all[:2]:
            assert process.stdout.readline() == "granted\n"
            process.kill()
        assert workers.outcomes()[2][0]
    assert store.acquire(RateLimit(requests=10**9, period_s=1, burst=10**6), time.monotonic() + 60) == 0.0


def test_threads_share_a_file(store):
    """Threads exclude one another as processes do."""
    limit = RateLimit(requests=200, period_s=3600)
    granted = []

    def acquire():
        for _ in range(100):
            while 0 < (wait_s := store.acquire(limit, 5.0)) < 1:
                time.sleep(wait_s)  # the lock was held
            granted.append(wait_s == 0.0)

    threads = [threading.Thread(target=acquire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == limit.requests


def test_a_pause_holds_for_all_and_a_longer_one_stays(store):
    """All stores of the file wait until the longest pause has ended."""
    store.pause(PACED, 10, 100.0)
    store.pause(PACED, 3, 101.0)
    assert FileStore(store.path).acquire(PACED, 102.0) == pytest.approx(8)
    assert FileStore(store.path).acquire(WINDOW, 102.0) == pytest.approx(8)


def test_after_a_pause_a_paced_limit_continues_in_even_steps(store):
    """The first moment after the pause grants one request and no burst."""
    store.pause(PACED, 10, 100.0)
    assert n_granted(store, PACED, 110.0) == 1


def test_a_file_from_before_a_restart_of_the_machine_does_not_block(store):
    """The clock restarts with the machine: all that was counted is assumed to have just happened."""
    n_granted(store, WINDOW, 1e6)
    store.pause(WINDOW, 2, 1e6)
    assert store.acquire(WINDOW, 50.0) == pytest.approx(2)
    assert store.acquire(WINDOW, 52.0) == 0.0


def test_a_process_with_an_earlier_time_uses_the_latest_time(store):
    """Another process may ask with a later time between reading the clock and getting the lock."""
    limit = RateLimit(requests=1, period_s=1)
    assert store.acquire(limit, 100.0) == 0.0
    assert store.acquire(limit, 99.9) == pytest.approx(1 + limit.max_transit_s)


def test_acquire_does_not_block_on_a_held_lock(store):
    """It answers with a short wait, and the count stays."""
    with store._locked_state(WINDOW):
        assert 0 < store.acquire(WINDOW, 5.0) < 0.1
    assert n_granted(store, WINDOW, 5.0) == WINDOW.requests


def test_a_pause_that_cannot_get_the_lock_is_an_error(store, monkeypatch):
    """A pause is never lost silently."""
    monkeypatch.setattr(file_module, "_LOCK_TIMEOUT_S", 0.01)
    with store._locked_state(WINDOW), pytest.raises(RateLimitStoreError, match="lock"):
        store.pause(WINDOW, 1, 5.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_while_the_file_is_locked_does_not_keep_it_locked(store):
    """The child inherits the open file but not the lock."""
    code = f"""
import os
from cohere_rerank.limits import FileStore, RateLimit
store, limit = FileStore({store.path!r}), RateLimit(per_minute=1)
reads, writes = os.pipe()
with store._locked_state(limit):
    child = os.fork()
    if child == 0:
        os.close(writes)
        os.read(reads, 1)  # until the parent has ended
        os._exit(0)
print(store.acquire(limit, 5.0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0.0\n", "")


def test_another_file_is_refused_and_not_changed(tmp_path):
    """A wrong path never destroys a file."""
    path = tmp_path / "notes.txt"
    path.write_text("what I must not forget: the milk")
    with pytest.raises(RateLimitStoreError, match="not a file of a limit"):
        FileStore(path).acquire(PACED, 5.0)
    assert path.read_text() == "what I must not forget: the milk"


def test_a_missing_folder_is_named(tmp_path):
    """The error contains the path."""
    with pytest.raises(RateLimitStoreError, match="nowhere"):
        FileStore(tmp_path / "nowhere" / "limit").acquire(PACED, 5.0)


@pytest.mark.parametrize("path", [None, 3, "", b"x"])
def test_an_invalid_path_is_refused(path):
    """The constructor raises."""
    with pytest.raises(InvalidRequestError, match="path"):
        FileStore(path)


def test_stores_with_the_same_path_are_equal_and_can_be_pickled(tmp_path, monkeypatch):
    """A limit with a store can be a dict key, be compared and be sent to another process."""
    monkeypatch.chdir(tmp_path)
    limit = RateLimit(per_minute=5, store=FileStore("limit"))
    assert limit == RateLimit(per_minute=5, store=FileStore(tmp_path / "limit"))
    assert {pickle.loads(pickle.dumps(limit)): 1} == {limit: 1}
    monkeypatch.chdir("/")
    assert limit.store.acquire(limit, 5.0) == 0.0
    assert (tmp_path / "limit").exists()
