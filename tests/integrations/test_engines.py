"""The example programs for Dask, Daft and Spark run on the real engines."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(300)]

pa = pytest.importorskip("pyarrow", reason="needs pyarrow")

ROOT = Path(__file__).parents[2]
N_ROWS = 400


@pytest.mark.parametrize("engine", ["dask", "daft", "pyspark"])
def test_every_row_is_ranked_once(engine, tmp_path):
    """Each program writes every row once, with its results and without an error."""
    from pyarrow import parquet

    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs {engine}")
    if engine == "pyspark" and shutil.which("java") is None:
        pytest.skip("needs Java")
    rows, ranked = tmp_path / "rows", tmp_path / "ranked"
    rows.mkdir()
    for part in range(2):
        ids = [f"row-{i}" for i in range(part, N_ROWS, 2)]
        documents = [["nothing of note", f"all about {name}"] for name in ids]
        parquet.write_table(pa.table({"id": ids, "query": ids, "documents": documents}), rows / f"{part}.parquet")
    script = ROOT / "examples" / "clusters" / f"with_{engine.removeprefix('py')}.py"
    command = [sys.executable, str(script), str(rows), str(ranked), "--base-url", "local:"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    table = pa.concat_tables(
        parquet.read_table(path, columns=["id", "results", "error"]) for path in ranked.glob("*.parquet")
    )
    assert Counter(table.column("id").to_pylist()) == Counter(f"row-{i}" for i in range(N_ROWS))
    assert table.column("error").null_count == N_ROWS
    assert {results[0]["index"] for results in table.column("results").to_pylist()} == {1}
