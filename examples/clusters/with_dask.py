"""Rank the rows of Parquet files with Dask: each file is a task, and each worker process has its own client.

pip install "cohere-rerank[arrow]" "dask[distributed]"
python examples/clusters/with_dask.py rows/ ranked/

Without arguments, the script ranks two rows of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

try:
    import dask
    import pyarrow as pa
    from dask.base import compute
    from pyarrow import parquet
except ImportError as error:
    raise SystemExit(f'{error}; to install it: pip install "cohere-rerank[arrow]" "dask[distributed]"') from None

from cohere_rerank.integrations.arrow import RerankBatch


def write_sample(folder: Path) -> None:
    """Write two rows, for a run without arguments."""
    folder.mkdir()
    documents = [["a blue car", "a red apple"], ["black coffee", "green tea"]]
    table = pa.table({"id": ["1", "2"], "query": ["red apple", "green tea"], "documents": documents})
    parquet.write_table(table, folder / "rows.parquet")


def rerank_file(batch: RerankBatch, source: Path, target: Path) -> int:
    """Rank one file, unless an earlier run did. The target gets its name when it is complete."""
    if target.exists():
        return 0
    table = batch(parquet.read_table(source))
    batch.close()
    unfinished = target.with_suffix(".part")
    parquet.write_table(table, unfinished)
    unfinished.replace(target)
    return int(table.num_rows)


def main() -> None:
    """Run on the current Dask scheduler: processes of this machine, or the cluster of a Client."""
    work = Path(tempfile.mkdtemp())
    parser = argparse.ArgumentParser(description="Rank the rows of Parquet files with Dask")
    parser.add_argument("rows", type=Path, nargs="?", help="folder of Parquet files with id, query and documents")
    parser.add_argument("ranked", type=Path, nargs="?", default=work / "ranked", help="folder for the results")
    parser.add_argument("--base-url", help="address of the API, or local:")
    options = parser.parse_args()
    if options.rows is None:
        options.rows = work / "rows"
        write_sample(options.rows)
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))) and not options.base_url:
        options.base_url = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    options.ranked.mkdir(parents=True, exist_ok=True)
    batch = RerankBatch(model="rerank-v4.0-fast", client={"base_url": options.base_url} if options.base_url else {})
    tasks = [
        dask.delayed(rerank_file)(batch, source, options.ranked / source.name)
        for source in sorted(options.rows.glob("*.parquet"))
    ]
    print(f"{sum(compute(*tasks, scheduler='processes'))} rows ranked into {options.ranked}")


if __name__ == "__main__":
    main()
