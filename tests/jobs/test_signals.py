"""Signals to a running job, as a process of its own: Ctrl-C once or more, SIGTERM, a closed terminal, nohup."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.jobs.conftest import rows_of
from tests.jobs.test_local import children_of, is_running

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.timeout(120),
]

JOB = """
import signal, sys, time
from cohere_rerank import AsyncClientV2
from cohere_rerank.jobs import JobStoppedError, run_job


class Slow:
    name, version, pointwise = "slow", "1", True

    def score(self, query, documents):
        time.sleep(float(sys.argv[1]))
        return [0.5] * len(documents)


def show(report):
    print(report.rows, report.stopped, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    client = AsyncClientV2(base_url="local:", scorer=Slow())
    try:
        run_job("in.jsonl", "out.jsonl", client=client, model="m", processes=int(sys.argv[2]), progress=show)
    except JobStoppedError as error:
        sys.exit(130 if error.report.stopped == "interrupted" else 1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(131)
"""


@pytest.fixture
def start(write, tmp_path):
    """``start(seconds, processes)``: a running job whose scorer takes so long for a row, in a session of its own."""
    jobs = []

    def start_job(seconds, processes, *more):
        write(200)
        (tmp_path / "job.py").write_text(JOB)
        command = [sys.executable, "job.py", str(seconds), str(processes), *more]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        jobs.append(subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes))
        assert jobs[-1].stdout.readline()
        return jobs[-1]

    yield start_job
    for job in jobs:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
        job.communicate()


def wait_for_end(pids):
    until = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_the_group_stops_a_job_gracefully(start, tmp_path, number, processes):
    """A closed terminal and a service manager send it to the workers too. They finish their rows."""
    job = start(0.01, processes)
    os.killpg(job.pid, number)
    stderr = job.communicate(timeout=60)[1]
    assert (job.returncode, stderr) == (130, "")
    assert len(rows_of(tmp_path / "out.jsonl")) < 200


def test_an_ignored_signal_stays_ignored(start, tmp_path):
    """A job under nohup goes on when its terminal closes."""
    job = start(0.01, 1, "nohup")
    os.killpg(job.pid, signal.SIGHUP)
    assert (job.wait(timeout=60), job.stderr.read()) == (0, "")
    assert len(rows_of(tmp_path / "out.jsonl")) == 200


@pytest.mark.parametrize("processes", [1, 2])
def test_repeated_interrupts_end_a_job_whose_scorer_does_not_return(start, processes):
    """The process ends at once, without a traceback, and no worker outlives it."""
    job = start(1000, processes)
    until = time.monotonic() + 60
    while processes > 1 and len(children_of(job.pid)) <= processes:  # one more is multiprocessing's resource tracker
        assert time.monotonic() < until
        time.sleep(0.01)
    workers = children_of(job.pid)
    os.killpg(job.pid, signal.SIGINT)
    while job.stdout.readline().split()[-1] != "interrupted":
        pass
    n_signals = 1
    while job.poll() is None and n_signals < 3:
        os.killpg(job.pid, signal.SIGINT)
        n_signals += 1
        time.sleep(0.3)
    stderr = job.communicate(timeout=30)[1]
    assert job.returncode in (131, -signal.SIGINT)
    assert "Traceback" not in stderr
    wait_for_end(workers)
