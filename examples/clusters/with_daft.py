"""Rerank Parquet files with Daft: an asynchronous function of one row, which Daft calls for many rows at once.

pip install "cohere-rerank[daft]"
python examples/clusters/with_daft.py rows/ ranked/ --base-url local:
"""

from __future__ import annotations

import argparse
from typing import Any

import daft

from cohere_rerank.integrations.arrow import RerankBatch

RESULT = daft.DataType.struct({"index": daft.DataType.int32(), "relevance_score": daft.DataType.float32()})
OUTCOME = daft.DataType.struct({"results": daft.DataType.list(RESULT), "error": daft.DataType.string()})


def main() -> None:
    """Run on Daft's own engine, or on Ray where it is set up."""
    parser = argparse.ArgumentParser(description="Rerank Parquet files with Daft")
    parser.add_argument("rows", help="folder of Parquet files: id, query, documents")
    parser.add_argument("ranked", help="folder for the result")
    parser.add_argument("--base-url", help="such as local:, instead of Cohere's API")
    options = parser.parse_args()
    batch = RerankBatch(model="rerank-v4.0-fast", client={"base_url": options.base_url} if options.base_url else {})

    @daft.func(return_dtype=OUTCOME)  # type: ignore[untyped-decorator, unused-ignore]
    async def rerank(query: str, documents: list[str]) -> dict[str, Any]:
        return await batch.row(query, documents)

    rows = daft.read_parquet(f"{options.rows}/*.parquet")
    rows = rows.with_column("outcome", rerank(daft.col("query"), daft.col("documents")))
    outcome = daft.col("outcome")
    ranked = rows.with_columns({"results": outcome.get("results"), "error": outcome.get("error")}).exclude("outcome")
    ranked.write_parquet(options.ranked)
    print(f"{daft.read_parquet(f'{options.ranked}/*.parquet').count_rows()} rows reranked")


if __name__ == "__main__":
    main()
