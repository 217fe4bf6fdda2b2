"""Clients in four processes before one strict server: what a shared limit is for."""

from __future__ import annotations

import pytest

from cohere_rerank.limits import FileStore
from tests.limits.processes import Processes
from tests.limits.redis_server import RedisServer, needs_redis_server
from tests.limits.strict import Strict

N_PROCESSES, N_CALLS = 4, 30
LIMIT = "RateLimit(requests=50, period_s=1, burst=10, store=store)"


@pytest.fixture
def strict(server):
    """The server allows what LIMIT says, and no more."""
    return Strict(server, 50, 1.0, burst=10)


@pytest.fixture
def redis_server():
    pytest.importorskip("redis")
    with RedisServer() as running:
        yield running


@pytest.fixture
def sharers(server):
    """``sharers(store)``: the processes, let go."""
    started = []

    def start(store):
        started.append(Processes(N_PROCESSES, "sharer.py", server.url, store, LIMIT, N_CALLS))
        started[0].start()
        return started[0]

    yield start
    for processes in started:
        processes.__exit__()


def check_all_answered(strict, outcomes):
    """Every call, and with few sends more: without a shared count there would be four times too many."""
    assert sum(int(n_answered) for n_answered, _ in outcomes) == N_PROCESSES * N_CALLS
    # Counting each by itself, 69 were refused for 120 answers; a busy machine cannot send evenly, and draws some too.
    assert strict.n(429) <= strict.n(200) / 4


def test_processes_that_share_a_file_are_all_answered(sharers, strict, tmp_path):
    """The limit of one key holds for all four together."""
    outcomes = sharers(FileStore(tmp_path / "limit")).outcomes()
    check_all_answered(strict, outcomes)
    assert [log for _, log in outcomes] == [""] * N_PROCESSES


@needs_redis_server
def test_processes_that_share_a_redis_are_all_answered(sharers, strict, redis_server):
    """The limit of one key holds for all four together."""
    outcomes = sharers(f"RedisStore({redis_server.url!r}, 'k')").outcomes()
    check_all_answered(strict, outcomes)
    assert [log for _, log in outcomes] == [""] * N_PROCESSES


@needs_redis_server
def test_a_redis_that_dies_midway_costs_no_answer_and_starts_no_stampede(sharers, server, strict, redis_server):
    """Each process goes on at a quarter of the limit, and says so once."""
    processes = sharers(f"RedisStore({redis_server.url!r}, 'k')")
    server.wait_until(lambda _: len(strict.replied) >= N_PROCESSES * (1 + N_CALLS // 4))
    redis_server.kill()
    outcomes = processes.outcomes()
    check_all_answered(strict, outcomes)
    for _, log in outcomes:
        assert log.count("Redis does not answer") == log.count("\n") == 1
        assert "1/4 of the limit" in log
