"""Rerank a folder of Parquet files on a Ray cluster, with one rate limit for all workers, and go on after a crash.

    pip install "cohere-rerank[ray]"
    python examples/clusters/with_ray.py rows/ ranked/ --checkpoint checkpoint/ --base-url local: --workers 2

Rows have an ``id``, a ``query`` and a list of ``documents``. Run the same command again after a crash: rows that were
committed are not sent again. Workers take CO_API_KEY from their environment.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig

from cohere_rerank import RateLimit
from cohere_rerank.integrations.ray import RayStore, RerankBatch


def rerank(options: argparse.Namespace) -> None:
    """Read, rerank and write; what the checkpoint knows is left out."""
    client: dict[str, object] = {"base_url": options.base_url} if options.base_url else {}
    if options.per_minute:
        client["limit"] = RateLimit(per_minute=options.per_minute, burst=10, store=RayStore("cohere"))
    context = ray.data.DataContext.get_current()
    # Ray forgets a checkpoint once its job has ended well, unless it is told not to: a second run would pay again.
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=options.checkpoint, delete_checkpoint_on_success=False
    )
    (
        ray.data.read_parquet(options.rows)
        # Small blocks: a block is what is committed, and what is paid again after a crash.
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
    """Connect to the cluster of RAY_ADDRESS, or start one here."""
    parser = argparse.ArgumentParser(description="Rerank Parquet files on Ray")
    parser.add_argument("rows", help="folder of Parquet files: id, query, documents")
    parser.add_argument("ranked", help="folder for the result")
    parser.add_argument("--checkpoint", required=True, help="folder that all nodes see")
    parser.add_argument("--model", default="rerank-v4.0-fast")
    parser.add_argument("--base-url", help="such as local:, instead of Cohere's API")
    parser.add_argument("--per-minute", type=int, help="the key's limit, for the whole cluster")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=0.5, help="of each worker: it waits more than it computes")
    parser.add_argument("--concurrency", type=int, default=32, help="calls under way at once in each worker")
    parser.add_argument("--batch-rows", type=int, default=64)
    parser.add_argument("--block-rows", type=int, default=500)
    options = parser.parse_args()
    for name in ("rows", "ranked", "checkpoint"):  # workers have another current folder than we
        folder = getattr(options, name)
        setattr(options, name, folder if "://" in folder else str(Path(folder).resolve()))
    started = time.monotonic()
    rerank(options)
    print(f"done in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
