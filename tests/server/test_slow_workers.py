"""Worker processes that start slowly, as on a busy machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from cohere_rerank.server.run import uvicorn_options
from tests.server.running_server import ServeProgram, wait_until, workers_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


def delay_workers(folder: Path, seconds: float) -> dict[str, str]:
    """Return an environment in which a worker process sleeps before it imports anything."""
    (folder / "sitecustomize.py").write_text(
        f"import sys, time\nif '--multiprocessing-fork' in sys.orig_argv: time.sleep({seconds})\n"
    )
    return {"PYTHONPATH": str(folder)}


@contextmanager
def starting_server(environment):
    """A server whose workers do not serve yet."""
    command = [sys.executable, "-m", "cohere_rerank", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, **environment}, start_new_session=True
    ) as process:
        try:
            wait_until(lambda: len(workers_of(process.pid)) == 2)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_has_30_seconds_for_a_health_check():
    """uvicorn's default of 5 seconds replaces workers again and again on a busy machine."""
    assert uvicorn.Config("x:y", **uvicorn_options("127.0.0.1", 0)).timeout_worker_healthcheck == 30


def test_the_supervisor_does_not_wait_for_a_health_check(tmp_path):
    """While the workers start, a dead one is replaced, and SIGTERM ends the server, both in under 20 seconds."""
    with starting_server(delay_workers(tmp_path, 60)) as process:
        before = workers_of(process.pid)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(workers_of(process.pid)) == 2 and before[0] not in workers_of(process.pid))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.exhaustive
def test_slow_workers_are_not_replaced(tmp_path):
    """Workers that respond after 7 seconds stay."""
    started = ServeProgram("--workers", "2", **delay_workers(tmp_path, 7))
    try:
        assert len([line for line in started.lines if re.search("died", line)]) == 0
    finally:
        assert started.stop() == 0
