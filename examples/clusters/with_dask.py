"""Rerank Parquet files with Dask: one task a file, each worker process with a client of its own.

pip install "cohere-rerank[arrow]" "dask[distributed]"
python examples/clusters/with_dask.py rows/ ranked/ --base-url local:
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dask
import pyarrow.parquet as pq
from dask.base import compute

from cohere_rerank.integrations.arrow import RerankBatch


def rerank_file(batch: RerankBatch, source: Path, target: Path) -> int:
    """Rerank one file, unless that was done before; written under its name only when it is whole."""
    if target.exists():
        return 0
    table = batch(pq.read_table(source))
    batch.close()
    unfinished = target.with_suffix(".part")
    pq.write_table(table, unfinished)
    unfinished.replace(target)
    return int(table.num_rows)


def main() -> None:
    """Run on the current Dask scheduler: processes of this machine, or a cluster whose Client was opened before."""
    parser = argparse.ArgumentParser(description="Rerank Parquet files with Dask")
    parser.add_argument("rows", type=Path, help="folder of Parquet files: id, query, documents")
    parser.add_argument("ranked", type=Path, help="folder for the result")
    parser.add_argument("--base-url", help="such as local:, instead of Cohere's API")
    options = parser.parse_args()
    options.ranked.mkdir(parents=True, exist_ok=True)
    batch = RerankBatch(model="rerank-v4.0-fast", client={"base_url": options.base_url} if options.base_url else {})
    tasks = [
        dask.delayed(rerank_file)(batch, source, options.ranked / source.name)
        for source in sorted(options.rows.glob("*.parquet"))
    ]
    print(f"{sum(compute(*tasks, scheduler='processes'))} rows reranked")


if __name__ == "__main__":
    main()
