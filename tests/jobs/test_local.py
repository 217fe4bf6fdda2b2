"""Jobs on this machine's cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import parent_process
from pathlib import Path

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from cohere_rerank.errors import InvalidRequestError, ScorerError
from cohere_rerank.jobs import JobStoppedError, run_job
from tests.jobs.conftest import rows_of


class Broken:
    """A scorer that fails at one word, and whose process dies at another."""

    name, version, pointwise = "broken", "1", True

    def score(self, query, documents):
        if "death" in query:
            os._exit(3)
        if "fault" in query:
            raise ValueError("not this one")
        return [0.5] * len(documents)


class Interrupting:
    """A scorer that interrupts the job once."""

    name, version, pointwise = "interrupting", "1", True

    def score(self, query, documents):
        if query == "query 40":
            os.kill(os.getppid() if parent_process() else os.getpid(), signal.SIGINT)
        return [0.5] * len(documents)


def run(source, output, processes=2, client_options=None, **options):
    client = AsyncClientV2(base_url="local:", **(client_options or {}))
    return run_job(source, output, client=client, processes=processes, model="m", **options)


def test_every_number_of_processes_returns_what_rerank_returns(write, tmp_path):
    """The rows are in the order of the input, or in any order with ordered=False."""
    source = write(100)
    with ClientV2(base_url="local:") as client:
        documents = ["one", "two", "three"]
        expected = [client.rerank(model="m", query=f"query {n}", documents=documents) for n in range(100)]
    scores = [[item.relevance_score for item in response.results] for response in expected]
    for processes, ordered in ((2, True), (3, False)):
        output = tmp_path / f"out{processes}.jsonl"
        report = run(source, output, processes, ordered=ordered)
        rows = rows_of(output)
        assert [row["row"] for row in rows] == list(range(1, 101)) or not ordered
        rows.sort(key=lambda row: row["row"])
        assert [[item["relevance_score"] for item in row["results"]] for row in rows] == scores
        assert (report.rows, report.search_units) == (100, 0.0)


def test_rows_that_fail_have_their_error(write, tmp_path):
    """An error of the scorer and an invalid row are written to the output."""
    rows = [
        {"id": "a", "query": "fault", "documents": ["d"]},
        '{"query"',
        {"id": "c", "query": "q", "documents": ["d"]},
    ]
    report = run(write(rows), tmp_path / "out.jsonl", client_options={"scorer": Broken()})
    assert report.failed == 2
    made = rows_of(tmp_path / "out.jsonl")
    assert [row.get("error", {}).get("type") for row in made] == [ScorerError.__name__, "InvalidRequestError", None]


def test_a_row_without_a_model_costs_itself_only(write, tmp_path):
    """The other rows, which have a model, are ranked."""
    rows = [{"query": "q", "documents": ["d"], "model": "m"} for _ in range(40)]
    del rows[20]["model"]
    client = AsyncClientV2(base_url="local:")
    report = run_job(write(rows), tmp_path / "out.jsonl", client=client, processes=1)
    made = rows_of(tmp_path / "out.jsonl")
    assert (report.rows, report.failed) == (40, 1)
    assert made[20]["error"]["type"] == "InvalidRequestError"
    assert made[20]["error"]["message"].startswith("line 21: model")


def test_a_client_that_cannot_be_pickled_is_refused_before_a_file_is_written(write, tmp_path):
    """For example one whose scorer has a local class."""

    class Inside(Broken):
        pass

    source = write(2)
    with pytest.raises(InvalidRequestError, match="cannot be copied to worker processes"):
        run(source, tmp_path / "out.jsonl", client_options={"scorer": Inside()})
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_no_budget_stops_a_local_job(write, tmp_path):
    """A local job costs nothing, so a budget of 0 is enough."""
    assert run(write(20), tmp_path / "out.jsonl", 1, budget_units=0).rows == 20


def test_a_worker_that_dies_stops_the_job_which_can_resume(write, tmp_path):
    """The rows before its death are saved."""
    rows = [{"id": n, "query": "death" if n == 90 else "q", "documents": ["d"]} for n in range(100)]
    with pytest.raises(JobStoppedError, match="worker process died") as stopped:
        run(write(rows), tmp_path / "out.jsonl", client_options={"scorer": Broken()})
    assert stopped.value.report.rows == len(rows_of(tmp_path / "out.jsonl")) < 100


def children_of(pid):
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_job(write, tmp_path, number):
    """Neither after Ctrl-C, which reaches all processes, nor after the job is killed."""
    source = write(30_000)
    output = tmp_path / "out.jsonl"
    code = (
        "import sys; from cohere_rerank import AsyncClientV2; from cohere_rerank.jobs import *\n"
        "client = AsyncClientV2(base_url='local:')\n"
        "run_job(*sys.argv[1:], client=client, model='m', processes=2, resume=True)"
    )
    command = [sys.executable, "-c", code, str(source), str(output)]
    job = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not output.exists() or output.stat().st_size < 10_000:
        assert job.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    workers = children_of(job.pid)
    assert len(workers) >= 2
    if number == signal.SIGKILL:
        job.kill()
    else:
        os.killpg(job.pid, number)
    stderr = job.communicate(timeout=60)[1]
    assert "JobStoppedError: interrupted" in stderr or number == signal.SIGKILL
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.01)
    whole = output.read_bytes().rpartition(b"\n")[0].count(b"\n") + 1
    assert 0 < whole < 30_000


SCRIPT = """
import sys
from cohere_rerank import AsyncClientV2
from cohere_rerank.jobs import run_job
processes = int(sys.argv[1])
report = run_job("in.jsonl", "out.jsonl", client=AsyncClientV2(), model="m", processes=processes)
print(report.rows)
"""


def run_script(folder, processes):
    (folder / "job.py").write_text(SCRIPT)
    command = [sys.executable, "job.py", str(processes)]
    environment = {**os.environ, "CO_API_URL": "local:"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr


def test_a_script_without_a_main_guard_runs_with_one_process_only(write, tmp_path):
    """With more, the error names the guard, and it leaves nothing that prevents the next run."""
    write(3)
    code, _, stderr = run_script(tmp_path, 2)
    assert code == 1
    (line,) = [line for line in stderr.splitlines() if "JobStoppedError: " in line]
    assert "a worker process died before the first result" in line
    assert 'if __name__ == "__main__":' in line
    assert "another job" not in stderr
    assert run_script(tmp_path, 1) == (0, "3", "")
    assert len(rows_of(tmp_path / "out.jsonl")) == 3


def test_one_process_accepts_a_scorer_that_cannot_be_pickled(write, tmp_path):
    """It runs in this process."""

    class Inside(Broken):
        pass

    source = write([{"query": "fault", "documents": ["d"]}, {"query": "q", "documents": ["d"]}])
    report = run(source, tmp_path / "out.jsonl", 1, client_options={"scorer": Inside()})
    assert (report.rows, report.failed) == (2, 1)


def test_one_process_accepts_a_client_with_the_callers_connections(write, tmp_path):
    """They cannot be copied to a worker, and a local address does not use them."""
    source = write(2)
    options = {"client_options": {"httpx_client": httpx.AsyncClient()}}
    assert run(source, tmp_path / "out.jsonl", 1, **options).failed == 0
    with pytest.raises(InvalidRequestError, match="cannot be copied to worker processes"):
        run(source, tmp_path / "other.jsonl", 2, **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_job_resumes_with_any_number_of_processes(write, tmp_path, processes):
    """Rows in flight are saved, and each row is in the output once."""
    source, output = write(400), tmp_path / "out.jsonl"
    options = {"client_options": {"scorer": Interrupting()}}
    with pytest.raises(JobStoppedError, match="interrupted") as stopped:
        run(source, output, processes, **options)
    assert 41 <= stopped.value.report.rows == len(rows_of(output)) < 400
    assert run(source, output, 3 - processes, resume=True, **options).rows == 400
    assert [row["row"] for row in rows_of(output)] == list(range(1, 401))
