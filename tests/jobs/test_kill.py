"""A job that is killed several times, with a server that fails at times, loses no row and repeats none."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
N_KILLS = 5
WINDOW = 2 * 32  # rows read and not yet written by a job with 32 requests in flight
TIMEOUT_S = 60.0


def write_rows(path: Path, n_rows: int, n_documents: int) -> tuple[set[str], set[int]]:
    """Write rows, some of them invalid or refused by the server. Return the expected ids and the failing lines."""
    ids, bad_lines = set(), set()
    documents = [f"document {n}, of some words that say this and that" for n in range(n_documents)]
    with path.open("w") as file:
        for number in range(1, n_rows + 1):
            if number % 97 == 0:
                file.write('{"id": "torn", "query": "q\n')
                bad_lines.add(number)
                continue
            poison = number % 101 == 0
            if poison:
                bad_lines.add(number)
            ids.add(f"row-{number}")
            row = {"id": f"row-{number}", "query": f"{'poison' * poison} query {number}", "documents": documents}
            file.write(json.dumps(row) + "\n")
    return ids, bad_lines


@contextmanager
def serving(fault_rate: float):
    """Yield the URL of a faulty server, and its counts after the block."""
    command = [sys.executable, str(HERE / "faulty.py"), str(fault_rate)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    counts: dict = {}
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}", counts
    finally:
        counts.update(json.loads(server.communicate()[0]))


@contextmanager
def killed_at_end(command: list[str], stdout):
    """Start a process, and kill it at the end of the block if it still runs."""
    process = subprocess.Popen(command, stdout=stdout)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_bytes(path: Path, n_bytes: float, process) -> None:
    """Wait until the output has so many bytes, or the job has ended."""
    until = time.monotonic() + TIMEOUT_S
    while process.poll() is None and (not path.exists() or path.stat().st_size < n_bytes):
        assert time.monotonic() < until or path.exists(), "the job writes nothing"
        time.sleep(0.002)


def run_and_kill(tmp_path: Path, n_rows: int, n_documents: int, fault_rate: float) -> dict:
    """Run a job with five kills, and return its rows and costs."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    ids, bad_lines = write_rows(source, n_rows, n_documents)
    moments = sorted(random.Random(n_rows).sample(range(5, 95), N_KILLS))
    reports, n_killed = [], 0
    start = time.monotonic()
    with serving(fault_rate) as (url, counts):
        command = [sys.executable, str(HERE / "run_once.py"), str(source), str(output), url]
        for percent in [*moments, None]:
            with (tmp_path / "reports").open("w+") as report_file:
                with killed_at_end(command, report_file) as process:
                    if percent is None:
                        process.wait()
                    else:
                        wait_for_bytes(output, percent / 100 * n_rows * (45 * n_documents + 70), process)
                assert process.returncode in (-9, 0)
                n_killed += process.returncode == -9
                if n_killed == 1:  # a dying machine may also leave half a line
                    with output.open("ab") as file:
                        file.write(b'{"id":"row-1","row":1,"resu')
                report_file.seek(0)
                reports += [json.loads(line) for line in report_file]
    with output.open("rb") as file:
        rows = [summary(json.loads(line)) for line in file]
    return {
        "ids": ids,
        "bad_lines": bad_lines,
        "rows": rows,
        "n_killed": n_killed,
        "reports": reports,
        "seconds": time.monotonic() - start,
        **counts,
    }


def summary(row: dict) -> tuple[int, str | None, int]:
    """Return the number of a row, its id, and how many results it has."""
    return row["row"], row["id"], len(row.get("results", ()))


def check(job: dict, n_rows: int, n_documents: int) -> None:
    """Check that each row is there once and in order, and that few rows were paid twice."""
    rows = job["rows"]
    assert [number for number, _, _ in rows] == list(range(1, n_rows + 1))
    assert Counter(name for _, name, _ in rows if name is not None) == Counter(job["ids"])
    assert {number for number, _, n_results in rows if n_results != n_documents} == job["bad_lines"]
    assert job["n_killed"] == N_KILLS
    assert set(job["faults"]) == {"limit", "overload", "reset", "cut"}
    assert sum(n - 1 for n in job["twice"].values()) <= N_KILLS * WINDOW


def test_a_job_killed_five_times_has_each_row_once(tmp_path):
    """2,000 rows, of which 3 % of the requests fail in some way."""
    check(run_and_kill(tmp_path, 2_000, 3, 0.03), 2_000, 3)


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_a_long_job_killed_five_times_has_each_row_once_in_flat_memory(tmp_path):
    """200,000 rows need no more memory at the end than at the start."""
    job = run_and_kill(tmp_path, 200_000, 5, 0.01)
    check(job, 200_000, 5)
    memory = [report["mb"] for report in job["reports"] if "mb" in report]
    rates = [report["rate"] for report in job["reports"] if "rate" in report]
    figures = {
        "seconds": round(job["seconds"]),
        "rows a second in the last run": round(rates[-1]),
        "MB at most": round(max(memory)),
        "MB after the first second": round(memory[0]),
        "paid twice": sum(n - 1 for n in job["twice"].values()),
        "faults": sum(job["faults"].values()),
    }
    print(figures)  # noqa: T201 - for the docs, with -s
    assert max(memory) < memory[0] + 25
