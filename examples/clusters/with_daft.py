"""Rank the rows of Parquet files with Daft, which calls an asynchronous function for many rows at the same time.

pip install "cohere-rerank[arrow,daft]"
python examples/clusters/with_daft.py rows/ ranked/

Without arguments, the script ranks two rows of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

try:
    import daft
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise SystemExit(f'{error}; to install it: pip install "cohere-rerank[arrow,daft]"') from None

from cohere_rerank.integrations.arrow import RerankBatch

RESULT = daft.DataType.struct({"index": daft.DataType.int32(), "relevance_score": daft.DataType.float32()})
OUTCOME = daft.DataType.struct({"results": daft.DataType.list(RESULT), "error": daft.DataType.string()})


def write_sample(folder: Path) -> None:
    """Write two rows, for a run without arguments."""
    folder.mkdir()
    documents = [["a blue car", "a red apple"], ["black coffee", "green tea"]]
    table = pa.table({"id": ["1", "2"], "query": ["red apple", "green tea"], "documents": documents})
    parquet.write_table(table, folder / "rows.parquet")


def main() -> None:
    """Run on the engine of Daft, or on Ray if Daft is configured for it."""
    work = tempfile.mkdtemp()
    parser = argparse.ArgumentParser(description="Rank the rows of Parquet files with Daft")
    parser.add_argument("rows", nargs="?", help="folder of Parquet files with id, query and documents")
    parser.add_argument("ranked", nargs="?", default=f"{work}/ranked", help="folder for the results")
    parser.add_argument("--base-url", help="address of the API, or local:")
    options = parser.parse_args()
    if options.rows is None:
        options.rows = f"{work}/rows"
        write_sample(Path(options.rows))
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))) and not options.base_url:
        options.base_url = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    batch = RerankBatch(model="rerank-v4.0-fast", client={"base_url": options.base_url} if options.base_url else {})

    @daft.func(return_dtype=OUTCOME)  # type: ignore[untyped-decorator, unused-ignore]
    async def rerank(query: str, documents: list[str]) -> dict[str, Any]:
        return await batch.row(query, documents)

    rows = daft.read_parquet(f"{options.rows}/*.parquet")
    rows = rows.with_column("outcome", rerank(daft.col("query"), daft.col("documents")))
    outcome = daft.col("outcome")
    ranked = rows.with_columns({"results": outcome.get("results"), "error": outcome.get("error")}).exclude("outcome")
    ranked.write_parquet(options.ranked)
    print(f"{daft.read_parquet(f'{options.ranked}/*.parquet').count_rows()} rows are in {options.ranked}")


if __name__ == "__main__":
    main()
