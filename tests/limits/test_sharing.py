"""Clients in four processes share the limit of one strict server."""

from __future__ import annotations

import pytest

from cohere_rerank.limits import FileStore
from tests.limits.limited_server import LimitedServer
from tests.limits.processes import Processes
from tests.limits.redis_server import RedisServer, needs_redis_server

N_PROCESSES, N_CALLS = 4, 30
LIMIT = "RateLimit(requests=50, period_s=1, burst=10, store=store)"


@pytest.fixture
def strict(server):
    """The server enforces the same limit as LIMIT."""
    return LimitedServer(server, 50, 1.0, burst=10)


@pytest.fixture
def redis_server():
    pytest.importorskip("redis")
    with RedisServer() as running:
        yield running


@pytest.fixture
def client_workers(server):
    """Return a function that starts the processes with a store."""
    started = []

    def start(store):
        started.append(Processes(N_PROCESSES, "client_worker.py", server.url, store, LIMIT, N_CALLS))
        started[0].start()
        return started[0]

    yield start
    for processes in started:
        processes.__exit__()


def check_all_answered(strict, outcomes):
    """Check that each call was answered with few rejections: separate counts would allow four times too many."""
    assert sum(int(n_answered) for n_answered, _ in outcomes) == N_PROCESSES * N_CALLS
    # With separate counts 69 requests were rejected for 120 answers. A busy machine cannot send evenly and gets some.
    assert strict.n(429) <= strict.n(200) / 4


def test_processes_that_share_a_file_are_all_answered(client_workers, strict, tmp_path):
    """The limit holds for all four processes together."""
    outcomes = client_workers(FileStore(tmp_path / "limit")).outcomes()
    check_all_answered(strict, outcomes)
    assert [log for _, log in outcomes] == [""] * N_PROCESSES


@needs_redis_server
def test_processes_that_share_a_redis_are_all_answered(client_workers, strict, redis_server):
    """The limit holds for all four processes together."""
    outcomes = client_workers(f"RedisStore({redis_server.url!r}, 'k')").outcomes()
    check_all_answered(strict, outcomes)
    assert [log for _, log in outcomes] == [""] * N_PROCESSES


@needs_redis_server
def test_a_redis_that_dies_midway_costs_no_answer_and_causes_no_stampede(client_workers, server, strict, redis_server):
    """Each process continues at a quarter of the limit and logs one warning."""
    processes = client_workers(f"RedisStore({redis_server.url!r}, 'k')")
    server.wait_until(lambda _: len(strict.responses) >= N_PROCESSES * (1 + N_CALLS // 4))
    redis_server.kill()
    outcomes = processes.outcomes()
    check_all_answered(strict, outcomes)
    for _, log in outcomes:
        assert log.count("Redis does not answer") == log.count("\n") == 1
        assert "1/4 of the limit" in log
