"""Rank the rows of Parquet files with Spark: `mapInArrow` passes Arrow batches to each worker.

pip install "cohere-rerank[arrow]" pyspark pandas
python examples/clusters/with_spark.py rows/ ranked/

Spark needs Java. Workers run the Python of PYSPARK_PYTHON, which must have cohere-rerank.

Without arguments, the script ranks two rows of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

try:
    import pyarrow as pa
    from pyarrow import parquet
    from pyspark.sql import SparkSession
except ImportError as error:
    raise SystemExit(f'{error}; to install it: pip install "cohere-rerank[arrow]" pyspark pandas') from None

from cohere_rerank.integrations.arrow import RerankBatch


def write_sample(folder: Path) -> None:
    """Write two rows, for a run without arguments."""
    folder.mkdir()
    documents = [["a blue car", "a red apple"], ["black coffee", "green tea"]]
    table = pa.table({"id": ["1", "2"], "query": ["red apple", "green tea"], "documents": documents})
    parquet.write_table(table, folder / "rows.parquet")


def main() -> None:
    """Run on this machine, or on the cluster of spark-submit."""
    work = tempfile.mkdtemp()
    parser = argparse.ArgumentParser(description="Rank the rows of Parquet files with Spark")
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
    spark = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "500").getOrCreate()
    rows = spark.read.parquet(options.rows)
    schema = f"{', '.join(f'`{name}` {kind}' for name, kind in rows.dtypes)}, "
    schema += "results array<struct<index: int, relevance_score: float>>, error string"
    rows.mapInArrow(batch.map_in_arrow, schema).write.parquet(options.ranked)
    print(f"{spark.read.parquet(options.ranked).count()} rows are in {options.ranked}")
    spark.stop()


if __name__ == "__main__":
    main()
