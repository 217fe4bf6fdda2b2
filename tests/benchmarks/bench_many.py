"""CPU time of `rerank_many` for each row, beside tasks or threads that share an iterator of the same rows.

    python tests/benchmarks/bench_many.py [ROUNDS]

A row has 5 documents of 60 characters. The measures take turns in one process. A time is the median of the rounds. A
ratio is the median of the ratios of the rounds. This takes a minute.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cohere_rerank import AsyncClientV2, ClientV2
from tests.benchmarks.common import serving

N_ROWS = 2000
QUERY = "how to return an order"
DOCUMENTS = [f"{n} " + "return an order within thirty days, with the receipt " * 2 for n in range(5)]
DOCUMENTS = [document[:60] for document in DOCUMENTS]
ROW = {"query": QUERY, "documents": DOCUMENTS}
Times = dict[str, list[float]]


def rows() -> Iterator[dict[str, Any]]:
    return (ROW for _ in range(N_ROWS))


async def async_rows() -> AsyncIterator[dict[str, Any]]:
    for row in rows():
        yield row


async def tasks(client: AsyncClientV2, concurrency: int) -> None:
    """Answer the rows in that many tasks, which share an iterator."""
    shared = rows()

    async def work() -> None:
        for row in shared:
            await client.rerank(model="m", **row)

    await asyncio.gather(*(work() for _ in range(concurrency)))


async def many(client: AsyncClientV2, source: Any, **options: Any) -> None:
    n = 0
    async for _ in client.rerank_many(source, model="m", **options):
        n += 1
    assert n == N_ROWS


async def measure(times: Times, name: str, work: Awaitable[None]) -> None:
    start_s = time.process_time()
    await work
    times.setdefault(name, []).append((time.process_time() - start_s) / N_ROWS * 1e6)


async def asynchronous(url: str, n_rounds: int) -> Times:
    times: Times = {}
    async with AsyncClientV2("key", base_url=url) as client:
        await tasks(client, 64)
        for _ in range(n_rounds):
            for n in (1, 8, 32, 64):
                await measure(times, f"{n} tasks", tasks(client, n))
                await measure(times, f"rerank_many, {n}", many(client, rows(), concurrency=n))
            await measure(times, "64, unordered", many(client, rows(), concurrency=64, ordered=False))
            await measure(times, "64, asynchronous source", many(client, async_rows(), concurrency=64))
    return times


def blocking(url: str, n_rounds: int) -> Times:
    times: Times = {}

    def note(name: str, start_s: float) -> None:
        times.setdefault(name, []).append((time.process_time() - start_s) / N_ROWS * 1e6)

    with ClientV2("key", base_url=url) as client:
        for _ in range(n_rounds):
            for n in (1, 8, 32):
                start_s = time.process_time()
                with ThreadPoolExecutor(n) as pool:
                    list(pool.map(lambda row: client.rerank(model="m", **row), rows()))
                note(f"{n} threads of an executor", start_s)
                start_s = time.process_time()
                assert sum(1 for _ in client.rerank_many(rows(), concurrency=n, model="m")) == N_ROWS
                note(f"rerank_many, {n}", start_s)
    return times


def print_times(title: str, times: Times) -> None:
    """Print each measure, with its ratio to the plain tasks or threads before it."""
    print(f"\n| {title} | CPU, µs per row | ratio |\n|---|---:|---:|")
    plain: list[float] = []
    for name, values in times.items():
        is_plain = name.endswith(("tasks", "executor"))
        plain = values if is_plain else plain
        ratio = "" if is_plain else f"**{statistics.median(a / b for a, b in zip(values, plain, strict=True)):.2f}**"
        print(f"| {name} | {statistics.median(values):.0f} | {ratio} |", flush=True)


def main(n_rounds: int) -> None:
    with serving() as url:
        print_times("AsyncClientV2", asyncio.run(asynchronous(url, n_rounds)))
        print_times("ClientV2", blocking(url, n_rounds))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
