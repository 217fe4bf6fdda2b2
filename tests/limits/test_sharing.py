"""Clients in four processes before one strict server: what a shared limit is for."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cohere_rerank.limits.file import FileStore
from tests.limits.redis_server import RedisServer, needs_redis_server
from tests.limits.servers import Bucket
from tests.server import answer, error

SHARER = str(Path(__file__).with_name("sharer.py"))
N_PROCESSES, N_CALLS = 4, 30
LIMIT = "RateLimit(requests=50, period_s=1, burst=10, store=store)"


class Strict:
    """The server's replies: no more than 50 a second, at most 10 of them at once."""

    def __init__(self, server):
        self._bucket, self._server = Bucket(50, 1.0, 10), server
        self.statuses = []
        server.default = self.reply

    async def reply(self, exchange):
        refused = self._bucket.wait_s(time.monotonic()) > 0
        self.statuses.append(429 if refused else 200)
        await (error(429, "please wait", headers={"retry-after": "1"}) if refused else answer())(exchange)


@pytest.fixture
def strict(server):
    return Strict(server)


@pytest.fixture
def redis_server():
    pytest.importorskip("redis")
    with RedisServer() as running:
        yield running


@pytest.fixture
def start(server):
    """``start(store)``: the processes, all ready and let go."""
    processes = []

    def start(store):
        command = [sys.executable, SHARER, server.url, str(store), LIMIT, str(N_CALLS)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.extend(subprocess.Popen(command, **pipes) for _ in range(N_PROCESSES))
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        return processes

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def outcomes(processes):
    """How many calls were answered, and what each process logged."""
    ended = [process.communicate(timeout=60) for process in processes]
    return sum(int(n_answered) for n_answered, _ in ended), [log for _, log in ended]


def check_all_answered(strict, n_answered):
    """Every call, and with few sends more: without a shared count there would be four times too many."""
    assert n_answered == N_PROCESSES * N_CALLS
    n_refused = strict.statuses.count(429)
    assert n_refused <= n_answered / 10  # this machine may be too busy to send evenly; four counts make far more


def test_processes_that_share_a_file_are_all_answered(start, strict, tmp_path):
    """The limit of one key holds for all four together."""
    n_answered, logs = outcomes(start(FileStore(tmp_path / "limit")))
    check_all_answered(strict, n_answered)
    assert logs == [""] * N_PROCESSES


@needs_redis_server
def test_processes_that_share_a_redis_are_all_answered(start, strict, redis_server):
    """The limit of one key holds for all four together."""
    n_answered, logs = outcomes(start(f"RedisStore({redis_server.url!r}, 'k')"))
    check_all_answered(strict, n_answered)
    assert logs == [""] * N_PROCESSES


@needs_redis_server
def test_a_redis_that_dies_midway_costs_no_answer_and_starts_no_stampede(start, server, strict, redis_server):
    """Each process goes on at a quarter of the limit, and says so once."""
    processes = start(f"RedisStore({redis_server.url!r}, 'k')")
    server.wait_until(lambda _: len(strict.statuses) >= N_PROCESSES * (1 + N_CALLS // 4))
    redis_server.kill()
    n_answered, logs = outcomes(processes)
    check_all_answered(strict, n_answered)
    for log in logs:
        assert log.count("Redis does not answer") == log.count("\n") == 1
        assert "1/4 of the limit" in log
