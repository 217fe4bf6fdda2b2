"""A limit counted in a file: shared by the processes of one machine, whatever becomes of one of them."""

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
    """How many sends a store grants at one moment."""
    n = 0
    while store.take(limit, now_s) == 0.0:
        n += 1
    return n


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_stores_of_one_file_share_its_count(tmp_path, limit):
    """What one has used, another with the same path no longer gets."""
    alone = n_granted(FileStore(tmp_path / "a"), limit, 5.0)
    one, other = FileStore(tmp_path / "b"), FileStore(str(tmp_path / "b"))
    assert one.take(limit, 5.0) == 0.0
    assert n_granted(other, limit, 5.0) == alone - 1
    assert one.take(limit, 5.0) > 0


def test_limits_of_different_files_count_apart(tmp_path):
    """Each file is a limit of its own."""
    n_granted(FileStore(tmp_path / "a"), WINDOW, 5.0)
    assert n_granted(FileStore(tmp_path / "b"), WINDOW, 5.0) == WINDOW.requests


def test_a_lower_limit_goes_by_what_a_higher_one_has_sent(store):
    """Processes that are updated one after another still share one count."""
    higher, lower = RateLimit(requests=8, period_s=60), RateLimit(requests=5, period_s=60)
    n_granted(store, higher, 5.0)
    assert store.take(lower, 5.0) > 0
    assert store.take(higher, 5.0) > 0


@pytest.mark.parametrize(
    "limit", ["RateLimit(requests=40, period_s=1, burst=5)", "RateLimit(requests=20, period_s=0.5)"]
)
def test_four_processes_together_stay_within_the_limit(store, limit):
    """From the first to the last send, no more go than one process might send, and no fewer than at once."""
    rule = eval(limit)
    with Processes(4, "taker.py", store, limit, 1.5) as takers:
        takers.start()
        n_granted = sum(said.count("granted") for said, _ in takers.outcomes())
    # Every grant lies between the start and now, so this holds on a busy machine too.
    span_s = time.monotonic() - takers.started_s
    most = rule.requests * (1 + span_s / rule.period_s) if rule.burst is None else rule.burst + span_s / rule.step_s
    assert (rule.requests if rule.burst is None else rule.burst - 1) <= n_granted <= most


def test_a_killed_process_leaves_the_limit_to_the_others(store):
    """No lock outlives the one who held it."""
    with Processes(3, "taker.py", store, "RateLimit(requests=10**6, period_s=1, burst=10**5)", 0.5) as takers:
        takers.start()
        for process in takers.all[:2]:
            assert process.stdout.readline() == "granted\n"
            process.kill()
        assert takers.outcomes()[2][0]
    assert store.take(RateLimit(requests=10**9, period_s=1, burst=10**6), time.monotonic() + 60) == 0.0


def test_threads_share_a_file(store):
    """Threads lock one another out as processes do."""
    limit = RateLimit(requests=200, period_s=3600)
    granted = []

    def take():
        for _ in range(100):
            while 0 < (wait_s := store.take(limit, 5.0)) < 1:
                time.sleep(wait_s)  # the lock was held
            granted.append(wait_s == 0.0)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == limit.requests


def test_a_pause_holds_for_all_and_a_longer_one_stays(store):
    """Whoever shares the file waits until the longest pause has ended."""
    store.pause(PACED, 10, 100.0)
    store.pause(PACED, 3, 101.0)
    assert FileStore(store.path).take(PACED, 102.0) == pytest.approx(8)
    assert FileStore(store.path).take(WINDOW, 102.0) == pytest.approx(8)


def test_after_a_pause_a_paced_limit_goes_on_in_even_steps(store):
    """Who was told to wait has nothing saved up."""
    store.pause(PACED, 10, 100.0)
    assert n_granted(store, PACED, 110.0) == 1


def test_a_file_from_before_the_machine_was_started_anew_holds_nobody_up(store):
    """The clock begins anew with the machine: what was counted is taken to have been just now."""
    n_granted(store, WINDOW, 1e6)
    store.pause(WINDOW, 2, 1e6)
    assert store.take(WINDOW, 50.0) == pytest.approx(2)
    assert store.take(WINDOW, 52.0) == 0.0


def test_a_process_that_asks_a_moment_late_counts_from_the_latest_time(store):
    """Between reading the clock and getting the lock, another may have asked with a later time."""
    limit = RateLimit(requests=1, period_s=1)
    assert store.take(limit, 100.0) == 0.0
    assert store.take(limit, 99.9) == pytest.approx(1 + limit.max_delay_s)


def test_a_held_lock_is_waited_for_outside(store):
    """A take never blocks: it asks to come back in a moment, and the count is as it was."""
    with store._counts():
        assert 0 < store.take(WINDOW, 5.0) < 0.1
    assert n_granted(store, WINDOW, 5.0) == WINDOW.requests


def test_a_lock_that_is_never_let_go_is_an_error_of_a_pause(store, monkeypatch):
    """A pause must not be lost in silence."""
    monkeypatch.setattr(file_module, "_PATIENCE_S", 0.01)
    with store._counts(), pytest.raises(RateLimitStoreError, match="lock"):
        store.pause(WINDOW, 1, 5.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_while_the_file_is_locked_does_not_keep_it_locked(store):
    """The child has the open file too, but not the lock."""
    code = f"""
import os
from cohere_rerank.limits import FileStore, RateLimit
store = FileStore({store.path!r})
reads, writes = os.pipe()
with store._counts():
    child = os.fork()
    if child == 0:
        os.close(writes)
        os.read(reads, 1)  # until the parent has ended
        os._exit(0)
print(store.take(RateLimit(per_minute=1), 5.0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0.0\n", "")


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    """A wrong path must not cost anyone a file."""
    path = tmp_path / "notes.txt"
    path.write_text("what I must not forget: the milk")
    with pytest.raises(RateLimitStoreError, match="something else"):
        FileStore(path).take(PACED, 5.0)
    assert path.read_text() == "what I must not forget: the milk"


def test_a_missing_folder_is_named(tmp_path):
    """The error says which path."""
    with pytest.raises(RateLimitStoreError, match="nowhere"):
        FileStore(tmp_path / "nowhere" / "limit").take(PACED, 5.0)


@pytest.mark.parametrize("path", [None, 3, "", b"x"])
def test_a_path_that_is_none_is_refused(path):
    """Said when the store is made."""
    with pytest.raises(InvalidRequestError, match="path"):
        FileStore(path)


def test_stores_of_one_path_are_equal_and_travel(tmp_path, monkeypatch):
    """A limit with a store can be a key of a dict, be compared and be sent to another process."""
    monkeypatch.chdir(tmp_path)
    limit = RateLimit(per_minute=5, store=FileStore("limit"))
    assert limit == RateLimit(per_minute=5, store=FileStore(tmp_path / "limit"))
    assert {pickle.loads(pickle.dumps(limit)): 1} == {limit: 1}
    monkeypatch.chdir("/")
    assert limit.store.take(limit, 5.0) == 0.0
    assert (tmp_path / "limit").exists()
