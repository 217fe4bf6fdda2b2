"""Rank a folder of Parquet files on a Ray cluster, with one rate limit for all workers and a restart after a crash.

    pip install "cohere-rerank[ray]"
    python examples/clusters/with_ray.py rows/ ranked/ --checkpoint checkpoint/

Rows have an ``id``, a ``query`` and a list of ``documents``. After a crash, run the same command again: rows that were
committed are not sent again. Workers read CO_API_KEY from their environment.

Without arguments, the script ranks two rows of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

try:
    import pyarrow as pa
    import ray
    import ray.data
    from pyarrow import parquet
    from ray.data.checkpoint import CheckpointConfig
except ImportError as error:
    raise SystemExit(f'{error}; to install it: pip install "cohere-rerank[ray]"') from None

from cohere_rerank import RateLimit
from cohere_rerank.integrations.ray import RayStore, RerankBatch


def write_sample(folder: Path) -> None:
    """Write two rows, for a run without arguments."""
    folder.mkdir()
    documents = [["a blue car", "a red apple"], ["black coffee", "green tea"]]
    table = pa.table({"id": ["1", "2"], "query": ["red apple", "green tea"], "documents": documents})
    parquet.write_table(table, folder / "rows.parquet")


def rerank(options: argparse.Namespace) -> None:
    """Read, rank and write all rows that are not in the checkpoint."""
    client: dict[str, object] = {"base_url": options.base_url} if options.base_url else {}
    if options.per_minute:
        client["limit"] = RateLimit(per_minute=options.per_minute, burst=10, store=RayStore("cohere"))
    context = ray.data.DataContext.get_current()
    # By default, Ray deletes the checkpoint of a successful job: a second run would pay again.
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=options.checkpoint, delete_checkpoint_on_success=False
    )
    (
        ray.data.read_parquet(options.rows)
        # Small blocks: a block is committed as a whole, and after a crash it is paid again as a whole.
        .repartition(target_num_rows_per_block=options.block_rows)
        .map_batches(
            RerankBatch,
            fn_constructor_kwargs={"model": options.model, "concurrency": options.concurrency, "client": client},
            batch_format="pyarrow",
            batch_size=options.batch_rows,
            num_cpus=options.cpus,
            compute=ray.data.ActorPoolStrategy(size=options.workers),
            max_restarts=-1,
            max_task_retries=-1,
        )
        .write_parquet(options.ranked)
    )


def main() -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine."""
    work = Path(tempfile.mkdtemp())
    parser = argparse.ArgumentParser(description="Rank the rows of Parquet files with Ray")
    parser.add_argument("rows", nargs="?", help="folder of Parquet files with id, query and documents")
    parser.add_argument("ranked", nargs="?", default=str(work / "ranked"), help="folder for the results")
    parser.add_argument("--checkpoint", default=str(work / "checkpoint"), help="folder that all nodes can read")
    parser.add_argument("--model", default="rerank-v4.0-fast")
    parser.add_argument("--base-url", help="address of the API, or local:")
    parser.add_argument("--per-minute", type=int, help="rate limit of the key, for the whole cluster")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=0.5, help="CPUs of each worker, which mostly waits")
    parser.add_argument("--concurrency", type=int, default=32, help="calls in flight in each worker")
    parser.add_argument("--batch-rows", type=int, default=64)
    parser.add_argument("--block-rows", type=int, default=500)
    options = parser.parse_args()
    if options.rows is None:
        options.rows = str(work / "rows")
        write_sample(work / "rows")
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))) and not options.base_url:
        options.base_url = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    for name in ("rows", "ranked", "checkpoint"):  # the current folder of a worker is another one
        folder = getattr(options, name)
        setattr(options, name, folder if "://" in folder else str(Path(folder).resolve()))
    started = time.monotonic()
    rerank(options)
    print(f"ranked into {options.ranked} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
