"""A job on a real Ray cluster of two nodes, with a worker and then the driver killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # Ray leaves sockets and files open
]

N_ROWS = int(os.environ.get("RAY_TEST_ROWS", "20000"))
RATE, BURST = 200, 10  # a second; at once
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def needs_ray() -> None:
    """Import the packages here, so that a run without exhaustive tests reports no skipped test."""
    for name in ("ray", "pyarrow", "psutil"):
        pytest.importorskip(name, reason=f"needs {name}")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    folder = tmp_path / "rows"
    folder.mkdir()
    for part in range(4):
        ids = [f"row-{i}" for i in range(part, N_ROWS, 4)]
        documents = [[f"document {n} of {name} " + "word " * 50 for n in range(10)] for name in ids]
        table = pa.table({"id": ids, "query": ids, "documents": documents})
        parquet.write_table(table, folder / f"{part}.parquet")
    return folder


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a head that computes nothing and two nodes, each in its own process. Return the address."""
    monkeypatch.setenv("CO_API_KEY", "k")  # workers have the environment of their node
    from ray.cluster_utils import Cluster

    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 200_000_000})
    for _ in range(2):
        running.add_node(num_cpus=3, object_store_memory=200_000_000)
    yield running.address
    running.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    log = tmp_path / "log"
    log.touch()
    command = [sys.executable, "-m", "tests.integrations.counting_server", str(log), str(RATE), str(BURST)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}", log
    process.stdin.close()
    process.wait()
    process.stdout.close()


def driver(rows: Path, url: str, cluster: str) -> subprocess.Popen[bytes]:
    folder = rows.parent
    command = [sys.executable, str(ROOT / "examples/clusters/with_ray.py"), str(rows), str(folder / "ranked")]
    command += ["--checkpoint", str(folder / "checkpoint"), "--base-url", url, "--per-minute", str(60 * RATE)]
    environment = {**os.environ, "RAY_ADDRESS": cluster, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=(folder / "driver.log").open("ab"), stderr=subprocess.STDOUT
    )


def n_answered(log: Path) -> int:
    with log.open() as lines:
        return sum(line.split()[1] == "200" for line in lines)


def wait_for(log: Path, n: int, process: subprocess.Popen[bytes]) -> None:
    while n_answered(log) < n:
        assert process.poll() is None, (log.parent / "driver.log").read_text()[-3000:]
        time.sleep(0.3)


def kill_a_worker() -> None:
    """Kill one process that runs RerankBatch with kill -9."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "RerankBatch" in " ".join(process.info["cmdline"] or ()) and "ray::" in process.info["cmdline"][0]:
                process.send_signal(signal.SIGKILL)
                return
    raise AssertionError("no worker runs")


def test_each_row_is_written_once_after_kills_and_the_limit_holds(rows, cluster, server, capsys):
    """A worker is killed after a quarter of the rows, and the driver after half. The program is then run again."""
    from pyarrow import parquet

    url, log = server
    started = time.monotonic()
    first = driver(rows, url, cluster)
    wait_for(log, N_ROWS // 4, first)
    kill_a_worker()
    wait_for(log, N_ROWS // 2, first)
    first.kill()
    first.wait()
    second = driver(rows, url, cluster)
    assert second.wait(timeout=600) == 0, (rows.parent / "driver.log").read_text()[-3000:]
    seconds = time.monotonic() - started

    ranked = parquet.read_table(rows.parent / "ranked", columns=["id", "results", "error"])
    assert Counter(ranked.column("id").to_pylist()) == Counter(f"row-{i}" for i in range(N_ROWS))
    assert ranked.column("error").null_count == N_ROWS
    assert {len(results) for results in ranked.column("results").to_pylist()} == {10}

    lines = [line.split() for line in log.read_text().splitlines()]
    n_sent, n_refused = len(lines), sum(status == "429" for _, status, _ in lines)
    assert n_refused <= n_sent / 100
    with capsys.disabled():  # the figures for docs/files/clusters.md
        sys.stdout.write(f"\n{N_ROWS} rows, {n_sent} sent, {n_refused} of them refused, {seconds:.0f} s in all\n")
