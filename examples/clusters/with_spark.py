"""Rerank Parquet files with Spark: `mapInArrow` hands each worker its partitions as Arrow batches.

pip install "cohere-rerank[arrow]" pyspark pandas
python examples/clusters/with_spark.py rows/ ranked/ --base-url local:

Workers run the Python that PYSPARK_PYTHON names: one where cohere-rerank is installed.
"""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from cohere_rerank.integrations.arrow import RerankBatch


def main() -> None:
    """Run on this machine, or on the cluster that spark-submit names."""
    parser = argparse.ArgumentParser(description="Rerank Parquet files with Spark")
    parser.add_argument("rows", help="folder of Parquet files: id, query, documents")
    parser.add_argument("ranked", help="folder for the result")
    parser.add_argument("--base-url", help="such as local:, instead of Cohere's API")
    options = parser.parse_args()
    batch = RerankBatch(model="rerank-v4.0-fast", client={"base_url": options.base_url} if options.base_url else {})
    spark = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "500").getOrCreate()
    rows = spark.read.parquet(options.rows)
    schema = f"{', '.join(f'`{name}` {kind}' for name, kind in rows.dtypes)}, "
    schema += "results array<struct<index: int, relevance_score: float>>, error string"
    rows.mapInArrow(batch.map_in_arrow, schema).write.parquet(options.ranked)
    print(f"{spark.read.parquet(options.ranked).count()} rows reranked")
    spark.stop()


if __name__ == "__main__":
    main()
